//! Checks: what the operator wants of workers.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use super::{Checked, Member, Subject, worker};
use crate::{Load, Wish};

/// Longer than any check takes.
const LONG: Duration = Duration::from_hours(1);

async fn hears(member: &Member) -> Checked<Wish> {
    Ok(member.lease.tell(&Load::default()).await?)
}

fn wish(worker: &str, wish: Wish) -> (String, Wish) {
    (worker.to_owned(), wish)
}

pub async fn a_wish_reaches_the_workers_that_it_is_for_until_it_is_withdrawn(
    subject: &dyn Subject,
) -> Checked {
    let members = [worker(subject, "a").await?, worker(subject, "b").await?, worker(subject, "c").await?];
    let [a, b, c] = &members;
    let inspector = subject.inspector();
    assert_eq!(hears(a).await?, Wish::Work);
    inspector.wish(&[wish("a", Wish::Drain), wish("b", Wish::Drain)], LONG).await?;
    assert_eq!((hears(a).await?, hears(b).await?, hears(c).await?), (Wish::Drain, Wish::Drain, Wish::Work));
    inspector.wish(&[wish("a", Wish::Work), wish("c", Wish::Drain)], LONG).await?;
    assert_eq!((hears(a).await?, hears(b).await?, hears(c).await?), (Wish::Work, Wish::Drain, Wish::Drain));
    inspector.wish(&[], LONG).await?;
    Ok(())
}

pub async fn a_wish_that_is_not_said_again_lapses(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    let (inspector, short) = (subject.inspector(), subject.lease() / 2);
    inspector.wish(&[wish("a", Wish::Drain), wish("b", Wish::Drain)], short).await?;
    inspector.wish(&[wish("b", Wish::Drain)], LONG).await?;
    subject.pass(short).await?;
    assert_eq!((hears(&a).await?, hears(&b).await?), (Wish::Work, Wish::Drain));
    Ok(())
}

pub async fn a_wish_ends_with_the_lease(subject: &dyn Subject) -> Checked {
    let (a, b) = (worker(subject, "a").await?, worker(subject, "b").await?);
    let inspector = subject.inspector();
    inspector.wish(&[wish("a", Wish::Drain), wish("b", Wish::Drain)], LONG).await?;
    inspector.end("a").await?;
    b.lease.release().await?;
    // Of those that have ended, and of one that never was, nothing is written.
    inspector.wish(&[wish("a", Wish::Drain), wish("nobody", Wish::Drain)], LONG).await?;
    assert_eq!((hears(&a).await?, hears(&b).await?), (Wish::Work, Wish::Work));
    // Not even for another of the same name.
    assert_eq!(hears(&worker(subject, "nobody").await?).await?, Wish::Work);
    Ok(())
}
