//! What every result store does: one suite, run against each back end.
//!
//! A back end's tests hand in a store that is empty, and a way to hear what it announces.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Precedence, Record, Store};

mod chord;

/// A store under test.
#[async_trait(?Send)]
pub trait Subject {
    /// The store.
    fn store(&self) -> &dyn Store;
    /// The documents that were announced for a task, in their order. Waits until there are `count`.
    async fn announced(&mut self, task_id: &str, count: usize) -> Checked<Vec<String>>;
    /// Returns when so much time has passed for the store.
    async fn pass(&mut self, time: Duration) -> Checked;
}

/// What a check says when it could not be made. What does not hold panics.
pub type Checked<T = ()> = Result<T, Box<dyn Error>>;

fn record(task_id: &str, status: &str) -> Record {
    Record {
        task_id: task_id.to_owned(),
        document: format!(r#"{{"status": "{status}", "result": null, "task_id": "{task_id}"}}"#),
        expires: Some(Duration::from_hours(24)),
        precedence: Precedence::Result,
    }
}

/// Runs the whole suite.
///
/// # Panics
/// When the store does not do what it must.
pub async fn exercise(subject: &mut dyn Subject) -> Checked {
    a_store_that_is_there_answers(subject).await?;
    what_was_stored_is_loaded_and_was_announced(subject).await?;
    a_later_record_replaces_an_earlier_one(subject).await?;
    success_is_never_replaced(subject).await?;
    success_is_not_replaced_within_a_batch(subject).await?;
    a_result_that_speaks_of_success_is_replaced(subject).await?;
    a_record_replaces_what_its_precedence_allows(subject).await?;
    precedence_counts_within_a_batch(subject).await?;
    several_documents_are_loaded_in_the_order_of_their_ids(subject).await?;
    chord::exercise(subject).await
}

async fn a_store_that_is_there_answers(subject: &mut dyn Subject) -> Checked {
    Ok(subject.store().ping().await?)
}

async fn what_was_stored_is_loaded_and_was_announced(subject: &mut dyn Subject) -> Checked {
    let batch = [record("loaded-1", "SUCCESS"), record("loaded-2", "FAILURE")];
    subject.store().store(&batch).await?;
    for stored in &batch {
        assert_eq!(subject.store().load(&stored.task_id).await?.as_ref(), Some(&stored.document));
        assert_eq!(subject.announced(&stored.task_id, 1).await?, std::slice::from_ref(&stored.document));
    }
    assert_eq!(subject.store().load("loaded-3").await?, None);
    Ok(())
}

async fn a_later_record_replaces_an_earlier_one(subject: &mut dyn Subject) -> Checked {
    let records = ["STARTED", "FAILURE", "SUCCESS"].map(|status| record("replaced", status));
    subject.store().store(&records[..1]).await?;
    subject.store().store(&records[1..]).await?;
    assert_eq!(subject.store().load("replaced").await?.as_ref(), Some(&records[2].document));
    assert_eq!(subject.announced("replaced", 3).await?, records.map(|record| record.document));
    Ok(())
}

async fn success_is_never_replaced(subject: &mut dyn Subject) -> Checked {
    let success = record("kept", "SUCCESS");
    subject.store().store(std::slice::from_ref(&success)).await?;
    subject.store().store(&[record("kept", "FAILURE")]).await?;
    // A record of another task is still written, whatever becomes of its neighbour.
    subject.store().store(&[record("kept", "STARTED"), record("kept-neighbour", "FAILURE")]).await?;
    assert_eq!(subject.store().load("kept").await?.as_ref(), Some(&success.document));
    assert_eq!(subject.announced("kept", 1).await?, [success.document]);
    assert!(subject.store().load("kept-neighbour").await?.is_some());
    Ok(())
}

async fn success_is_not_replaced_within_a_batch(subject: &mut dyn Subject) -> Checked {
    let success = record("batched", "SUCCESS");
    let batch = [record("batched", "STARTED"), success.clone(), record("batched", "FAILURE")];
    subject.store().store(&batch).await?;
    assert_eq!(subject.store().load("batched").await?.as_ref(), Some(&success.document));
    assert_eq!(
        subject.announced("batched", 2).await?,
        batch.into_iter().take(2).map(|record| record.document).collect::<Vec<_>>()
    );
    Ok(())
}

async fn a_result_that_speaks_of_success_is_replaced(subject: &mut dyn Subject) -> Checked {
    let document = r#"{"status": "PROGRESS", "result": {"status": "SUCCESS"}}"#.to_owned();
    let progress = Record { document, ..record("progress", "PROGRESS") };
    let end = record("progress", "FAILURE");
    subject.store().store(&[progress]).await?;
    subject.store().store(std::slice::from_ref(&end)).await?;
    assert_eq!(subject.store().load("progress").await?.as_ref(), Some(&end.document));
    Ok(())
}

async fn a_record_replaces_what_its_precedence_allows(subject: &mut dyn Subject) -> Checked {
    let states = "SUCCESS FAILURE REVOKED STARTED PROGRESS RECEIVED RETRY REJECTED PENDING";
    let allowed = [
        (Precedence::Result, "FAILURE REVOKED STARTED PROGRESS RECEIVED RETRY REJECTED PENDING"),
        (Precedence::Progress, "STARTED PROGRESS RECEIVED RETRY REJECTED PENDING"),
        (Precedence::Revoked, "RECEIVED RETRY REJECTED PENDING"),
    ];
    for (precedence, replaced) in allowed {
        for state in states.split(' ') {
            let id = format!("{precedence:?}-{state}");
            let new = Record { precedence, ..record(&id, "NEW") };
            subject.store().store(&[record(&id, state)]).await?;
            subject.store().store(std::slice::from_ref(&new)).await?;
            let written = subject.store().load(&id).await?.as_ref() == Some(&new.document);
            assert_eq!(written, replaced.split(' ').any(|it| it == state), "{id}");
        }
        let new = Record { precedence, ..record(&format!("{precedence:?}-none"), "NEW") };
        subject.store().store(std::slice::from_ref(&new)).await?;
        assert_eq!(subject.store().load(&new.task_id).await?, Some(new.document));
    }
    Ok(())
}

async fn precedence_counts_within_a_batch(subject: &mut dyn Subject) -> Checked {
    let progress = Record { precedence: Precedence::Progress, ..record("late", "PROGRESS") };
    let end = record("late", "FAILURE");
    subject.store().store(&[progress.clone(), end.clone(), progress.clone()]).await?;
    assert_eq!(subject.store().load("late").await?.as_ref(), Some(&end.document));
    assert_eq!(subject.announced("late", 2).await?, [progress.document, end.document]);
    Ok(())
}

async fn several_documents_are_loaded_in_the_order_of_their_ids(subject: &mut dyn Subject) -> Checked {
    let ids = ["many-2", "many-0", "many-1"].map(str::to_owned);
    let batch = [record("many-1", "SUCCESS"), record("many-2", "FAILURE")];
    subject.store().store(&batch).await?;
    let loaded = subject.store().load_many(&ids).await?;
    assert_eq!(loaded, [Some(batch[1].document.clone()), None, Some(batch[0].document.clone())]);
    assert!(subject.store().load_many(&[]).await?.is_empty());
    Ok(())
}
