//! A connection that opens itself again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, PushInfo, RedisError, ServerErrorKind};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::endpoint::Endpoint;
use super::{open, script::Call};

/// Between two attempts to connect: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long is waited for what. Each is bounded, so that a server that is away is an error soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, with its greeting.
    pub connect: Duration,
    /// For an answer.
    pub answer: Duration,
}

impl Default for Timeouts {
    /// The answer is waited for long enough for a large batch, and shorter than a worker's lease: the fate of a
    /// call is known while the lease can still be used.
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), answer: Duration::from_secs(5) }
    }
}

/// Why a server did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// It cannot be reached, or does not answer in time, or cannot serve anyone at the moment.
    #[error("the Redis server at {address} cannot be reached")]
    Unreachable {
        /// Where it is.
        address: String,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// It answered that it will not.
    #[error("the Redis server at {address} refuses")]
    Refused {
        /// Where it is.
        address: String,
        /// What it said.
        #[source]
        source: Cause,
    },
    /// Its credentials cannot be read.
    #[error("the credentials for the Redis server at {address} cannot be read")]
    Secrets {
        /// Where it is.
        address: String,
        /// What happened.
        #[source]
        source: Arc<io::Error>,
    },
}

/// An error of the client. Its text already says what its source says, so the source is left out.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Cause(RedisError);

impl Failure {
    pub(super) fn new(endpoint: &Endpoint, error: RedisError) -> Self {
        let address = endpoint.to_string();
        match error.kind() {
            // It starts, or was the master until just now: somebody will serve us in a moment.
            ErrorKind::Server(
                ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::ReadOnly,
            ) => Self::Unreachable { address, source: Cause(error) },
            // The same, as Redis 6.2 says it from within a script.
            _ if error.detail().is_some_and(|detail| detail.contains("-READONLY")) => {
                Self::Unreachable { address, source: Cause(error) }
            }
            ErrorKind::Server(_)
            | ErrorKind::Extension
            | ErrorKind::AuthenticationFailed
            | ErrorKind::InvalidClientConfig
            | ErrorKind::RESP3NotSupported
            | ErrorKind::UnexpectedReturnType => Self::Refused { address, source: Cause(error) },
            _ => Self::Unreachable { address, source: Cause(error) },
        }
    }

    /// Whether the server answered that it will not, so that asking again changes nothing.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the connection is of no more use: it is gone, or the server no longer knows who we are.
    fn ends_connection(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Secrets { .. } => true,
            Self::Refused { source: Cause(error), .. } => error.code() == Some("NOAUTH"),
        }
    }

    fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Refused { source: Cause(error), .. }
            if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
    }
}

/// Takes what the server says without being asked (RESP3).
pub type Pushes = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// A connection that opens itself when it is first used, and again after it was lost. Many calls may be under way on
/// it at once. A call that fails is not repeated here: only the caller knows whether it may be.
pub struct Connection {
    endpoint: Endpoint,
    timeouts: Timeouts,
    pushes: Option<Pushes>,
    /// Counts the attempts to connect, so that those who waited for one share its failure.
    attempts: AtomicU64,
    link: Mutex<Link>,
}

#[derive(Default)]
struct Link {
    live: Option<MultiplexedConnection>,
    /// Why the last attempt failed, and when the next one may be made.
    failed: Option<(Failure, Instant)>,
    backoff: Duration,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection to this endpoint, not yet open.
    pub fn new(endpoint: Endpoint, timeouts: Timeouts) -> Self {
        Self { endpoint, timeouts, pushes: None, attempts: AtomicU64::new(0), link: Mutex::default() }
    }

    /// The same, speaking RESP3; what the server says unasked goes to `pushes`.
    #[must_use]
    pub fn with_pushes(mut self, pushes: Pushes) -> Self {
        self.pushes = Some(pushes);
        self
    }

    /// Where it goes.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A number that changes with each connection: what the server remembers of one, it does not of the next.
    pub fn generation(&self) -> u64 {
        self.attempts.load(Ordering::Acquire)
    }

    /// Does one command.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let mut link = self.live().await?;
        let answer = link.0.send_packed_command(command).await;
        let value = match answer {
            Ok(value) => value.extract_error(),
            Err(error) => Err(error),
        };
        self.judge(value.and_then(|value| Ok(T::from_redis_value(value)?)), link.1).await
    }

    /// Does several commands in one round trip. They are not a transaction; the first that fails is the answer.
    pub async fn query_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Failure> {
        let mut link = self.live().await?;
        let answer = commands.query_async(&mut link.0).await;
        self.judge(answer, link.1).await
    }

    /// Runs a script; it is handed to the server when the server does not know it.
    pub async fn run<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, Failure> {
        match self.query(&call.command).await {
            Err(failure) if failure.is_unknown_script() => {
                let _: String = self.query(&call.script.load()).await?;
                self.query(&call.command).await
            }
            done => done,
        }
    }

    /// Runs several calls of one script in one round trip.
    pub async fn run_all<T: FromRedisValue>(&self, calls: &[Call<'_>]) -> Result<Vec<T>, Failure> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        let mut commands = redis::pipe();
        for call in calls {
            commands.add_command(call.command.clone());
        }
        match self.query_all(&commands).await {
            Err(failure) if failure.is_unknown_script() => {
                let _: String = self.query(&first.script.load()).await?;
                self.query_all(&commands).await
            }
            done => done,
        }
    }

    /// The open connection; otherwise one attempt to open it, which all who wait for it share.
    async fn live(&self) -> Result<(MultiplexedConnection, u64), Failure> {
        let seen = self.attempts.load(Ordering::Acquire);
        let mut link = self.link.lock().await;
        if let Some(live) = &link.live {
            return Ok((live.clone(), self.attempts.load(Ordering::Acquire)));
        }
        if let Some((failure, next)) = &link.failed {
            if self.attempts.load(Ordering::Acquire) != seen {
                return Err(failure.clone());
            }
            sleep_until(*next).await;
        }
        let attempt = self.attempts.fetch_add(1, Ordering::AcqRel) + 1;
        // Boxed: it is rare, and would make the future of every call as large as itself.
        match Box::pin(open::open(&self.endpoint, self.timeouts, self.pushes.as_ref())).await {
            Ok(live) => {
                *link = Link { live: Some(live.clone()), ..Link::default() };
                Ok((live, attempt))
            }
            Err(failure) => {
                link.backoff = (link.backoff * 2).clamp(BACKOFF.0, BACKOFF.1);
                link.failed = Some((failure.clone(), Instant::now() + link.backoff));
                Err(failure)
            }
        }
    }

    /// Names the failure, and lets go of a connection that is of no more use, unless it was replaced meanwhile.
    async fn judge<T>(&self, answer: Result<T, RedisError>, attempt: u64) -> Result<T, Failure> {
        let failure = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => Failure::new(&self.endpoint, error),
        };
        if failure.ends_connection() {
            let mut link = self.link.lock().await;
            if self.attempts.load(Ordering::Acquire) == attempt {
                link.live = None;
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: RedisError) -> Failure {
        Failure::new(&Endpoint::parse("redis://host").unwrap(), error)
    }

    fn said(kind: ServerErrorKind, detail: &str) -> Failure {
        failure((ErrorKind::Server(kind), "the server says", detail.to_owned()).into())
    }

    #[test]
    fn a_server_that_cannot_serve_for_the_moment_is_connected_to_again() {
        let script = "Error running script (call to f_1): @user_script:3: -READONLY You can't write";
        for failure in [
            said(ServerErrorKind::BusyLoading, "loading the dataset"),
            said(ServerErrorKind::ReadOnly, "You can't write against a read only replica."),
            said(ServerErrorKind::ResponseError, script),
            failure(io::Error::from(io::ErrorKind::ConnectionReset).into()),
        ] {
            assert!(!failure.is_refusal() && failure.ends_connection(), "{failure:?}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_connection() {
        for failure in [
            said(ServerErrorKind::NoPerm, "this user has no permissions to run the 'eval' command"),
            said(ServerErrorKind::ResponseError, "wrong number of arguments"),
        ] {
            assert!(failure.is_refusal() && !failure.ends_connection(), "{failure:?}");
        }
    }

    #[test]
    fn a_failure_says_where_and_its_cause_what() {
        let failure = failure(io::Error::other("no route").into());
        assert_eq!(failure.to_string(), "the Redis server at host:6379 cannot be reached");
        let cause = std::error::Error::source(&failure).unwrap();
        assert_eq!(cause.to_string(), "no route");
        assert!(cause.source().is_none());
    }
}
