//! Flags and the pool's file, and how a worker is put together from them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use petiole_contract::pool::Pool;
use petiole_process::admin::{Admin, AdminError};
use petiole_process::log::Chain;
use petiole_process::metrics::{RegisterError, Registry};
use petiole_process::ready::Readiness;
use petiole_process::shutdown::{ListenError, Stop};
use tokio_util::sync::CancellationToken;

use crate::accept::{AcceptError, Forms, accept};
use crate::admit::PoolError;
use crate::lease::LeaseError;
use crate::metrics::Metrics;
use crate::redis::RedisConnect;
use crate::signing::{Signing, SigningError};
use crate::socket::SocketError;
use crate::worker::Worker;

/// The worker of a Petiole pool: takes Celery's messages from a queue and has their tasks run in the container
/// beside it.
#[derive(Debug, Parser)]
#[command(name = "petiole-worker", version)]
pub struct Flags {
    /// The pool's file, as the operator renders it.
    #[arg(long, env = "PETIOLE_POOL_FILE")]
    pool: PathBuf,
    /// The unix socket that the runner and the handlers dial.
    #[arg(long, env = "PETIOLE_SOCKET")]
    socket: PathBuf,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, default_value = "0.0.0.0:9090")]
    admin: SocketAddr,
    /// A file to write that address to, for port 0.
    #[arg(long)]
    admin_file: Option<PathBuf>,
    /// Names this pod for ever: its UID. Each incarnation's name begins with it. A worker that starts ends the leases
    /// of others of this identity, so no two that run at the same time may share one.
    #[arg(long, env = "PETIOLE_POD_UID")]
    identity: String,
    /// The name that Celery's tools show: `celery@<pod>`.
    #[arg(long, env = "PETIOLE_NODENAME")]
    nodename: String,
}

/// Why a worker could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The pool's file cannot be read.
    #[error("failed to read the pool's file {path}")]
    ReadPool {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The pool's file is not what this release reads.
    #[error("failed to understand the pool's file {path}")]
    ParsePool {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The admin address cannot be written down.
    #[error("failed to write the admin address to {path}")]
    WriteAddress {
        /// The file's path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The forms of messages that it asks for cannot be read.
    #[error("failed to prepare what messages are read")]
    Accept(#[source] AcceptError),
    /// The key that signs what is sent cannot be used.
    #[error("failed to prepare what is signed")]
    Signing(#[source] SigningError),
    /// A task in it cannot be run.
    #[error("failed to prepare the pool's tasks")]
    Pool(#[source] PoolError),
    /// See its source.
    #[error(transparent)]
    Listen(ListenError),
    /// See its source.
    #[error(transparent)]
    Metrics(RegisterError),
    /// See its source.
    #[error(transparent)]
    Admin(AdminError),
    /// See its source.
    #[error(transparent)]
    Socket(SocketError),
    /// See its source.
    #[error(transparent)]
    Lease(LeaseError),
}

impl Flags {
    /// Runs a worker until it is told to stop and has drained.
    pub async fn run(self) -> Result<(), WorkerError> {
        let Self { pool, socket, admin, admin_file, identity, nodename } = self;
        let path = pool.display().to_string();
        let text =
            std::fs::read(&pool).map_err(|source| WorkerError::ReadPool { path: path.clone(), source })?;
        let pool: Pool =
            serde_json::from_slice(&text).map_err(|source| WorkerError::ParsePool { path, source })?;

        let signing = Signing::of(&pool).map_err(WorkerError::Signing)?.map(Arc::new);
        let forms = Forms { accept: accept(&pool).map_err(WorkerError::Accept)?, signing };
        let stop = Stop::on_signal().map_err(WorkerError::Listen)?;
        let (ready, registry) = (Readiness::default(), Registry::default());
        let metrics = Metrics::new(&registry).map_err(WorkerError::Metrics)?;
        let admin = Admin::listen(admin).await.map_err(WorkerError::Admin)?;
        if let Some(path) = admin_file {
            let address = admin.address().map_err(WorkerError::Admin)?;
            std::fs::write(&path, address.to_string())
                .map_err(|source| WorkerError::WriteAddress { path: path.display().to_string(), source })?;
        }
        let listener = crate::socket::listen(&socket).map_err(WorkerError::Socket)?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            pool = format!("{}/{}", pool.namespace, pool.name),
            concurrency = pool.concurrency,
            nodename,
            "worker starts"
        );
        let host = nodename.split_once('@').map_or(&*nodename, |(_, host)| host);
        let connect = Arc::new(RedisConnect::new(&pool, host.to_owned()));
        let worker = Worker::new(&pool, forms, identity, nodename, connect, ready.clone(), metrics)
            .map_err(WorkerError::Pool)?;

        // Probes are answered until the very end of the drain.
        let served = CancellationToken::new();
        let serving = tokio::spawn({
            let served = served.clone();
            async move {
                if let Err(error) = admin.serve(ready, registry, served).await {
                    tracing::error!(error = %Chain(&error), "the admin endpoint has ended");
                }
            }
        });
        let ended = worker.work(listener, stop).await.map_err(WorkerError::Lease);
        served.cancel();
        let _ = serving.await;
        let _ = std::fs::remove_file(&socket);
        ended
    }
}
