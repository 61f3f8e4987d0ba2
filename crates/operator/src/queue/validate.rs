//! validate: a `TaskQueue` and what its Secrets hold → addresses, or why there are none. Pure.

use petiole_api::TaskQueue;
use petiole_api::conditions::reasons;
use petiole_api::connection::{Connection, ValueFrom};
use petiole_api::duration::TimeLimit;
use petiole_broker::{Hazard, QueueName};

use crate::refusal::Refusal;
use crate::sampler::address::Address;
use crate::secrets::Values;

/// A `TaskQueue`, as far as it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// Its name on the broker.
    pub queue: QueueName,
    /// The broker.
    pub broker: Result<Address, Refusal>,
    /// The result store, where there is one.
    pub results: Option<Result<Address, Refusal>>,
    /// What puts its work at risk by its own spec.
    pub hazards: Vec<Hazard>,
}

/// Resolves what the object names.
pub fn validate(queue: &TaskQueue, secrets: &Values) -> Validated {
    Validated {
        queue: QueueName {
            name: queue.queue(),
            priority_steps: queue.spec.broker.redis.priority_steps.clone(),
            dead_letter: queue.dead_letter_queue(),
        },
        broker: address(&queue.spec.broker.connection(), secrets),
        results: queue.spec.results.as_ref().map(|results| address(&results.connection(), secrets)),
        hazards: hazards(queue),
    }
}

fn address(connection: &Connection<'_>, secrets: &Values) -> Result<Address, Refusal> {
    let bytes = |from: &ValueFrom| {
        let key = &from.secret_key_ref;
        secrets.get(key).cloned().unwrap_or_else(|| {
            Err(Refusal::new(reasons::SECRET_NOT_FOUND, format!("the Secret {} was not read", key.name)))
        })
    };
    let text = |from: &ValueFrom| {
        let key = &from.secret_key_ref;
        match String::from_utf8(bytes(from)?) {
            // Editors and `echo` end a file with a line's end, which no address, name or password does.
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(_) => Err(Refusal::new(
                reasons::ADDRESS_REFUSED,
                format!("key {} of the Secret {} is no text: write UTF-8", key.key, key.name),
            )),
        }
    };
    let url = match (connection.url_from, connection.url) {
        (Some(from), _) => text(from)?,
        (None, url) => url.unwrap_or_default().to_owned(),
    };
    let tls = connection.tls;
    let certificate = tls.and_then(|tls| tls.certificate_from.as_ref()).map(bytes).transpose()?;
    let key = tls.and_then(|tls| tls.key_from.as_ref()).map(bytes).transpose()?;
    let address = Address {
        url,
        username: connection.username_from.map(text).transpose()?,
        password: connection.password_from.map(text).transpose()?,
        authorities: tls.and_then(|tls| tls.ca_from.as_ref()).map(bytes).transpose()?,
        identity: certificate.zip(key),
        sentinel_master: connection.sentinel.map(|sentinel| sentinel.master_name.clone()),
        key_prefix: connection.key_prefix.to_owned(),
    };
    match address.endpoint() {
        Ok(_) => Ok(address),
        Err(error) => Err(Refusal::new(reasons::ADDRESS_REFUSED, error.to_string())),
    }
}

fn hazards(queue: &TaskQueue) -> Vec<Hazard> {
    let visible = queue.spec.broker.redis.visibility_timeout;
    let Some(TimeLimit::After(limit)) = queue.spec.time_limit.filter(|limit| limit.finite() > Some(visible))
    else {
        return Vec::new();
    };
    vec![Hazard {
        reason: reasons::VISIBILITY_TIMEOUT_BELOW_TIME_LIMIT,
        message: format!(
            "broker.redis.visibilityTimeout is {visible}, but a task may run for {limit}: one that a Celery worker \
             holds for longer is run a second time. Raise visibilityTimeout, here and in your Celery settings"
        ),
    }]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use petiole_api::connection::SecretKeyRef;

    use super::*;
    use crate::fixtures::queue_with;

    fn key(name: &str) -> Value {
        json!({ "secretKeyRef": { "name": "redis", "key": name } })
    }

    fn secrets(values: &[(&str, &str)]) -> Values {
        let value = |(key, value): &(&str, &str)| {
            let key = SecretKeyRef { name: "redis".to_owned(), key: (*key).to_owned() };
            (key, Ok(value.as_bytes().to_vec()))
        };
        values.iter().map(value).collect()
    }

    #[test]
    fn credentials_come_from_secrets_without_the_ends_of_their_lines() {
        let queue = queue_with(
            "a",
            json!({ "broker": { "url": "redis://redis", "usernameFrom": key("user"), "passwordFrom": key("password") } }),
        );
        let broker = validate(&queue, &secrets(&[("user", "app"), ("password", "p w\n")])).broker.unwrap();
        assert_eq!(broker.username.as_deref(), Some("app"));
        assert_eq!(broker.password.as_deref(), Some("p w"));
    }

    #[test]
    fn an_address_in_a_secret_that_cannot_be_used_is_refused_without_being_shown() {
        let queue = queue_with("a", json!({ "broker": { "urlFrom": key("url") } }));
        let refusal = validate(&queue, &secrets(&[("url", "amqp://u:hidden@redis")])).broker.unwrap_err();
        assert_eq!(refusal.reason, reasons::ADDRESS_REFUSED);
        assert!(!refusal.message.contains("hidden"), "{}", refusal.message);
    }

    #[test]
    fn a_missing_key_of_the_store_leaves_the_broker_in_use() {
        let queue = queue_with(
            "a",
            json!({ "results": { "url": "redis://redis/1", "passwordFrom": key("password") } }),
        );
        let missing = Refusal::new(reasons::SECRET_KEY_NOT_FOUND, "no key");
        let name = SecretKeyRef { name: "redis".to_owned(), key: "password".to_owned() };
        let validated = validate(&queue, &Values::from([(name, Err(missing.clone()))]));
        assert!(validated.broker.is_ok());
        assert_eq!(validated.results, Some(Err(missing)));
    }

    #[test]
    fn a_visibility_timeout_below_the_time_limit_is_a_hazard() {
        let with = |limit: &str| {
            let queue = queue_with("a", json!({ "timeLimit": limit }));
            validate(&queue, &Values::new()).hazards.len()
        };
        assert_eq!((with("2h"), with("1h"), with("none")), (1, 0, 0));
    }
}
