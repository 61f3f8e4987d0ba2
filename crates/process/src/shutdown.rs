//! The first signal drains, the second aborts.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that a second signal ended, as a shell reports SIGTERM.
const ABORTED: i32 = 143;

/// Signals that follow each other so closely are one: a terminal sends Ctrl-C to a whole group, and wrappers
/// (`timeout`, `make`) pass on what they got themselves.
const ONE: Duration = Duration::from_millis(500);

/// Why signals cannot be listened to.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen for SIGTERM and SIGINT")]
pub struct ListenError(#[source] std::io::Error);

/// Returns a token that SIGTERM or SIGINT cancels. A second signal ends the process at once: the one who sends it
/// no longer wants to wait.
pub fn on_signal() -> Result<CancellationToken, ListenError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ListenError)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ListenError)?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let mut first: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
            match first {
                None => {
                    tracing::info!("told to stop: draining (a second signal ends at once)");
                    first = Some(Instant::now());
                    cancelled.cancel();
                }
                Some(first) if first.elapsed() < ONE => {}
                Some(_) => {
                    tracing::warn!("a second signal: ending at once");
                    std::process::exit(ABORTED);
                }
            }
        }
    });
    Ok(token)
}
