//! Checks: taking messages.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use super::{Checked, MANY, Subject, ids, message, publish, queue, settlement, tags, worker};
use crate::Disposition;

pub async fn the_oldest_message_comes_first(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    assert!(a.consumer.receive(MANY).await?.is_empty());
    publish(subject, &["1", "2", "3"]).await?;
    let taken = a.consumer.receive(MANY).await?;
    assert_eq!(ids(&taken), ["1", "2", "3"]);
    assert!(taken.iter().all(|delivery| delivery.queue == 0));
    Ok(())
}

pub async fn the_most_urgent_step_of_all_queues_comes_first(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    for (name, id, priority) in
        [("mail", "m9", 9), ("print", "p0", 0), ("mail", "m4", 4), ("print", "p3", 3), ("mail", "m0", 0)]
    {
        subject.publish(&queue(name), &message(id, priority)).await?;
    }
    let taken = a.consumer.receive(MANY).await?;
    assert_eq!(ids(&taken), ["m0", "p0", "m4", "p3", "m9"]);
    assert_eq!(taken.iter().map(|delivery| delivery.queue).collect::<Vec<_>>(), [0, 1, 0, 1, 0]);
    Ok(())
}

pub async fn no_more_is_taken_than_is_wanted(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1", "2"]).await?;
    subject.publish(&queue("print"), &message("3", 0)).await?;
    subject.publish(&queue("print"), &message("4", 3)).await?;
    assert!(a.consumer.receive(0).await?.is_empty());
    assert_eq!(ids(&a.consumer.receive(3).await?), ["1", "2", "3"]);
    assert_eq!(subject.waiting("print", 3).await?.len(), 1);
    Ok(())
}

pub async fn bytes_that_are_no_message_are_delivered_as_such(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    subject.publish(&queue("mail"), "no message").await?;
    let taken = a.consumer.receive(MANY).await?;
    assert_eq!(taken.len(), 1);
    assert!(taken[0].envelope.is_err());
    Ok(())
}

pub async fn two_calls_at_once_share_what_there_is(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    let published: Vec<_> = (0..20).map(|id| id.to_string()).collect();
    publish(subject, &published.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let (one, other) = tokio::join!(a.consumer.receive(15), a.consumer.receive(15));
    let (one, other) = (one?, other?);
    let all: BTreeSet<_> = ids(&one).into_iter().chain(ids(&other)).collect();
    assert_eq!(all, published.into_iter().collect());
    let all: BTreeSet<_> = tags(&one).into_iter().chain(tags(&other)).collect();
    assert_eq!(all.len(), 20);
    Ok(())
}

pub async fn a_message_that_came_back_has_another_tag(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    publish(subject, &["1"]).await?;
    let first = a.consumer.receive(MANY).await?;
    a.consumer.settle(&[settlement(&first[0], Disposition::Requeue)]).await?;
    let second = a.consumer.receive(MANY).await?;
    assert_ne!(tags(&first), tags(&second));
    Ok(())
}

pub async fn waiting_ends_when_a_message_comes(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    let waiting = async {
        loop {
            a.consumer.wait().await;
            let taken = a.consumer.receive(MANY).await?;
            if !taken.is_empty() {
                return Ok::<_, crate::BrokerError>(taken);
            }
        }
    };
    let (taken, published) =
        tokio::join!(timeout(Duration::from_secs(20), waiting), publish(subject, &["1"]));
    published?;
    assert_eq!(ids(&taken??), ["1"]);
    Ok(())
}

pub async fn waiting_ends_at_once_when_a_message_is_there(subject: &dyn Subject) -> Checked {
    let a = worker(subject, "a").await?;
    subject.publish(&queue("print"), &message("1", 9)).await?;
    timeout(Duration::from_secs(20), a.consumer.wait()).await?;
    assert_eq!(a.consumer.receive(MANY).await?.len(), 1);
    Ok(())
}
