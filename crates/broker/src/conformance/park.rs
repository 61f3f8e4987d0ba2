//! Checks: messages that wait for their time.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use super::{Checked, MANY, Subject, ids, ids_of, message, publish, queue, settlement, worker};
use crate::{Depth, Disposition, Settled};

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

pub async fn a_queue_that_is_given_up_gets_its_parked_messages_back(subject: &dyn Subject) -> Checked {
    let (a, inspector) = (worker(subject, "a").await?, subject.inspector());
    assert_eq!(inspector.unpark(&queue("mail")).await?, 0);
    publish(subject, &["1", "2", "3", "4"]).await?;
    subject.publish(&queue("mail"), &message("5", 3)).await?;
    subject.publish(&queue("print"), &message("6", 0)).await?;
    let taken = a.consumer.receive(MANY).await?;
    let now = subject.now().await?;
    // 1 waits in its list, 2 is due, the others have time; 6 is of another queue.
    let [late, soon] = [3, 1].map(|hours| now + Duration::from_hours(hours));
    let until = |id: &str| match id {
        "1" => Disposition::Requeue,
        "2" => Disposition::Park(now),
        "3" => Disposition::Park(late),
        _ => Disposition::Park(soon),
    };
    let settle: Vec<_> =
        taken.iter().zip(ids(&taken)).map(|(delivery, id)| settlement(delivery, until(&id))).collect();
    a.consumer.settle(&settle).await?;

    assert_eq!(inspector.unpark(&queue("mail")).await?, 4);
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["2", "4", "3", "1"]);
    assert_eq!(ids_of(&subject.waiting("mail", 3).await?), ["5"]);
    let depths = inspector.depths(&[queue("mail"), queue("print")]).await?;
    assert_eq!((depths[0].ready, depths[0].scheduled, depths[1].scheduled), (5, 0, 1));
    assert_eq!(inspector.unpark(&queue("mail")).await?, 0);
    Ok(())
}
