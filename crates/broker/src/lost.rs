//! Deliveries that were lost: attempts that had begun when their worker ended. The message itself counts them, and
//! remembers the last of them, in two headers.

use std::borrow::Cow;

use jiff::Timestamp;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::json::Object;
use petiole_protocol::redis::with_header;
use serde::{Deserialize, Serialize};

use crate::{Worker, message};

/// The header that counts the lost deliveries: a whole number; absent for none.
pub const DELIVERIES: &str = "petiole-deliveries";

/// The header that says how the last of them were lost: an array of [`LostDelivery`], the oldest first.
pub const HISTORY: &str = "petiole-history";

/// How many of them a message remembers.
pub const MOST_REMEMBERED: usize = 20;

/// How a delivery was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostDelivery {
    /// When that was found out, and the message put back.
    pub at: Timestamp,
    /// The worker that had it: one life of its process.
    pub worker: String,
    /// The worker's pod, or its host outside a cluster.
    pub host: String,
    /// How its lease ended, as far as whoever put the message back knew: a sweep may finish what another has begun.
    pub how: String,
}

/// How a worker's lease is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It had run out.
    RanOut,
    /// The worker is known to have ended.
    Known,
    /// The worker gives it up: nothing is lost.
    GivenUp,
}

impl End {
    /// What becomes of a message that the worker held and had begun, or not.
    pub(crate) fn put_back<'a>(
        self,
        raw: &'a [u8],
        begun: bool,
        worker: &Worker,
        now: Timestamp,
    ) -> Cow<'a, [u8]> {
        let how = match self {
            Self::RanOut => "its lease ran out",
            Self::Known => "it was known to have ended",
            Self::GivenUp => return message::redelivered(raw),
        };
        if !begun {
            return message::redelivered(raw);
        }
        let (worker, host) = (worker.incarnation.clone(), worker.host.clone());
        lost(raw, LostDelivery { at: now, worker, host, how: how.to_owned() })
    }
}

/// How many deliveries of this message were lost.
pub fn deliveries(headers: &Object) -> u32 {
    headers.get(DELIVERIES).and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// The same of a message's bytes.
pub(crate) fn in_message(raw: &[u8]) -> u32 {
    Envelope::from_redis(raw).map_or(0, |envelope| deliveries(&envelope.headers))
}

/// How the last of them were lost, the oldest first. Empty where that cannot be read.
pub fn history(headers: &Object) -> Vec<LostDelivery> {
    headers.get(HISTORY).and_then(|history| serde_json::from_str(history).ok()).unwrap_or_default()
}

/// The message whose delivery was lost so: marked as kombu marks what it restores, counted, and remembered. Bytes that
/// are no message go back as they are.
fn lost(raw: &[u8], delivery: LostDelivery) -> Cow<'_, [u8]> {
    let marked = message::redelivered(raw);
    let Ok(envelope) = Envelope::from_redis(&marked) else { return marked };
    let count = deliveries(&envelope.headers).saturating_add(1).to_string();
    let mut history = history(&envelope.headers);
    history.push(delivery);
    let last = &history[history.len().saturating_sub(MOST_REMEMBERED)..];
    // Text alone is always written.
    let history = serde_json::to_string(last).unwrap_or_default();
    let counted = with_header(&marked, DELIVERIES, &count);
    let remembered = counted.and_then(|counted| with_header(&counted, HISTORY, &history));
    remembered.map_or(marked, Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8] = br#"{"body": "W10=", "headers": {"task": "a"}, "properties": {"delivery_info": {}}}"#;

    fn put_back(raw: &[u8], end: End, begun: bool, second: i64) -> Vec<u8> {
        let worker =
            Worker { incarnation: format!("w-{second}"), host: "pod-1".to_owned(), ..Worker::default() };
        end.put_back(raw, begun, &worker, Timestamp::from_second(second).unwrap()).into_owned()
    }

    fn headers(raw: &[u8]) -> Object {
        Envelope::from_redis(raw).unwrap().headers
    }

    #[test]
    fn each_lost_delivery_is_counted_and_remembered() {
        let once = put_back(RAW, End::RanOut, true, 1);
        assert!(Envelope::from_redis(&once).unwrap().redelivered());
        assert_eq!(headers(&once).get(DELIVERIES), Some("1"));
        let twice = headers(&put_back(&once, End::Known, true, 2));
        assert_eq!(deliveries(&twice), 2);
        let told: Vec<_> =
            history(&twice).into_iter().map(|it| (it.at.as_second(), it.worker, it.how)).collect();
        let (ran_out, known) = ("its lease ran out".to_owned(), "it was known to have ended".to_owned());
        assert_eq!(told, [(1, "w-1".to_owned(), ran_out), (2, "w-2".to_owned(), known)]);
    }

    #[test]
    fn what_had_not_begun_or_was_given_back_is_only_marked() {
        let marked = message::redelivered(RAW).into_owned();
        assert_eq!(put_back(RAW, End::RanOut, false, 1), marked);
        assert_eq!(put_back(RAW, End::Known, false, 1), marked);
        assert_eq!(put_back(RAW, End::GivenUp, true, 1), marked);
    }

    #[test]
    fn only_the_last_deliveries_are_remembered_and_all_are_counted() {
        let mut raw = RAW.to_vec();
        for second in 1..=25 {
            raw = put_back(&raw, End::RanOut, true, second);
        }
        let headers = headers(&raw);
        assert_eq!(deliveries(&headers), 25);
        let seconds: Vec<_> = history(&headers).iter().map(|it| it.at.as_second()).collect();
        assert_eq!(seconds, (6..=25).collect::<Vec<_>>());
    }

    #[test]
    fn a_count_without_a_history_and_a_history_of_others_are_read() {
        let old = br#"{"headers": {"task": "a", "petiole-deliveries": 4, "petiole-history": "none"}}"#;
        let headers = headers(&put_back(old, End::RanOut, true, 1));
        assert_eq!((deliveries(&headers), history(&headers).len()), (5, 1));
        assert_eq!(put_back(b"\xff[", End::RanOut, true, 1), b"\xff[");
    }
}
