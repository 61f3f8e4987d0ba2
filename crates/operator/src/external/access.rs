//! Whether who asks may know: the API server says, and its word counts for some seconds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::api::Calls;
use super::caller::Caller;
use crate::cluster::ClusterError;

/// So long an answer counts: as with Kubernetes' own servers of such APIs.
const AGE: Duration = Duration::from_secs(10);
/// So many answers are kept. One is some hundred bytes; a cluster has a few who ask.
const MOST: usize = 1024;

/// What is asked for: a metric of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Who asks.
    pub caller: Caller,
    /// In which namespace.
    pub namespace: String,
    /// For which metric.
    pub metric: String,
}

/// The answers of the API server.
#[derive(Default)]
pub struct Access(Mutex<HashMap<Asked, (Instant, bool)>>);

impl Access {
    /// Whether it may.
    pub async fn allows(&self, calls: &Calls, asked: Asked) -> Result<bool, ClusterError> {
        if let Some(known) = self.known(&asked) {
            return Ok(known);
        }
        let allowed = calls.may(&asked).await?;
        self.keep(asked, allowed);
        Ok(allowed)
    }

    fn known(&self, asked: &Asked) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(asked).filter(|(at, _)| at.elapsed() < AGE).map(|(_, allowed)| *allowed)
    }

    fn keep(&self, asked: Asked, allowed: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (at, _)| at.elapsed() < AGE);
        }
        // Still too many: whoever asks in so many names is answered more slowly.
        if known.len() < MOST {
            known.insert(asked, (Instant::now(), allowed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(user: usize) -> Asked {
        Asked {
            caller: Caller { user: user.to_string(), ..Caller::default() },
            namespace: "photos".to_owned(),
            metric: "petiole_pool_work".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_seconds_and_not_for_others() {
        let access = Access::default();
        access.keep(asked(1), true);
        access.keep(asked(2), false);
        assert_eq!((access.known(&asked(1)), access.known(&asked(2))), (Some(true), Some(false)));
        assert_eq!(access.known(&asked(3)), None);
        tokio::time::advance(AGE).await;
        assert_eq!(access.known(&asked(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_answers_are_kept_than_there_is_room_for() {
        let access = Access::default();
        (0..2 * MOST).for_each(|user| access.keep(asked(user), true));
        assert_eq!(access.0.lock().unwrap().len(), MOST);
        tokio::time::advance(AGE).await;
        access.keep(asked(0), true);
        assert_eq!(access.0.lock().unwrap().len(), 1);
    }
}
