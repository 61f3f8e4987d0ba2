//! Dead-letter queues on Redis: lists of their own, the newest letter at the left end.

use async_trait::async_trait;
use petiole_results::redis::{Connection, fitting};

use super::keys::{Keys, SCHEMA};
use super::lease::known_schema;
use super::scripts::TAKE_LETTERS;
use super::{Endpoint, Timeouts, during};
use crate::BrokerError;
use crate::dead_letter::{DeadLetter, DeadLetters, Fate, MOST_LETTERS, Page};

/// How many letters one script may pass on its way to those that it takes: Redis looks for each from the oldest on, at
/// some ten million a second.
const PASSED: usize = 50_000;

/// Dead-letter queues on Redis. It connects when it is first used.
#[derive(Debug)]
pub struct RedisDeadLetters {
    connection: Connection,
    keys: Keys,
}

impl RedisDeadLetters {
    /// The dead-letter queues of this broker.
    pub fn new(broker: Endpoint, timeouts: Timeouts) -> Self {
        Self { keys: Keys::new(broker.key_prefix()), connection: Connection::new(broker, timeouts) }
    }

    async fn take_batch(&self, queue: &str, batch: &[DeadLetter], fate: Fate) -> Result<usize, BrokerError> {
        let celery = self.keys.celery();
        let mut call = TAKE_LETTERS.call(2);
        call.arg(self.keys.schema()).arg(celery.list(queue, 0)).arg(SCHEMA);
        for letter in batch {
            match (fate, letter.put_back()) {
                (Fate::Dropped, _) => call.arg(&letter.raw).arg("").arg(""),
                (Fate::PutBack, Some(back)) => {
                    call.arg(&letter.raw).arg(celery.list(&back.queue, back.step)).arg(back.raw)
                }
                (Fate::PutBack, None) => continue,
            };
        }
        let (schema, taken, wrong): (u64, usize, String) =
            self.connection.run(call).await.map_err(during("take dead letters"))?;
        known_schema(schema)?;
        if wrong.is_empty() {
            return Ok(taken);
        }
        Err(BrokerError::Endpoint(format!(
            "the key {wrong:?} is no list, so a dead letter cannot go back there: it stays where it is"
        )))
    }
}

/// How many of these letters go into one script: at least one.
fn batch(letters: &[DeadLetter]) -> usize {
    let mut passed = 0;
    let near = |letter: &&DeadLetter| {
        passed += letter.place + 1;
        passed <= PASSED
    };
    fitting(letters.iter().take_while(near).map(|letter| 2 * letter.raw.len())).min(letters.len())
}

#[async_trait]
impl DeadLetters for RedisDeadLetters {
    async fn page(&self, queue: &str, offset: usize, limit: usize) -> Result<Page, BrokerError> {
        let (list, limit) = (self.keys.celery().list(queue, 0), limit.min(MOST_LETTERS));
        // Counted from the right end, where the oldest stands.
        let (newest, oldest) = (place(offset + limit), place(offset + 1));
        let mut ask = redis::pipe();
        ask.cmd("LLEN").arg(&list);
        ask.cmd("LRANGE").arg(&list).arg(newest).arg(oldest);
        let (total, newest_first): (usize, Vec<Vec<u8>>) =
            self.connection.query_all(&ask).await.map_err(during("list dead letters"))?;
        let oldest_first = newest_first.into_iter().rev().enumerate();
        let letters = oldest_first.map(|(at, raw)| DeadLetter::read(raw, offset + at)).collect();
        Ok(Page { total, letters })
    }

    async fn take(&self, queue: &str, letters: &[DeadLetter], fate: Fate) -> Result<usize, BrokerError> {
        let (mut taken, mut rest) = (0, letters);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(batch(rest));
            taken += self.take_batch(queue, now, fate).await?;
            rest = later;
        }
        Ok(taken)
    }
}

/// The index of the letter of this number, from 1 on for the oldest.
fn place(number: usize) -> i64 {
    i64::try_from(number).map_or(i64::MIN, |number| -number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(count: usize, first: usize, bytes: usize) -> Vec<DeadLetter> {
        (first..first + count).map(|place| DeadLetter::read(vec![b'x'; bytes], place)).collect()
    }

    #[test]
    fn a_script_takes_few_letters_from_far_behind_and_few_large_ones() {
        assert_eq!(batch(&letters(100, 0, 10)), 100);
        assert_eq!(batch(&letters(100, 20_000, 10)), 2);
        assert_eq!(batch(&letters(100, 1_000_000, 10)), 1);
        assert_eq!(batch(&letters(10, 0, 2 << 20)), 2);
    }
}
