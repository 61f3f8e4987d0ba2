//! Checks: tasks that start only so often.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Checked, EMPTY, MANY, Member, Subject, all_redelivered, ids, ids_of, known, message, publish, queue,
    settlement,
};
use crate::{BrokerError, Delivery, Depth, Disposition, Intake, OVERDUE, Settled, Start, Turn, Worker};

/// The task of every message.
const TASK: &str = "tasks.add";

/// Longer than any check takes.
const HOUR: Duration = Duration::from_hours(1);

/// Long enough for what a check does before it is over; longer than the slack.
const LATER: Duration = Duration::from_millis(200);

/// A worker of `mail` and `print`, where the task's starts are so far apart.
async fn limited(subject: &dyn Subject, incarnation: &str, interval: Duration) -> Checked<(Member, Intake)> {
    let intake = Intake::strict(&[queue("mail"), queue("print")]);
    intake.limit(TASK, Some(interval));
    Ok((subject.register(known(incarnation, &intake), intake.clone()).await?, intake))
}

fn starts(deliveries: &[Delivery], priority: u8) -> Vec<Start> {
    let ids = ids(deliveries).into_iter().zip(deliveries);
    ids.map(|(id, delivery)| Start { tag: delivery.tag, task: TASK.to_owned(), id, priority }).collect()
}

/// Receives what there is, and lets it start.
async fn start(by: &Member) -> Checked<Vec<Turn>> {
    Ok(by.rates.start(&starts(&by.consumer.receive(MANY).await?, 0)).await?)
}

/// The messages that come out of lines within this time.
async fn counted(subject: &dyn Subject, by: &Member, within: Duration) -> Checked<Vec<Delivery>> {
    subject.pass(within).await?;
    let taken = by.consumer.receive(MANY).await?;
    assert!(taken.iter().all(|delivery| delivery.counted));
    Ok(taken)
}

pub async fn a_task_starts_as_often_as_its_limit_allows(subject: &dyn Subject) -> Checked {
    let (a, _) = limited(subject, "a", HOUR).await?;
    publish(subject, &["1", "2", "3"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    assert!(taken.iter().all(|delivery| !delivery.counted));
    let mut asked = starts(&taken, 0);
    asked.push(Start { task: "tasks.free".to_owned(), ..asked[0].clone() });
    assert_eq!(a.rates.start(&asked).await?, [Turn::Now, Turn::Later, Turn::Later, Turn::Now]);
    assert!(a.consumer.receive(MANY).await?.is_empty());
    let depths = subject.inspector().depths(&[queue("mail")]).await?;
    assert_eq!(depths, [Depth { scheduled: 2, reserved: 1, consumers: 1, ..EMPTY }]);
    // They are listed by about when they start.
    let parked = a.parking.parked(0, 0, MANY).await?;
    assert!(parked[1].due > subject.now().await? + HOUR);
    let ack = settlement(&taken[0], Disposition::Ack);
    assert_eq!(a.consumer.settle(&[ack]).await?, [Settled::Done]);
    Ok(())
}

pub async fn those_in_line_come_in_their_order_and_are_counted(subject: &dyn Subject) -> Checked {
    let (a, _) = limited(subject, "a", LATER).await?;
    publish(subject, &["1", "2", "3", "4"]).await?;
    assert_eq!(start(&a).await?, [Turn::Now, Turn::Later, Turn::Later, Turn::Later]);
    // Who comes later stands behind them, also when the gate is open.
    publish(subject, &["5"]).await?;
    subject.pass(LATER).await?;
    let taken = a.consumer.receive(MANY).await?;
    assert_eq!(ids(&taken), ["2", "5"]);
    assert_eq!(taken.iter().map(|delivery| delivery.counted).collect::<Vec<_>>(), [true, false]);
    assert!(!all_redelivered(&taken[..1]));
    assert_eq!(a.rates.start(&starts(&taken[1..], 0)).await?, [Turn::Later]);
    for id in ["3", "4", "5"] {
        assert_eq!(ids(&counted(subject, &a, LATER).await?), [id]);
    }
    Ok(())
}

pub async fn the_most_urgent_stand_first_in_line(subject: &dyn Subject) -> Checked {
    let (a, _) = limited(subject, "a", LATER).await?;
    for (id, priority) in [("1", 0), ("2", 9), ("3", 3), ("4", 0)] {
        subject.publish(&queue("mail"), &message(id, priority)).await?;
        let taken = a.consumer.receive(MANY).await?;
        a.rates.start(&starts(&taken, priority)).await?;
    }
    for id in ["4", "3", "2"] {
        assert_eq!(ids(&counted(subject, &a, LATER).await?), [id]);
    }
    Ok(())
}

pub async fn another_limit_counts_at_once(subject: &dyn Subject) -> Checked {
    let (a, intake) = limited(subject, "a", LATER).await?;
    publish(subject, &["1", "2", "3", "4", "5"]).await?;
    start(&a).await?;
    intake.limit(TASK, Some(HOUR));
    assert!(counted(subject, &a, 2 * LATER).await?.is_empty());
    intake.limit(TASK, Some(LATER));
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["2"], "long enough after the last one");
    assert_eq!(ids(&counted(subject, &a, LATER).await?), ["3"]);
    intake.limit(TASK, None);
    assert_eq!(ids(&a.consumer.receive(1).await?), ["4"]);
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["5"]);
    assert_eq!(subject.inspector().depths(&[queue("mail")]).await?[0].scheduled, 0);
    Ok(())
}

pub async fn a_limit_counts_over_the_workers_of_a_pool(subject: &dyn Subject) -> Checked {
    let ((a, _), (b, _)) = (limited(subject, "a", HOUR).await?, limited(subject, "b", HOUR).await?);
    let intake = Intake::strict(&[queue("mail")]);
    intake.limit(TASK, Some(HOUR));
    let stranger = Worker { pool: "other".to_owned(), ..known("c", &intake) };
    let stranger = subject.register(stranger, intake).await?;
    for (by, turn) in [(&a, Turn::Now), (&b, Turn::Later)] {
        publish(subject, &["1"]).await?;
        assert_eq!(start(by).await?, [turn]);
    }
    // Another pool has its own count. The line of the queue is everybody's.
    assert_eq!(ids(&stranger.consumer.receive(MANY).await?), ["1"]);
    Ok(())
}

pub async fn starts_that_were_not_made_do_not_add_up(subject: &dyn Subject) -> Checked {
    let (a, _) = limited(subject, "a", LATER).await?;
    publish(subject, &["1"]).await?;
    start(&a).await?;
    subject.pass(5 * LATER).await?;
    publish(subject, &["2", "3"]).await?;
    assert_eq!(start(&a).await?, [Turn::Now, Turn::Later]);
    Ok(())
}

pub async fn waiting_ends_when_a_turn_comes(subject: &dyn Subject) -> Checked {
    let (a, _) = limited(subject, "a", LATER).await?;
    publish(subject, &["1", "2"]).await?;
    start(&a).await?;
    let waiting = async {
        loop {
            let taken = a.consumer.receive(MANY).await?;
            if !taken.is_empty() {
                return Ok::<_, BrokerError>(taken);
            }
            a.consumer.wait().await;
        }
    };
    let (taken, passed) = tokio::join!(timeout(Duration::from_secs(20), waiting), subject.pass(LATER));
    passed?;
    let taken = taken??;
    assert!(taken[0].counted);
    assert_eq!(ids(&taken), ["2"]);
    Ok(())
}

pub async fn who_leaves_the_line_leaves_no_gap(subject: &dyn Subject) -> Checked {
    let (a, _) = limited(subject, "a", LATER).await?;
    publish(subject, &["1", "2", "3", "4"]).await?;
    start(&a).await?;
    let unparked = a.parking.unpark(&["2".to_owned(), "3".to_owned()]).await?;
    assert!(unparked.iter().all(|delivery| !delivery.counted));
    assert_eq!(ids(&counted(subject, &a, LATER).await?), ["4"]);
    Ok(())
}

pub async fn a_line_that_nobody_serves_goes_back_to_its_queue(subject: &dyn Subject) -> Checked {
    let (a, _) = limited(subject, "a", LATER).await?;
    publish(subject, &["1", "2", "3"]).await?;
    start(&a).await?;
    let until = subject.now().await? + OVERDUE + 2 * LATER;
    while subject.now().await? <= until {
        subject.pass(LATER).await?;
        a.lease.beat().await?;
    }
    a.lease.sweep().await?;
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), ["2", "3"]);
    // The names that are left in the line count for nobody.
    let taken = a.consumer.receive(MANY).await?;
    assert_eq!(ids(&taken), ["2", "3"]);
    assert!(taken.iter().all(|delivery| !delivery.counted));
    assert_eq!(a.rates.start(&starts(&taken, 0)).await?, [Turn::Now, Turn::Later]);
    assert_eq!(ids(&counted(subject, &a, LATER).await?), ["3"]);
    Ok(())
}

pub async fn a_counted_message_whose_worker_ends_asks_again(subject: &dyn Subject) -> Checked {
    let ((a, _), (b, _)) = (limited(subject, "a", LATER).await?, limited(subject, "b", LATER).await?);
    publish(subject, &["1", "2", "3"]).await?;
    start(&a).await?;
    assert_eq!(ids(&counted(subject, &a, LATER).await?), ["2"]);
    assert_eq!(subject.inspector().end("a").await?, 2);
    let taken = b.consumer.receive(MANY).await?;
    assert_eq!(ids(&taken), ["1", "2"]);
    assert!(taken.iter().all(|delivery| !delivery.counted));
    assert_eq!(b.rates.start(&starts(&taken, 0)).await?, [Turn::Later, Turn::Later]);
    assert_eq!(ids(&counted(subject, &b, LATER).await?), ["3"]);
    Ok(())
}

pub async fn a_worker_that_lost_its_lease_starts_nothing(subject: &dyn Subject) -> Checked {
    let ((a, _), (b, _)) = (limited(subject, "a", HOUR).await?, limited(subject, "b", HOUR).await?);
    publish(subject, &["1"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    subject.inspector().end("a").await?;
    assert!(matches!(a.rates.start(&starts(&taken, 0)).await, Err(BrokerError::LeaseLost)));
    assert_eq!(start(&b).await?, [Turn::Now], "its start was not counted");
    Ok(())
}

pub async fn a_message_that_is_gone_does_not_start(subject: &dyn Subject) -> Checked {
    let (a, _) = limited(subject, "a", HOUR).await?;
    publish(subject, &["1", "2"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    a.consumer.settle(&[settlement(&taken[0], Disposition::Ack)]).await?;
    assert_eq!(a.rates.start(&starts(&taken, 0)).await?, [Turn::Lost, Turn::Now]);
    Ok(())
}
