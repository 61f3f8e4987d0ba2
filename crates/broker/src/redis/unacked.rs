//! How many messages of each queue Celery's workers hold: an estimate. Their table, `unacked`, has no index by queue, and may be
//! long, so it is looked through in steps, one with each question for depths. A step goes by the tags in `unacked_index`, so that
//! it reads none of what our workers hold.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use petiole_results::redis::Call;

use super::keys::{Keys, TAG_PREFIX};
use super::scripts::UNACKED;

/// Between the end of a pass and the next one.
const PAUSE: Duration = Duration::from_secs(10);

/// How many tags one step goes through, about: a few milliseconds of Redis' time.
const STEP: usize = 500;

/// After how many bytes of entries a step reads no more: a script is handed whole messages, and holds everybody else up
/// meanwhile. Only a message that is larger makes a step longer.
const BYTES: usize = 1 << 20;

/// How much of an entry's end a step gives: enough for the longest name of a queue.
const END: usize = 256;

/// How many routing keys a pass tells apart. Messages name them, so that there may be many.
const KEYS: usize = 10_000;

/// An answer of the script: where it has ended, ends of entries, tags whose entries were not read.
pub(super) type Found = (u64, Vec<Vec<u8>>, Vec<Vec<u8>>);

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Unacked(Mutex<Passes>);

#[derive(Debug, Default)]
struct Passes {
    /// By routing key, as the last whole pass has found it.
    counted: Option<HashMap<String, u64>>,
    /// When that pass has ended.
    ended: Option<Instant>,
    /// The next step's number. Where two questions ask for depths at once, one of them takes it.
    number: u64,
    /// Where the pass under way has come to, and what it has found.
    cursor: u64,
    left: Vec<Vec<u8>>,
    finding: HashMap<String, u64>,
    /// It was said that the server refuses.
    complained: bool,
}

impl Unacked {
    /// The next step and its number, when it is time for one.
    pub(super) fn step(&self, keys: &Keys, now: Instant) -> Option<(u64, Call<'static>)> {
        let passes = self.lock();
        let begins = passes.cursor == 0 && passes.left.is_empty();
        if begins && passes.ended.is_some_and(|ended| now.duration_since(ended) < PAUSE) {
            return None;
        }
        let mut call = UNACKED.call(2);
        call.arg(keys.celery().unacked()).arg(keys.celery().unacked_index());
        call.arg(passes.cursor).arg(STEP).arg(TAG_PREFIX).arg(BYTES).arg(END).arg(&passes.left);
        Some((passes.number, call))
    }

    /// What the step of this number has found.
    pub(super) fn found(&self, number: u64, (cursor, ends, left): Found, now: Instant) {
        let mut passes = self.lock();
        if passes.number != number {
            return;
        }
        passes.number += 1;
        passes.complained = false;
        for key in ends.iter().filter_map(|end| routing_key(end)) {
            if let Some(count) = passes.finding.get_mut(&key) {
                *count += 1;
            } else if passes.finding.len() < KEYS {
                passes.finding.insert(key, 1);
            }
        }
        (passes.cursor, passes.left) = (cursor, left);
        if passes.cursor == 0 && passes.left.is_empty() {
            passes.counted = Some(std::mem::take(&mut passes.finding));
            passes.ended = Some(now);
        }
    }

    /// The server refuses to look: what was counted before says nothing any more. Whether that is news.
    pub(super) fn refused(&self) -> bool {
        let mut passes = self.lock();
        let complained = passes.complained;
        *passes = Passes { complained: true, number: passes.number + 1, ..Passes::default() };
        !complained
    }

    /// How many of a queue Celery's workers hold; nothing, before all was looked through once.
    pub(super) fn of(&self, queue: &str) -> Option<u64> {
        let passes = self.lock();
        Some(passes.counted.as_ref()?.get(queue).copied().unwrap_or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Passes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routing key at the end of an entry, `[message, exchange, routing key]`: the queue's name, unless somebody has bound it
/// under another key.
fn routing_key(end: &[u8]) -> Option<String> {
    let end = end.trim_ascii_end().strip_suffix(b"]")?.trim_ascii_end();
    let text = end.strip_suffix(b"\"")?;
    // The quote before it that no backslash makes a part of it.
    let begins = (0..text.len()).rev().filter(|at| text[*at] == b'"').find(|at| {
        let backslashes = text[..*at].iter().rev().take_while(|byte| **byte == b'\\').count();
        backslashes % 2 == 0
    })?;
    serde_json::from_slice(&end[begins..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_ends_with_its_routing_key() {
        let of = |end: &str| routing_key(end.as_bytes());
        assert_eq!(of(r#"..."}}, "", "mail"]"#).as_deref(), Some("mail"));
        assert_eq!(of(r#"}}, null, "m\u00e9\"\\" ] "#).as_deref(), Some("mé\"\\"));
        assert_eq!(of(r#"[{}, "media", ""]"#).as_deref(), Some(""));
        for none in ["", "]", r#""mail""#, "..., 5]", r#"il"]"#] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    fn ends(count: usize) -> Vec<Vec<u8>> {
        vec![br#"}, "", "mail"]"#.to_vec(); count]
    }

    #[test]
    fn a_pass_counts_when_it_has_ended_and_the_next_begins_after_a_pause() {
        let (unacked, keys, start) = (Unacked::default(), Keys::new(""), Instant::now());
        let step = |at| unacked.step(&keys, at).map(|(number, _)| number);
        unacked.found(step(start).unwrap(), (17, ends(2), vec![]), start);
        assert_eq!(unacked.of("mail"), None);
        unacked.found(step(start).unwrap(), (0, ends(1), vec![b"left".to_vec()]), start);
        assert_eq!(unacked.of("mail"), None, "one was not read");
        unacked.found(step(start).unwrap(), (0, ends(1), vec![]), start);
        assert_eq!((unacked.of("mail"), unacked.of("print")), (Some(4), Some(0)));
        assert_eq!(step(start + PAUSE / 2), None);
        unacked.found(step(start + PAUSE).unwrap(), (0, vec![], vec![]), start + PAUSE);
        assert_eq!(unacked.of("mail"), Some(0));
    }

    #[test]
    fn a_step_that_two_have_taken_counts_once() {
        let (unacked, keys, now) = (Unacked::default(), Keys::new(""), Instant::now());
        let both = [(); 2].map(|()| unacked.step(&keys, now).unwrap().0);
        for number in both {
            unacked.found(number, (5, ends(3), vec![]), now);
        }
        unacked.found(unacked.step(&keys, now).unwrap().0, (0, vec![], vec![]), now);
        assert_eq!(unacked.of("mail"), Some(3));
    }

    #[test]
    fn a_server_that_refuses_to_be_looked_through_is_said_once_and_nothing_is_known_of_it() {
        let (unacked, keys, now) = (Unacked::default(), Keys::new(""), Instant::now());
        unacked.found(0, (0, ends(3), vec![]), now);
        assert!(unacked.refused());
        assert!(!unacked.refused());
        assert_eq!(unacked.of("mail"), None);
        let (number, _) = unacked.step(&keys, now).unwrap();
        unacked.found(number, (0, ends(3), vec![]), now);
        assert_eq!(unacked.of("mail"), Some(3));
        assert!(unacked.refused());
    }
}
