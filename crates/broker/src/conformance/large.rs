//! Checks: messages so large that few of them go at a time.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use super::{Checked, MANY, Member, Subject, ids, ids_of, known, message, queue, settlement};
use crate::{Disposition, Intake, Start};

/// Of a mebibyte each.
pub const COUNT: usize = 12;

/// The ids of such messages.
pub fn large_ids() -> Vec<String> {
    (0..COUNT).map(|number| format!("{number:03}")).collect()
}

/// Such a message.
pub fn large(id: &str) -> String {
    message(id, 0).replacen('{', &format!("{{\"padding\": \"{}\", ", "x".repeat(1 << 20)), 1)
}

/// Publishes them to `mail`.
async fn publish_large(subject: &dyn Subject) -> Checked<Vec<String>> {
    let ids = large_ids();
    for id in &ids {
        subject.publish(&queue("mail"), &large(id)).await?;
    }
    Ok(ids)
}

/// Takes all of them, in as many calls as that takes.
async fn take_all(by: &Member) -> Checked<Vec<crate::Delivery>> {
    let mut taken = Vec::new();
    while taken.len() < COUNT {
        by.lease.beat().await?;
        let more = by.consumer.receive(MANY).await?;
        assert!(!more.is_empty(), "only {} have come", taken.len());
        taken.extend(more);
    }
    Ok(taken)
}

async fn member(subject: &dyn Subject, incarnation: &str) -> Checked<(Member, Intake)> {
    let intake = Intake::strict(&[queue("mail")]);
    Ok((subject.register(known(incarnation, &intake), intake.clone()).await?, intake))
}

pub async fn large_messages_of_a_worker_that_ends_go_back_in_their_order(subject: &dyn Subject) -> Checked {
    let (a, _) = member(subject, "a").await?;
    let published = publish_large(subject).await?;
    take_all(&a).await?;
    assert_eq!(subject.inspector().end("a").await?, COUNT);
    assert_eq!(ids_of(&subject.waiting("mail", 0).await?), published);
    Ok(())
}

pub async fn large_messages_in_line_come_in_their_order(subject: &dyn Subject) -> Checked {
    let (a, intake) = member(subject, "a").await?;
    intake.limit("tasks.add", Some(Duration::from_hours(1)));
    let published = publish_large(subject).await?;
    for delivery in take_all(&a).await? {
        let id = ids(std::slice::from_ref(&delivery)).concat();
        let start = Start { tag: delivery.tag, task: "tasks.add".to_owned(), id, priority: 0 };
        a.lease.beat().await?;
        a.rates.start(&[start]).await?;
    }
    intake.limit("tasks.add", None);
    let mut came = Vec::new();
    while came.len() < COUNT - 1 {
        a.lease.beat().await?;
        let taken = a.consumer.receive(MANY).await?;
        assert!(!taken.is_empty() && taken.iter().all(|delivery| delivery.counted));
        came.extend(ids(&taken));
    }
    assert_eq!(came, published[1..], "the first one may start at once");
    Ok(())
}

pub async fn large_messages_that_are_due_all_come(subject: &dyn Subject) -> Checked {
    let (a, _) = member(subject, "a").await?;
    let published = publish_large(subject).await?;
    let now = subject.now().await?;
    for delivery in take_all(&a).await? {
        a.lease.beat().await?;
        a.consumer.settle(&[settlement(&delivery, Disposition::Park(now))]).await?;
    }
    let mut came = ids(&take_all(&a).await?);
    came.sort();
    assert_eq!(came, published);
    Ok(())
}
