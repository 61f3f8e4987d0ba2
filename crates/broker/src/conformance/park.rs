//! Checks: messages that wait for their time.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use tokio::time::timeout;

use super::{Checked, MANY, Member, Subject, ids, ids_of, message, publish, queue, settlement, worker};
use crate::{BrokerError, Delivery, Depth, Disposition, Settled};

/// Long enough for what a check does before it is over.
const LATER: Duration = Duration::from_millis(150);

pub async fn a_parked_message_comes_back_at_its_time(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    let far = subject.now().await? + Duration::from_hours(1);
    assert_eq!(a.consumer.settle(&[settlement(&taken[0], Disposition::Park(far))]).await?, [Settled::Done]);
    assert!(a.consumer.receive(MANY).await?.is_empty());
    let depths = subject.inspector().depths(&[queue("mail")]).await?;
    assert_eq!(depths, [Depth { scheduled: 1, consumers: 1, ..Depth::default() }]);

    publish(subject, &["2"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    let near = subject.now().await? + LATER;
    a.consumer.settle(&[settlement(&taken[0], Disposition::Park(near))]).await?;
    subject.pass(LATER).await?;
    let depths = subject.inspector().depths(&[queue("mail")]).await?;
    assert_eq!((depths[0].ready, depths[0].scheduled), (1, 1));
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["2"]);
    Ok(())
}

pub async fn a_parked_message_is_next_in_its_priority(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    for id in ["1", "2", "3"] {
        subject.publish(&queue("print"), &message(id, 3)).await?;
    }
    let taken = a.consumer.receive(2).await?;
    let now = subject.now().await?;
    let times = [now + LATER, now + LATER / 2];
    let park = taken.iter().zip(times).map(|(delivery, time)| settlement(delivery, Disposition::Park(time)));
    a.consumer.settle(&park.collect::<Vec<_>>()).await?;
    subject.pass(LATER).await?;
    let again = a.consumer.receive(MANY).await?;
    // What was due first comes first, and none of them counts as redelivered.
    assert_eq!(ids(&again), ["2", "1", "3"]);
    assert!(!super::all_redelivered(&again[..1]));
    Ok(())
}

pub async fn messages_of_one_text_are_parked_apart(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "1"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    let now = subject.now().await?;
    let park: Vec<_> = taken.iter().map(|delivery| settlement(delivery, Disposition::Park(now))).collect();
    a.consumer.settle(&park).await?;
    subject.pass(LATER).await?;
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["1", "1"]);
    Ok(())
}

pub async fn a_sweep_returns_parked_messages(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    let now = subject.now().await?;
    let times = [now + LATER, now + Duration::from_hours(1)];
    let park = taken.iter().zip(times).map(|(delivery, time)| settlement(delivery, Disposition::Park(time)));
    a.consumer.settle(&park.collect::<Vec<_>>()).await?;
    subject.pass(LATER).await?;
    a.lease.sweep().await?;
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["1"]);
    Ok(())
}

/// Waits, as an idle worker does, until there is a message.
async fn awaited(by: &Member) -> Result<Vec<Delivery>, BrokerError> {
    loop {
        let taken = by.consumer.receive(MANY).await?;
        if !taken.is_empty() {
            return Ok(taken);
        }
        by.consumer.wait().await;
    }
}

pub async fn waiting_ends_when_a_parked_message_is_due(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    let now = subject.now().await?;
    let times = [now + LATER, now + Duration::from_hours(1)];
    let park = taken.iter().zip(times).map(|(delivery, time)| settlement(delivery, Disposition::Park(time)));
    a.consumer.settle(&park.collect::<Vec<_>>()).await?;
    let (taken, passed) = tokio::join!(timeout(Duration::from_secs(20), awaited(&a)), subject.pass(LATER));
    passed?;
    assert_eq!(ids(&taken??), ["1"]);
    Ok(())
}

pub async fn waiting_ends_when_another_parks_an_earlier_message(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    publish(subject, &["1", "2"]).await?;
    let taken = b.consumer.receive(MANY).await?;
    let now = subject.now().await?;
    let hour = settlement(&taken[0], Disposition::Park(now + Duration::from_hours(1)));
    b.consumer.settle(&[hour]).await?;
    let parking = async {
        // The other has begun to wait for the one that comes in an hour.
        a.consumer.wait().await;
        b.consumer.settle(&[settlement(&taken[1], Disposition::Park(now + LATER))]).await?;
        subject.pass(LATER).await
    };
    let (taken, parked) = tokio::join!(timeout(Duration::from_secs(20), awaited(&a)), parking);
    parked?;
    assert_eq!(ids(&taken??), ["2"]);
    Ok(())
}
