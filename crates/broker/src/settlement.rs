//! What a worker has written when a task has ended, and what the broker answers.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use petiole_protocol::message::NewBody;
use petiole_results::Record;
use petiole_results::chord::{ChordClaim, ChordPart, ChordStart};

use crate::Tag;

/// What becomes of a held message, and what is written with that: all of it or nothing.
///
/// In the order of the fields, which is Celery's: what is sent stands in its queue before the result can be seen,
/// and the message is given up last. `starts`, `records`, `chord` and `finish` are only for a consumer whose
/// [`stores_results`](crate::Consumer::stores_results) says so; otherwise the caller does what they ask on the
/// store.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// Which delivery.
    pub tag: Tag,
    /// Chords that begin, before any of their tasks is sent.
    pub starts: Vec<ChordStart>,
    /// Messages of follow-ups: callbacks, the next steps of chains, headers and bodies of chords.
    pub sends: Vec<Outgoing>,
    /// The task's own record, and those of tasks that will never run because of it.
    pub records: Vec<Record>,
    /// The part of a chord that the task was. When it completes the chord, the message stays held whatever its
    /// disposition: see [`Settled::ChordComplete`].
    pub chord: Option<ChordPart>,
    /// The chord whose body is among `sends`, or was given up: nothing of this settlement is written when the claim
    /// is another's, and with it the chord has ended.
    pub finish: Option<ChordClaim>,
    /// What becomes of the message.
    pub disposition: Disposition,
}

impl Settlement {
    /// A settlement that writes nothing.
    pub fn new(tag: Tag, disposition: Disposition) -> Self {
        Self {
            tag,
            starts: Vec::new(),
            sends: Vec::new(),
            records: Vec::new(),
            chord: None,
            finish: None,
            disposition,
        }
    }

    /// The same, with these records too.
    #[must_use]
    pub fn with_records(mut self, records: impl IntoIterator<Item = Record>) -> Self {
        self.records.extend(records);
        self
    }

    /// A mark for what may be done once only, where the message may stay held and so cannot tell whether it was: the
    /// same settlement has the same mark, another one of this delivery has another.
    pub(crate) fn mark(&self) -> Option<u64> {
        let stays =
            matches!(self.disposition, Disposition::Keep | Disposition::Acked) || self.chord.is_some();
        let repeats = !self.starts.is_empty() || !self.sends.is_empty() || self.finish.is_some();
        (stays && repeats).then(|| {
            let mut hasher = DefaultHasher::new();
            for start in &self.starts {
                start.group.hash(&mut hasher);
            }
            for send in &self.sends {
                send.message.hash(&mut hasher);
            }
            self.finish.as_ref().map(|claim| &claim.token).hash(&mut hasher);
            hasher.finish()
        })
    }
}

/// A message that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub to: Target,
    /// The priority that it says itself: 0 is the most urgent.
    pub priority: u8,
    /// The message, as it stands in a queue.
    pub message: Vec<u8>,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// To the queue of this name, by the anonymous exchange.
    Queue(String),
    /// To the queues that are bound to this exchange under this routing key: for a direct exchange those with the
    /// same key, for a topic exchange those whose pattern fits it. When there are none, nothing of the settlement is
    /// written: [`Refusal::Unrouted`].
    Exchange {
        /// The exchange's name.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// To whoever listens to this fanout exchange at the moment, be it nobody. The bindings do not tell such an
    /// exchange from a direct one, so the sender has to know.
    Fanout {
        /// The exchange's name.
        exchange: String,
        /// The routing key, often empty.
        routing_key: String,
    },
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It stays held: only what is said beside is written (`STARTED`).
    Keep,
    /// It is done.
    Ack,
    /// It was acknowledged before its task ran (`acks: Early`): nothing becomes of it any more, and what is said
    /// beside is written whether or not the delivery is still known, as long as the lease lasts. Where an answer says
    /// that the message stays held, there is none to fall back on when the worker ends.
    Acked,
    /// Back to the head of its queue, marked as redelivered.
    Requeue,
    /// To its queue's dead-letter queue, with this reason in its headers.
    DeadLetter(String),
    /// Out of its queue until this time.
    Park(Timestamp),
    /// Out of its queue until this time, to be run as a retry: with this count of tries before it, and the time as
    /// its `eta`. Everything else in it stays as it came, but for a body with other arguments. One that cannot be changed so (protocol 1 in another form
    /// than plain JSON) goes to the dead-letter queue.
    Retry {
        /// When it may run.
        until: Timestamp,
        /// How many times it was tried then.
        retries: u32,
        /// What it says in place of the body that it came with.
        body: Option<Box<NewBody>>,
    },
}

/// What became of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It was done, whole.
    Done,
    /// This worker no longer held the message: nothing was written.
    Lost,
    /// The settlement's part has completed its chord. Everything was written, but the message stays held: the caller
    /// reads the parts, makes the body's message, and settles the delivery again with that, with this claim as
    /// `finish`, and with the disposition. A worker that ends before that strands nothing: the message comes back,
    /// and its part, which is not counted twice, claims again. While the caller takes its time, it extends the claim.
    ChordComplete(ChordClaim),
    /// The claim of `finish` is not the caller's any more: the chord was ended by somebody else, or another run of
    /// one of its parts has claimed it. Nothing was written, the message stays held: to be settled again without the
    /// body.
    ClaimLost,
    /// Something cannot be written as things stand. Nothing was, the message stays held: to be settled again as a
    /// failure. Where the caller writes the results, what comes earlier in its order was written.
    Refused(Refusal),
}

/// Why something cannot be written as things stand on the broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A message would have gone nowhere.
    #[error(
        "no queue is bound to the exchange {exchange:?} under the routing key {routing_key:?}: bind one, or send to a \
         queue by its name"
    )]
    Unrouted {
        /// The exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// A key that would be written to holds something else: a queue or a group has the name of something that it is
    /// not.
    #[error("the key {0:?} holds something else: give the queue or the group another name")]
    WrongKey(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(disposition: Disposition, message: &str) -> Settlement {
        let send = Outgoing { to: Target::Queue("q".to_owned()), priority: 0, message: message.into() };
        Settlement { sends: vec![send], ..Settlement::new(7, disposition) }
    }

    #[test]
    fn what_the_message_itself_cannot_tell_has_a_mark() {
        let keep = sending(Disposition::Keep, "a");
        assert_eq!(keep.mark(), keep.clone().mark());
        assert_ne!(keep.mark(), sending(Disposition::Keep, "b").mark());
        assert!(keep.mark().is_some());
        assert_eq!(sending(Disposition::Ack, "a").mark(), None);
        assert_eq!(Settlement::new(7, Disposition::Keep).mark(), None);
    }
}
