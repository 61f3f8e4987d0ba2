//! How the worker says that it lives: on a thread and a connection of its own, so that no burst of work starves it.

use std::sync::Arc;
use std::time::Duration;

use petiole_broker::{BEAT, Held, Lease, Wish};
use petiole_process::log::Chain;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::connect::Connect;
use crate::tally::Tally;

/// Between two sweeps for workers whose lease has ended.
const SWEEP: Duration = Duration::from_secs(1);

/// Between two times that a worker which drains says so, and asks whether it still is to: a wish is taken back when there
/// is work, which then waits for this worker.
const DRAINING: Duration = Duration::from_millis(500);

/// Between two times that it says how busy it is, whatever happens in it.
const SPACING: Duration = Duration::from_millis(200);

/// The first and the longest wait before a connection is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// What the lease's thread has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum LeaseEvent {
    /// The lease is registered: messages may be received.
    Registered,
    /// A beat has failed; the lease may still be renewed.
    Failing(String),
    /// A beat has worked after one that had failed.
    Working,
    /// The operator wants something else of this worker than before.
    Wish(Wish),
    /// The lease was swept.
    Lost,
}

/// Why the thread is not there.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The system has no thread for us.
    #[error("failed to start the lease's thread")]
    Thread(#[source] std::io::Error),
    /// The system has no event queue for it.
    #[error("failed to start the lease's event loop")]
    Runtime(#[source] std::io::Error),
}

/// Keeps the lease of an incarnation until `stop`, then gives it up and answers on `released`.
pub fn keep(
    connect: Arc<dyn Connect>,
    incarnation: String,
    tally: Tally,
    events: mpsc::UnboundedSender<LeaseEvent>,
    stop: CancellationToken,
) -> Result<oneshot::Receiver<()>, LeaseError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LeaseError::Runtime)?;
    let (released, answer) = oneshot::channel();
    std::thread::Builder::new()
        .name("lease".to_owned())
        .spawn(move || {
            runtime.block_on(beat(connect.as_ref(), &incarnation, &tally, &events, &stop));
            let _ = released.send(());
        })
        .map_err(LeaseError::Thread)?;
    Ok(answer)
}

async fn beat(
    connect: &dyn Connect,
    incarnation: &str,
    tally: &Tally,
    events: &mpsc::UnboundedSender<LeaseEvent>,
    stop: &CancellationToken,
) {
    let Some(lease) = register(connect, incarnation, events, stop).await else { return };
    let mut next_beat = Instant::now() + BEAT;
    // At once: after a time without sweeps no lease is ended, and a lone worker that starts again is that time's end.
    let mut next_sweep = Instant::now();
    // At once, too: of a worker that has said nothing nobody knows whether it is busy.
    let (mut next_tell, mut told) = (Instant::now(), None);
    let (mut failing, mut wish) = (false, Wish::Work);
    loop {
        tokio::select! {
            () = sleep_until(next_beat.min(next_sweep).min(next_tell)) => {}
            () = tally.news() => next_tell = told.map_or(next_tell, |told| next_tell.min(told + SPACING)),
            () = stop.cancelled() => break,
        }
        let now = Instant::now();
        if now >= next_beat {
            match lease.beat().await {
                Ok(Held::Yes) => {
                    if std::mem::take(&mut failing) {
                        let _ = events.send(LeaseEvent::Working);
                    }
                    next_beat = now + BEAT;
                }
                Ok(Held::Lost) => {
                    let _ = events.send(LeaseEvent::Lost);
                    return;
                }
                Err(error) => {
                    failing = true;
                    let _ = events.send(LeaseEvent::Failing(Chain(&error).to_string()));
                    next_beat = now + RETRY.1;
                }
            }
        }
        if now >= next_tell {
            if !failing {
                match lease.tell(&tally.load(now.into_std())).await {
                    Ok(heard) if heard != wish => {
                        wish = heard;
                        let _ = events.send(LeaseEvent::Wish(wish));
                    }
                    Ok(_) => {}
                    // What was wished last stands: a broker that is away changes nothing.
                    Err(error) => {
                        tracing::debug!(error = %Chain(&error), "how busy the worker is could not be told");
                    }
                }
            }
            told = Some(now);
            next_tell = now + if wish == Wish::Drain { DRAINING } else { BEAT };
        }
        if now >= next_sweep {
            match lease.sweep().await {
                Ok(0) => {}
                Ok(count) => {
                    tracing::info!(count, "messages of workers that have ended are back in their queues");
                }
                // The beat has said it, or will.
                Err(error) => tracing::debug!(error = %Chain(&error), "a sweep failed"),
            }
            next_sweep = now + SWEEP;
        }
    }
    if let Err(error) = lease.release().await {
        tracing::warn!(error = %Chain(&error), "the lease could not be given up; it ends by itself");
    }
}

async fn register(
    connect: &dyn Connect,
    incarnation: &str,
    events: &mpsc::UnboundedSender<LeaseEvent>,
    stop: &CancellationToken,
) -> Option<Arc<dyn Lease>> {
    let mut backoff = Backoff::new(RETRY);
    loop {
        match connect.lease(incarnation).await {
            Ok(lease) => {
                let _ = events.send(LeaseEvent::Registered);
                return Some(lease);
            }
            Err(error) => {
                let _ = events.send(LeaseEvent::Failing(Chain(&error).to_string()));
            }
        }
        tokio::select! {
            () = backoff.pause() => {}
            () = stop.cancelled() => return None,
        }
    }
}
