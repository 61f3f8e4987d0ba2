//! Noticing that there is something to receive, without taking it.
//!
//! A connection of its own asks for the lengths of the lists. Redis remembers that it asked (client tracking), and
//! says so once when one of them changes. Where a server or a proxy refuses that, the worker asks again and again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use petiole_results::redis::{Connection, Endpoint, Failure, Timeouts};
use redis::{PushKind, Value};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep};

use super::Queue;
use super::keys::Keys;

/// The longest wait, so that a push that was lost stalls nobody for longer.
const WATCHDOG: Duration = Duration::from_millis(250);

/// Where nothing is pushed: between two looks, at first and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));

/// After a refusal, how long until the server is asked again: a password may have been changed just then.
const REFUSED: Duration = Duration::from_mins(1);

pub(super) struct Watch {
    connection: Connection,
    pushed: Arc<Notify>,
    lists: Vec<String>,
    parked: Vec<String>,
    /// How often in a row nothing was found, where we poll.
    idle: AtomicU32,
    /// Until when we look for ourselves, because the server refuses to push. Held by the one who waits.
    refused: Mutex<Option<Instant>>,
}

/// What a look has seen.
enum Look {
    /// Messages wait.
    Something,
    /// None do; the first parked one may be due after this time.
    Nothing { next: Duration },
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(broker: &Endpoint, timeouts: Timeouts, keys: &Keys, queues: &[Queue]) -> Self {
        let pushed = Arc::new(Notify::new());
        let notify = pushed.clone();
        let connection = Connection::new(broker.clone(), timeouts).with_pushes(Arc::new(move |push| {
            if matches!(push.kind, PushKind::Invalidate | PushKind::Disconnection) {
                notify.notify_one();
            }
        }));
        let lists = |queue: &Queue| keys.celery().lists(&queue.name.name, &queue.name.priority_steps);
        Self {
            connection,
            pushed,
            lists: queues.iter().flat_map(lists).collect(),
            parked: queues.iter().map(|queue| queue.parked.clone()).collect(),
            idle: AtomicU32::new(0),
            refused: Mutex::default(),
        }
    }

    /// Messages were found: the next one may be near.
    pub(super) fn found(&self) {
        self.idle.store(0, Ordering::Relaxed);
    }

    /// Returns when there may be something to receive, and after [`WATCHDOG`] in any case.
    pub(super) async fn wait(&self) {
        let mut refused = self.refused.lock().await;
        if refused.is_some_and(|until| Instant::now() < until) {
            return self.poll().await;
        }
        // Listening begins before the look, so that what comes in between is heard.
        let pushed = self.pushed.notified();
        match self.look().await {
            Ok(Look::Something) => {}
            Ok(Look::Nothing { next }) => {
                tokio::select! {
                    () = pushed => {}
                    () = sleep(WATCHDOG.min(next)) => {}
                }
            }
            Err(failure) if failure.is_refusal() => {
                tracing::info!(%failure, "the broker does not tell us of new messages; we look for them");
                *refused = Some(Instant::now() + REFUSED);
                self.poll().await;
            }
            // Whoever receives next learns of it too.
            Err(_) => sleep(POLL.1).await,
        }
    }

    async fn poll(&self) {
        let idle = self.idle.fetch_add(1, Ordering::Relaxed);
        sleep(POLL.0.saturating_mul(1 << idle.min(8)).min(POLL.1)).await;
    }

    /// Asks for the lengths of all lists, and so makes Redis say when one changes.
    async fn look(&self) -> Result<Look, Failure> {
        let mut ask = redis::pipe();
        // Each time, because a new connection is not tracked yet.
        ask.cmd("CLIENT").arg("TRACKING").arg("ON").ignore();
        ask.cmd("TIME");
        for list in &self.lists {
            ask.cmd("LLEN").arg(list);
        }
        for parked in &self.parked {
            ask.cmd("ZRANGE").arg(parked).arg(0).arg(0).arg("WITHSCORES");
        }
        let answers: Vec<Value> = self.connection.query_all(&ask).await?;
        let lengths = answers.iter().skip(1).take(self.lists.len());
        if lengths.into_iter().any(|length| !matches!(length, Value::Int(0))) {
            return Ok(Look::Something);
        }
        let now = answers.first().and_then(milliseconds).unwrap_or_default();
        let due = answers.iter().skip(1 + self.lists.len()).filter_map(first_score);
        let next = due.map(|due| Duration::try_from_secs_f64((due - now) / 1000.0).unwrap_or_default()).min();
        Ok(match next {
            Some(Duration::ZERO) => Look::Something,
            next => Look::Nothing { next: next.unwrap_or(WATCHDOG) },
        })
    }
}

/// An answer of `TIME`, in ms.
fn milliseconds(time: &Value) -> Option<f64> {
    let [seconds, microseconds] = time.as_sequence()? else { return None };
    let number = |value: &Value| redis::from_redis_value_ref::<f64>(value).ok();
    Some(number(seconds)? * 1000.0 + number(microseconds)? / 1000.0)
}

/// The score in an answer of `ZRANGE ... WITHSCORES`: a list of pairs in RESP3.
fn first_score(answer: &Value) -> Option<f64> {
    let first = answer.as_sequence()?.first()?;
    redis::from_redis_value_ref(first.as_sequence()?.get(1)?).ok()
}
