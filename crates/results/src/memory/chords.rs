//! Chords in memory, by the rules of `chord.lua`. Pure: what depends on the time takes `now`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::chord::{ChordClaim, ChordPart, ChordParts, ChordStart, Counted, DONE};

/// By their groups' ids.
#[derive(Debug, Default)]
pub(super) struct Chords(HashMap<String, Chord>);

#[derive(Debug, Default)]
struct Chord {
    size: Option<u64>,
    added: u64,
    saved: Option<String>,
    members: Vec<(u64, String)>,
    counted: HashSet<String>,
    owner: Option<Owner>,
}

/// Who has the claim, and until when.
#[derive(Debug)]
struct Owner {
    token: String,
    until: Duration,
}

/// Stands in the claim of a chord whose body was sent.
const SENT: &str = "done";

impl Chord {
    fn owner(&self, now: Duration) -> Option<&str> {
        self.owner.as_ref().filter(|owner| now < owner.until).map(|owner| owner.token.as_str())
    }

    fn own(&mut self, token: &str, until: Duration) {
        self.owner = Some(Owner { token: token.to_owned(), until });
    }

    fn claimed(&self, token: &str, now: Duration) -> bool {
        self.owner(now).map_or(self.size.is_some(), |owner| owner == token)
    }
}

impl Chords {
    fn chord(&mut self, group: &str) -> &mut Chord {
        self.0.entry(group.to_owned()).or_default()
    }

    pub(super) fn start(&mut self, start: &ChordStart) {
        let chord = self.chord(&start.group);
        chord.owner = None;
        chord.size = Some(start.size);
        if start.saved.is_some() {
            chord.saved.clone_from(&start.saved);
        }
    }

    pub(super) fn part(&mut self, part: &ChordPart, now: Duration) -> Counted {
        let chord = self.chord(&part.group);
        if chord.owner(now) == Some(SENT) {
            return Counted::Yes;
        }
        for id in &part.adds {
            chord.added += u64::from(chord.counted.insert(format!("{id}+")));
        }
        let name = part.name();
        if chord.counted.insert(name.clone()) {
            // As in a sorted set: a member comes once.
            chord.members.retain(|(_, member)| *member != part.member);
            chord.members.push((part.index.unwrap_or(u64::MAX), part.member.clone()));
            chord.members.sort_unstable();
        }
        if chord.size.map(|size| size + chord.added) != Some(chord.members.len() as u64) {
            return Counted::Yes;
        }
        let own = format!("{name}:");
        if chord.owner(now).is_some_and(|owner| !owner.starts_with(&own)) {
            return Counted::Yes;
        }
        let claim = part.claimed();
        chord.own(&claim.token, now + part.claim);
        Counted::Complete(claim)
    }

    pub(super) fn parts(&mut self, group: &str) -> ChordParts {
        let chord = self.chord(group);
        let members = chord.members.iter().map(|(_, member)| member.clone()).collect();
        ChordParts { saved: chord.saved.clone(), members }
    }

    pub(super) fn claimed(&mut self, claim: &ChordClaim, now: Duration) -> bool {
        self.chord(&claim.group).claimed(&claim.token, now)
    }

    pub(super) fn extend(&mut self, claim: &ChordClaim, by: Duration, now: Duration) -> bool {
        let chord = self.chord(&claim.group);
        let claimed = chord.claimed(&claim.token, now);
        if claimed {
            chord.own(&claim.token, now + by);
        }
        claimed
    }

    pub(super) fn finish(&mut self, claim: &ChordClaim, now: Duration) -> bool {
        let chord = self.chord(&claim.group);
        let claimed = chord.claimed(&claim.token, now);
        if claimed {
            *chord = Chord { saved: chord.saved.take(), ..Chord::default() };
            chord.own(SENT, now + DONE);
        }
        claimed
    }
}
