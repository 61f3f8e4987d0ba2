//! Where a Redis server is, and what is said to it when a connection is opened.

use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{ConnectionAddr, IntoConnectionInfo as _};

/// Sentinel's port where the address names none.
const SENTINEL_PORT: u16 = 26379;

/// Who a client says it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// A user of Redis' ACL; the default user, when absent.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// A client's certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and what it was signed by, as PEM.
    pub certificate: Vec<u8>,
    /// Its private key, as PEM.
    pub key: Vec<u8>,
}

/// What is secret or may change while the process runs. It is read anew for each connection, so that a rotation is
/// followed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Who the client is. What is absent here is taken from the address.
    pub login: Login,
    /// The authorities that sign the server's certificate, as PEM; the system's, when absent.
    pub authorities: Option<Vec<u8>>,
    /// The client's own certificate, where the server asks for one.
    pub identity: Option<Identity>,
}

/// Reads the secrets, from files or from memory.
pub type ReadSecrets = Arc<dyn Fn() -> io::Result<Secrets> + Send + Sync>;

/// Where a server is, which of its databases is meant, and what stands before the keys there.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) servers: Servers,
    db: i64,
    login: Login,
    key_prefix: String,
    secrets: Option<ReadSecrets>,
}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Servers {
    /// One server, at a fixed address.
    One(ConnectionAddr),
    /// Whichever server these Sentinels say is the master.
    Sentinels { addresses: Vec<ConnectionAddr>, master: String },
}

/// Why an address cannot be used, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EndpointError(String);

impl Endpoint {
    /// Reads an address as Celery writes it: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://...` with TLS,
    /// `sentinel://HOST[:PORT][/DB];sentinel://HOST[:PORT]`, `redis+socket://PATH[?virtual_host=DB]`. With
    /// Sentinels, TLS is spoken to all servers when the [`Secrets`] have authorities or an identity.
    pub fn parse(address: &str) -> Result<Self, EndpointError> {
        match address.split_once("://") {
            Some(("redis" | "rediss", _)) => {
                let one = One::parse(address)?;
                Ok(Self::of(Servers::One(one.address), one.db, one.login))
            }
            Some(("redis+socket", rest)) => {
                let one = One::parse(&format!("redis+unix://{}", rest.replace("virtual_host=", "db=")))?;
                Ok(Self::of(Servers::One(one.address), one.db, one.login))
            }
            Some(("sentinel", _)) => Self::parse_sentinels(address),
            _ => Err(EndpointError(
                "write the address as redis://HOST:PORT/DB, as rediss://HOST:PORT/DB for TLS, or as \
                 sentinel://HOST:PORT;sentinel://HOST:PORT"
                    .to_owned(),
            )),
        }
    }

    fn parse_sentinels(address: &str) -> Result<Self, EndpointError> {
        let (mut addresses, mut db, mut login) = (Vec::new(), 0, Login::default());
        for part in address.split(';') {
            let rest = part.strip_prefix("sentinel://").unwrap_or(part);
            let one = One::parse(&format!("redis://{rest}"))?;
            let ConnectionAddr::Tcp(host, port) = one.address else {
                return Err(EndpointError("write each Sentinel as sentinel://HOST:PORT".to_owned()));
            };
            addresses.push(ConnectionAddr::Tcp(host, if one.names_port { port } else { SENTINEL_PORT }));
            db = if db == 0 { one.db } else { db };
            if login == Login::default() {
                login = one.login;
            }
        }
        Ok(Self::of(Servers::Sentinels { addresses, master: String::new() }, db, login))
    }

    fn of(servers: Servers, db: i64, login: Login) -> Self {
        Self { servers, db, login, key_prefix: String::new(), secrets: None }
    }

    /// Names the master that is asked the Sentinels for. Only for an address of Sentinels, and needed there.
    pub fn with_sentinel_master(mut self, name: impl Into<String>) -> Result<Self, EndpointError> {
        match &mut self.servers {
            Servers::Sentinels { master, .. } => *master = name.into(),
            Servers::One(_) => {
                return Err(EndpointError(
                    "a Sentinel master belongs to a sentinel:// address: write every Sentinel's address \
                     there, or leave the master's name out"
                        .to_owned(),
                ));
            }
        }
        Ok(self)
    }

    /// Sets what stands before every key (kombu's and Celery's `global_keyprefix`).
    #[must_use]
    pub fn with_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// Sets where the secrets come from.
    #[must_use]
    pub fn with_secrets(mut self, read: ReadSecrets) -> Self {
        self.secrets = Some(read);
        self
    }

    /// What stands before every key.
    pub fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    /// The number of the database.
    pub fn db(&self) -> i64 {
        self.db
    }

    /// The login that the address itself holds.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Reads the secrets, with what the address holds where they say nothing.
    pub(super) fn secrets(&self) -> io::Result<Secrets> {
        let mut secrets = self.secrets.as_ref().map_or_else(|| Ok(Secrets::default()), |read| read())?;
        if secrets.login.password.is_none() {
            secrets.login.password.clone_from(&self.login.password);
        }
        if secrets.login.username.is_none() {
            secrets.login.username.clone_from(&self.login.username);
        }
        Ok(secrets)
    }

    /// Whether `other` is the same server by the same login, be it another database: one script can then write to
    /// both. Two names of one server count as two.
    pub fn is_server_of(&self, other: &Self) -> io::Result<bool> {
        Ok(self.servers == other.servers && self.secrets()?.login == other.secrets()?.login)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.servers {
            Servers::One(address) => address.fmt(f),
            Servers::Sentinels { addresses, master } => {
                write!(f, "{master} of Sentinel")?;
                addresses.iter().try_for_each(|address| write!(f, " {address}"))
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, db, login: _, key_prefix, secrets: _ } = self;
        f.debug_struct("Endpoint")
            .field("servers", servers)
            .field("db", db)
            .field("key_prefix", key_prefix)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("login", &self.login).finish_non_exhaustive()
    }
}

/// One URL, read.
struct One {
    address: ConnectionAddr,
    names_port: bool,
    db: i64,
    login: Login,
}

impl One {
    fn parse(text: &str) -> Result<Self, EndpointError> {
        let Some(url) = redis::parse_redis_url(text) else {
            return Err(EndpointError(
                "the address is no URL: write redis://HOST:PORT/DB, a user and password in it \
                 percent-encoded"
                    .to_owned(),
            ));
        };
        if url.fragment().is_some() {
            return Err(EndpointError(
                "leave out what follows the # in the address: certificates are always checked".to_owned(),
            ));
        }
        for (name, value) in url.query_pairs() {
            let required = name == "ssl_cert_reqs" && matches!(&*value, "required" | "CERT_REQUIRED");
            if name.starts_with("ssl_") && !required {
                return Err(EndpointError(format!(
                    "leave {name} out of the address: certificates are always checked, and are given beside \
                     the address"
                )));
            }
        }
        let names_port = url.port().is_some();
        let info = url.into_connection_info().map_err(|error| {
            EndpointError(format!("{error}: write the address as redis://HOST:PORT/DB, DB being a number"))
        })?;
        let settings = info.redis_settings();
        Ok(Self {
            address: info.addr().clone(),
            names_port,
            db: settings.db(),
            login: Login {
                username: settings.username().map(str::to_owned),
                password: settings.password().map(str::to_owned),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(address: &str) -> String {
        Endpoint::parse(address).unwrap_err().to_string()
    }

    #[test]
    fn celerys_addresses_are_read() {
        let endpoint = Endpoint::parse("redis://user:p%40ss@host:1234/5").unwrap();
        assert_eq!(endpoint.servers, Servers::One(ConnectionAddr::Tcp("host".to_owned(), 1234)));
        assert_eq!(endpoint.db(), 5);
        assert_eq!(endpoint.login().username.as_deref(), Some("user"));
        assert_eq!(endpoint.login().password.as_deref(), Some("p@ss"));

        let endpoint = Endpoint::parse("redis+socket:///run/redis.sock?virtual_host=3").unwrap();
        assert_eq!(endpoint.servers, Servers::One(ConnectionAddr::Unix("/run/redis.sock".into())));
        assert_eq!(endpoint.db(), 3);

        let endpoint = Endpoint::parse("sentinel://:pw@one;sentinel://two:5000/7")
            .and_then(|endpoint| endpoint.with_sentinel_master("main"))
            .unwrap();
        assert_eq!(endpoint.to_string(), "main of Sentinel one:26379 two:5000");
        assert_eq!((endpoint.db(), endpoint.login().password.as_deref()), (7, Some("pw")));
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_with_what_to_write() {
        assert!(refusal("amqp://host").contains("redis://HOST:PORT/DB"));
        assert!(refusal("localhost:6379").contains("redis://HOST:PORT/DB"));
        assert!(refusal("redis://host/main").contains("DB being a number"));
        assert!(refusal("rediss://host/0#insecure").contains("certificates are always checked"));
        assert!(refusal("rediss://host/0?ssl_cert_reqs=none").contains("leave ssl_cert_reqs out"));
        assert!(Endpoint::parse("rediss://host/0?ssl_cert_reqs=required").is_ok());
        let single = Endpoint::parse("redis://host").unwrap();
        assert!(single.with_sentinel_master("main").unwrap_err().to_string().contains("sentinel://"));
    }

    #[test]
    fn passwords_are_not_printed() {
        let secrets = Secrets {
            login: Login { username: None, password: Some("hunter2".to_owned()) },
            authorities: None,
            identity: Some(Identity { certificate: Vec::new(), key: b"hunter3".to_vec() }),
        };
        let read = secrets.clone();
        let endpoint = Endpoint::parse("redis://:hunter1@host")
            .unwrap()
            .with_secrets(Arc::new(move || Ok(read.clone())));
        let printed = format!("{endpoint:?} {endpoint} {:?} {secrets:?}", endpoint.login());
        assert!(!printed.contains("hunter"), "{printed}");
        assert!(!refusal("redis://:hunter1@host/main").contains("hunter"));
    }

    #[test]
    fn a_database_of_the_same_server_and_login_is_the_same_server() {
        let parse = |address| Endpoint::parse(address).unwrap();
        let broker = parse("redis://:pw@host/0");
        assert!(broker.is_server_of(&parse("redis://:pw@host:6379/1")).unwrap());
        assert!(!broker.is_server_of(&parse("redis://:other@host/1")).unwrap());
        assert!(!broker.is_server_of(&parse("rediss://:pw@host/1")).unwrap());
        assert!(!broker.is_server_of(&parse("redis://:pw@elsewhere/1")).unwrap());
    }
}
