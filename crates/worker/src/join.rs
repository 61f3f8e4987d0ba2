//! Reads what a chord's header came to, once all of its tasks have ended; or whether they have, where nobody counts them.

use std::time::Duration;

use petiole_process::log::Chain;
use petiole_protocol::canvas::builtin::{Decision, Unlock};
use petiole_protocol::canvas::{ChordFailure, SavedGroup, Unready, values};
use petiole_protocol::record::Exception;
use petiole_results::chord::{CLAIM, ChordClaim};
use petiole_results::{Store, StoreError};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::settle::Joined;

/// How long is waited for the documents of a header's tasks: Celery's `result_chord_join_timeout`. All have ended, so
/// that one whose document is missing has had it taken away.
const PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks for them.
const LOOK: Duration = Duration::from_millis(100);

/// The first and the longest wait after the store has failed.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Reads the values of the chord's header. Tries until the store answers: the message of the part that completed the
/// chord is held meanwhile.
pub async fn join(store: &dyn Store, claim: &ChordClaim) -> Joined {
    let mut backoff = Backoff::new(RETRY);
    loop {
        match try_to_join(store, claim).await {
            Ok(joined) => return joined,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), group = claim.group, "a chord's parts cannot be read; trying again");
            }
        }
        backoff.pause().await;
    }
}

/// Looks at the header of a chord that nobody counts. A store that does not answer is looked at again later.
pub async fn look(store: &dyn Store, unlock: &Unlock) -> Decision {
    let ids: Vec<String> = unlock.header.ids().into_iter().map(str::to_owned).collect();
    match store.load_many(&ids).await {
        Ok(documents) => unlock.decide(|id| {
            let at = ids.iter().position(|known| known == id)?;
            documents.get(at)?.as_deref()
        }),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), group = unlock.group, "a chord's header cannot be read; trying again");
            Decision::Again
        }
    }
}

async fn try_to_join(store: &dyn Store, claim: &ChordClaim) -> Result<Joined, StoreError> {
    let until = Instant::now() + PATIENCE;
    let parts = store.chord_parts(&claim.group).await?;
    let Some(saved) = parts.saved.as_deref().and_then(SavedGroup::read) else {
        let members = parts.members.iter().map(String::as_str);
        return Ok(match values(members) {
            Ok(values) => Joined::Values(values.into_iter().map(str::to_owned).collect()),
            Err(failure) => Joined::Failed(failure),
        });
    };
    let ids: Vec<String> = saved.ids().into_iter().map(str::to_owned).collect();
    loop {
        let documents = store.load_many(&ids).await?;
        let document = |id: &str| {
            let at = ids.iter().position(|known| known == id)?;
            documents.get(at)?.as_deref()
        };
        match saved.values(document) {
            Ok(values) => return Ok(Joined::Values(values)),
            Err(Unready::Failed(failure)) => return Ok(Joined::Failed(failure)),
            Err(Unready::Waiting(missing)) if Instant::now() >= until => {
                let why = format!("the results of {} are gone", missing.join(", "));
                let failure = ChordFailure::join(&Exception::new("celery.exceptions", "TimeoutError", &why));
                return Ok(Joined::Failed(Box::new(failure)));
            }
            Err(Unready::Waiting(_)) => {}
        }
        if !store.chord_extend(claim, CLAIM).await? {
            return Ok(Joined::ClaimLost);
        }
        sleep(LOOK).await;
    }
}
