//! What is known of one of Celery's own workers. Pure.

use jiff::{SignedDuration, Timestamp};
use petiole_broker::{Load, Wish};
use petiole_protocol::control::Answer;
use petiole_protocol::event::Heard;

/// The commands whose answers count.
pub(super) const ACTIVE: &str = "active";
pub(super) const RESERVED: &str = "reserved";
pub(super) const SCHEDULED: &str = "scheduled";
pub(super) const ACTIVE_QUEUES: &str = "active_queues";

/// A worker, by what it says of itself.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// When it was heard last.
    pub(super) heard: Option<Timestamp>,
    /// Since when it owes an answer.
    pub(super) owes: Option<Timestamp>,
    /// Tasks that wait in it for their time.
    pub(super) scheduled: u64,
    /// Tasks that wait in it for a free process.
    reserved: u64,
    /// Whether it takes from queues of its pool; nothing, before it has said so.
    consumes: Option<bool>,
    /// Since when it does not.
    drains: Option<Timestamp>,
    /// When it has said last what runs in it.
    inspected: Option<Timestamp>,
    /// When the tasks that run have started, in seconds since 1970.
    started: Vec<f64>,
    beat: Option<Beat>,
    /// What earlier lives of it have done, and how long its tasks have run.
    before: u64,
    busy_ms: u64,
    ended_ms: u64,
}

/// A message that was under way to a worker when it was told to take no more has come by then.
const UNDER_WAY: SignedDuration = SignedDuration::from_secs(2);

/// A heartbeat.
#[derive(Debug, Clone, Copy)]
struct Beat {
    at: Timestamp,
    /// Tasks that run.
    active: u64,
    /// Tasks that have begun, since it has started.
    begun: u64,
}

impl Node {
    /// Takes an event.
    pub(super) fn hear(&mut self, event: &Heard, now: Timestamp) {
        self.speaks(now);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast to an integer saturates"
        )]
        let count = |field: &str| event.number(field).map(|number| number as u64);
        // A heartbeat that somebody has asked for does not count tasks.
        let (Some(active), Some(begun)) = (count("active"), count("processed")) else { return };
        if let Some(last) = self.beat {
            if begun < last.begun {
                // Another life of it: its container has started again.
                self.before += last.begun.saturating_sub(last.active);
                (self.reserved, self.scheduled, self.consumes, self.drains) = (0, 0, None, None);
                self.started.clear();
            } else {
                let since = u64::try_from(now.duration_since(last.at).as_millis()).unwrap_or_default();
                self.busy_ms += last.active * since;
            }
        }
        self.beat = Some(Beat { at: now, active, begun });
        if active == 0 {
            self.started.clear();
        }
        self.ended_ms = self.ended_ms.max(self.busy_ms.saturating_sub(self.running_ms(now)));
    }

    /// Takes an answer to what was asked. `queues` are those of its pool.
    pub(super) fn answer(&mut self, method: &str, answer: &Answer, queues: &[String], now: Timestamp) {
        self.speaks(now);
        match method {
            ACTIVE => {
                let Some(started) = answer.started() else { return };
                if let Some(beat) = &mut self.beat {
                    beat.active = started.len() as u64;
                }
                (self.started, self.inspected) = (started, Some(now));
            }
            RESERVED => self.reserved = answer.count().map_or(self.reserved, |count| count as u64),
            SCHEDULED => self.scheduled = answer.count().map_or(self.scheduled, |count| count as u64),
            ACTIVE_QUEUES => {
                let Some(taken) = answer.queues() else { return };
                let consumes = queues.iter().any(|queue| taken.contains(queue));
                self.consumes = Some(consumes);
                self.drains = if consumes { None } else { self.drains.or(Some(now)) };
            }
            _ => {}
        }
    }

    /// Whether it has to be told to take from its pool's queues, or to take from none.
    pub(super) fn is_to_be_told(&self, wish: Wish) -> bool {
        self.consumes.is_some_and(|consumes| consumes != (wish == Wish::Work))
    }

    /// Whether it takes no more, and what it holds is known since.
    fn is_draining(&self) -> bool {
        let known = |since: Timestamp| self.inspected.is_some_and(|at| at.duration_since(since) >= UNDER_WAY);
        self.drains.is_some_and(known)
    }

    fn speaks(&mut self, now: Timestamp) {
        self.heard = Some(now);
        self.owes = None;
    }

    /// How long the tasks that run have run so far, by what it said when it was asked.
    fn running_ms(&self, now: Timestamp) -> u64 {
        let now = now.as_duration().as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast to an integer saturates"
        )]
        self.started.iter().map(|started| ((now - started) * 1000.0) as u64).sum()
    }

    /// What it has to do; nothing, before it has said so. How long its tasks ran is what they were seen to run at its
    /// heartbeats: of short ones a part, which is as often seen as it is not.
    pub(super) fn load(&self, now: Timestamp) -> Option<Load> {
        let Beat { active, begun, .. } = self.beat?;
        Some(Load {
            ended: self.before + begun.saturating_sub(active),
            ended_ms: self.ended_ms,
            running: active,
            running_ms: self.running_ms(now),
            held: active + self.reserved,
            draining: self.is_draining(),
        })
    }
}
