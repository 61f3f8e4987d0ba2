//! Noting which attempts have begun.
//!
//! All of them are written each time, as one string: a few numbers of a few bytes each, where a set would have to be
//! told of every beginning and every end. So a note that was lost is made good by the next, and settling has nothing
//! to clear away.
//!
//! There are two such strings, each written by one kind of call, so that neither meets the other's news: one by a note,
//! one by each taking of messages, with what begins by it (`receive.lua`).

use std::collections::HashSet;
use std::fmt::Write as _;

use async_trait::async_trait;
use redis::Value;

use super::consumer::RedisConsumer;
use super::scripts::STARTED;
use super::{during, tag};
use crate::{Attempts, BrokerError, Tag};

#[async_trait]
impl Attempts for RedisConsumer {
    async fn started(&self, tags: &[Tag]) -> Result<(), BrokerError> {
        let mut call = STARTED.call(3);
        call.arg(self.keys.leases()).arg(self.keys.started(&self.worker)).arg(self.keys.begun(&self.worker));
        call.arg(&self.worker).arg(written(tags));
        match self.connection.run(call).await.map_err(during("note what has begun"))? {
            Value::Int(1) => Ok(()),
            Value::Int(_) => Err(BrokerError::LeaseEnded),
            _ => Err(BrokerError::LeaseLost),
        }
    }
}

pub(super) fn written(tags: &[Tag]) -> String {
    let mut numbers = String::with_capacity(8 * tags.len());
    for (at, tag) in tags.iter().enumerate() {
        let blank = if at == 0 { "" } else { " " };
        // Writing into a string does not fail.
        let _ = write!(numbers, "{blank}{}", tag::parts(*tag).1);
    }
    numbers
}

/// The sequence numbers in such a note.
pub(super) fn read(note: Option<&str>) -> HashSet<u64> {
    note.unwrap_or_default().split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_which_attempts_have_begun() {
        let tags = [tag::tag(0, 7), tag::tag(3, 12)];
        assert_eq!(written(&tags), "7 12");
        assert_eq!(read(Some("7 12")), HashSet::from([7, 12]));
        assert!(read(None).is_empty() && read(Some(&written(&[]))).is_empty());
    }
}
