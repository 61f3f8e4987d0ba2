//! What a candidate does about the Lease. Pure.
//!
//! Whether another's lease has run out is judged by this process' own clock, from the moment when it first saw the
//! lease as it is: clocks of two nodes need not agree (as in client-go's leader election).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

/// How long a lease lasts that nobody renews.
pub const LEASE: Duration = Duration::from_secs(10);
/// Between two renewals: two of them may fail.
pub const RENEW: Duration = Duration::from_secs(3);
/// For how long a leader acts on its lease: 2 s less than it lasts, in which its last write must be over.
pub const TRUST: Duration = Duration::from_secs(8);
const _: () = assert!(TRUST.as_secs() + 2 <= LEASE.as_secs());

/// The Lease, as this process first saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The Lease; nothing, when there is none.
    pub lease: Option<Lease>,
    /// When it was first seen to be so.
    pub since: Instant,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Move {
    /// Write this Lease; only if it is still the one that was seen.
    Write(Box<Lease>),
    /// Look again then, or when it changes.
    Wait(Instant),
}

impl Seen {
    /// The Lease is this now. The same one was seen before, or it was not.
    pub fn update(&mut self, lease: Option<Lease>, now: Instant) {
        let version =
            |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        if version(&lease) != version(&self.lease) {
            self.since = now;
        }
        self.lease = lease;
    }

    fn spec(&self) -> Option<&LeaseSpec> {
        self.lease.as_ref()?.spec.as_ref()
    }

    /// Who holds it; nobody, when it was given back.
    pub fn holder(&self) -> Option<&str> {
        self.spec()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    fn ends(&self) -> Instant {
        let seconds = self.spec().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        self.since + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }
}

/// What `me` does. `now` and `wall` are the same moment.
pub fn decide(seen: &Seen, name: &str, me: &str, now: Instant, wall: Timestamp) -> Move {
    match seen.holder() {
        Some(holder) if holder == me => {
            let due = seen.since + RENEW;
            if now >= due { write(seen, name, me, wall) } else { Move::Wait(due) }
        }
        Some(_) if now < seen.ends() => Move::Wait(seen.ends()),
        Some(_) | None => write(seen, name, me, wall),
    }
}

fn write(seen: &Seen, name: &str, me: &str, wall: Timestamp) -> Move {
    let old = seen.spec().cloned().unwrap_or_default();
    let mine = seen.holder() == Some(me);
    let transitions = old.lease_transitions.unwrap_or_default() + i32::from(!mine && seen.lease.is_some());
    let spec = LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
        acquire_time: if mine { old.acquire_time.clone() } else { Some(MicroTime(wall)) },
        renew_time: Some(MicroTime(wall)),
        lease_transitions: Some(transitions),
        ..old
    };
    Move::Write(Box::new(with_spec(seen, name, spec)))
}

/// The Lease, given back: the next candidate need not wait for its end.
pub fn released(seen: &Seen, name: &str, wall: Timestamp) -> Lease {
    let old = seen.spec().cloned().unwrap_or_default();
    let spec = LeaseSpec {
        holder_identity: None,
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(wall)),
        ..old
    };
    with_spec(seen, name, spec)
}

/// With the version that was seen, so that the API server refuses it when another candidate was first.
fn with_spec(seen: &Seen, name: &str, spec: LeaseSpec) -> Lease {
    let new = || ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let metadata = seen.lease.as_ref().map_or_else(new, |lease| lease.metadata.clone());
    Lease { metadata, spec: Some(spec) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall() -> Timestamp {
        Timestamp::from_second(1000).unwrap()
    }

    fn seen_now(lease: Option<Lease>, version: &str) -> Seen {
        let lease = lease.map(|mut lease| {
            lease.metadata.resource_version = Some(version.to_owned());
            lease
        });
        Seen { lease, since: Instant::now() }
    }

    fn written(step: Move) -> Lease {
        match step {
            Move::Write(lease) => *lease,
            Move::Wait(until) => panic!("waits until {until:?}"),
        }
    }

    fn held_by(me: &str) -> Lease {
        let none = seen_now(None, "");
        written(decide(&none, "operator", me, none.since, wall()))
    }

    #[test]
    fn nobodys_lease_is_taken_at_once() {
        let lease = held_by("a");
        assert_eq!(lease.metadata.name.as_deref(), Some("operator"));
        let spec = lease.spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some("a"));
        assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(10), Some(0)));
    }

    #[test]
    fn anothers_lease_is_taken_only_after_it_stood_still_for_its_whole_length() {
        let mut seen = seen_now(Some(held_by("b")), "1");
        let ends = seen.since + LEASE;
        assert_eq!(decide(&seen, "operator", "a", seen.since, wall()), Move::Wait(ends));
        // A renewal starts it anew.
        let renewed = seen_now(seen.lease.clone(), "2").lease;
        seen.update(renewed, ends);
        assert_eq!(decide(&seen, "operator", "a", ends, wall()), Move::Wait(ends + LEASE));
        // Seeing the same again does not.
        seen.update(seen.lease.clone(), ends + LEASE);
        let lease = written(decide(&seen, "operator", "a", ends + LEASE, wall()));
        assert_eq!(lease.metadata.resource_version.as_deref(), Some("2"));
        assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
    }

    #[test]
    fn the_holder_renews_in_time_and_keeps_when_it_began() {
        let seen = seen_now(Some(held_by("a")), "1");
        let due = seen.since + RENEW;
        assert_eq!(decide(&seen, "operator", "a", seen.since, wall()), Move::Wait(due));
        let later = Timestamp::from_second(1003).unwrap();
        let spec = written(decide(&seen, "operator", "a", due, later)).spec.unwrap();
        assert_eq!((spec.acquire_time, spec.renew_time), (Some(MicroTime(wall())), Some(MicroTime(later))));
        assert_eq!(spec.lease_transitions, Some(0));
    }

    #[test]
    fn a_lease_that_was_given_back_is_taken_at_once() {
        let held = seen_now(Some(held_by("b")), "1");
        let free = seen_now(Some(released(&held, "operator", wall())), "2");
        let spec = written(decide(&free, "operator", "a", free.since, wall())).spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some("a"));
    }
}
