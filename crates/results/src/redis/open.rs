//! Opening a connection: the master's address, TLS, the login.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, SendError};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    ProtocolVersion, RedisConnectionInfo, RedisError, TlsCertificates, TlsMode,
};

use super::connection::{Failure, Pushes, Timeouts};
use super::endpoint::{Endpoint, Secrets, Servers};

/// How large a write to the socket may get before it is sent: a batch of 64 messages and their results.
const WRITE_BUFFER: usize = 64 << 10;

/// Opens a connection to the endpoint's server, within the time that is given for it.
pub(super) async fn open(
    endpoint: &Endpoint,
    timeouts: Timeouts,
    pushes: Option<&Pushes>,
) -> Result<MultiplexedConnection, Failure> {
    let secrets = endpoint
        .secrets()
        .map_err(|error| Failure::Secrets { address: endpoint.to_string(), source: Arc::new(error) })?;
    let mut config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(Some(timeouts.answer))
        .set_write_backpressure_boundary(WRITE_BUFFER);
    if let Some(pushes) = pushes.cloned() {
        config = config.set_push_sender(move |push| {
            pushes(push);
            Ok::<(), SendError>(())
        });
    }
    let opened = within(timeouts.connect, async {
        let client = client(endpoint, secrets, pushes.is_some()).await?;
        client.get_multiplexed_async_connection_with_config(&config).await
    });
    opened.await.map_err(|error| Failure::new(endpoint, error))
}

/// Bounds the whole of it: asking Sentinels, connecting, TLS, the greeting.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {limit:?}")).into())
    })
}

async fn client(endpoint: &Endpoint, secrets: Secrets, resp3: bool) -> Result<Client, RedisError> {
    let Secrets { login, authorities, identity } = secrets;
    let certificates = (authorities.is_some() || identity.is_some()).then(|| TlsCertificates {
        client_tls: identity
            .map(|identity| ClientTlsConfig { client_cert: identity.certificate, client_key: identity.key }),
        root_cert: authorities,
    });
    let protocol = if resp3 { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
    // Without it the kernel holds back the second of two small writes.
    let tcp = TcpSettings::default().set_nodelay(true);
    match &endpoint.servers {
        Servers::One(address) => {
            let mut settings = RedisConnectionInfo::default()
                .set_db(endpoint.db())
                .set_protocol(protocol)
                .set_lib_name("petiole", env!("CARGO_PKG_VERSION"));
            if let Some(username) = login.username {
                settings = settings.set_username(username);
            }
            if let Some(password) = login.password {
                settings = settings.set_password(password);
            }
            let info: ConnectionInfo = address.clone().into_connection_info()?;
            let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
            match address {
                ConnectionAddr::TcpTls { .. } => {
                    provide_tls();
                    let none = TlsCertificates { client_tls: None, root_cert: None };
                    Client::build_with_tls(info, certificates.unwrap_or(none))
                }
                _ => Client::open(info),
            }
        }
        Servers::Sentinels { addresses, master } => {
            let tls = certificates.is_some();
            let addresses = addresses.iter().map(|address| sentinel_address(address, tls));
            let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
                .set_client_to_redis_db(endpoint.db())
                .set_client_to_redis_protocol(protocol)
                .set_client_to_redis_tcp_settings(tcp);
            if let Some(username) = login.username {
                builder = builder.set_client_to_redis_username(username);
            }
            if let Some(password) = login.password {
                builder = builder.set_client_to_redis_password(password);
            }
            if let Some(certificates) = certificates {
                provide_tls();
                builder = builder
                    .set_client_to_redis_tls_mode(TlsMode::Secure)
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates);
            }
            builder.build()?.async_get_client().await
        }
    }
}

/// Sentinels speak TLS when certificates are given for the master: their address has one scheme for both.
fn sentinel_address(address: &ConnectionAddr, tls: bool) -> ConnectionAddr {
    match address {
        ConnectionAddr::Tcp(host, port) if tls => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
        other => other.clone(),
    }
}

/// rustls panics where the process has no provider; a program that forgot to install one gets ours.
fn provide_tls() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may be first.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
