//! The admin endpoint: `/livez`, `/readyz`, `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio_util::sync::CancellationToken;

use crate::log::Chain;
use crate::metrics::Registry;
use crate::ready::Readiness;

/// The port that probes and scrapers of our containers expect.
pub const PORT: u16 = 9090;

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4";

/// Why the endpoint is not there.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken, or not ours.
    #[error("failed to listen on the admin address")]
    Listen(#[source] std::io::Error),
    /// Serving ended by an error.
    #[error("failed to serve the admin endpoint")]
    Serve(#[source] std::io::Error),
}

/// The endpoint, listening.
#[derive(Debug)]
pub struct Admin(TcpListener);

impl Admin {
    /// Listens on `address`; port 0 takes a free one.
    pub async fn listen(address: impl ToSocketAddrs) -> Result<Self, AdminError> {
        TcpListener::bind(address).await.map(Self).map_err(AdminError::Listen)
    }

    /// Where it listens.
    pub fn address(&self) -> Result<std::net::SocketAddr, AdminError> {
        self.0.local_addr().map_err(AdminError::Listen)
    }

    /// Answers until `stop`.
    pub async fn serve(
        self,
        ready: Readiness,
        metrics: Registry,
        stop: CancellationToken,
    ) -> Result<(), AdminError> {
        let routes = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(render))
            .with_state((ready, metrics));
        axum::serve(self.0, routes)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
            .map_err(AdminError::Serve)
    }
}

async fn readyz(State((ready, _)): State<(Readiness, Registry)>) -> Response {
    match ready.report() {
        None => "ok\n".into_response(),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing).into_response(),
    }
}

async fn render(State((_, metrics)): State<(Readiness, Registry)>) -> Response {
    match metrics.render() {
        Ok(text) => ([("content-type", TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Chain(&error).to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: petiole\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_and_liveness_does_not_care() {
        let ready = Readiness::default();
        ready.missing("broker", "connection refused");
        let admin = Admin::listen("127.0.0.1:0").await.unwrap();
        let address = admin.address().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(admin.serve(ready.clone(), Registry::default(), stop.clone()));

        let answer = get(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with("broker: connection refused\n"), "{answer}");
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
        ready.there("broker");
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));

        stop.cancel();
        served.await.unwrap().unwrap();
    }
}
