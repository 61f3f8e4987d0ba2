//! Checks: what becomes of messages.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use super::{
    Checked, EMPTY, MANY, Subject, all_redelivered, ids, ids_of, message, publish, queue, record, settlement,
    worker,
};
use crate::dead_letter::DEAD_LETTER;
use crate::{Depth, Disposition, Settled};
use petiole_protocol::envelope::Envelope;

const IDLE: Depth = Depth { consumers: 1, ..EMPTY };

async fn depth(subject: &dyn Subject) -> Checked<Depth> {
    Ok(subject.inspector().depths(&[queue("mail")]).await?[0])
}

pub async fn an_acknowledged_message_is_gone(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    assert_eq!(depth(subject).await?, Depth { reserved: 1, ..IDLE });
    assert_eq!(a.consumer.settle(&[settlement(&taken[0], Disposition::Ack)]).await?, [Settled::Done]);
    assert_eq!(depth(subject).await?, IDLE);
    a.lease.release().await?;
    assert!(subject.waiting("mail", 0).await?.is_empty());
    Ok(())
}

pub async fn a_kept_message_stays_held(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    for _ in 0..2 {
        let kept = settlement(&taken[0], Disposition::Keep).with_records([record("1")]);
        assert_eq!(a.consumer.settle(&[kept]).await?, [Settled::Done]);
        assert_eq!(depth(subject).await?, Depth { reserved: 1, ..IDLE });
    }
    if a.consumer.stores_results() {
        assert_eq!(subject.document("1").await?, Some(record("1").document));
    }
    Ok(())
}

pub async fn a_record_is_written_with_the_acknowledgement(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    if !a.consumer.stores_results() {
        return Ok(());
    }
    publish(subject, &["1", "2"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    let batch: Vec<_> = taken
        .iter()
        .zip(ids(&taken))
        .map(|(delivery, id)| settlement(delivery, Disposition::Ack).with_records([record(&id)]))
        .collect();
    assert_eq!(a.consumer.settle(&batch).await?, [Settled::Done, Settled::Done]);
    for id in ["1", "2"] {
        assert_eq!(subject.document(id).await?, Some(record(id).document));
    }
    assert_eq!(depth(subject).await?, IDLE);
    Ok(())
}

pub async fn requeued_messages_are_next_in_their_order_and_marked(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2", "3"]).await?;
    let taken = a.consumer.receive(2).await?;
    let batch: Vec<_> = taken.iter().map(|delivery| settlement(delivery, Disposition::Requeue)).collect();
    assert_eq!(a.consumer.settle(&batch).await?, [Settled::Done, Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["1", "2", "3"]);
    let again = a.consumer.receive(2).await?;
    assert_eq!(ids(&again), ["1", "2"]);
    assert!(all_redelivered(&again));
    assert!(!all_redelivered(&a.consumer.receive(1).await?));
    Ok(())
}

pub async fn a_requeued_message_goes_back_to_its_priority(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    subject.publish(&queue("print"), &message("1", 7)).await?;
    let taken = a.consumer.receive(MANY).await?;
    a.consumer.settle(&[settlement(&taken[0], Disposition::Requeue)]).await?;
    assert_eq!(ids_of(&subject.waiting("print", 6).await?), ["1"]);
    Ok(())
}

pub async fn a_message_that_is_given_up_says_why(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    let reason = || Disposition::DeadLetter("there is no task \"x\"".to_owned());
    let batch: Vec<_> = taken.iter().map(|delivery| settlement(delivery, reason())).collect();
    a.consumer.settle(&batch).await?;
    assert_eq!(depth(subject).await?, Depth { dead: 2, ..IDLE });
    let dead = subject.waiting("mail.dead", 0).await?;
    assert_eq!(dead.len(), 2);
    let header = Envelope::from_redis(dead[0].as_bytes())?.headers.get(DEAD_LETTER).map(str::to_owned);
    let header = header.unwrap_or_default();
    assert!(
        header.starts_with(r#"{"reason": "there is no task \"x\"", "queue": "mail", "at": ""#),
        "{header}"
    );
    Ok(())
}

pub async fn bytes_that_are_no_message_can_be_given_up(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    subject.publish(&queue("mail"), "no message").await?;
    let taken = a.consumer.receive(MANY).await?;
    a.consumer.settle(&[settlement(&taken[0], Disposition::DeadLetter("not JSON".to_owned()))]).await?;
    let dead = subject.waiting("mail.dead", 0).await?;
    let dead = Envelope::from_redis(dead[0].as_bytes())?;
    assert_eq!(&dead.body[..], b"no message");
    assert!(dead.headers.get(DEAD_LETTER).is_some_and(|header| header.contains("not JSON")));
    Ok(())
}

pub async fn a_message_is_settled_once(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    assert_eq!(a.consumer.settle(&[settlement(&taken[0], Disposition::Ack)]).await?, [Settled::Done]);
    for disposition in [Disposition::Ack, Disposition::Requeue, Disposition::DeadLetter("why".to_owned())] {
        let late = settlement(&taken[0], disposition).with_records([record("1")]);
        assert_eq!(a.consumer.settle(&[late]).await?, [Settled::Lost]);
    }
    assert_eq!(depth(subject).await?, IDLE);
    assert_eq!(subject.document("1").await?, None);
    Ok(())
}

pub async fn a_batch_settles_what_is_held_and_leaves_the_rest(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2", "3"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    a.consumer.settle(&[settlement(&taken[1], Disposition::Ack)]).await?;
    let batch: Vec<_> = taken.iter().map(|delivery| settlement(delivery, Disposition::Requeue)).collect();
    assert_eq!(a.consumer.settle(&batch).await?, [Settled::Done, Settled::Lost, Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["1", "3"]);
    Ok(())
}

pub async fn what_was_settled_without_an_answer_is_done(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    // Once with an answer, so that the broker knows what is asked for.
    a.consumer.settle(&[settlement(&taken[0], Disposition::Keep)]).await?;
    let batch = [settlement(&taken[0], Disposition::Ack).with_records([record("1")])];
    subject.lose_answers().await?;
    assert!(a.consumer.settle(&batch).await.is_err());
    subject.answer_again().await?;
    a.lease.beat().await?;
    assert_eq!(a.consumer.settle(&batch).await?, [Settled::Done]);
    assert_eq!(a.consumer.settle(&batch).await?, [Settled::Lost]);
    assert_eq!(depth(subject).await?, IDLE);
    Ok(())
}
