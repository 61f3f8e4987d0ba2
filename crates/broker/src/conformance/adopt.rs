//! Checks: messages whose delivery was cut off.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::collections::BTreeSet;

use super::{Checked, MANY, Subject, ids, publish, settlement, tags, worker};
use crate::{Disposition, Settled};

pub async fn messages_whose_delivery_was_cut_off_are_taken_up(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2", "3"]).await?;
    let delivered = a.consumer.receive(1).await?;
    subject.lose_answers().await?;
    assert!(a.consumer.receive(MANY).await.is_err());
    subject.answer_again().await?;
    a.lease.beat().await?;
    let knows = |tag| tags(&delivered).contains(&tag);
    assert!(a.consumer.adopt(&knows).await?.is_empty());
    let found = a.consumer.adopt(&knows).await?;
    assert_eq!(ids(&found), ["2", "3"]);
    // They are the caller's now, and are settled like others.
    let all: BTreeSet<_> = tags(&delivered).into_iter().chain(tags(&found)).collect();
    for _ in 0..3 {
        assert!(a.consumer.adopt(&|tag| all.contains(&tag)).await?.is_empty());
    }
    let ack = found.iter().map(|delivery| settlement(delivery, Disposition::Ack)).collect::<Vec<_>>();
    assert_eq!(a.consumer.settle(&ack).await?, [Settled::Done, Settled::Done]);
    Ok(())
}

pub async fn known_messages_are_not_taken_up(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2"]).await?;
    let held = a.consumer.receive(MANY).await?;
    // One call finds the second message unknown because it is being settled.
    assert!(a.consumer.adopt(&|tag| tag == held[0].tag).await?.is_empty());
    a.consumer.settle(&[settlement(&held[1], Disposition::Ack)]).await?;
    for _ in 0..3 {
        assert!(a.consumer.adopt(&|tag| tag == held[0].tag).await?.is_empty());
    }
    Ok(())
}
