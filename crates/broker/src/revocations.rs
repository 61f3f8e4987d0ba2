//! Revoked tasks, kept on the broker: Celery's workers forget them when they restart, ours ask.

use std::time::Duration;

use async_trait::async_trait;

use crate::BrokerError;

/// How many revoked ids are kept, the newest; and as many stamps. Celery's bound.
pub const MOST_REVOKED: usize = 50_000;

/// How long each is kept: Celery's three hours.
pub const REVOKED_FOR: Duration = Duration::from_hours(3);

/// Up to when revocations were read, by the broker's clock in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadUntil(pub(crate) i64);

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Tasks, by their ids, the oldest revocation first.
    pub ids: Vec<String>,
    /// Tasks that have a stamp: the header that holds it, and its value. The oldest first.
    pub stamps: Vec<(String, String)>,
    /// With which [`Revocations::load`] reads what comes later.
    pub until: ReadUntil,
}

/// The revoked tasks of a broker, known to all workers, also to those that start later. A revocation is kept for
/// [`REVOKED_FOR`] by the broker's clock; of more than [`MOST_REVOKED`] the oldest go first.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Revokes tasks. One that is revoked again is kept from now on.
    async fn revoke(&self, ids: &[String]) -> Result<(), BrokerError>;
    /// Revokes the tasks that have one of these values in this stamped header.
    async fn revoke_stamped(&self, header: &str, values: &[String]) -> Result<(), BrokerError>;
    /// What is revoked: all of it, at the start; with `since`, what was revoked since that reading, and maybe some
    /// that it had. That is cheap enough to be asked every second.
    async fn load(&self, since: Option<ReadUntil>) -> Result<Revoked, BrokerError>;
}
