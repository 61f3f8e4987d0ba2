//! Checks: messages that wait for their time.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Checked, EMPTY, MANY, Member, Subject, id_of, ids, ids_of, message, publish, queue, settlement, worker,
};
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
    assert_eq!(depths, [Depth { scheduled: 1, consumers: 1, ..EMPTY }]);

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
    assert_eq!(inspector.give_up(&queue("mail")).await?, 0);
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

    assert_eq!(inspector.give_up(&queue("mail")).await?, 4);
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["2", "4", "3", "1"]);
    assert_eq!(ids_of(&subject.waiting("mail", 3).await?), ["5"]);
    let depths = inspector.depths(&[queue("mail"), queue("print")]).await?;
    assert_eq!((depths[0].ready, depths[0].scheduled, depths[1].scheduled), (5, 0, 1));
    assert_eq!(inspector.give_up(&queue("mail")).await?, 0);
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
        subject.pass(LATER).await?;
        b.consumer.settle(&[settlement(&taken[1], Disposition::Park(now + LATER))]).await?;
        subject.pass(LATER).await
    };
    let (taken, parked) = tokio::join!(timeout(Duration::from_secs(20), awaited(&a)), parking);
    parked?;
    assert_eq!(ids(&taken??), ["2"]);
    Ok(())
}

/// Parks messages of `mail`, due in so many minutes.
async fn parked(subject: &dyn Subject, by: &Member, minutes: &[(&str, u64)]) -> Checked {
    let now = subject.now().await?;
    publish(subject, &minutes.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await?;
    let taken = by.consumer.receive(MANY).await?;
    let times = minutes.iter().map(|(_, minutes)| now + Duration::from_mins(*minutes));
    let park = taken.iter().zip(times).map(|(delivery, time)| settlement(delivery, Disposition::Park(time)));
    by.consumer.settle(&park.collect::<Vec<_>>()).await?;
    Ok(())
}

async fn listed(by: &Member, offset: usize, limit: usize) -> Checked<Vec<String>> {
    let page = by.parking.parked(0, offset, limit).await?;
    assert!(page.is_sorted_by_key(|parked| parked.due));
    Ok(page
        .into_iter()
        .map(|parked| parked.envelope.map_or_else(|_| "?".to_owned(), |it| id_of(&it)))
        .collect())
}

fn names(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

pub async fn parked_messages_are_listed_by_pages(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    parked(subject, &a, &[("1", 40), ("2", 10), ("3", 30), ("4", 20)]).await?;
    assert_eq!(listed(&b, 0, MANY).await?, ["2", "4", "3", "1"]);
    assert_eq!(listed(&b, 1, 2).await?, ["4", "3"]);
    assert!(listed(&b, 4, 2).await?.is_empty() && listed(&b, 0, 0).await?.is_empty());
    assert!(b.parking.parked(1, 0, MANY).await?.is_empty());
    assert!(b.parking.parked(9, 0, MANY).await?.is_empty());
    let due = b.parking.parked(0, 0, 1).await?[0].due;
    let now = subject.now().await?;
    assert!(due > now && due <= now + Duration::from_mins(10) + Duration::from_millis(1), "{due} {now}");
    Ok(())
}

pub async fn a_parked_message_is_taken_out_once_and_held(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    parked(subject, &a, &[("1", 10), ("2", 20), ("3", 30)]).await?;
    let ids_to_take = names(&["3", "unknown", "1"]);
    let (one, other) = tokio::join!(a.parking.unpark(&ids_to_take), b.parking.unpark(&ids_to_take));
    let (one, other) = (one?, other?);
    let mut taken = [ids(&one), ids(&other)].concat();
    taken.sort();
    assert_eq!(taken, ["1", "3"]);
    assert_eq!(listed(&a, 0, MANY).await?, ["2"]);
    let depths = subject.inspector().depths(&[queue("mail")]).await?;
    assert_eq!((depths[0].reserved, depths[0].scheduled), (2, 1));
    for (by, deliveries) in [(&a, &one), (&b, &other)] {
        let ack: Vec<_> = deliveries.iter().map(|it| settlement(it, Disposition::Ack)).collect();
        let settled = by.consumer.settle(&ack).await?;
        assert!(settled.iter().all(|settled| *settled == Settled::Done));
    }
    assert_eq!(subject.inspector().depths(&[queue("mail")]).await?[0].reserved, 0);
    assert!(a.parking.unpark(&ids_to_take).await?.is_empty() && a.parking.unpark(&[]).await?.is_empty());
    Ok(())
}

pub async fn of_parked_messages_of_one_id_the_first_is_taken(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    parked(subject, &a, &[("1", 30), ("1", 10), ("1", 20)]).await?;
    let taken = a.parking.unpark(&names(&["1", "1"])).await?;
    assert!(!taken.is_empty());
    assert_eq!(taken.len() + listed(&a, 0, MANY).await?.len(), 3);
    // What is parked again is found again.
    let hour = subject.now().await? + Duration::from_hours(1);
    let again: Vec<_> = taken.iter().map(|it| settlement(it, Disposition::Park(hour))).collect();
    a.consumer.settle(&again).await?;
    assert!(!a.parking.unpark(&names(&["1"])).await?.is_empty());
    Ok(())
}

pub async fn an_unparked_message_goes_back_when_its_worker_ends(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    subject.publish(&queue("mail"), &message("1", 5)).await?;
    let taken = a.consumer.receive(MANY).await?;
    let hour = subject.now().await? + Duration::from_hours(1);
    a.consumer.settle(&[settlement(&taken[0], Disposition::Park(hour))]).await?;
    let unparked = a.parking.unpark(&names(&["1"])).await?;
    assert_ne!(unparked[0].tag, taken[0].tag);
    subject.inspector().end("a").await?;
    assert_eq!(ids_of(&subject.waiting("mail", 3).await?), ["1"]);
    assert!(matches!(a.parking.unpark(&names(&["1"])).await, Err(BrokerError::LeaseLost)));
    Ok(())
}
