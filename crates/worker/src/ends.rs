//! The worker's side of an ending: hands over what was settled, and goes on with the answers.

use jiff::Timestamp;
use petiole_broker::{Disposition, Settled, Settlement, Tag};

use crate::commit::Committed;
use crate::outcome::Outcome;
use crate::run::{Ended, Progress};
use crate::settle::{Complete, Joined, Next, Step};
use crate::worker::Worker;

impl Worker {
    pub(crate) fn ended(&mut self, ended: Ended, wall: Timestamp) {
        let message = &ended.work.message;
        let took = ended.took.unwrap_or_default().as_secs_f64();
        if let Outcome::Success(_) = ended.outcome {
            tracing::debug!(id = message.id, task = message.task, took, "succeeded");
        } else {
            tracing::info!(id = message.id, task = message.task, took, "{}", ended.outcome.name());
        }
        let name = self.admit.label(&message.task);
        self.metrics.tasks.with_label_values(&[name, ended.outcome.name()]).inc();
        if let Some(took) = ended.took {
            self.metrics.runtime.with_label_values(&[name]).observe(took.as_secs_f64());
        }
        let (id, took) = (message.id.clone(), ended.took);
        if let Some(took) = took {
            self.tally.ended(took);
            self.control.count(&message.task);
        }
        let (step, verdict) = self.settle.ended(ended, wall);
        self.control.events.ended(&id, &verdict, took, wall);
        self.step(step);
    }

    pub(crate) fn progress(&mut self, progress: &Progress) {
        match self.settle.progress(progress) {
            Ok(Some(settlement)) => self.settle(settlement),
            Ok(None) => {}
            Err(why) => {
                let message = &progress.work.message;
                tracing::warn!(
                    id = message.id,
                    task = message.task,
                    why,
                    "a task's progress is not recorded"
                );
            }
        }
    }

    pub(crate) fn settle(&mut self, settlement: Settlement) {
        self.step(settlement.into());
    }

    pub(crate) fn step(&mut self, Step { settlement, ending, own }: Step) {
        let Some(session) = &self.session else { return };
        let tag = settlement.tag;
        if settlement.disposition == Disposition::Acked {
            self.unfenced.insert(tag);
        }
        if let Some(ending) = ending {
            self.endings.insert(tag, ending);
        }
        if own { session.commit_own(settlement) } else { session.commit(settlement) }
    }

    pub(crate) fn committed(&mut self, committed: Committed) {
        let Committed { released, lost, open } = committed;
        if !lost.is_empty() {
            tracing::warn!(count = lost.len(), "messages had gone to another worker: nothing was written");
            let count = u64::try_from(lost.len()).unwrap_or(u64::MAX);
            self.metrics.lost.with_label_values::<&str>(&[]).inc_by(count);
        }
        if let Some(session) = &self.session {
            session.holding.remove(released.iter().chain(&lost).copied());
        }
        if self.endings.is_empty() && self.unfenced.is_empty() {
            return;
        }
        for tag in lost {
            self.answered(tag, Settled::Lost);
        }
        for tag in released {
            self.answered(tag, Settled::Done);
        }
        for (tag, settled) in open {
            self.answered(tag, settled);
        }
    }

    fn answered(&mut self, tag: Tag, settled: Settled) {
        let next = match self.endings.remove(&tag) {
            Some(ending) => self.settle.answered(ending, settled, Timestamp::now()),
            None => Next::Over,
        };
        self.go_on(tag, next);
    }

    pub(crate) fn joined(&mut self, tag: Tag, complete: Complete, joined: &Joined) {
        // It is gone when the lease was lost meanwhile.
        let Some(ending) = self.endings.remove(&tag) else { return };
        let next = self.settle.joined(ending, complete, joined, Timestamp::now());
        self.go_on(tag, next);
    }

    fn go_on(&mut self, tag: Tag, next: Next) {
        match next {
            Next::Step(step) => self.step(*step),
            Next::Join(ending, complete) => {
                self.endings.insert(tag, ending);
                if let Some(session) = &self.session {
                    session.join(tag, complete);
                }
            }
            Next::Over => {
                self.unfenced.remove(&tag);
            }
        }
    }
}
