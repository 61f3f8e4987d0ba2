//! What was revoked: ids of tasks, and stamps.
//!
//! Both sets are bounded, in number and in time; what was revoked longest ago is forgotten first.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::control::{MAX_ID_LENGTH, stamps_of};
use crate::json;
use crate::message::Message;

/// How many ids are remembered (Celery's number).
pub const MAX_IDS: usize = 50_000;

/// How many stamps are remembered. Celery has no bound.
pub const MAX_STAMPS: usize = 10_000;

/// How long they are remembered (Celery's number, for ids).
pub const EXPIRES: SignedDuration = SignedDuration::from_secs(10_800);

/// What a node remembers as revoked.
#[derive(Debug)]
pub struct Revoked {
    ids: Recent<Arc<str>>,
    /// Name and stamp, each as JSON text.
    stamps: Recent<(String, String)>,
}

/// By what a task is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokedBy {
    /// Its id.
    Id,
    /// One of its stamps.
    Stamp {
        /// The stamp's name.
        name: String,
        /// Its value, as JSON text.
        stamp: String,
    },
}

impl Default for Revoked {
    fn default() -> Self {
        Self { ids: Recent::new(MAX_IDS), stamps: Recent::new(MAX_STAMPS) }
    }
}

impl Revoked {
    /// Revokes these ids from now on: a command's, or another node's ([`ids_of`]). How long ago another node heard of
    /// them is not counted: its clock is not ours. Ids that are longer than all ids are left out.
    pub fn revoke<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>, now: Timestamp) {
        for id in ids {
            if id.len() <= MAX_ID_LENGTH {
                self.ids.insert(id.into(), now);
            }
        }
    }

    /// Revokes tasks with one of these stamps: [`crate::control::StampedHeaders::stamps`].
    pub fn revoke_stamps(&mut self, stamps: &[(String, Vec<String>)], now: Timestamp) {
        for (name, values) in stamps {
            for value in values {
                self.stamps.insert((name.clone(), value.clone()), now);
            }
        }
    }

    /// Whether a task is revoked, and by what. Of its stamps, those count that it names as such (Celery's rule).
    pub fn is_revoked(&self, message: &Message, now: Timestamp) -> Option<RevokedBy> {
        if self.ids.contains(&*message.id, now) {
            return Some(RevokedBy::Id);
        }
        if self.stamps.is_empty() {
            return None;
        }
        let named = json::elements(message.stamped_headers.as_deref().unwrap_or("[]").as_bytes()).ok()?;
        let named = named.into_iter().filter_map(json::string);
        named.filter_map(|name| Some((message.stamps.get(&name)?, name))).find_map(|(value, name)| {
            let stamps = stamps_of(value).into_iter().map(|stamp| (name.clone().into_owned(), stamp));
            let (name, stamp) =
                stamps.filter(|(_, stamp)| stamp != "null").find(|stamp| self.stamps.contains(stamp, now))?;
            Some(RevokedBy::Stamp { name, stamp })
        })
    }

    /// Whether a task of this id is revoked by it.
    pub fn has(&self, id: &str, now: Timestamp) -> bool {
        self.ids.contains(id, now)
    }

    /// The ids, the oldest first: in this order another node that cannot hold them all keeps the newest.
    pub fn ids(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        self.ids.iter(now).map(|id| &**id)
    }

    /// Forgets what is too old.
    pub fn purge(&mut self, now: Timestamp) {
        self.ids.purge(now);
        self.stamps.purge(now);
    }
}

/// The ids in a `hello`: a list (Celery 5.7), or an object whose names they are (before). Another value has none.
pub fn ids_of(json: &str) -> Vec<String> {
    let mut ids: Vec<String> = match json.trim_ascii_start().as_bytes().first() {
        Some(b'[') => {
            let elements = json::elements(json.as_bytes()).unwrap_or_default();
            elements.into_iter().filter_map(json::string).map(Into::into).collect()
        }
        Some(b'{') => {
            let members = json::members(json.as_bytes()).unwrap_or_default();
            members.into_iter().map(|(id, _)| id.into_owned()).collect()
        }
        _ => Vec::new(),
    };
    // The newest stand last.
    ids.drain(..ids.len().saturating_sub(MAX_IDS));
    ids
}

/// A set that forgets what came longest ago.
#[derive(Debug)]
struct Recent<T> {
    most: usize,
    next: u64,
    items: HashMap<T, u64>,
    order: BTreeMap<u64, (Timestamp, T)>,
}

impl<T: Hash + Eq + Clone> Recent<T> {
    fn new(most: usize) -> Self {
        Self { most, next: 0, items: HashMap::new(), order: BTreeMap::new() }
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn insert(&mut self, item: T, now: Timestamp) {
        self.next += 1;
        if let Some(before) = self.items.insert(item.clone(), self.next) {
            self.order.remove(&before);
        }
        self.order.insert(self.next, (now, item));
        if self.items.len() > self.most {
            self.purge(now);
        }
    }

    fn contains<Q: Hash + Eq + ?Sized>(&self, item: &Q, now: Timestamp) -> bool
    where
        T: Borrow<Q>,
    {
        let found = self.items.get(item).and_then(|place| self.order.get(place));
        found.is_some_and(|(since, _)| is_current(*since, now))
    }

    fn iter(&self, now: Timestamp) -> impl Iterator<Item = &T> {
        self.order.values().filter(move |(since, _)| is_current(*since, now)).map(|(_, item)| item)
    }

    fn purge(&mut self, now: Timestamp) {
        while let Some(oldest) = self.order.first_entry() {
            if self.items.len() <= self.most && is_current(oldest.get().0, now) {
                break;
            }
            let (_, item) = oldest.remove();
            self.items.remove(&item);
        }
    }
}

fn is_current(since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) < EXPIRES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;
    use crate::json::Object;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn message(stamps: &str, named: &str) -> Message {
        let headers =
            format!(r#"{{"task": "t", "id": "i", "stamps": {stamps}, "stamped_headers": {named}}}"#);
        let envelope = Envelope {
            headers: Object::read(headers.as_bytes()).unwrap(),
            content_type: Some("application/json".to_owned()),
            body: "[[], {}, {}]".into(),
            ..Envelope::default()
        };
        Message::read(&envelope).unwrap()
    }

    #[test]
    fn an_id_is_revoked_for_three_hours() {
        let mut revoked = Revoked::default();
        let message = message("{}", "[]");
        assert_eq!(revoked.is_revoked(&message, at(0)), None);
        revoked.revoke(["i"], at(0));
        assert_eq!(revoked.is_revoked(&message, at(10_799)), Some(RevokedBy::Id));
        assert_eq!(revoked.is_revoked(&message, at(10_800)), None);
        assert_eq!(revoked.ids(at(10_800)).count(), 0);
        // Told again, it counts from then.
        revoked.revoke(["i"], at(10_000));
        assert!(revoked.has("i", at(20_000)));
        revoked.purge(at(20_800));
        assert!(revoked.ids.is_empty() && revoked.ids.order.is_empty());
    }

    #[test]
    fn the_oldest_ids_are_forgotten_first() {
        let mut revoked = Revoked::default();
        let ids: Vec<_> = (0..=MAX_IDS).map(|id| id.to_string()).collect();
        revoked.revoke(ids.iter().map(String::as_str), at(0));
        assert!(!revoked.has("0", at(0)) && revoked.has("1", at(0)));
        // Told again, it is the newest.
        revoked.revoke(["1", "new"], at(1));
        assert!(revoked.has("1", at(1)) && !revoked.has("2", at(1)));
        assert_eq!(revoked.ids(at(1)).count(), MAX_IDS);
        assert_eq!(revoked.ids(at(1)).last(), Some("new"));
        revoked.revoke([&*"x".repeat(MAX_ID_LENGTH + 1)], at(1));
        assert_eq!(revoked.ids(at(1)).last(), Some("new"));
    }

    #[test]
    fn a_stamp_revokes_the_tasks_that_name_it() {
        let mut revoked = Revoked::default();
        let headers = r#"{"headers": {"tenant": ["t1", 5], "color": "r\u00e9d"}}"#;
        let command = crate::control::Command::read(
            "revoke_by_stamped_headers",
            &Object::read(headers.as_bytes()).unwrap(),
        );
        let Ok(crate::control::Command::RevokeByStampedHeaders { headers, .. }) = command else { panic!() };
        revoked.revoke_stamps(headers.stamps(), at(0));
        let by = |stamps, named| revoked.is_revoked(&message(stamps, named), at(1));
        let stamp = |name: &str, stamp: &str| {
            Some(RevokedBy::Stamp { name: name.to_owned(), stamp: stamp.to_owned() })
        };
        assert_eq!(by(r#"{"tenant": "t1"}"#, r#"["tenant"]"#), stamp("tenant", "\"t1\""));
        assert_eq!(by(r#"{"tenant": ["t2", 5]}"#, r#"["tenant"]"#), stamp("tenant", "5"));
        assert_eq!(by(r#"{"color": "réd"}"#, r#"["tenant", "color"]"#), stamp("color", r#""r\u00e9d""#));
        for (stamps, named) in [
            (r#"{"tenant": "t1"}"#, "[]"),
            (r#"{"tenant": "t2"}"#, r#"["tenant"]"#),
            (r#"{"color": "t1"}"#, r#"["color"]"#),
            (r#"{"tenant": null}"#, r#"["tenant"]"#),
        ] {
            assert_eq!(by(stamps, named), None, "{stamps} {named}");
        }
        assert_eq!(revoked.is_revoked(&message(r#"{"tenant": "t1"}"#, r#"["tenant"]"#), at(10_800)), None);
    }

    #[test]
    fn ids_of_other_nodes_come_in_two_forms() {
        assert_eq!(ids_of(r#"["a", "b"]"#), ["a", "b"]);
        assert_eq!(ids_of(r#"{"a": [12.5, "a"], "b": [13.5, "b"]}"#), ["a", "b"]);
        for json in ["null", "5", "\"a\"", "[", "[5, null]", ""] {
            assert_eq!(ids_of(json), [""; 0], "{json}");
        }
    }
}
