//! Checks: what the operator sees.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use super::{Checked, EMPTY, MANY, Subject, message, publish, queue, settlement, worker};
use crate::{Depth, Disposition, Load, SOON};

pub async fn messages_are_counted_where_they_stand(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    let b = worker(subject, "b").await?;
    publish(subject, &["1", "2", "3", "4"]).await?;
    subject.publish(&queue("mail"), &message("5", 9)).await?;
    subject.publish(&queue("print"), &message("6", 3)).await?;
    let held = a.consumer.receive(2).await?;
    b.consumer.receive(1).await?;
    let hour = subject.now().await? + Duration::from_hours(1);
    let batch = [
        settlement(&held[0], Disposition::Park(hour)),
        settlement(&held[1], Disposition::DeadLetter("why".to_owned())),
    ];
    a.consumer.settle(&batch).await?;
    let depths = subject.inspector().depths(&[queue("print"), queue("mail"), queue("none")]).await?;
    let expected = [
        Depth { ready: 1, consumers: 2, ..EMPTY },
        Depth { ready: 2, reserved: 1, scheduled: 1, dead: 1, consumers: 2, ..EMPTY },
        EMPTY,
    ];
    assert_eq!(depths, expected);
    assert!(subject.inspector().depths(&[]).await?.is_empty());
    Ok(())
}

pub async fn workers_are_listed_until_they_end(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    worker(subject, "b").await?;
    publish(subject, &["1"]).await?;
    a.consumer.receive(MANY).await?;
    let inspector = subject.inspector();
    let names = |workers: Vec<crate::Worker>| -> Vec<_> {
        let mut names: Vec<_> =
            workers.into_iter().map(|it| (it.incarnation, it.host, it.queues.len())).collect();
        names.sort();
        names
    };
    let listed = names(inspector.workers().await?);
    assert_eq!(listed, [("a".to_owned(), "host-a".to_owned(), 2), ("b".to_owned(), "host-b".to_owned(), 2)]);
    inspector.end("a").await?;
    assert_eq!(names(inspector.workers().await?).len(), 1);
    assert_eq!(inspector.depths(&[queue("mail")]).await?[0].consumers, 1);
    Ok(())
}

pub async fn what_is_due_soon_is_counted_apart(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2", "3"]).await?;
    let held = a.consumer.receive(MANY).await?;
    let now = subject.now().await?;
    let batch = [
        settlement(&held[0], Disposition::Park(now + SOON / 2)),
        settlement(&held[1], Disposition::Park(now + SOON * 2)),
        settlement(&held[2], Disposition::Park(now)),
    ];
    a.consumer.settle(&batch).await?;
    let depth = subject.inspector().depths(&[queue("mail")]).await?[0];
    assert_eq!((depth.ready, depth.scheduled, depth.due), (1, 2, 1));
    Ok(())
}

pub async fn what_celerys_workers_hold_is_counted_by_queue(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1"]).await?;
    a.consumer.receive(MANY).await?;
    let many = 300;
    for number in 0..many {
        subject.celery_holds(&queue("mail"), &message(&format!("mail-{number}"), 0)).await?;
    }
    let large = message("large", 0).replace("W1tdLCB7fSwge31d", &"W".repeat(1 << 20));
    subject.celery_holds(&queue("print"), &large).await?;
    let (inspector, queues) = (subject.inspector(), [queue("mail"), queue("print"), queue("none")]);
    let mut depths = inspector.depths(&queues).await?;
    let mut questions = 1;
    while depths[0].unacked.is_none() {
        assert!(questions < MANY, "it is never counted");
        depths = inspector.depths(&queues).await?;
        questions += 1;
    }
    let unacked: Vec<_> = depths.iter().map(|depth| depth.unacked).collect();
    assert_eq!(unacked, [Some(many), Some(1), Some(0)]);
    assert_eq!(depths[0].reserved, 1);
    Ok(())
}

pub async fn what_a_worker_says_of_itself_is_known_until_it_ends(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    let inspector = subject.inspector();
    assert!(inspector.loads().await?.is_empty());
    let load = Load { ended: 7, ended_ms: 7000, running: 2, running_ms: 50, held: 3, draining: true };
    a.lease.tell(&Load::default()).await?;
    a.lease.tell(&load).await?;
    b.lease.tell(&Load::default()).await?;
    let mut loads = inspector.loads().await?;
    loads.sort_by(|one, other| one.incarnation.cmp(&other.incarnation));
    let said = |report: &crate::Report| (report.incarnation.clone(), report.host.clone(), report.load);
    assert_eq!(
        loads.iter().map(said).collect::<Vec<_>>(),
        [("a".to_owned(), "host-a".to_owned(), load), ("b".to_owned(), "host-b".to_owned(), Load::default())]
    );
    inspector.end("a").await?;
    a.lease.tell(&load).await?;
    assert_eq!(inspector.loads().await?.len(), 1);
    Ok(())
}
