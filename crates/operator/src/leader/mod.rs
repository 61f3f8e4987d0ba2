//! Leader election: of all replicas one writes.
//!
//! A Lease says which; [`election`] decides what to do about it, this file does it. Each write names the version
//! that it replaces, so two candidates cannot both succeed. A leader trusts its lease only until shortly before its
//! end by its own clock, whatever it hears or does not hear from the API server.

pub mod election;

use std::future::Future;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use petiole_process::log::Chain;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::election::{LEASE, Move, Seen, TRUST, decide, released};
use crate::cluster::ApiError;

/// How long a write of the Lease may take: a later answer is of no use.
const WRITE: Duration = Duration::from_secs(3);
/// After a write that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Whether this process leads. Clones share one answer.
#[derive(Debug, Clone)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    /// Whether it leads at this moment.
    pub fn leads(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Returns each time that this process has become the leader.
    pub fn gained(&self) -> impl Stream<Item = ()> + Send + 'static {
        let changes = self.0.clone();
        futures_util::stream::unfold((changes, false), |(mut changes, mut led)| async move {
            loop {
                let leads = changes.borrow_and_update().is_some_and(|until| Instant::now() < until);
                let gained = leads && !led;
                led = leads;
                if gained {
                    return Some(((), (changes, led)));
                }
                changes.changed().await.ok()?;
            }
        })
    }

    /// For tests: leads for ever.
    #[cfg(test)]
    pub(crate) fn always() -> Self {
        Self::lasts(Duration::from_hours(24 * 365))
    }

    /// For tests: leads for this time.
    #[cfg(test)]
    pub(crate) fn lasts(time: Duration) -> Self {
        Self(watch::channel(Some(Instant::now() + time)).1)
    }

    /// For tests: never leads.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self(watch::channel(None).1)
    }
}

/// A candidate.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    me: String,
    until: watch::Sender<Option<Instant>>,
}

impl Candidate {
    /// A candidate for the Lease `name`. `me` is its name, another one for each process.
    pub fn new(api: Api<Lease>, name: impl Into<String>, me: impl Into<String>) -> (Self, Leadership) {
        let (until, leadership) = watch::channel(None);
        (Self { api, name: name.into(), me: me.into(), until }, Leadership(leadership))
    }

    /// Stands for election until `stop`. Then it gives the Lease back, if `done` says that the last write is over;
    /// otherwise the Lease runs out.
    pub async fn run(self, stop: CancellationToken, done: impl Future<Output = bool>) {
        let events = watcher::watch_object(self.api.clone(), &self.name).default_backoff();
        let mut events = Box::pin(events);
        let mut seen = Seen { lease: None, since: Instant::now() };
        // Nobody knows yet whether there is a Lease: wait for the first answer.
        let mut look_at = Instant::now() + LEASE;
        let mut known = false;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep_until(look_at), if known => {}
                event = events.next() => match event {
                    Some(Ok(lease)) => {
                        known = true;
                        seen.update(lease, Instant::now());
                    }
                    Some(Err(error)) => tracing::warn!(error = %Chain(&error), "failed to watch the Lease"),
                    None => known = true,
                },
            }
            if known && !stop.is_cancelled() {
                look_at = self.step(&mut seen).await;
            }
        }
        if done.await {
            self.release(&seen).await;
        } else {
            tracing::warn!(
                lease = self.name,
                "something is still being written: the Lease is kept until it runs out"
            );
        }
    }

    /// Does what is to be done now, and says when to look again.
    async fn step(&self, seen: &mut Seen) -> Instant {
        let now = Instant::now();
        if self.until.borrow().is_some_and(|until| until <= now) {
            tracing::error!(lease = self.name, "the Lease could not be renewed in time: leads no more");
            self.set(None);
        }
        match decide(seen, &self.name, &self.me, now, Timestamp::now()) {
            Move::Wait(until) => {
                if seen.holder() != Some(self.me.as_str()) {
                    self.set(None);
                }
                until
            }
            Move::Write(lease) => match self.write(seen, &lease).await {
                Ok(written) => {
                    let led = seen.holder() == Some(self.me.as_str());
                    seen.update(Some(written), now);
                    // From before the write: the lease may have begun at any moment since.
                    self.set(Some(now + TRUST));
                    if !led {
                        tracing::info!(lease = self.name, me = self.me, "leads");
                    }
                    now + election::RENEW
                }
                Err(ApiError::Refused(status)) if status.is_conflict() || status.is_already_exists() => {
                    tracing::debug!(lease = self.name, "another replica was first");
                    now + RETRY
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "failed to write the Lease");
                    now + RETRY
                }
            },
        }
    }

    async fn write(&self, seen: &Seen, lease: &Lease) -> Result<Lease, ApiError> {
        let params = PostParams::default();
        let written = timeout(WRITE, async {
            match seen.lease {
                Some(_) => self.api.replace(&self.name, &params, lease).await,
                None => self.api.create(&params, lease).await,
            }
        });
        match written.await {
            Ok(answer) => answer.map_err(ApiError::from),
            Err(_) => Err(ApiError::no_answer(WRITE)),
        }
    }

    async fn release(&self, seen: &Seen) {
        let held = self.until.borrow().is_some_and(|until| Instant::now() < until);
        self.set(None);
        if held {
            match self.write(seen, &released(seen, &self.name, Timestamp::now())).await {
                Ok(_) => tracing::info!(lease = self.name, "the Lease is given back"),
                Err(error) => tracing::warn!(error = %Chain(&error), "failed to give the Lease back"),
            }
        }
    }

    fn set(&self, until: Option<Instant>) {
        self.until.send_if_modified(|current| {
            let changed = *current != until;
            *current = until;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::api_server::ApiServer;

    fn candidate(server: &ApiServer, me: &str) -> (Candidate, Leadership) {
        Candidate::new(Api::namespaced(server.client(), "photos"), "operator", me)
    }

    fn nothing() -> Seen {
        Seen { lease: None, since: Instant::now() }
    }

    fn holder(server: &ApiServer) -> Option<String> {
        let lease = server.get("/apis/coordination.k8s.io/v1/namespaces/photos/leases/operator")?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_candidates_one_leads() {
        let server = ApiServer::default();
        let ((one, leads_one), (other, leads_other)) = (candidate(&server, "a"), candidate(&server, "b"));
        one.step(&mut nothing()).await;
        other.step(&mut nothing()).await;
        assert!(leads_one.leads() && !leads_other.leads());
        assert_eq!(holder(&server).as_deref(), Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_cannot_renew_stops_leading_before_its_lease_ends() {
        let server = ApiServer::default();
        let (candidate, leadership) = candidate(&server, "a");
        let mut seen = nothing();
        candidate.step(&mut seen).await;
        server.refuse("leases", http::StatusCode::SERVICE_UNAVAILABLE, "away");
        tokio::time::advance(TRUST).await;
        assert!(!leadership.leads());
        candidate.step(&mut seen).await;
        assert_eq!(*candidate.until.borrow(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_stops_gives_its_lease_back() {
        let server = ApiServer::default();
        let (candidate, leadership) = candidate(&server, "a");
        let mut seen = nothing();
        candidate.step(&mut seen).await;
        candidate.release(&seen).await;
        assert!(!leadership.leads());
        assert_eq!(holder(&server), None);
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_that_was_lost_and_won_again_is_told_again() {
        let server = ApiServer::default();
        let (candidate, leadership) = candidate(&server, "a");
        let mut gained = Box::pin(leadership.gained());
        let mut seen = nothing();
        candidate.step(&mut seen).await;
        assert_eq!(gained.next().await, Some(()));
        candidate.set(None);
        assert!(futures_util::poll!(gained.next()).is_pending());
        tokio::time::advance(election::RENEW).await;
        candidate.step(&mut seen).await;
        assert_eq!(gained.next().await, Some(()));
    }
}
