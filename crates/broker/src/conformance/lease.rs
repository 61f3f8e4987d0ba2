//! Checks: leases, and what becomes of messages when one ends.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use super::{
    Checked, MANY, Member, Subject, all_redelivered, ids, ids_of, message, publish, queue, record,
    settlement, swept, worker,
};
use crate::{BrokerError, Disposition, Held, Settled};

pub async fn messages_of_a_swept_worker_are_next_in_their_order_and_marked(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1", "2", "3"]).await?;
    subject.publish(&queue("print"), &message("4", 5)).await?;
    a.consumer.receive(2).await?;
    a.consumer.receive(1).await?;
    a.consumer.receive(1).await?;
    publish(subject, &["5"]).await?;
    assert_eq!(swept(subject, &b).await?, 4);
    b.lease.beat().await?;
    let again = b.consumer.receive(MANY).await?;
    assert_eq!(ids(&again), ["1", "2", "3", "5", "4"]);
    assert!(all_redelivered(&again[..3]) && all_redelivered(&again[4..]));
    assert!(!all_redelivered(&again[3..4]));
    Ok(())
}

async fn writes_nothing(a: &Member, held: &[crate::Delivery]) -> Checked {
    for disposition in [Disposition::Ack, Disposition::Keep, Disposition::Requeue] {
        let late = settlement(&held[0], disposition).with_records([record("1")]);
        assert!(matches!(a.consumer.settle(&[late]).await, Err(BrokerError::LeaseLost)));
    }
    assert!(matches!(a.consumer.receive(MANY).await, Err(BrokerError::LeaseLost)));
    assert!(matches!(a.consumer.adopt(&|_| false).await, Err(BrokerError::LeaseLost)));
    assert_eq!(a.lease.beat().await?, Held::Lost);
    Ok(())
}

pub async fn a_worker_that_lost_its_lease_writes_nothing(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1"]).await?;
    let held = a.consumer.receive(MANY).await?;
    swept(subject, &b).await?;
    writes_nothing(&a, &held).await?;
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["1"]);
    // Nor does it when somebody else holds the message.
    b.lease.beat().await?;
    let successor = b.consumer.receive(MANY).await?;
    writes_nothing(&a, &held).await?;
    assert_eq!(subject.document("1").await?, None);
    assert_eq!(b.consumer.settle(&[settlement(&successor[0], Disposition::Ack)]).await?, [Settled::Done]);
    Ok(())
}

pub async fn a_lease_that_ran_out_writes_nothing_until_it_is_renewed(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2"]).await?;
    let held = a.consumer.receive(1).await?;
    subject.pass(subject.lease()).await?;
    let ack = [settlement(&held[0], Disposition::Ack).with_records([record("1")])];
    assert!(matches!(a.consumer.settle(&ack).await, Err(BrokerError::LeaseEnded)));
    assert!(matches!(a.consumer.receive(MANY).await, Err(BrokerError::LeaseEnded)));
    assert_eq!(subject.document("1").await?, None);
    assert_eq!(a.lease.beat().await?, Held::Yes);
    assert_eq!(a.consumer.settle(&ack).await?, [Settled::Done]);
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["2"]);
    Ok(())
}

pub async fn after_a_gap_leases_can_be_renewed_before_they_are_ended(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1"]).await?;
    let held = a.consumer.receive(MANY).await?;
    b.lease.sweep().await?;
    // The broker is away for longer than a lease: nobody beats, nobody sweeps.
    subject.pass(subject.lease() * 3 / 2).await?;
    assert_eq!(b.lease.sweep().await?, 0);
    assert_eq!(b.lease.beat().await?, Held::Yes);
    assert_eq!(a.lease.beat().await?, Held::Yes);
    assert_eq!(a.consumer.settle(&[settlement(&held[0], Disposition::Ack)]).await?, [Settled::Done]);
    Ok(())
}

pub async fn a_worker_that_beats_is_not_swept(subject: &dyn Subject) -> Checked {
    let (a, b, c) = (worker(subject, "a").await?, worker(subject, "b").await?, worker(subject, "c").await?);
    publish(subject, &["1", "2"]).await?;
    let held = a.consumer.receive(1).await?;
    c.consumer.receive(1).await?;
    // The end of another worker's lease says that leases were ended at all.
    let mut rounds = 0;
    while b.lease.sweep().await? == 0 {
        rounds += 1;
        assert!(rounds < 1_000, "no lease ends");
        assert_eq!((a.lease.beat().await?, b.lease.beat().await?), (Held::Yes, Held::Yes));
        subject.pass(subject.lease() / 20).await?;
    }
    assert_eq!(a.lease.beat().await?, Held::Yes);
    assert_eq!(c.lease.beat().await?, Held::Lost);
    assert_eq!(a.consumer.settle(&[settlement(&held[0], Disposition::Ack)]).await?, [Settled::Done]);
    Ok(())
}

pub async fn a_worker_that_is_known_to_have_ended_is_ended_at_once(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1", "2", "3"]).await?;
    let held = a.consumer.receive(2).await?;
    let inspector = subject.inspector();
    assert_eq!(inspector.end("a").await?, 2);
    assert_eq!(inspector.end("a").await?, 0);
    assert_eq!(inspector.end("nobody").await?, 0);
    writes_nothing(&a, &held).await?;
    assert_eq!(ids(&b.consumer.receive(MANY).await?), ["1", "2", "3"]);
    Ok(())
}

pub async fn a_released_worker_gives_everything_back(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2", "3"]).await?;
    let held = a.consumer.receive(2).await?;
    a.lease.release().await?;
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["1", "2", "3"]);
    writes_nothing(&a, &held).await?;
    assert!(subject.inspector().workers().await?.is_empty());
    // Once more, because an answer may have been lost.
    a.lease.release().await?;
    Ok(())
}

pub async fn a_message_that_is_no_message_comes_back_too(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    subject.publish(&queue("mail"), "no message").await?;
    a.consumer.receive(MANY).await?;
    a.lease.release().await?;
    assert_eq!(subject.waiting("mail", 0).await?, ["no message"]);
    Ok(())
}
