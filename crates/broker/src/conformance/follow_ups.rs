//! Checks: messages that are sent when a task has ended, and tasks that are tried again.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use petiole_protocol::envelope::Envelope;
use petiole_results::chord::{CLAIM, ChordStart};

use super::{
    Checked, EMPTY, MANY, Member, Subject, ids, ids_of, message, part, publish, queue, record, send,
    settlement, worker,
};
use crate::dead_letter::DEAD_LETTER;
use crate::exchange::Binding;
use crate::{BrokerError, Delivery, Depth, Disposition, Outgoing, Refusal, Settled, Settlement, Target};

/// Long enough for what a check does before it is over.
const LATER: Duration = Duration::from_millis(150);

/// A worker that holds one message.
async fn holding(subject: &dyn Subject, id: &str) -> Checked<(Member, Delivery)> {
    let a = worker(subject, "a").await?;
    publish(subject, &[id]).await?;
    let delivery = a.consumer.receive(MANY).await?.remove(0);
    Ok((a, delivery))
}

/// To an exchange.
fn routed(routing_key: &str, id: &str) -> Outgoing {
    let to = Target::Exchange { exchange: "news".to_owned(), routing_key: routing_key.to_owned() };
    Outgoing { to, ..send("", id, 0) }
}

pub async fn what_is_sent_stands_behind_the_others_of_its_priority(subject: &dyn Subject) -> Checked {
    let (a, held) = holding(subject, "1").await?;
    publish(subject, &["2"]).await?;
    let sends = vec![
        send("mail", "3", 0),
        send("mail", "4", 0),
        send("mail", "5", 7),
        send("elsewhere", "6", 4),
        send("mail", "7", 0),
    ];
    let settle = Settlement { sends, ..settlement(&held, Disposition::Ack) };
    assert_eq!(a.consumer.settle(&[settle]).await?, [Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["2", "3", "4", "7"]);
    assert_eq!(subject.waiting("mail", 6).await?, [message("5", 7)]);
    assert_eq!(ids_of(&subject.waiting("elsewhere", 3).await?), ["6"]);
    assert_eq!(subject.inspector().depths(&[queue("mail")]).await?[0].reserved, 0);
    Ok(())
}

pub async fn an_exchange_feeds_the_queues_that_are_bound_to_it(subject: &dyn Subject) -> Checked {
    let (a, held) = holding(subject, "1").await?;
    for (routing_key, topic, queue) in
        [("weather", false, "mail"), ("sports.*", true, "print"), ("sports.#", true, "all")]
    {
        let (routing_key, queue) = (routing_key.to_owned(), queue.to_owned());
        subject.bind("news", Binding { routing_key, topic, queue }).await?;
    }
    let sends = vec![routed("weather", "2"), routed("sports.chess", "3"), routed("sports.", "4")];
    let settle = Settlement { sends, ..settlement(&held, Disposition::Ack) };
    assert_eq!(a.consumer.settle(&[settle]).await?, [Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["2"]);
    assert_eq!(ids_of(&subject.waiting("print", 0).await?), ["3"]);
    assert_eq!(ids_of(&subject.waiting("all", 0).await?), ["3", "4"]);
    Ok(())
}

pub async fn a_message_for_nobody_is_refused_and_nothing_is_written(subject: &dyn Subject) -> Checked {
    let (a, held) = holding(subject, "1").await?;
    publish(subject, &["other"]).await?;
    let other = a.consumer.receive(MANY).await?.remove(0);
    let refused = Settlement {
        sends: vec![send("print", "2", 0), routed("weather", "3")],
        ..settlement(&held, Disposition::Ack).with_records([record("1")])
    };
    let batch = [refused.clone(), settlement(&other, Disposition::Ack)];
    let refusal = Refusal::Unrouted { exchange: "news".to_owned(), routing_key: "weather".to_owned() };
    assert_eq!(a.consumer.settle(&batch).await?, [Settled::Refused(refusal), Settled::Done]);
    assert!(subject.waiting("print", 0).await?.is_empty());
    assert_eq!(subject.document("1").await?, None);
    assert_eq!(subject.inspector().depths(&[queue("mail")]).await?[0].reserved, 1);
    // A queue that is bound now is found, though nobody was bound a moment ago.
    let binding = Binding { routing_key: "weather".to_owned(), topic: false, queue: "print".to_owned() };
    subject.bind("news", binding).await?;
    assert_eq!(a.consumer.settle(&[refused]).await?, [Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("print", 0).await?), ["2", "3"]);
    Ok(())
}

pub async fn what_was_sent_without_an_answer_is_sent_once(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2", "3"]).await?;
    let held = a.consumer.receive(MANY).await?;
    // Once with an answer, so that the broker knows what is asked for.
    a.consumer.settle(&[settlement(&held[0], Disposition::Keep)]).await?;
    let dispositions = [Disposition::Keep, Disposition::Ack, Disposition::Acked];
    let batch: Vec<_> = held
        .iter()
        .zip(dispositions)
        .zip(["keep", "ack", "acked"])
        .map(|((delivery, disposition), id)| Settlement {
            sends: vec![send("print", id, 0)],
            ..settlement(delivery, disposition)
        })
        .collect();
    subject.lose_answers().await?;
    assert!(a.consumer.settle(&batch).await.is_err());
    subject.answer_again().await?;
    a.lease.beat().await?;
    assert_eq!(a.consumer.settle(&batch).await?, [Settled::Done, Settled::Done, Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("print", 0).await?), ["keep", "ack", "acked"]);
    // Another settlement of the same delivery is another one.
    let more = Settlement { sends: vec![send("print", "more", 0)], ..batch[0].clone() };
    assert_eq!(a.consumer.settle(&[more]).await?, [Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("print", 0).await?), ["keep", "ack", "acked", "more"]);
    Ok(())
}

/// Everything that a settlement can say at once.
fn everything(held: &Delivery, disposition: Disposition) -> Settlement {
    let begun = ChordStart { group: "begun".to_owned(), size: 1, saved: None, expires: None };
    Settlement {
        starts: vec![begun],
        sends: vec![send("print", "sent", 0)],
        chord: Some(part("g", "1", 0, "lost", CLAIM)),
        finish: Some(part("f", "1", 0, "lost", CLAIM).claimed()),
        ..settlement(held, disposition).with_records([record("1"), record("body")])
    }
}

async fn nothing_was_written(subject: &dyn Subject) -> Checked {
    assert!(subject.waiting("print", 0).await?.is_empty());
    for id in ["1", "body"] {
        assert_eq!(subject.document(id).await?, None);
    }
    let store = subject.store();
    assert!(store.chord_parts("g").await?.members.is_empty());
    // The chord that would have been ended is complete with its own part; the one that would have begun is not.
    let begun = store.chord_part(&[part("begun", "1", 0, "x", CLAIM)]).await?;
    assert_eq!(begun, [petiole_results::chord::Counted::Yes]);
    assert!(store.chord_extend(&part("f", "1", 0, "lost", CLAIM).claimed(), CLAIM).await?);
    Ok(())
}

pub async fn a_lost_lease_writes_nothing_of_all_of_it(subject: &dyn Subject) -> Checked {
    let (a, held) = holding(subject, "1").await?;
    let finished = ChordStart { group: "f".to_owned(), size: 1, saved: None, expires: None };
    subject.store().chord_start(&[finished]).await?;
    subject.store().chord_part(&[part("f", "1", 0, "lost", CLAIM)]).await?;
    subject.inspector().end("a").await?;
    let hour = subject.now().await? + Duration::from_hours(1);
    for disposition in [
        Disposition::Ack,
        Disposition::Keep,
        Disposition::Acked,
        Disposition::Retry { until: hour, retries: 1, body: None },
    ] {
        let late = everything(&held, disposition);
        assert!(matches!(a.consumer.settle(&[late]).await, Err(BrokerError::LeaseLost)));
    }
    nothing_was_written(subject).await
}

pub async fn a_message_that_is_gone_has_nothing_written(subject: &dyn Subject) -> Checked {
    let (a, held) = holding(subject, "1").await?;
    let finished = ChordStart { group: "f".to_owned(), size: 1, saved: None, expires: None };
    subject.store().chord_start(&[finished]).await?;
    subject.store().chord_part(&[part("f", "1", 0, "lost", CLAIM)]).await?;
    a.consumer.settle(&[settlement(&held, Disposition::Ack)]).await?;
    for disposition in [Disposition::Ack, Disposition::Keep] {
        let late = everything(&held, disposition);
        assert_eq!(a.consumer.settle(&[late]).await?, [Settled::Lost]);
    }
    nothing_was_written(subject).await
}

pub async fn what_was_acknowledged_early_is_still_followed_up(subject: &dyn Subject) -> Checked {
    let (a, held) = holding(subject, "1").await?;
    a.consumer.settle(&[settlement(&held, Disposition::Ack)]).await?;
    let late = Settlement {
        sends: vec![send("print", "2", 0)],
        ..settlement(&held, Disposition::Acked).with_records([record("1")])
    };
    assert_eq!(a.consumer.settle(&[late]).await?, [Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("print", 0).await?), ["2"]);
    assert_eq!(subject.document("1").await?, Some(record("1").document));
    Ok(())
}

pub async fn several_records_are_written_with_what_they_may_replace(subject: &dyn Subject) -> Checked {
    let (a, held) = holding(subject, "1").await?;
    let failed = |id: &str, precedence| petiole_results::Record {
        document: r#"{"status": "FAILURE"}"#.to_owned(),
        precedence,
        ..record(id)
    };
    let result = petiole_results::Precedence::Result;
    let progress = petiole_results::Record {
        document: r#"{"status": "PROGRESS"}"#.to_owned(),
        ..failed("1", petiole_results::Precedence::Progress)
    };
    let first = settlement(&held, Disposition::Keep).with_records([progress.clone(), failed("2", result)]);
    a.consumer.settle(&[first]).await?;
    assert_eq!(subject.document("1").await?.as_ref(), Some(&progress.document));
    let second = settlement(&held, Disposition::Ack).with_records([failed("1", result), progress]);
    a.consumer.settle(&[second]).await?;
    for id in ["1", "2"] {
        assert_eq!(subject.document(id).await?, Some(failed(id, result).document));
    }
    Ok(())
}

pub async fn a_retry_comes_back_at_its_time_and_says_which_it_is(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    subject.publish(&queue("mail"), &message("1", 5)).await?;
    let held = a.consumer.receive(MANY).await?;
    let until = subject.now().await? + LATER;
    let retry = settlement(&held[0], Disposition::Retry { until, retries: 2, body: None });
    let settled = a.consumer.settle(&[retry.with_records([record("1")])]).await?;
    assert_eq!(settled, [Settled::Done]);
    assert_eq!(subject.document("1").await?, Some(record("1").document));
    let depths = subject.inspector().depths(&[queue("mail")]).await?;
    assert_eq!(depths[0].reserved, 0);
    assert_eq!(depths[0].ready + depths[0].scheduled, 1);
    subject.pass(LATER).await?;
    a.lease.sweep().await?;
    let waiting = subject.waiting("mail", 3).await?;
    let headers = Envelope::from_redis(waiting[0].as_bytes())?.headers;
    assert_eq!((headers.get("retries"), headers.get("parent_id")), (Some("2"), Some("\"1\"")));
    let eta = petiole_protocol::json::string(headers.get("eta").unwrap_or_default()).unwrap_or_default();
    assert_eq!(petiole_protocol::time::parse(&eta)?.as_microsecond(), until.as_microsecond());
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["1"]);
    Ok(())
}

pub async fn a_message_that_cannot_be_made_a_retry_is_given_up(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    subject.publish(&queue("mail"), "no message").await?;
    let held = a.consumer.receive(MANY).await?;
    let until = subject.now().await?;
    let retry = settlement(&held[0], Disposition::Retry { until, retries: 1, body: None });
    assert_eq!(a.consumer.settle(&[retry]).await?, [Settled::Done]);
    let depth = Depth { dead: 1, consumers: 1, ..EMPTY };
    assert_eq!(subject.inspector().depths(&[queue("mail")]).await?, [depth]);
    let dead = Envelope::from_redis(subject.waiting("mail.dead", 0).await?[0].as_bytes())?;
    assert!(dead.headers.get(DEAD_LETTER).is_some_and(|why| why.contains("NotRetried")));
    Ok(())
}
