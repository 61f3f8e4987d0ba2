//! Noticing that there is something to receive, without taking it.
//!
//! A connection of its own asks for the lengths of the lists, and when the first parked message is due. Redis
//! remembers that it asked (client tracking), and says so once when one of them changes. Where a server or a proxy
//! refuses that, the worker asks again and again; where something came that nobody spoke of, more often for a while.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use petiole_results::redis::{Connection, Endpoint, Failure, Timeouts};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, sleep_until};

use super::Queue;
use super::keys::Keys;
use super::listening::listening;

/// The longest wait while what the server says can be relied on. A worker cuts a wait off after two seconds, and what the
/// server did not say is only found out at the end.
const WATCHDOG: Duration = Duration::from_millis(1500);

/// The longest wait where it cannot, or where tasks stand in line: their limits change, and with them their turns.
const CLOSE: Duration = Duration::from_millis(250);

/// After the parked messages have changed, how long until the server is asked which is due first. Many may be parked
/// in a row, by others too, and few of them are due before those that we wait for.
const PARKED_PAUSE: Duration = Duration::from_millis(20);

/// Longer than any wait.
const LONG: Duration = Duration::from_hours(1);

/// Where nothing is pushed: between two looks, at first and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));

/// After a refusal, how long until the server is asked again: a password may have been changed just then. As long it is
/// not relied on after it has said nothing of a message.
const REFUSED: Duration = Duration::from_mins(1);

pub(super) struct Watch {
    connection: Connection,
    pushed: Arc<Notify>,
    /// What was pushed may be something to receive, not only a change of what is parked.
    urgent: Arc<AtomicBool>,
    /// How often in a row nothing was found, where we poll.
    idle: AtomicU32,
    /// Held by the one who waits.
    trust: Mutex<Trust>,
}

/// Whether the server says what it should.
#[derive(Debug, Default)]
struct Trust {
    /// Until when we look for ourselves, because it refuses to push.
    refused: Option<Instant>,
    /// Until when we do not rely on it, because something came that it did not speak of.
    missed: Option<Instant>,
}

impl Trust {
    fn refuses(&self) -> bool {
        self.refused.is_some_and(|until| Instant::now() < until)
    }

    /// How long it may say nothing.
    fn silence(&self) -> Duration {
        if self.missed.is_some_and(|until| Instant::now() < until) { CLOSE } else { WATCHDOG }
    }
}

/// What a look has seen.
enum Look {
    /// Messages wait.
    Something,
    /// None do; the first parked one may be due after this time, and whoever stands in line may have its turn.
    Nothing { next: Duration },
}

/// How a wait has ended.
#[derive(Debug, PartialEq, Eq)]
enum Woken {
    /// There may be something, or nothing has come in all that time.
    Rightly,
    /// There is something, and the server has not said so.
    Unheard,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(broker: &Endpoint, timeouts: Timeouts, keys: &Keys) -> Self {
        let urgent = Arc::new(AtomicBool::new(false));
        let (raise, quiet) = (urgent.clone(), keys.parked("").into_bytes());
        let (connection, pushed) = listening(broker.clone(), timeouts, move |push| {
            if is_urgent(&push, &quiet) {
                raise.store(true, Ordering::Release);
            }
            matches!(push.kind, PushKind::Invalidate | PushKind::Disconnection)
        });
        Self { connection, pushed, urgent, idle: AtomicU32::new(0), trust: Mutex::default() }
    }

    /// Messages were found: the next one may be near.
    pub(super) fn found(&self) {
        self.idle.store(0, Ordering::Relaxed);
    }

    /// Returns when there may be something to receive of these queues, and after [`WATCHDOG`] in any case.
    pub(super) async fn wait(&self, queues: &[&Queue]) {
        if queues.is_empty() {
            return sleep(WATCHDOG).await;
        }
        let mut trust = self.trust.lock().await;
        if trust.refuses() {
            return self.poll().await;
        }
        match self.watch(queues, Instant::now() + trust.silence()).await {
            Ok(Woken::Rightly) => {}
            Ok(Woken::Unheard) => {
                tracing::info!("the broker did not tell us of a message; for a while we look more often");
                trust.missed = Some(Instant::now() + REFUSED);
            }
            Err(failure) if failure.is_refusal() => {
                tracing::info!(%failure, "the broker does not tell us of new messages; we look for them");
                trust.refused = Some(Instant::now() + REFUSED);
                self.poll().await;
            }
            // Whoever receives next learns of it too.
            Err(_) => sleep(POLL.1).await,
        }
    }

    /// Returns when there may be something to receive, and at `end` in any case.
    async fn watch(&self, queues: &[&Queue], end: Instant) -> Result<Woken, Failure> {
        loop {
            // Listening begins before the look, so that what comes in between is heard.
            self.urgent.store(false, Ordering::Release);
            let pushed = self.pushed.notified();
            let Look::Nothing { next } = self.look(queues).await? else { return Ok(Woken::Rightly) };
            let due = Instant::now() + next;
            tokio::select! {
                () = pushed => {}
                () = sleep_until(due.min(end)) => {
                    return if due <= end { Ok(Woken::Rightly) } else { self.at_the_end(queues, due).await };
                }
            }
            tokio::select! {
                () = self.urgent() => return Ok(Woken::Rightly),
                () = sleep_until(due.min(end).min(Instant::now() + PARKED_PAUSE)) => {}
            }
            if Instant::now() >= end {
                return Ok(Woken::Rightly);
            }
        }
    }

    /// Nothing was said. What there is now has come on the same connection behind what was said of it. `due` is when
    /// there was to be something.
    async fn at_the_end(&self, queues: &[&Queue], due: Instant) -> Result<Woken, Failure> {
        let mut pushed = pin!(self.pushed.notified());
        let sooner = match self.look(queues).await? {
            Look::Something => true,
            Look::Nothing { next } => Instant::now() + next + CLOSE < due,
        };
        let said = poll_fn(|context| Poll::Ready(pushed.as_mut().poll(context).is_ready())).await;
        Ok(if sooner && !said { Woken::Unheard } else { Woken::Rightly })
    }

    /// Returns when more was pushed than a change of what is parked.
    async fn urgent(&self) {
        loop {
            let pushed = self.pushed.notified();
            if self.urgent.load(Ordering::Acquire) {
                return;
            }
            pushed.await;
        }
    }

    async fn poll(&self) {
        let idle = self.idle.fetch_add(1, Ordering::Relaxed);
        sleep(POLL.0.saturating_mul(1 << idle.min(8)).min(POLL.1)).await;
    }

    /// Asks for the lengths of all lists, and so makes Redis say when one changes.
    async fn look(&self, queues: &[&Queue]) -> Result<Look, Failure> {
        let mut ask = redis::pipe();
        // Each time, because a new connection is not tracked yet.
        ask.cmd("CLIENT").arg("TRACKING").arg("ON").ignore();
        ask.cmd("TIME");
        let lists: Vec<_> = queues.iter().flat_map(|queue| &queue.lists).collect();
        for (_, list) in &lists {
            ask.cmd("LLEN").arg(list);
        }
        for queue in queues {
            ask.cmd("ZRANGE").arg(&queue.parked).arg(0).arg(0).arg("WITHSCORES");
        }
        for queue in queues {
            ask.cmd("EXISTS").arg(&queue.lines);
        }
        let answers: Vec<Value> = self.connection.query_all(&ask).await?;
        let lengths = answers.iter().skip(1).take(lists.len());
        if lengths.into_iter().any(|length| !matches!(length, Value::Int(0))) {
            return Ok(Look::Something);
        }
        let now = answers.first().and_then(milliseconds).unwrap_or_default();
        let rest = answers.get(1 + lists.len()..).unwrap_or_default();
        let (parked, lines) = rest.split_at(queues.len().min(rest.len()));
        let due = parked.iter().filter_map(first_score);
        let next = due.map(|due| Duration::try_from_secs_f64((due - now) / 1000.0).unwrap_or_default()).min();
        let in_line = lines.iter().any(|exists| !matches!(exists, Value::Int(0)));
        let longest = if in_line { CLOSE } else { LONG };
        Ok(Look::Nothing { next: next.unwrap_or(LONG).min(longest) })
    }
}

/// Whether this may mean that there is something to receive: other keys than those of parked messages, which begin with
/// `parked`, have changed, or all of them, or nothing more will be said.
fn is_urgent(push: &PushInfo, parked: &[u8]) -> bool {
    match (&push.kind, push.data.as_slice()) {
        (PushKind::Invalidate, [Value::Array(keys)]) => {
            keys.iter().any(|key| !matches!(key, Value::BulkString(key) if key.starts_with(parked)))
        }
        (PushKind::Invalidate | PushKind::Disconnection, _) => true,
        _ => false,
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

#[cfg(test)]
mod tests {
    use petiole_testkit::proxy::Proxy;
    use petiole_testkit::redis::Server;

    use super::*;
    use crate::Worker;
    use crate::conformance::queue;

    /// What a watch of `mail` has found out about a server by the time that a message has come, or one was parked.
    async fn trust_after(command: &[&str], lost: bool) -> Trust {
        let server = Server::start().unwrap();
        let proxy = Proxy::start(server.port()).await.unwrap();
        let endpoint = Endpoint::parse(&format!("redis://127.0.0.1:{}", proxy.port())).unwrap();
        let keys = Keys::new("");
        let queues = Queue::all(&keys, &Worker { queues: vec![queue("mail")], ..Worker::default() });
        let watch = Watch::new(&endpoint, Timeouts::default(), &keys);
        if lost {
            proxy.lose_invalidations();
        }
        let publishing = async {
            let client = Connection::new(Endpoint::parse(&server.url()).unwrap(), Timeouts::default());
            // Once the watch has looked.
            let mut clients = redis::cmd("CLIENT");
            clients.arg("LIST");
            while !client.query::<String>(&clients).await.unwrap().contains(" flags=t") {}
            let mut change = redis::cmd(command[0]);
            change.arg(&command[1..]);
            let _: u64 = client.query(&change).await.unwrap();
        };
        let queues: Vec<_> = queues.iter().collect();
        tokio::join!(watch.wait(&queues), publishing);
        watch.trust.into_inner()
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_of_a_message_is_looked_at_more_often() {
        let (come, parked) = (["LPUSH", "mail", "1"], ["ZADD", "petiole:eta:mail", "1", "1"]);
        assert_eq!(trust_after(&come, true).await.silence(), CLOSE);
        assert_eq!(trust_after(&parked, true).await.silence(), CLOSE);
        assert_eq!(trust_after(&come, false).await.silence(), WATCHDOG);
        assert_eq!(trust_after(&parked, false).await.silence(), WATCHDOG);
    }

    #[test]
    fn only_a_change_of_what_is_parked_is_not_urgent() {
        let key = |name: &str| Value::BulkString(name.as_bytes().to_vec());
        let changed = |data| is_urgent(&PushInfo { kind: PushKind::Invalidate, data }, b"eta");
        assert!(!changed(vec![Value::Array(vec![key("eta")])]));
        assert!(changed(vec![Value::Array(vec![key("mail")])]));
        assert!(changed(vec![Value::Array(vec![key("eta"), key("mail")])]));
        // After `FLUSHALL`.
        assert!(changed(vec![Value::Nil]));
        assert!(is_urgent(&PushInfo { kind: PushKind::Disconnection, data: Vec::new() }, b"eta"));
    }
}
