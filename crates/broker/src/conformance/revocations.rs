//! Checks: what is revoked.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use super::{Checked, Subject};
use crate::{MOST_REVOKED, Revocations};

/// Longer than the overlap of two readings.
const LATER: Duration = Duration::from_millis(300);

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

async fn ids(revocations: &dyn Revocations) -> Checked<Vec<String>> {
    let mut ids = revocations.load(None).await?.ids;
    ids.sort();
    Ok(ids)
}

pub async fn what_is_revoked_is_known_to_all(subject: &dyn Subject) -> Checked {
    let (one, other) = (subject.revocations(), subject.revocations());
    assert!(one.load(None).await?.ids.is_empty());
    one.revoke(&names(&["1", "2"])).await?;
    other.revoke(&names(&["2", "a\n\"b\""])).await?;
    one.revoke(&[]).await?;
    assert_eq!(ids(one.as_ref()).await?, ["1", "2", "a\n\"b\""]);
    assert_eq!(ids(other.as_ref()).await?, ["1", "2", "a\n\"b\""]);
    assert!(one.load(None).await?.stamps.is_empty());
    Ok(())
}

pub async fn stamps_are_revoked_apart_from_ids(subject: &dyn Subject) -> Checked {
    let revocations = subject.revocations();
    revocations.revoke_stamped("tenant", &names(&["t1", "t2"])).await?;
    revocations.revoke_stamped("a \"b\"", &names(&["t1"])).await?;
    let revoked = revocations.load(None).await?;
    let mut stamps = revoked.stamps;
    stamps.sort();
    let expected = [("a \"b\"", "t1"), ("tenant", "t1"), ("tenant", "t2")];
    assert_eq!(stamps, expected.map(|(header, value)| (header.to_owned(), value.to_owned())));
    assert!(revoked.ids.is_empty());
    Ok(())
}

pub async fn what_was_revoked_since_a_reading_is_read_alone(subject: &dyn Subject) -> Checked {
    let revocations = subject.revocations();
    revocations.revoke(&names(&["1", "2"])).await?;
    revocations.revoke_stamped("tenant", &names(&["t1"])).await?;
    subject.pass(LATER).await?;
    let first = revocations.load(None).await?;
    assert_eq!((first.ids.len(), first.stamps.len()), (2, 1));
    // What is revoked again counts as new.
    revocations.revoke(&names(&["2", "3"])).await?;
    let since = revocations.load(Some(first.until)).await?;
    assert_eq!(since.ids, ["2", "3"]);
    assert!(since.stamps.is_empty());
    subject.pass(LATER).await?;
    let until = revocations.load(Some(since.until)).await?.until;
    assert!(revocations.load(Some(until)).await?.ids.is_empty());
    assert_eq!(ids(revocations.as_ref()).await?.len(), 3);
    Ok(())
}

pub async fn of_too_many_the_newest_are_kept(subject: &dyn Subject) -> Checked {
    let revocations = subject.revocations();
    revocations.revoke(&names(&["old-1", "old-2"])).await?;
    revocations.revoke_stamped("tenant", &names(&["t1"])).await?;
    subject.pass(Duration::from_millis(5)).await?;
    let many: Vec<_> = (0..=MOST_REVOKED).map(|id| format!("{id:05}")).collect();
    revocations.revoke(&many[..MOST_REVOKED - 1]).await?;
    let ids = ids(revocations.as_ref()).await?;
    assert_eq!(ids.len(), MOST_REVOKED);
    assert_eq!(ids.last().map(String::as_str), Some("old-2"));
    subject.pass(Duration::from_millis(5)).await?;
    revocations.revoke(&many).await?;
    let revoked = revocations.load(None).await?;
    assert_eq!(revoked.ids.len(), MOST_REVOKED);
    assert!(!revoked.ids.iter().any(|id| id.starts_with("old")));
    assert_eq!(revoked.stamps.len(), 1);
    Ok(())
}
