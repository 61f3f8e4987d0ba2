//! Who listens, and which queues exchanges feed: the state of remote control and events. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{Address, BoundQueue};

/// What is known of exchanges.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// By exchange: routing key, queue.
    bindings: BTreeMap<String, BTreeSet<(String, String)>>,
    /// By its number: who listens to a fanout exchange, and what it has heard.
    listeners: BTreeMap<u64, Listener>,
    last: u64,
}

#[derive(Debug)]
struct Listener {
    to: Address,
    heard: VecDeque<Vec<u8>>,
}

impl Listener {
    /// A routing key may end in `*`.
    fn listens_to(&self, said: &Address) -> bool {
        let key = &self.to.routing_key;
        let fits = match key.strip_suffix('*') {
            Some(head) => said.routing_key.starts_with(head),
            None => said.routing_key == *key,
        };
        fits && said.exchange == self.to.exchange
    }
}

impl Mail {
    pub(super) fn listen(&mut self, to: Address) -> u64 {
        self.last += 1;
        self.listeners.insert(self.last, Listener { to, heard: VecDeque::new() });
        self.last
    }

    /// What this listener hears next; fails when it is none any more.
    pub(super) fn hear(&mut self, listener: u64) -> Result<Option<Vec<u8>>, ()> {
        self.listeners.get_mut(&listener).map(|listener| listener.heard.pop_front()).ok_or(())
    }

    /// All that this listener has heard, at most so many; fails when it is none any more.
    pub(super) fn hear_all(&mut self, listener: u64, most: usize) -> Result<Vec<Vec<u8>>, ()> {
        let listener = self.listeners.get_mut(&listener).ok_or(())?;
        let most = most.min(listener.heard.len());
        Ok(listener.heard.drain(..most).collect())
    }

    /// Says something, and how many have heard it.
    pub(super) fn say(&mut self, to: &Address, raw: &[u8]) -> u64 {
        let listeners = self.listeners.values_mut().filter(|listener| listener.listens_to(to));
        listeners.map(|listener| listener.heard.push_back(raw.to_vec())).count() as u64
    }

    /// Nobody listens any more.
    pub(super) fn cut(&mut self) {
        self.listeners.clear();
    }

    pub(super) fn leave(&mut self, listener: u64) {
        self.listeners.remove(&listener);
    }

    pub(super) fn bind(&mut self, BoundQueue { from, queue }: BoundQueue) {
        self.bindings.entry(from.exchange).or_default().insert((from.routing_key, queue));
    }

    pub(super) fn unbind(&mut self, BoundQueue { from, queue }: BoundQueue) {
        if let Some(bindings) = self.bindings.get_mut(&from.exchange) {
            bindings.remove(&(from.routing_key, queue));
        }
    }

    /// The queues that an exchange feeds under this routing key.
    pub(super) fn queues(&self, from: &Address) -> Vec<String> {
        let bindings = self.bindings.get(&from.exchange).into_iter().flatten();
        bindings.filter(|(key, _)| *key == from.routing_key).map(|(_, queue)| queue.clone()).collect()
    }
}
