//! Checks: Celery's own workers, as the operator hears and tells them.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::time::Duration;

use petiole_protocol::envelope::Envelope;
use petiole_protocol::keys::{CONTROL_EXCHANGE, EVENT_EXCHANGE, control_reply_exchange};
use tokio::time::{Instant, timeout};

use super::{Checked, Subject};
use crate::{Address, Heard, Inspector, Said};

/// How long a check waits for what must come.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two looks.
const MOMENT: Duration = Duration::from_millis(5);

fn envelope(body: &str) -> Envelope {
    Envelope {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        body: body.to_owned().into(),
        ..Envelope::default()
    }
}

fn event(routing_key: &str, body: &str) -> (Address, Envelope) {
    let to = Address { exchange: EVENT_EXCHANGE.to_owned(), routing_key: routing_key.to_owned() };
    (to, envelope(body))
}

fn bodies(envelopes: &[Envelope]) -> Vec<String> {
    envelopes.iter().map(|one| String::from_utf8_lossy(&one.body).into_owned()).collect()
}

/// Listens until this is so of all that was said meanwhile.
async fn until(
    subject: &dyn Subject,
    inspector: &dyn Inspector,
    is_so: impl Fn(&Said) -> bool,
) -> Checked<Said> {
    let end = Instant::now() + LIMIT;
    let mut all = Said { whole: true, ..Said::default() };
    loop {
        // Its connection may have been cut.
        if let Ok(Said { whole, events, answers }) = inspector.converse(&[]).await {
            all.whole &= whole;
            all.events.extend(events);
            all.answers.extend(answers);
        }
        if is_so(&all) {
            return Ok(all);
        }
        if Instant::now() > end {
            return Err(format!("only this was said: {all:?}").into());
        }
        subject.pass(MOMENT).await?;
    }
}

pub async fn events_of_workers_are_heard_from_the_first_call_on(subject: &dyn Subject) -> Checked {
    let (inspector, node) = (subject.inspector(), subject.mailbox("celery@a"));
    assert!(!inspector.converse(&[]).await?.whole);
    let events = [
        event("worker.online", "{\"n\": 1}"),
        event("task.multi", "[]"),
        event("worker.heartbeat", "{\"n\": 2}"),
    ];
    assert_eq!(node.broadcast(&events).await?, [1, 0, 1]);
    let said = until(subject, inspector.as_ref(), |said| said.events.len() >= 2).await?;
    assert!(said.whole);
    assert_eq!(bodies(&said.events), ["{\"n\": 1}", "{\"n\": 2}"]);
    Ok(())
}

pub async fn what_a_worker_is_told_it_answers(subject: &dyn Subject) -> Checked {
    let (inspector, node) = (subject.inspector(), subject.mailbox("celery@a"));
    while !matches!(timeout(LIMIT, node.next()).await?, Heard::Listening) {}
    inspector.converse(&[envelope("1"), envelope("2")]).await?;
    let to = Address {
        exchange: control_reply_exchange(CONTROL_EXCHANGE),
        routing_key: inspector.answers_to().to_owned(),
    };
    for expected in ["1", "2"] {
        let Heard::Request(request) = timeout(LIMIT, node.next()).await? else {
            return Err("no request was heard".into());
        };
        assert_eq!(bodies(&[*request?]), [expected]);
        assert!(node.reply(&to, &envelope(expected)).await?);
    }
    let said = until(subject, inspector.as_ref(), |said| said.answers.len() >= 2).await?;
    assert_eq!(bodies(&said.answers), ["1", "2"]);
    assert!(inspector.converse(&[]).await?.answers.is_empty());
    Ok(())
}

pub async fn who_was_cut_off_from_workers_says_so_and_hears_again(subject: &dyn Subject) -> Checked {
    let inspector = subject.inspector();
    inspector.converse(&[]).await?;
    subject.cut().await?;
    until(subject, inspector.as_ref(), |said| !said.whole).await?;
    subject.mailbox("celery@a").broadcast(&[event("worker.heartbeat", "{}")]).await?;
    let said = until(subject, inspector.as_ref(), |said| !said.events.is_empty()).await?;
    assert!(said.whole);
    Ok(())
}
