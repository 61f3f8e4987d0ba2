//! Which queues an exchange feeds, by kombu's bindings. Pure.

use petiole_protocol::keys::SEPARATOR;

/// A binding: an exchange's messages with this routing key go to this queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The routing key, or a topic exchange's pattern of keys.
    pub routing_key: String,
    /// The exchange is a topic exchange. kombu does not write down what an exchange is, but only such a one's
    /// bindings have the pattern.
    pub topic: bool,
    /// The queue.
    pub queue: String,
}

impl Binding {
    /// Reads a member of an exchange's bindings.
    pub fn read(member: &str) -> Option<Self> {
        let (routing_key, rest) = member.split_once(SEPARATOR)?;
        let (pattern, queue) = rest.split_once(SEPARATOR)?;
        (!queue.is_empty()).then(|| Self {
            routing_key: routing_key.to_owned(),
            topic: !pattern.is_empty(),
            queue: queue.to_owned(),
        })
    }

    /// Whether messages with this routing key go to the queue.
    pub fn feeds(&self, routing_key: &str) -> bool {
        if self.topic { fits(&self.routing_key, routing_key) } else { self.routing_key == routing_key }
    }
}

/// The queues that these bindings feed under this routing key, each once.
pub fn queues(bindings: &[Binding], routing_key: &str) -> Vec<String> {
    let fed = bindings.iter().filter(|binding| binding.feeds(routing_key));
    let mut queues: Vec<_> = fed.map(|binding| binding.queue.clone()).collect();
    queues.sort_unstable();
    queues.dedup();
    queues
}

/// Whether a key fits a topic's pattern, as kombu 5.7 reads it: between dots, `*` is one word and `#` is anything, also
/// nothing. (AMQP's `#` would also take the dot beside it; kombu's does not.)
fn fits(pattern: &str, key: &str) -> bool {
    let key = key.as_bytes();
    // Where in the key one may be after the words so far.
    let mut places = vec![0];
    for (at, word) in pattern.split('.').enumerate() {
        if at > 0 {
            places.retain(|place| key.get(*place) == Some(&b'.'));
            for place in &mut places {
                *place += 1;
            }
        }
        places = match word {
            "*" => places.iter().flat_map(|place| (place + 1)..=word_end(key, *place)).collect(),
            "#" => places.first().map_or_else(Vec::new, |first| (*first..=key.len()).collect()),
            word => {
                places.retain(|place| key[*place..].starts_with(word.as_bytes()));
                places.iter().map(|place| place + word.len()).collect()
            }
        };
        places.sort_unstable();
        places.dedup();
    }
    places.last() == Some(&key.len())
}

/// Where the word that begins here ends.
fn word_end(key: &[u8], place: usize) -> usize {
    key[place..].iter().position(|byte| *byte == b'.').map_or(key.len(), |length| place + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_read_as_kombu_writes_it() {
        let read = Binding::read("mail\u{6}\u{16}\u{6}\u{16}print").unwrap();
        assert_eq!(read, Binding { routing_key: "mail".to_owned(), topic: false, queue: "print".to_owned() });
        assert!(Binding::read("mail.*\u{6}\u{16}^mail\\.[^\\.]+$\u{6}\u{16}print").unwrap().topic);
        for odd in ["", "mail", "mail\u{6}\u{16}\u{6}\u{16}"] {
            assert_eq!(Binding::read(odd), None, "{odd:?}");
        }
    }

    /// What kombu 5.7's regular expressions say for the same keys.
    #[test]
    fn a_topics_pattern_takes_the_keys_that_kombus_does() {
        for (pattern, taken, refused) in [
            ("mail", "mail", "mails mai mail.x x.mail"),
            ("mail.*", "mail.a mail.abc", "mail mail. mail.a.b"),
            ("*.mail", "a.mail", "mail .mail a.b.mail"),
            ("#", "a a.b a.b.c", ""),
            ("mail.#", "mail.a mail. mail.a.b", "mail mails"),
            ("#.mail", "a.mail .mail a.b.mail", "mail amail"),
            ("a.#.b.*", "a..b.c a.x.y.b.c a.b.b.b.c", "a.b.c a.x.b"),
            ("a+b.*", "a+b.c", "aab.c"),
        ] {
            let fits = |key: &&str| fits(pattern, key);
            assert!(taken.split(' ').all(|key| fits(&key)), "{pattern}: {taken}");
            assert!(!refused.split(' ').any(|key| !key.is_empty() && fits(&key)), "{pattern}: {refused}");
        }
        assert!(fits("#", "") && !fits("*", ""));
    }

    #[test]
    fn a_queue_that_is_bound_twice_is_fed_once() {
        let binding = |key: &str, queue: &str| Binding {
            routing_key: key.to_owned(),
            topic: true,
            queue: queue.to_owned(),
        };
        let bindings = [binding("a.*", "q"), binding("#", "q"), binding("*.b", "p"), binding("c", "x")];
        assert_eq!(queues(&bindings, "a.b"), ["p", "q"]);
        assert!(queues(&bindings[3..], "a.b").is_empty());
    }
}
