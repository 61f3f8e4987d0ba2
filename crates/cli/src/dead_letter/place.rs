//! Which dead-letter queue is meant, and on which broker.

use std::path::PathBuf;

use clap::Args;
use petiole_api::TaskQueue;
use petiole_api::connection::SecretKeyRef;
use petiole_broker::dead_letter::DeadLetter;
use petiole_operator::queue::validate::validate;
use petiole_operator::sampler::address::Address;
use petiole_operator::secrets::Values;
use petiole_results::redis::{Endpoint, EndpointError};

use crate::dev::files::{FileError, Resources};

/// Where to look.
#[derive(Debug, Args)]
pub struct Where {
    /// The broker (`redis://localhost:6379/0`); with a password it is better kept in the environment
    #[arg(long, value_name = "URL", env = "PETIOLE_BROKER", hide_env_values = true)]
    broker: Option<String>,
    /// The queue that the messages came from: its name on the broker, or that of a TaskQueue in the files
    #[arg(short, long, value_name = "NAME")]
    queue: Option<String>,
    /// The dead-letter queue; otherwise what the TaskQueue says, or the queue's name and `.dead`
    #[arg(long, value_name = "NAME")]
    dead_letter_queue: Option<String>,
    /// What stands before every key of the broker (`global_keyprefix`), where no file says it
    #[arg(long, value_name = "TEXT")]
    key_prefix: Option<String>,
    /// A file with the TaskQueue, and the Secrets that it names; may be given several times
    #[arg(short, long = "file", value_name = "FILE")]
    file: Vec<PathBuf>,
}

/// A dead-letter queue.
#[derive(Debug)]
pub struct Place {
    /// Its broker.
    pub broker: Endpoint,
    /// The queue that the messages came from.
    pub queue: String,
    /// Its name.
    pub dead_letter: String,
}

/// Why nobody knows where to look.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// See its source.
    #[error(transparent)]
    File(FileError),
    /// No queue is named.
    #[error("no queue is named: write --queue NAME, or -f FILE with its TaskQueue")]
    NoQueue,
    /// No broker is named.
    #[error("no broker is named: write --broker URL, or -f FILE with the TaskQueue")]
    NoBroker,
    /// The TaskQueue does not stand in the files.
    #[error("no TaskQueue {queue} stands in the files{}", known(names))]
    NotThere {
        /// What was asked for.
        queue: String,
        /// What stands there.
        names: Vec<String>,
    },
    /// Several could be meant.
    #[error("several TaskQueues stand in the files{}: name one by --queue", known(names))]
    Several {
        /// Their names.
        names: Vec<String>,
    },
    /// The broker's address cannot be used.
    #[error("failed to understand the broker's address")]
    Address(#[source] EndpointError),
    /// What the TaskQueue says of its broker cannot be used.
    #[error("the broker of TaskQueue {queue} cannot be used: {why}; or write --broker")]
    Refused {
        /// Its name.
        queue: String,
        /// What to write instead.
        why: String,
    },
}

fn known(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

impl Where {
    /// Finds the place.
    pub fn find(self) -> Result<Place, PlaceError> {
        let Self { broker, queue, dead_letter_queue, key_prefix, file } = self;
        let mut place = if file.is_empty() {
            let queue = queue.ok_or(PlaceError::NoQueue)?;
            let url = broker.ok_or(PlaceError::NoBroker)?;
            let broker = Endpoint::parse(&url).map_err(PlaceError::Address)?;
            Place { broker, dead_letter: format!("{queue}.dead"), queue }
        } else {
            let resources = Resources::read_any(&file).map_err(PlaceError::File)?;
            in_files(&resources, queue, broker)?
        };
        if let Some(named) = dead_letter_queue {
            place.dead_letter = named;
        }
        if let Some(prefix) = key_prefix {
            place.broker = place.broker.with_key_prefix(&prefix);
        }
        Ok(place)
    }
}

fn in_files(
    resources: &Resources,
    queue: Option<String>,
    broker: Option<String>,
) -> Result<Place, PlaceError> {
    let task_queue = chosen(resources, queue)?;
    let validated = validate(task_queue, &values(resources));
    let address = match broker {
        // The file still says what stands before the keys.
        Some(url) => {
            let key_prefix = task_queue.spec.broker.redis.key_prefix.clone();
            Address { url, key_prefix, ..Address::default() }
        }
        None => validated
            .broker
            .map_err(|refusal| PlaceError::Refused { queue: task_queue.queue(), why: refusal.message })?,
    };
    let broker = address.endpoint().map_err(PlaceError::Address)?;
    Ok(Place { broker, queue: validated.queue.name, dead_letter: validated.queue.dead_letter })
}

/// The TaskQueue that is meant: by its own name, or by that of its queue on the broker.
fn chosen(resources: &Resources, name: Option<String>) -> Result<&TaskQueue, PlaceError> {
    let names = || resources.queues.keys().cloned().collect();
    let Some(name) = name else {
        let mut all = resources.queues.values();
        return match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(PlaceError::NoQueue),
            (Some(_), Some(_)) => Err(PlaceError::Several { names: names() }),
        };
    };
    let by_queue = || resources.queues.values().find(|queue| queue.queue() == name);
    let found = resources.queues.get(&name).or_else(by_queue);
    found.ok_or_else(|| PlaceError::NotThere { names: names(), queue: name.clone() })
}

/// What the Secrets in the files hold.
fn values(resources: &Resources) -> Values {
    let keys = resources.secrets.iter().flat_map(|(name, keys)| {
        keys.iter().map(move |(key, value)| {
            let key = SecretKeyRef { name: name.clone(), key: key.clone() };
            (key, Ok(value.clone().into_bytes()))
        })
    });
    keys.collect()
}

impl Place {
    /// Whether a letter came from this queue: several may share a dead-letter queue. One that does not say it may have.
    pub fn is_of(&self, letter: &DeadLetter) -> bool {
        letter.queue().is_none_or(|queue| queue == self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(broker: Option<&str>, queue: Option<&str>, yaml: Option<&str>) -> Result<Place, PlaceError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.yaml");
        let file = yaml.map(|yaml| std::fs::write(&path, yaml).map(|()| path).unwrap());
        let (broker, queue) = (broker.map(str::to_owned), queue.map(str::to_owned));
        let file = file.into_iter().collect();
        Where { broker, queue, dead_letter_queue: None, key_prefix: None, file }.find()
    }

    fn yaml(name: &str, spec: &str) -> String {
        format!(
            "---\napiVersion: petiole.dev/v1alpha1\nkind: TaskQueue\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    }

    const URL: &str = "redis://localhost:6379/3";

    #[test]
    fn a_broker_and_a_queue_are_enough() {
        let place = at(Some(URL), Some("mail"), None).unwrap();
        assert_eq!((place.queue.as_str(), place.dead_letter.as_str()), ("mail", "mail.dead"));
        assert_eq!((place.broker.db(), place.broker.key_prefix()), (3, ""));
    }

    #[test]
    fn a_task_queue_says_the_rest() {
        let spec = "{queue: mail, deadLetter: {queue: graveyard}, broker: {url: 'redis://redis:1/2', redis: {keyPrefix: 'app:'}}}";
        let file = yaml("post", spec);
        for name in [None, Some("post"), Some("mail")] {
            let place = at(None, name, Some(&file)).unwrap();
            assert_eq!((place.queue.as_str(), place.dead_letter.as_str()), ("mail", "graveyard"));
            assert_eq!((place.broker.db(), place.broker.key_prefix()), (2, "app:"));
        }
        let place = at(Some(URL), None, Some(&file)).unwrap();
        assert_eq!((place.broker.db(), place.broker.key_prefix()), (3, "app:"));
    }

    #[test]
    fn a_secret_in_the_files_is_read_and_a_missing_one_is_named() {
        let spec = "{broker: {urlFrom: {secretKeyRef: {name: redis, key: url}}}}";
        let secret =
            "---\nkind: Secret\nmetadata: {name: redis}\nstringData: {url: 'redis://:hidden@redis/7'}\n";
        let place = at(None, None, Some(&[&yaml("mail", spec), secret].concat())).unwrap();
        assert_eq!(place.broker.db(), 7);
        let error = at(None, None, Some(&yaml("mail", spec))).unwrap_err().to_string();
        assert!(error.contains("Secret redis") && error.contains("--broker"), "{error}");
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_write() {
        let error = |broker, queue, yaml| at(broker, queue, yaml).unwrap_err().to_string();
        assert!(error(Some(URL), None, None).contains("--queue"));
        assert!(error(None, Some("mail"), None).contains("--broker"));
        let two =
            [yaml("a", "{broker: {url: 'redis://r'}}"), yaml("b", "{broker: {url: 'redis://r'}}")].concat();
        assert!(error(None, None, Some(&two)).contains("(a, b): name one by --queue"));
        assert!(error(None, Some("c"), Some(&two)).contains("no TaskQueue c"));
    }
}
