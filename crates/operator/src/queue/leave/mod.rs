//! A `TaskQueue` has gone: what we have parked of it goes back to Celery's lists, so that nothing stays that only we
//! know of.
//!
//! ```text
//!   the object is there no more ──sampler.leave──> put back, again and again ──> back in the lists
//!                                                          └── not within BOUND ──> left, and said
//! ```
//!
//! Nothing holds up the deletion for it: a finalizer would keep a namespace that is deleted with its operator for ever.
//! What is to be done is in the leader's memory only; when that ends, the messages stay parked, and are not lost.
//! [`gone`] sees which queues have gone; this file gives their messages back.

mod gone;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::Event;
use petiole_api::conditions::reasons;
use petiole_process::log::Chain;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::gone::{Gone, Queues};
use super::{Context, Guarded, object_ref};
use crate::sampler::left::Left;

/// For so long it is tried: a broker that starts again is back by then, and workers that were deleted with their queue
/// have stopped taking from it. A broker that is gone for good must not be asked for ever.
const BOUND: Duration = Duration::from_mins(5);
/// Between two attempts, at first ...
const SOONEST: Duration = Duration::from_secs(1);
/// ... and at most.
const LATEST: Duration = Duration::from_secs(30);

/// Looks at `TaskQueue`s as they come by. `events` are those of a watch, from its beginning, and `store` is what it
/// fills. Ends when they have ended, and all that was to be given back by them is.
pub async fn run(
    mut events: mpsc::UnboundedReceiver<Event<Guarded>>,
    store: Store<Guarded>,
    context: Arc<Context>,
) {
    let (mut queues, mut at_work) = (Queues::default(), JoinSet::new());
    while let Some(event) = events.recv().await {
        for gone in queues.see(event) {
            // What the sampler asks then, it asks for the new one.
            if is_made_anew(&gone, &store) {
                continue;
            }
            let left = context.sampler.leave(&gone.key);
            if context.cluster.leads() {
                at_work.spawn(leave(gone, left, store.clone(), context.clone()));
            }
        }
        while at_work.try_join_next().is_some() {}
    }
    while at_work.join_next().await.is_some() {}
}

/// Whether another object has the name now.
fn is_made_anew(gone: &Gone, store: &Store<Guarded>) -> bool {
    store.get(&object_ref(&gone.key)).is_some_and(|there| there.uid() != gone.about.uid)
}

async fn leave(gone: Gone, left: Option<Left>, store: Store<Guarded>, context: Arc<Context>) {
    let mut parked = gone.parked;
    let why = match left {
        Some(left) => {
            parked |= left.parked();
            match give_back(&gone, &left, &mut parked, &store, &context).await {
                Ok(()) => return,
                Err(why) => why,
            }
        }
        None => "the operator had no address of its broker any more".to_owned(),
    };
    if !parked {
        return;
    }
    let note = format!(
        "the TaskQueue was deleted, and messages that wait for their time are left in the broker's key {}: {why}. Create a \
         TaskQueue for the same queue: it takes them over",
        gone.parked_key
    );
    tracing::warn!(namespace = gone.key.namespace, queue = gone.key.name, note, "parked messages are left");
    context.cluster.tell(&gone.about, reasons::PARKED_MESSAGES_LEFT, false, &note).await;
}

/// Puts the messages back until none can be parked again, or there is nothing to do any more; or says why that was not
/// so within [`BOUND`]. `parked` is whether some were there when the broker was last heard.
async fn give_back(
    gone: &Gone,
    left: &Left,
    parked: &mut bool,
    store: &Store<Guarded>,
    context: &Context,
) -> Result<(), String> {
    let (namespace, queue) = (&gone.key.namespace, &gone.key.name);
    let since = Instant::now();
    loop {
        if !context.cluster.leads() {
            tracing::info!(namespace, queue, "this replica leads no more: what is parked stays");
            return Ok(());
        }
        if is_made_anew(gone, store) {
            tracing::info!(namespace, queue, "the TaskQueue was made anew: what is parked stays");
            return Ok(());
        }
        if let Some(twin) = context.sampler.twin(left) {
            let twin = format!("{}/{}", twin.namespace, twin.name);
            tracing::info!(
                namespace,
                queue,
                twin,
                "another TaskQueue is the same queue: what is parked stays"
            );
            return Ok(());
        }
        let why = match left.unpark().await {
            Err(error) => Chain(&error).to_string(),
            Ok((returned, depth)) => {
                if returned > 0 {
                    tracing::info!(
                        namespace,
                        queue,
                        returned,
                        "the TaskQueue has gone: its parked messages are back"
                    );
                }
                *parked = returned > 0 || depth.scheduled > 0;
                match (depth.consumers, depth.scheduled) {
                    (0, 0) => return Ok(()),
                    (0, some) => format!("{some} of them came while they were put back"),
                    (workers, _) => {
                        format!(
                            "{workers} of Petiole's workers still take from the queue, and park them again"
                        )
                    }
                }
            }
        };
        let passed = since.elapsed();
        if passed >= BOUND {
            return Err(why);
        }
        let next = wait(passed);
        tracing::debug!(namespace, queue, why, ?next, "parked messages may be left; it is tried again");
        sleep(next).await;
    }
}

/// Half as long as it took until now.
fn wait(passed: Duration) -> Duration {
    (passed / 2).clamp(SOONEST, LATEST).min(BOUND.saturating_sub(passed).max(SOONEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_less_often_and_the_last_one_at_the_bound() {
        let (mut passed, mut attempts) = (Duration::ZERO, 0);
        while passed < BOUND {
            let wait = wait(passed);
            assert!(wait >= SOONEST && wait <= LATEST, "{wait:?}");
            passed += wait;
            attempts += 1;
        }
        assert!(passed < BOUND + SOONEST, "{passed:?}");
        assert!((10..30).contains(&attempts), "{attempts}");
    }
}
