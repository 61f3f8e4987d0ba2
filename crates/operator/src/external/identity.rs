//! Keeps what this server is and whom it believes: its certificate, and the API server's front proxy.
//!
//! ```text
//!   ConfigMap ──────────────> front proxy ──┐
//!   Secret ──> certificate ─────────────────┴──> identity ──> server
//!                 │ is due: the leader makes another, lets the APIService trust it, then writes the Secret
//! ```
//!
//! Trust comes before use, and the one before is trusted until its end: no replica, and no API server, is ever ahead of the
//! others by something that they refuse.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use petiole_process::log::Chain;
use petiole_process::ready::Readiness;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;
use tokio::time::sleep;

use super::api::Calls;
use super::caller::FrontProxy;
use super::certificate::{CertificateError, Held};
use crate::cluster::ClusterError;

/// Between two looks. A certificate is renewed weeks before its end; a new front proxy is known for so long before it counts.
const EACH: Duration = Duration::from_mins(1);
/// Between two looks while something is missing: the leader is about to make the first certificate.
const AGAIN: Duration = Duration::from_secs(2);
/// The part of readiness.
const PART: &str = "external metrics";

/// What this server is, and whom it believes.
#[derive(Debug)]
pub struct Identity {
    /// How a connection begins.
    pub tls: Arc<ServerConfig>,
    /// In whose name the API server asks.
    pub proxy: FrontProxy,
}

/// The identity of now; nothing, until there is one.
pub type Latest = watch::Receiver<Option<Arc<Identity>>>;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] ClusterError),
    /// The API server does not say how it asks in the name of others.
    #[error("failed to read how the API server asks in the name of others: {0}")]
    FrontProxy(String),
    /// See its source.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The leader has not made one yet.
    #[error("the operator that leads has not made the certificate yet")]
    Waiting,
    /// The authorities of the front proxy cannot be used.
    #[error("failed to use the authorities of the API server's front proxy")]
    Authorities(#[source] VerifierBuilderError),
    /// The certificate cannot be used.
    #[error("failed to use the certificate")]
    Tls(#[from] rustls::Error),
}

/// Keeps the identity until it is dropped.
pub async fn keep(calls: Calls, publish: watch::Sender<Option<Arc<Identity>>>, ready: Readiness) {
    let mut keeper = Keeper { calls, last: None };
    ready.missing(PART, "not looked for yet");
    loop {
        let wait = match keeper.look(Timestamp::now()).await {
            Ok(identity) => {
                if let Some(identity) = identity {
                    publish.send_replace(Some(Arc::new(identity)));
                }
                ready.there(PART);
                EACH
            }
            Err(error) => {
                let why = Chain(&error).to_string();
                tracing::warn!(why, "failed to look after the server of external metrics");
                // One that was there goes on with what it has.
                if !ready.was_there(PART) {
                    ready.missing(PART, why);
                }
                AGAIN
            }
        };
        sleep(wait).await;
    }
}

/// Looks after the identity.
pub struct Keeper {
    calls: Calls,
    last: Option<(FrontProxy, Held)>,
}

impl Keeper {
    /// One that knows nothing yet.
    #[cfg(test)]
    pub(super) fn new(calls: Calls) -> Self {
        Self { calls, last: None }
    }

    /// Looks once: says what it is, where that is another than before.
    pub async fn look(&mut self, now: Timestamp) -> Result<Option<Identity>, IdentityError> {
        let proxy = FrontProxy::read(&self.calls.front_proxy().await?).map_err(IdentityError::FrontProxy)?;
        let held = self.held(now).await?;
        if self.last.as_ref().is_some_and(|(known, shown)| (known, shown) == (&proxy, &held)) {
            return Ok(None);
        }
        let tls = Arc::new(server_config(&proxy, &held)?);
        self.last = Some((proxy.clone(), held));
        Ok(Some(Identity { tls, proxy }))
    }

    async fn held(&self, now: Timestamp) -> Result<Held, IdentityError> {
        let secret = self.calls.secret().await?;
        let data = secret.data.unwrap_or_default();
        let data: BTreeMap<String, Vec<u8>> = data.into_iter().map(|(key, value)| (key, value.0)).collect();
        let held = Held::read(&data);
        if !self.calls.leads() {
            return held?.ok_or(IdentityError::Waiting);
        }
        let held = held.unwrap_or_else(|error| {
            tracing::warn!(error = %Chain(&error), "another certificate is made");
            None
        });
        let names = self.calls.names();
        if let Some(held) = held.filter(|held| !held.is_due(&names, now)) {
            self.trust(&held).await?;
            return Ok(held);
        }
        let before = Held::read(&data).ok().flatten();
        let made = Held::make(&names, before.as_ref(), now)?;
        self.trust(&made).await?;
        self.calls.write_secret(secret.metadata.resource_version, made.data()).await?;
        tracing::info!(?names, "made a certificate for external metrics");
        Ok(made)
    }

    /// Lets the API server trust what this server shows.
    async fn trust(&self, held: &Held) -> Result<(), IdentityError> {
        match self.calls.trusted().await? {
            Ok(trusted) if trusted.as_deref() == Some(held.trusted.as_bytes()) => {}
            Ok(_) => self.calls.trust(held.trusted.as_bytes()).await?,
            Err(why) => tracing::warn!(why, "nobody is led here for external metrics"),
        }
        Ok(())
    }
}

fn server_config(proxy: &FrontProxy, held: &Held) -> Result<ServerConfig, IdentityError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let authorities = CertificateDer::pem_slice_iter(proxy.authorities.as_bytes());
    roots.add_parsable_certificates(authorities.filter_map(Result::ok));
    // Without a certificate one may ask whether this server lives.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(IdentityError::Authorities)?;
    let (certificate, key) = held.pair()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
