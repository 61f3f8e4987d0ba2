//! Checks: from which queues is taken, and how much from each.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use super::{
    Checked, MANY, Member, Subject, ids, ids_of, known, message, publish, queue, settlement, worker,
};
use crate::{Delivery, Disposition, Intake, Order, Settled};

/// A worker that takes three messages of `mail` for each of `print`.
async fn weighted(subject: &dyn Subject) -> Checked<Member> {
    let intake = Intake::new(Order::Weighted, [(queue("mail"), 3), (queue("print"), 1)]);
    subject.register(known("a", &intake), intake).await
}

async fn fill(subject: &dyn Subject, name: &str, count: usize, priority: u8) -> Checked {
    for at in 0..count {
        subject.publish(&queue(name), &message(&format!("{name}-{priority}-{at}"), priority)).await?;
    }
    Ok(())
}

fn of(deliveries: &[Delivery], queue: usize) -> usize {
    deliveries.iter().filter(|delivery| delivery.queue == queue).count()
}

pub async fn each_queue_has_its_share(subject: &dyn Subject) -> Checked {
    let a = weighted(subject).await?;
    fill(subject, "mail", 60, 0).await?;
    fill(subject, "print", 60, 0).await?;
    for want in [4, 16] {
        let taken = a.consumer.receive(want).await?;
        assert_eq!((of(&taken, 0), of(&taken, 1)), (want * 3 / 4, want / 4));
    }
    let mut prints = 0;
    for _ in 0..8 {
        prints += of(&a.consumer.receive(1).await?, 1);
    }
    assert_eq!(prints, 2);
    Ok(())
}

pub async fn priorities_are_strict_inside_a_queue_that_has_a_share(subject: &dyn Subject) -> Checked {
    let a = weighted(subject).await?;
    fill(subject, "mail", 4, 9).await?;
    fill(subject, "mail", 4, 0).await?;
    fill(subject, "print", 4, 9).await?;
    let taken = a.consumer.receive(8).await?;
    assert_eq!((of(&taken, 0), of(&taken, 1)), (6, 2));
    let expected = ["mail-0-0", "mail-0-1", "mail-0-2", "mail-0-3", "mail-9-0", "mail-9-1"];
    let mut mail = ids(&taken);
    mail.retain(|id| id.starts_with("mail"));
    assert_eq!(mail, expected);
    Ok(())
}

pub async fn what_an_empty_queue_leaves_is_taken_from_the_others(subject: &dyn Subject) -> Checked {
    let a = weighted(subject).await?;
    fill(subject, "print", 20, 0).await?;
    assert_eq!(of(&a.consumer.receive(10).await?, 1), 10);
    // What it had alone is not held against it.
    fill(subject, "mail", 20, 0).await?;
    let taken = a.consumer.receive(8).await?;
    assert_eq!((of(&taken, 0), of(&taken, 1)), (6, 2));
    assert_eq!(a.consumer.receive(MANY).await?.len(), 22);
    Ok(())
}

/// A worker that takes from `mail`; and its intake.
async fn adding(subject: &dyn Subject, incarnation: &str) -> Checked<(Member, Intake)> {
    let intake = Intake::strict(&[queue("mail")]);
    Ok((subject.register(known(incarnation, &intake), intake.clone()).await?, intake))
}

pub async fn a_queue_that_is_added_is_taken_from(subject: &dyn Subject) -> Checked {
    let (a, intake) = adding(subject, "a").await?;
    publish(subject, &["1"]).await?;
    subject.publish(&queue("print"), &message("2", 0)).await?;
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["1"]);
    assert_eq!(intake.consume(queue("print")), 1);
    let taken = a.consumer.receive(MANY).await?;
    assert_eq!((ids(&taken), taken[0].queue), (vec!["2".to_owned()], 1));
    let depths = subject.inspector().depths(&[queue("print")]).await?;
    assert_eq!((depths[0].reserved, depths[0].consumers), (1, 1));
    assert_eq!(a.consumer.settle(&[settlement(&taken[0], Disposition::Requeue)]).await?, [Settled::Done]);
    assert_eq!(ids_of(&subject.waiting("print", 0).await?), ["2"]);
    Ok(())
}

pub async fn what_is_held_of_an_added_queue_goes_back_when_its_worker_ends(subject: &dyn Subject) -> Checked {
    let (a, intake) = adding(subject, "a").await?;
    subject.publish(&queue("print"), &message("2", 0)).await?;
    intake.consume(queue("print"));
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["2"]);
    assert_eq!(subject.inspector().end("a").await?, 1);
    assert_eq!(ids_of(&subject.waiting("print", 0).await?), ["2"]);
    assert_eq!(subject.inspector().depths(&[queue("print")]).await?[0].consumers, 0);
    Ok(())
}

pub async fn what_is_held_of_an_added_queue_goes_back_when_its_worker_gives_up(
    subject: &dyn Subject,
) -> Checked {
    let (a, intake) = adding(subject, "a").await?;
    subject.publish(&queue("print"), &message("2", 0)).await?;
    intake.consume(queue("print"));
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["2"]);
    a.lease.release().await?;
    assert_eq!(ids_of(&subject.waiting("print", 0).await?), ["2"]);
    Ok(())
}

pub async fn a_queue_that_is_cancelled_keeps_what_it_has(subject: &dyn Subject) -> Checked {
    let intake = Intake::strict(&[queue("mail"), queue("print")]);
    let a = subject.register(known("a", &intake), intake.clone()).await?;
    let b = worker(subject, "b").await?;
    publish(subject, &["1"]).await?;
    let held = a.consumer.receive(MANY).await?;
    intake.cancel("mail");
    publish(subject, &["2"]).await?;
    subject.publish(&queue("print"), &message("3", 0)).await?;
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["3"]);
    assert_eq!(a.consumer.settle(&[settlement(&held[0], Disposition::Requeue)]).await?, [Settled::Done]);
    assert_eq!(ids(&b.consumer.receive(1).await?), ["1"]);
    intake.cancel("print");
    assert!(a.consumer.receive(MANY).await?.is_empty());
    intake.consume(queue("mail"));
    assert_eq!(ids(&a.consumer.receive(MANY).await?), ["2"]);
    Ok(())
}
