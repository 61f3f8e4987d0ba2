//! How a broker or a result store is reached: its URL, its credentials, its certificates.
//!
//! Passwords never stand in an object: they are keys of Secrets in the object's own namespace.

#![allow(
    clippy::struct_field_names,
    reason = "what ends in `From` stands elsewhere, here as in a container's env"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::{Duration, Expiry};

/// Where tasks come from.
///
/// The rules are the same as those of [`Results`]: a struct is flattened at the cost of its descriptions' order,
/// so both spell their fields out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ONE_URL,
    validation = WHOLE_URL,
    validation = USERNAME_NEEDS_PASSWORD,
    validation = ONE_USERNAME,
    validation = SENTINEL_NEEDS_MASTER,
    validation = MASTER_NEEDS_SENTINEL,
    validation = TLS_NEEDS_REDISS
)]
pub struct Broker {
    /// Address of the broker: `redis://HOST:PORT/DB`, `rediss://HOST:PORT/DB` with TLS, or
    /// `sentinel://HOST:PORT;sentinel://HOST:PORT` with every Sentinel. It must not hold a password: that is what
    /// passwordFrom and urlFrom are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = URL_SCHEME, validation = URL_WITHOUT_PASSWORD)]
    pub url: Option<String>,
    /// Key of a Secret that holds the whole address, password included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_from: Option<ValueFrom>,
    /// Key of a Secret that holds the user's name, where the server knows users (Redis ACL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_from: Option<ValueFrom>,
    /// Key of a Secret that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_from: Option<ValueFrom>,
    /// What belongs to Redis alone.
    #[serde(default)]
    pub redis: RedisBroker,
    /// Certificates, where the system's authorities are not those of the server, or where it asks for the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ONE_URL,
    validation = WHOLE_URL,
    validation = USERNAME_NEEDS_PASSWORD,
    validation = ONE_USERNAME,
    validation = SENTINEL_NEEDS_MASTER,
    validation = MASTER_NEEDS_SENTINEL,
    validation = TLS_NEEDS_REDISS
)]
pub struct Results {
    /// Address of the store, in the same forms as the broker's: `redis://HOST:PORT/DB`, `rediss://...`,
    /// `sentinel://...`. It must not hold a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = URL_SCHEME, validation = URL_WITHOUT_PASSWORD)]
    pub url: Option<String>,
    /// Key of a Secret that holds the whole address, password included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_from: Option<ValueFrom>,
    /// Key of a Secret that holds the user's name, where the server knows users (Redis ACL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_from: Option<ValueFrom>,
    /// Key of a Secret that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_from: Option<ValueFrom>,
    /// What belongs to Redis alone.
    #[serde(default)]
    pub redis: RedisResults,
    /// Certificates, where the system's authorities are not those of the server, or where it asks for the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How long a result is kept, as Celery's `result_expires`; `0` for ever.
    #[serde(default = "Results::default_expires")]
    pub expires: Expiry,
    /// Whether a result also says what its task was called with, and where it ran: its name, arguments, queue, worker and
    /// retries (Celery's `result_extended`).
    #[serde(default)]
    pub extended: bool,
}

/// A value that stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ValueFrom {
    /// The Secret's key.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the object's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What a broker has that is Redis, with Celery's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisBroker {
    /// After this long a message that a Celery worker holds is delivered again (`visibility_timeout` of Celery's
    /// `broker_transport_options`). Write what your Celery clients and workers have. Petiole's own workers do not
    /// depend on it: they hold a lease of a few seconds.
    #[serde(default = "RedisBroker::default_visibility_timeout")]
    pub visibility_timeout: Duration,
    /// Written before every key (`global_keyprefix` of Celery's `broker_transport_options`).
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub key_prefix: String,
    /// The steps of a message's priority, 0 the most urgent (`priority_steps` of Celery's
    /// `broker_transport_options`).
    #[serde(default = "RedisBroker::default_priority_steps")]
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = ("self[0] == 0 && self.isSorted() && self.all(step, self.exists_one(other, other == step))",
            "write the steps in rising order from 0, each once, such as [0, 3, 6, 9]")
    )]
    pub priority_steps: Vec<u8>,
    /// How a master is found by Sentinel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<Sentinel>,
}

/// What a result store has that is Redis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RedisResults {
    /// Written before every key (`global_keyprefix` of Celery's `result_backend_transport_options`).
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub key_prefix: String,
    /// How a master is found by Sentinel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<Sentinel>,
}

/// How a master is found by Sentinel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Sentinel {
    /// Name under which the Sentinels watch the master (Celery's `master_name`).
    #[schemars(length(min = 1, max = 200))]
    pub master_name: String,
}

/// Certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("has(self.caFrom) || has(self.certificateFrom)",
        "name a caFrom, or a certificateFrom with its keyFrom; without either, leave tls out"),
    validation = ("has(self.certificateFrom) == has(self.keyFrom)",
        "a client certificate needs both: write certificateFrom and keyFrom")
)]
pub struct Tls {
    /// Key of a Secret that holds the authorities that sign the server's certificate, as PEM. Without it the
    /// authorities are the usual public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_from: Option<ValueFrom>,
    /// Key of a Secret that holds the client's certificate, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_from: Option<ValueFrom>,
    /// Key of a Secret that holds the client certificate's private key, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_from: Option<ValueFrom>,
}

const URL_SCHEME: (&str, &str) = (
    "self.matches('^rediss?://[^;]+$') || self.matches('^sentinel://[^;]+(;sentinel://[^;]+)*$')",
    "write redis://HOST:PORT/DB, rediss://HOST:PORT/DB for TLS, or sentinel://HOST:PORT;sentinel://HOST:PORT",
);
/// Between the scheme and the first `@` stands the user, then a colon, then the password.
const URL_WITHOUT_PASSWORD: (&str, &str) = (
    "!self.matches('://[^@;]*:[^;]*@') && !self.matches('[?&][a-z_]*password=')",
    "a password does not belong in the URL, where everyone who may read this object sees it: put it into a Secret \
     and name its key in passwordFrom, or put the whole URL there and name it in urlFrom",
);
const ONE_URL: (&str, &str) = ("has(self.url) != has(self.urlFrom)", "write exactly one of url and urlFrom");
const WHOLE_URL: (&str, &str) = (
    "!has(self.urlFrom) || (!has(self.usernameFrom) && !has(self.passwordFrom))",
    "urlFrom holds the whole URL, its user and password included: leave usernameFrom and passwordFrom out",
);
const USERNAME_NEEDS_PASSWORD: (&str, &str) =
    ("!has(self.usernameFrom) || has(self.passwordFrom)", "usernameFrom needs passwordFrom beside it");
const ONE_USERNAME: (&str, &str) = (
    "!has(self.usernameFrom) || !has(self.url) || !self.url.contains('@')",
    "the user's name stands in url and in usernameFrom: leave one of them out",
);
const SENTINEL_NEEDS_MASTER: (&str, &str) = (
    "!has(self.url) || !self.url.startsWith('sentinel:') || has(self.redis.sentinel)",
    "a sentinel:// URL needs redis.sentinel.masterName: the name under which the Sentinels watch the master",
);
const MASTER_NEEDS_SENTINEL: (&str, &str) = (
    "!has(self.url) || self.url.startsWith('sentinel:') || !has(self.redis.sentinel)",
    "redis.sentinel belongs to a sentinel:// URL: write every Sentinel's address there, or leave it out",
);
const TLS_NEEDS_REDISS: (&str, &str) = (
    "!has(self.tls) || !has(self.url) || !self.url.startsWith('redis:')",
    "tls belongs to a rediss:// or sentinel:// URL: write rediss:// instead of redis://",
);

impl RedisBroker {
    fn default_visibility_timeout() -> Duration {
        Duration::HOUR
    }

    fn default_priority_steps() -> Vec<u8> {
        vec![0, 3, 6, 9]
    }
}

impl Default for RedisBroker {
    fn default() -> Self {
        Self {
            visibility_timeout: Self::default_visibility_timeout(),
            key_prefix: String::new(),
            priority_steps: Self::default_priority_steps(),
            sentinel: None,
        }
    }
}

impl Results {
    fn default_expires() -> Expiry {
        Expiry::DAY
    }
}

impl Default for Results {
    fn default() -> Self {
        Self {
            url: None,
            url_from: None,
            username_from: None,
            password_from: None,
            redis: RedisResults::default(),
            tls: None,
            expires: Expiry::DAY,
            extended: false,
        }
    }
}

/// What a broker and a result store have in common: how they are reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Connection<'a> {
    /// The address, where the object holds it.
    pub url: Option<&'a str>,
    /// The whole address, where a Secret holds it.
    pub url_from: Option<&'a ValueFrom>,
    /// The user's name.
    pub username_from: Option<&'a ValueFrom>,
    /// The password.
    pub password_from: Option<&'a ValueFrom>,
    /// Certificates.
    pub tls: Option<&'a Tls>,
    /// The master behind Sentinel.
    pub sentinel: Option<&'a Sentinel>,
    /// Written before every key.
    pub key_prefix: &'a str,
}

impl Broker {
    /// How it is reached.
    pub fn connection(&self) -> Connection<'_> {
        Connection {
            url: self.url.as_deref(),
            url_from: self.url_from.as_ref(),
            username_from: self.username_from.as_ref(),
            password_from: self.password_from.as_ref(),
            tls: self.tls.as_ref(),
            sentinel: self.redis.sentinel.as_ref(),
            key_prefix: &self.redis.key_prefix,
        }
    }
}

impl Results {
    /// How it is reached.
    pub fn connection(&self) -> Connection<'_> {
        Connection {
            url: self.url.as_deref(),
            url_from: self.url_from.as_ref(),
            username_from: self.username_from.as_ref(),
            password_from: self.password_from.as_ref(),
            tls: self.tls.as_ref(),
            sentinel: self.redis.sentinel.as_ref(),
            key_prefix: &self.redis.key_prefix,
        }
    }
}

impl<'a> Connection<'a> {
    /// The keys of Secrets that it names.
    pub fn secret_keys(&self) -> impl Iterator<Item = &'a SecretKeyRef> + use<'a> {
        let tls = self.tls.into_iter().flat_map(|tls| [&tls.ca_from, &tls.certificate_from, &tls.key_from]);
        [self.url_from, self.username_from, self.password_from]
            .into_iter()
            .chain(tls.map(Option::as_ref))
            .flatten()
            .map(|from| &from.secret_key_ref)
    }
}

impl ValueFrom {
    /// Key `key` of the Secret `name`.
    pub fn secret(name: impl Into<String>, key: impl Into<String>) -> Self {
        Self { secret_key_ref: SecretKeyRef { name: name.into(), key: key.into() } }
    }
}
