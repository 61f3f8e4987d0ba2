//! Chords: the tasks of a header are counted in the store, and whoever makes the count complete may send the body.
//!
//! ```text
//!   start ──> part, part, ... ──> complete: claimed by one ──extend──> finish
//!                                    │                                   │
//!                                    └── the claim ran out: by the next part, or the same one again
//! ```
//!
//! Keys and counts are those of Celery 5.7, so that its workers and ours count one chord together; older ones too,
//! which know no claims.

use std::time::Duration;

use petiole_protocol::json::quote;

/// How long a claim lasts unless it is extended: Celery's for its default `result_chord_join_timeout`. It is shorter
/// than a worker's lease, so that a message that comes back after its worker died finds its claim run out, also
/// when it comes back to a worker of Celery's.
pub const CLAIM: Duration = Duration::from_secs(6);

/// For how long a part that comes late finds that its chord is done (Celery's `done_expires`).
pub const DONE: Duration = Duration::from_mins(5);

/// A chord begins: written before any task of its header is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChordStart {
    /// The header's group id.
    pub group: String,
    /// How many parts it has: the tasks of the header that carry its body, counted flat.
    pub size: u64,
    /// The header's `GroupResult` as JSON text, when it holds more than plain tasks: the body gets its results in
    /// that form.
    pub saved: Option<String>,
    /// How long is waited for the parts, in whole seconds; for ever, when it is absent.
    pub expires: Option<Duration>,
}

/// One task of a header has ended, in whatever ready state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChordPart {
    /// The header's group id.
    pub group: String,
    /// The task's id.
    pub task_id: String,
    /// Its place in the header. A part is known by its id and its place: it counts once, however often it comes.
    pub index: Option<u64>,
    /// The JSON text `[1, "<task id>", "<state>", <result>]`, which the body's argument is made of.
    pub member: String,
    /// Ids of tasks that it has added to the chord: it waits for these too. Each adds once, however often that is said.
    pub adds: Vec<String>,
    /// How long is waited for the other parts, counted anew from this one; for ever, when it is absent.
    pub expires: Option<Duration>,
    /// How long the claim lasts, if this part completes the chord: [`CLAIM`].
    pub claim: Duration,
    /// Another one for each run of the task: a later run of the same part takes over what an earlier one has
    /// claimed, and the earlier one is told so. A call that is made again because its answer was lost says the same.
    pub token: String,
}

impl ChordPart {
    /// Where it stands among the parts: parts without a place are last.
    pub fn score(&self) -> String {
        self.index.map_or_else(|| "+inf".to_owned(), |index| index.to_string())
    }

    /// [`Self::adds`] for a script: a JSON array, or nothing where there are none.
    pub fn added(&self) -> String {
        let ids: Vec<_> = self.adds.iter().map(|id| quote(id)).collect();
        if ids.is_empty() { String::new() } else { format!("[{}]", ids.join(", ")) }
    }

    /// Its name among the parts that were counted (Celery's).
    pub fn name(&self) -> String {
        format!("{}:{}", self.task_id, self.score())
    }

    /// The claim that it makes. It says whose it is: that of the same part, from an earlier run, can be taken over.
    pub fn claimed(&self) -> ChordClaim {
        ChordClaim { group: self.group.clone(), token: format!("{}:{}", self.name(), self.token) }
    }
}

/// The right to send a chord's body. Whoever has it holds the message of the part that completed the chord until the
/// body is sent: when its worker ends before, the message comes back and claims again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChordClaim {
    /// The header's group id.
    pub group: String,
    /// What stands in the chord's claim.
    pub token: String,
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// It is counted, now or before. Others are missing, or the body is somebody else's to send, or was sent.
    Yes,
    /// The chord is complete, and its body is the caller's to send.
    Complete(ChordClaim),
    /// It is not: one of the chord's keys holds something else. Nothing was written.
    WrongKey,
}

/// What a chord has to give to its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChordParts {
    /// [`ChordStart::saved`].
    pub saved: Option<String>,
    /// [`ChordPart::member`] of each part that was counted, in the order of their places.
    pub members: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_named_as_celery_names_it() {
        let part = |index| ChordPart {
            group: "g".to_owned(),
            task_id: "t".to_owned(),
            index,
            member: String::new(),
            adds: Vec::new(),
            expires: None,
            claim: CLAIM,
            token: "1".to_owned(),
        };
        assert_eq!((part(Some(3)).name().as_str(), part(None).name().as_str()), ("t:3", "t:+inf"));
        assert_eq!(part(Some(3)).claimed().token, "t:3:1");
    }
}
