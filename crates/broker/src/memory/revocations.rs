//! Revoked tasks on the broker in memory.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;

use super::{MemoryBroker, milliseconds};
use crate::{BrokerError, MOST_REVOKED, REVOKED_FOR, ReadUntil, Revocations, Revoked};

/// What is revoked, until when. Pure: it takes `now`, in milliseconds.
#[derive(Debug)]
pub(super) struct Kept<T> {
    until: HashMap<T, i64>,
    order: BTreeSet<(i64, T)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { until: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<T: Clone + Ord + std::hash::Hash> Kept<T> {
    fn add(&mut self, revoked: T, now: i64) {
        let until = now + milliseconds(REVOKED_FOR);
        if let Some(before) = self.until.insert(revoked.clone(), until) {
            self.order.remove(&(before, revoked.clone()));
        }
        self.order.insert((until, revoked));
        while self.order.len() > MOST_REVOKED || self.order.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.until.remove(&oldest);
        }
    }

    fn since(&self, since: Option<ReadUntil>, now: i64) -> Vec<T> {
        let from = since.map_or(0, |ReadUntil(time)| time + milliseconds(REVOKED_FOR)).max(now + 1);
        let kept = self.order.iter().filter(|(until, _)| *until >= from);
        kept.map(|(_, revoked)| revoked.clone()).collect()
    }
}

#[async_trait]
impl Revocations for MemoryBroker {
    async fn revoke(&self, ids: &[String]) -> Result<(), BrokerError> {
        self.change("revoke tasks", |state, now| {
            ids.iter().cloned().for_each(|id| state.revoked.add(id, now));
        })
    }

    async fn revoke_stamped(&self, header: &str, values: &[String]) -> Result<(), BrokerError> {
        self.change("revoke tasks", |state, now| {
            for value in values {
                state.revoked_stamps.add((header.to_owned(), value.clone()), now);
            }
        })
    }

    async fn load(&self, since: Option<ReadUntil>) -> Result<Revoked, BrokerError> {
        self.change("read what is revoked", |state, now| Revoked {
            ids: state.revoked.since(since, now),
            stamps: state.revoked_stamps.since(since, now),
            until: ReadUntil(now),
        })
    }
}
