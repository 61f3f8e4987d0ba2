//! What stands in the pool's file of this worker, as Celery's tools show it.

use std::collections::{BTreeMap, BTreeSet};

use petiole_contract::pool::{self, Mode, Pool, Text};
use petiole_protocol::control::{Settings, masked_url};
use petiole_protocol::envelope::DeliveryInfo;
use petiole_protocol::json::{Object, quote};

/// Redis' port, where a URL says none.
const REDIS_PORT: u16 = 6379;
/// Sentinel's.
const SENTINEL_PORT: u16 = 26379;

/// What a worker is told when it starts. Holds no secret.
#[derive(Debug)]
pub struct Facts {
    /// The worker's name: `celery@<pod>`.
    pub nodename: String,
    /// Its pool: `<namespace>/<name>`; the name alone outside a cluster.
    pub pool: String,
    /// How its tasks run, as `stats` says it.
    pub implementation: &'static str,
    /// How many run at a time.
    pub concurrency: u32,
    /// Its queues, by their index: those in the pool's file, then what was added.
    pub queues: Vec<String>,
    /// Those of them that nothing is taken from any more.
    pub cancelled: BTreeSet<usize>,
    /// How messages come from each of them.
    pub deliveries: Vec<DeliveryInfo>,
    /// How a message comes whose queue is none of them.
    pub nowhere: DeliveryInfo,
    /// The tasks that it lists.
    pub tasks: BTreeMap<String, pool::Task>,
    /// Tasks that it does not list run as well.
    pub takes_unlisted: bool,
    /// The limits of tasks that say none.
    pub limits: pool::Limits,
    /// Its broker.
    pub broker: Server,
    /// Its settings by Celery's names.
    pub settings: Settings,
    /// Where its results go.
    pub results: String,
}

/// A server, by its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its URL without a password.
    pub url: String,
    /// `redis`, `sentinel`.
    pub transport: String,
    /// The host; the first of several.
    pub hostname: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The user.
    pub user: Option<String>,
    /// Behind TLS.
    pub ssl: bool,
    /// kombu's `transport_options`.
    pub options: Object,
}

impl Facts {
    /// Of a pool's worker of this name.
    pub fn new(pool: &Pool, nodename: &str) -> Self {
        let queues: Vec<_> = pool.queues.iter().map(|queue| queue.name.clone()).collect();
        let (broker, results) = (Server::of_pool(pool), results(pool));
        Self {
            nodename: nodename.to_owned(),
            pool: match &*pool.namespace {
                "" => pool.name.clone(),
                namespace => format!("{namespace}/{}", pool.name),
            },
            implementation: match pool.mode {
                Mode::Exec => "petiole:Exec",
                Mode::Serve { .. } => "petiole:Serve",
            },
            concurrency: pool.concurrency,
            deliveries: queues.iter().map(|queue| delivery(queue)).collect(),
            nowhere: DeliveryInfo::default(),
            tasks: pool.tasks.clone(),
            takes_unlisted: matches!(pool.mode, Mode::Serve { .. }),
            limits: pool.defaults.clone(),
            settings: settings(pool, &broker, &queues, &results),
            queues,
            cancelled: BTreeSet::new(),
            broker,
            results,
        }
    }

    /// Whether it takes from this queue.
    pub fn consumes(&self, queue: &str) -> bool {
        self.consumed().any(|consumed| consumed == queue)
    }

    /// The queues that it takes from.
    pub fn consumed(&self) -> impl Iterator<Item = &str> {
        let all = self.queues.iter().enumerate();
        all.filter(|(index, _)| !self.cancelled.contains(index)).map(|(_, queue)| queue.as_str())
    }

    /// It takes from this queue too.
    pub fn consume(&mut self, index: usize, queue: &str) {
        self.cancelled.remove(&index);
        if index >= self.queues.len() {
            self.queues.resize(index + 1, queue.to_owned());
            self.deliveries.resize(index + 1, delivery(queue));
        }
    }

    /// It takes nothing more from this queue.
    pub fn cancel(&mut self, queue: &str) {
        self.cancelled.extend(self.queues.iter().position(|known| known == queue));
    }
}

fn delivery(queue: &str) -> DeliveryInfo {
    DeliveryInfo {
        exchange: Some(String::new()),
        routing_key: Some(queue.to_owned()),
        ..DeliveryInfo::default()
    }
}

fn results(pool: &Pool) -> String {
    let store = pool.results.as_ref().map(|results| &results.store);
    store.map_or_else(|| "disabled".to_owned(), |store| masked_url(&url(&store.url)))
}

/// A URL; of one that stands in a file that cannot be read, nothing is known.
fn url(text: &Text) -> String {
    match text {
        Text::Value(url) => url.clone(),
        Text::File(path) => std::fs::read_to_string(path).unwrap_or_default().trim_end().to_owned(),
    }
}

fn settings(pool: &Pool, broker: &Server, queues: &[String], results: &str) -> Settings {
    let mut settings = Settings::default();
    let seconds = |limit: Option<f64>| limit.map_or_else(|| "null".to_owned(), |limit| limit.to_string());
    let on = |flag: bool| flag.to_string();
    settings.add("broker_url", &quote(&broker.url));
    settings.add("broker_transport_options", broker.options.as_str());
    settings.add("result_backend", &quote(results));
    if let Some(results) = &pool.results {
        settings.add("result_expires", &results.expires.to_string());
        settings.add("result_extended", &on(results.extended));
    }
    settings.add("enable_utc", "true");
    settings.add("timezone", "\"UTC\"");
    let content: Vec<_> = pool.accept.content.iter().map(|form| quote(form)).collect();
    settings.add("accept_content", &format!("[{}]", content.join(", ")));
    settings.add("result_serializer", "\"json\"");
    settings.add("task_acks_late", "true");
    let queues: Vec<_> = queues.iter().map(|queue| quote(queue)).collect();
    settings.add("task_queues", &format!("[{}]", queues.join(", ")));
    if !pool.routes.is_empty() {
        let route =
            |route: &pool::Route| format!("{}: {{\"queue\": {}}}", quote(&route.task), quote(&route.queue));
        let routes: Vec<_> = pool.routes.iter().map(route).collect();
        settings.add("task_routes", &format!("{{{}}}", routes.join(", ")));
    }
    settings.add("task_soft_time_limit", &seconds(pool.defaults.soft));
    settings.add("task_time_limit", &seconds(pool.defaults.hard));
    settings.add("worker_concurrency", &pool.concurrency.to_string());
    settings.add("worker_send_task_events", &on(pool.events));
    settings
}

impl Server {
    fn of_pool(pool: &Pool) -> Self {
        let timeout = pool.queues.iter().map(|queue| queue.visibility_timeout).max().unwrap_or_default();
        let prefix = quote(&pool.broker.key_prefix);
        let options = format!("{{\"visibility_timeout\": {timeout}, \"global_keyprefix\": {prefix}}}");
        let options = Object::read(options.as_bytes()).unwrap_or_default();
        let user = match &pool.broker.username {
            Some(Text::Value(user)) => Some(user.clone()),
            Some(Text::File(_)) | None => None,
        };
        let server = Self::read(&url(&pool.broker.url));
        Self { user: user.or(server.user), options, ..server }
    }

    /// Reads a URL; what it does not say is left empty.
    fn read(url: &str) -> Self {
        let first = url.split([';', ',']).next().unwrap_or_default();
        let (scheme, rest) = first.split_once("://").unwrap_or(("", first));
        let (before, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, address) =
            before.rsplit_once('@').map_or((None, before), |(login, at)| (Some(login), at));
        let user = login.and_then(|login| login.split(':').next()).filter(|user| !user.is_empty());
        let (transport, usual) = match scheme {
            "sentinel" | "sentinels" => ("sentinel", SENTINEL_PORT),
            "rediss" => ("redis", REDIS_PORT),
            other => (other, REDIS_PORT),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(usual)),
            _ => (address, usual),
        };
        let database = path.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("0");
        Self {
            url: masked_url(url),
            transport: transport.to_owned(),
            hostname: host.trim_matches(['[', ']']).to_owned(),
            port,
            database: database.to_owned(),
            user: user.map(str::to_owned),
            ssl: scheme.ends_with("ss") || scheme == "sentinels",
            options: Object::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(url: &str) -> (String, String, u16, String, Option<String>, bool) {
        let Server { transport, hostname, port, database, user, ssl, .. } = Server::read(url);
        (transport, hostname, port, database, user, ssl)
    }

    fn server(
        transport: &str,
        host: &str,
        port: u16,
        database: &str,
    ) -> (String, String, u16, String, Option<String>, bool) {
        (transport.to_owned(), host.to_owned(), port, database.to_owned(), None, false)
    }

    #[test]
    fn a_server_is_what_its_url_says() {
        assert_eq!(read("redis://h"), server("redis", "h", 6379, "0"));
        assert_eq!(read("redis://:p%40w@h:7000/3"), server("redis", "h", 7000, "3"));
        assert_eq!(read("redis://[::1]:7000"), server("redis", "::1", 7000, "0"));
        assert_eq!(read("redis://[::1]"), server("redis", "::1", 6379, "0"));
        assert_eq!(read("sentinel://a:1;sentinel://b:2"), server("sentinel", "a", 1, "0"));
        assert_eq!(read(""), server("", "", 6379, "0"));
        let (_, _, _, _, user, ssl) = read("rediss://user:pw@h/0");
        assert_eq!((user.as_deref(), ssl), (Some("user"), true));
    }
}
