//! The first signal drains; who sends another one no longer wants to wait.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that a last signal ended, as a shell reports SIGTERM.
const ABORTED: i32 = 143;

/// Signals that follow each other so closely are one: a terminal sends Ctrl-C to a whole group, and wrappers
/// (`timeout`, `make`) pass on what they got themselves.
const ONE: Duration = Duration::from_millis(500);

/// Why signals cannot be listened to.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen for SIGTERM, SIGINT and SIGQUIT")]
pub struct ListenError(#[source] std::io::Error);

/// How a process is told to stop, by the signals that Celery's worker knows.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// SIGTERM or SIGINT: what is under way may end.
    pub drain: CancellationToken,
    /// SIGQUIT, or a second SIGTERM or SIGINT: it may not. Another one ends the process, come what may.
    pub at_once: CancellationToken,
}

impl Stop {
    /// Of this process.
    pub fn on_signal() -> Result<Self, ListenError> {
        let (stop, mut signals) = (Self::default(), Signals::listen()?);
        let told = stop.clone();
        tokio::spawn(async move {
            if !signals.next().await {
                tracing::info!("told to stop: draining (a second signal: at once)");
                told.drain.cancel();
                signals.next().await;
            }
            told.at_once.cancel();
            signals.next().await;
            abort();
        });
        Ok(stop)
    }
}

/// Returns a token that SIGTERM or SIGINT cancels. A second one, and SIGQUIT, end the process at once: for a process that
/// has nothing to give back.
pub fn on_signal() -> Result<CancellationToken, ListenError> {
    let (token, mut signals) = (CancellationToken::new(), Signals::listen()?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        if !signals.next().await {
            tracing::info!("told to stop: draining (a second signal ends at once)");
            cancelled.cancel();
            signals.next().await;
        }
        abort();
    });
    Ok(token)
}

fn abort() {
    tracing::warn!("told once more to stop: ending at once");
    std::process::exit(ABORTED);
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    last: Option<Instant>,
}

impl Signals {
    fn listen() -> Result<Self, ListenError> {
        let listen = |kind| signal(kind).map_err(ListenError);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            last: None,
        })
    }

    /// Waits for the next one; whether it is SIGQUIT.
    async fn next(&mut self) -> bool {
        loop {
            let quit = tokio::select! {
                _ = self.terminate.recv() => false,
                _ = self.interrupt.recv() => false,
                _ = self.quit.recv() => true,
            };
            let now = Instant::now();
            if self.last.replace(now).is_none_or(|last| now.duration_since(last) >= ONE) {
                return quit;
            }
        }
    }
}
