//! Checks: remote control and events.

#![expect(clippy::missing_panics_doc, reason = "a check that does not hold panics: that is what it is for")]
#![expect(missing_docs, reason = "the names of the checks say it")]

use std::sync::Arc;
use std::time::Duration;

use petiole_protocol::envelope::Envelope;
use petiole_protocol::keys::{EVENT_EXCHANGE, control_exchange, control_queue, control_reply_exchange};
use tokio::time::timeout;

use super::{Checked, Subject};
use crate::{Address, BoundQueue, Heard, Mailbox};

/// How long a check waits for what must come.
const LIMIT: Duration = Duration::from_secs(20);

/// How long it waits for what need not.
const MOMENT: Duration = Duration::from_millis(20);

fn control() -> Address {
    Address { exchange: control_exchange("celery"), routing_key: String::new() }
}

fn envelope(body: &str) -> Envelope {
    Envelope {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        body: body.to_owned().into(),
        ..Envelope::default()
    }
}

fn body(envelope: &Envelope) -> String {
    String::from_utf8_lossy(&envelope.body).into_owned()
}

/// A node that listens.
async fn node(subject: &dyn Subject, name: &str) -> Checked<Arc<dyn Mailbox>> {
    let node = subject.mailbox(name);
    listening(node.as_ref()).await?;
    Ok(node)
}

/// Waits until the node listens, and takes no request for it.
async fn listening(node: &dyn Mailbox) -> Checked {
    let listens = async {
        loop {
            match node.next().await {
                Heard::Listening => return Ok(()),
                Heard::Deaf(_) => {}
                Heard::Request(request) => return Err(format!("{request:?} was heard first").into()),
            }
        }
    };
    timeout(LIMIT, listens).await?
}

/// The body of the next request.
async fn request(node: &dyn Mailbox) -> Checked<String> {
    Ok(body(&heard(node).await?))
}

async fn heard(node: &dyn Mailbox) -> Checked<Envelope> {
    match timeout(LIMIT, node.next()).await? {
        Heard::Request(request) => Ok(*request?),
        other => Err(format!("no request was heard, but {other:?}").into()),
    }
}

pub async fn a_request_reaches_every_node(subject: &dyn Subject) -> Checked {
    let (a, b) = (node(subject, "w1@a").await?, node(subject, "w1@b").await?);
    let client = subject.mailbox("client");
    let batch = ["1", "2", "3"].map(|body| (control(), envelope(body)));
    assert_eq!(client.broadcast(&batch).await?, [2, 2, 2]);
    for node in [a, b] {
        for expected in ["1", "2", "3"] {
            assert_eq!(request(node.as_ref()).await?, expected);
        }
    }
    Ok(())
}

pub async fn what_is_sent_says_where_it_went(subject: &dyn Subject) -> Checked {
    let a = node(subject, "w1@a").await?;
    a.broadcast(&[(control(), envelope("1"))]).await?;
    let properties = heard(a.as_ref()).await?.properties;
    assert_eq!(properties.delivery_info.exchange, Some(control_exchange("celery")));
    assert_eq!(properties.delivery_info.routing_key.as_deref(), Some(""));
    assert!(properties.delivery_tag.is_some());
    Ok(())
}

pub async fn events_say_how_many_listen(subject: &dyn Subject) -> Checked {
    let a = node(subject, "w1@a").await?;
    let events = Address { exchange: EVENT_EXCHANGE.to_owned(), routing_key: "task.multi".to_owned() };
    let batch = [(events.clone(), envelope("[]")), (control(), envelope("1")), (events, envelope("[]"))];
    assert_eq!(a.broadcast(&batch).await?, [0, 1, 0]);
    assert!(a.broadcast(&[]).await?.is_empty());
    Ok(())
}

pub async fn an_answer_reaches_who_asked(subject: &dyn Subject) -> Checked {
    let (a, client) = (subject.mailbox("w1@a"), subject.mailbox("client"));
    let (inbox, other) = (client.inbox().await?, client.inbox().await?);
    assert_ne!(inbox.address(), other.address());
    for answer in ["1", "2"] {
        assert!(a.reply(inbox.address(), &envelope(answer)).await?);
    }
    for expected in ["1", "2"] {
        let answer = inbox.next(LIMIT).await?;
        assert_eq!(answer.transpose()?.as_ref().map(body).as_deref(), Some(expected));
    }
    assert!(inbox.next(MOMENT).await?.is_none());
    assert!(other.next(MOMENT).await?.is_none());
    // An answer that comes while somebody waits for it.
    let third = envelope("3");
    let (waited, answered) = tokio::join!(inbox.next(LIMIT), a.reply(inbox.address(), &third));
    assert!(answered?);
    assert_eq!(waited?.transpose()?.as_ref().map(body).as_deref(), Some("3"));
    Ok(())
}

pub async fn an_answer_to_nobody_is_dropped(subject: &dyn Subject) -> Checked {
    let a = subject.mailbox("w1@a");
    let exchange = control_reply_exchange("celery");
    let nobody = Address { exchange: exchange.clone(), routing_key: "nobody".to_owned() };
    assert!(!a.reply(&nobody, &envelope("1")).await?);
    assert!(subject.waiting(&format!("nobody.{exchange}"), 0).await?.is_empty());
    // Nor is one kept for a client that has gone.
    let inbox = a.inbox().await?;
    a.reply(inbox.address(), &envelope("1")).await?;
    inbox.close().await?;
    let list = format!("{}.{exchange}", inbox.address().routing_key);
    assert!(subject.waiting(&list, 0).await?.is_empty());
    assert!(!a.reply(inbox.address(), &envelope("2")).await?);
    Ok(())
}

pub async fn a_node_that_was_cut_off_says_so_and_listens_again(subject: &dyn Subject) -> Checked {
    let (a, client) = (node(subject, "w1@a").await?, subject.mailbox("client"));
    for round in ["1", "2"] {
        subject.cut().await?;
        listening(a.as_ref()).await?;
        // The client's connection was cut, too.
        while client.broadcast(&[(control(), envelope(round))]).await.is_err() {}
        assert_eq!(request(a.as_ref()).await?, round);
    }
    Ok(())
}

pub async fn a_node_that_sends_learns_that_it_was_cut_off(subject: &dyn Subject) -> Checked {
    let a = node(subject, "w1@a").await?;
    subject.lose_answers().await?;
    assert!(a.broadcast(&[(control(), envelope("1"))]).await.is_err());
    subject.answer_again().await?;
    // It may have been heard, on a broker that loses nothing else.
    let heard = timeout(LIMIT, async {
        while a.broadcast(&[(control(), envelope("2"))]).await.is_err() {}
        loop {
            if let Heard::Request(heard) = a.next().await
                && heard.is_ok_and(|heard| body(&heard) == "2")
            {
                return;
            }
            while a.broadcast(&[(control(), envelope("2"))]).await.is_err() {}
        }
    });
    Ok(heard.await?)
}

pub async fn a_call_that_is_given_up_loses_nothing(subject: &dyn Subject) -> Checked {
    let (a, client) = (node(subject, "w1@a").await?, subject.mailbox("client"));
    for round in 0..5 {
        let batch = [(control(), envelope(&round.to_string()))];
        let heard = tokio::select! {
            heard = request(a.as_ref()) => heard?,
            done = client.broadcast(&batch) => {
                assert_eq!(done?, [1]);
                request(a.as_ref()).await?
            }
        };
        assert_eq!(heard, round.to_string());
    }
    Ok(())
}

pub async fn a_node_is_known_while_it_is_there(subject: &dyn Subject) -> Checked {
    let (a, b) = (node(subject, "w1@a").await?, node(subject, "w1@b").await?);
    let queues = ["w1@a", "w1@b"].map(|name| control_queue("celery", name));
    assert_eq!(subject.bound(&control()).await?, queues);
    a.leave().await?;
    assert_eq!(subject.bound(&control()).await?, queues[1..]);
    assert_eq!(b.broadcast(&[(control(), envelope("1"))]).await?, [1]);
    b.leave().await?;
    assert!(subject.bound(&control()).await?.is_empty());
    Ok(())
}

pub async fn a_queue_is_bound_to_its_exchange(subject: &dyn Subject) -> Checked {
    let a = subject.mailbox("w1@a");
    let from = Address { exchange: "media".to_owned(), routing_key: "media.video".to_owned() };
    let video = BoundQueue { from: from.clone(), queue: "video".to_owned() };
    for _ in 0..2 {
        a.bind(&[BoundQueue::named("mail"), BoundQueue::named("print"), video.clone()]).await?;
    }
    assert_eq!(subject.bound(&BoundQueue::named("mail").from).await?, ["mail"]);
    assert_eq!(subject.bound(&from).await?, ["video"]);
    let other = Address { routing_key: "media.audio".to_owned(), ..from };
    assert!(subject.bound(&other).await?.is_empty());
    a.bind(&[]).await?;
    Ok(())
}
