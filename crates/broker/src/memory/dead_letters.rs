//! Dead-letter queues on the broker in memory.

use async_trait::async_trait;

use super::MemoryBroker;
use crate::BrokerError;
use crate::dead_letter::{DeadLetter, DeadLetters, Fate, MOST_LETTERS, Page};

#[async_trait]
impl DeadLetters for MemoryBroker {
    async fn page(&self, queue: &str, offset: usize, limit: usize) -> Result<Page, BrokerError> {
        self.change("list dead letters", |state, _| {
            let list = state.list(queue, 0);
            let page = list.iter().cloned().enumerate().skip(offset).take(limit.min(MOST_LETTERS));
            Page {
                total: list.len(),
                letters: page.map(|(place, raw)| DeadLetter::read(raw, place)).collect(),
            }
        })
    }

    async fn take(&self, queue: &str, letters: &[DeadLetter], fate: Fate) -> Result<usize, BrokerError> {
        self.change("take dead letters", |state, _| {
            let mut taken = 0;
            for letter in letters {
                let back = letter.put_back().filter(|_| fate == Fate::PutBack);
                if fate == Fate::PutBack && back.is_none() {
                    continue;
                }
                let list = state.list(queue, 0);
                let Some(place) = list.iter().position(|raw| *raw == letter.raw) else { continue };
                list.remove(place);
                if let Some(back) = back {
                    state.push_tail(&back.queue, back.step, back.raw);
                }
                taken += 1;
            }
            taken
        })
    }
}
