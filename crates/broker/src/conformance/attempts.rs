//! Checks: attempts that had begun when their worker ended.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use super::{Checked, MANY, Subject, ids, message, publish, queue, settlement, swept, tags, worker};
use crate::lost::{self, LostDelivery};
use crate::{Begun, BrokerError, Delivery, Disposition};

/// How many lost deliveries each message counts.
fn counts(deliveries: &[Delivery]) -> Vec<u32> {
    let count = |delivery: &Delivery| {
        delivery.envelope.as_ref().map_or(0, |envelope| lost::deliveries(&envelope.headers))
    };
    deliveries.iter().map(count).collect()
}

pub async fn attempts_that_had_begun_are_counted_when_they_are_lost(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1", "2", "3"]).await?;
    subject.publish(&queue("print"), &message("4", 9)).await?;
    let held = a.consumer.receive(MANY).await?;
    a.attempts.started(&[held[0].tag, held[3].tag]).await?;
    assert_eq!(swept(subject, &b).await?, 4);
    b.lease.beat().await?;
    let held = b.consumer.receive(MANY).await?;
    assert_eq!(ids(&held), ["1", "2", "3", "4"]);
    assert_eq!(counts(&held), [1, 0, 0, 1]);
    assert!(super::all_redelivered(&held));

    b.attempts.started(&tags(&held)).await?;
    subject.inspector().end("b").await?;
    let c = worker(subject, "c").await?;
    assert_eq!(counts(&c.consumer.receive(MANY).await?), [2, 1, 1, 2]);
    Ok(())
}

fn history(delivery: &Delivery) -> Vec<LostDelivery> {
    delivery.envelope.as_ref().map_or_else(|_| Vec::new(), |envelope| lost::history(&envelope.headers))
}

pub async fn lost_deliveries_are_remembered(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1", "2"]).await?;
    let held = a.consumer.receive(MANY).await?;
    a.attempts.started(&tags(&held[..1])).await?;
    swept(subject, &b).await?;
    b.lease.beat().await?;
    let held = b.consumer.receive(MANY).await?;
    b.attempts.started(&tags(&held[..1])).await?;
    subject.inspector().end("b").await?;
    let c = worker(subject, "c").await?;
    let held = c.consumer.receive(MANY).await?;
    assert!(history(&held[1]).is_empty());
    let history = history(&held[0]);
    let told: Vec<_> =
        history.iter().map(|it| (it.worker.as_str(), it.host.as_str(), it.how.as_str())).collect();
    assert_eq!(told, [("a", "host-a", "its lease ran out"), ("b", "host-b", "it was known to have ended")]);
    assert!(history[0].at <= history[1].at);
    Ok(())
}

pub async fn what_was_said_last_counts(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1", "2", "3"]).await?;
    let held = a.consumer.receive(MANY).await?;
    a.attempts.started(&tags(&held[..2])).await?;
    a.consumer.settle(&[settlement(&held[0], Disposition::Ack)]).await?;
    a.attempts.started(&tags(&held[2..])).await?;
    subject.inspector().end("a").await?;
    assert_eq!(counts(&b.consumer.receive(MANY).await?), [0, 1]);
    // Nothing has begun any more.
    let held = b.consumer.receive(MANY).await?;
    b.attempts.started(&tags(&held)).await?;
    b.attempts.started(&[]).await?;
    subject.inspector().end("b").await?;
    let c = worker(subject, "c").await?;
    assert_eq!(counts(&c.consumer.receive(MANY).await?), [0, 1]);
    Ok(())
}

pub async fn what_begins_by_being_taken_is_counted(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1", "2", "3", "4"]).await?;
    let begins = |tags, places| Begun { tags, places };
    let first = a.consumer.receive_for(1, &begins(Vec::new(), 1)).await?;
    // What has begun before is said again, what waits was never said.
    a.consumer.receive_for(3, &begins(tags(&first), 2)).await?;
    // A request that takes nothing says nothing.
    assert!(a.consumer.receive_for(1, &begins(Vec::new(), 1)).await?.is_empty());
    subject.inspector().end("a").await?;
    let held = b.consumer.receive_for(MANY, &begins(Vec::new(), 4)).await?;
    assert_eq!(counts(&held), [1, 1, 1, 0]);
    // What was lost before is noted by itself before it begins.
    subject.inspector().end("b").await?;
    let c = worker(subject, "c").await?;
    assert_eq!(counts(&c.consumer.receive(MANY).await?), [1, 1, 1, 1]);
    Ok(())
}

pub async fn what_is_said_with_a_taking_and_by_itself_counts_together(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2", "3"]).await?;
    let held = a.consumer.receive_for(3, &Begun { tags: Vec::new(), places: 1 }).await?;
    a.attempts.started(&tags(&held[1..2])).await?;
    subject.inspector().end("a").await?;
    let b = worker(subject, "b").await?;
    assert_eq!(counts(&b.consumer.receive(MANY).await?), [1, 1, 0]);
    subject.inspector().end("b").await?;
    // Nothing has begun any more.
    let c = worker(subject, "c").await?;
    c.consumer.receive_for(MANY, &Begun { tags: Vec::new(), places: 3 }).await?;
    c.attempts.started(&[]).await?;
    subject.inspector().end("c").await?;
    let d = worker(subject, "d").await?;
    assert_eq!(counts(&d.consumer.receive(MANY).await?), [1, 1, 0]);
    Ok(())
}

pub async fn a_worker_that_gives_up_loses_no_attempt(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2"]).await?;
    let held = a.consumer.receive_for(MANY, &Begun { tags: Vec::new(), places: 2 }).await?;
    a.attempts.started(&tags(&held)).await?;
    a.consumer.settle(&[settlement(&held[0], Disposition::Requeue)]).await?;
    a.lease.release().await?;
    let b = worker(subject, "b").await?;
    let again = b.consumer.receive(MANY).await?;
    assert_eq!(counts(&again), [0, 0]);
    assert!(super::all_redelivered(&again));
    Ok(())
}

pub async fn a_worker_that_lost_its_lease_notes_nothing(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1"]).await?;
    let held = a.consumer.receive(MANY).await?;
    subject.pass(subject.lease()).await?;
    assert!(matches!(a.attempts.started(&tags(&held)).await, Err(BrokerError::LeaseEnded)));
    b.lease.beat().await?;
    swept(subject, &b).await?;
    assert!(matches!(a.attempts.started(&tags(&held)).await, Err(BrokerError::LeaseLost)));
    b.lease.beat().await?;
    assert_eq!(counts(&b.consumer.receive(MANY).await?), [0]);
    Ok(())
}
