//! Bounds of what Redis does at once: large messages go few at a time, whichever way they go.

use std::time::Duration;

use petiole_broker::conformance::large::{COUNT, large, large_ids};
use petiole_broker::conformance::{Member, Subject as _, queue, settlement};
use petiole_broker::redis::Config;
use petiole_broker::{Delivery, Disposition, Start};

use super::subject::{LIMIT, Redis, join, redis};

/// The most messages of 1 MiB that one call may move: 8 MiB; or 4 MiB, and what is moved before it is weighed.
const MOST: usize = 8;

/// A worker whose lease lasts, however long it takes to publish.
fn config(subject: &Redis) -> Config {
    Config { lease: LIMIT, ..subject.config("a") }
}

async fn published(subject: &Redis) {
    for id in large_ids() {
        subject.publish(&queue("mail"), &large(&id)).await.unwrap();
    }
}

/// Takes all of them, and says how many the largest answer had.
async fn taken(by: &Member, count: usize) -> (Vec<Delivery>, usize) {
    let (mut taken, mut most) = (Vec::new(), 0);
    while taken.len() < count {
        let more = by.consumer.receive(256).await.unwrap();
        assert!(!more.is_empty());
        most = most.max(more.len());
        taken.extend(more);
    }
    (taken, most)
}

/// How many scripts have run since the counts were reset. Those that the server did not know were called twice.
async fn scripts(subject: &Redis) -> usize {
    let told: String = subject.ask(&["INFO", "commandstats"]).await;
    let stats = told.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:")).unwrap();
    let stat = |name: &str| -> usize {
        let of_name = |stat: &str| stat.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        stats.split(',').find_map(of_name).unwrap()
    };
    stat("calls") - stat("failed_calls")
}

async fn reset(subject: &Redis) {
    let _: String = subject.ask(&["CONFIG", "RESETSTAT"]).await;
}

#[tokio::test]
async fn large_messages_of_a_worker_that_has_ended_go_back_few_at_a_time() {
    let subject = redis().await;
    let worker = join(config(&subject)).await.unwrap();
    published(&subject).await;
    taken(&worker, COUNT).await;
    reset(&subject).await;
    assert_eq!(subject.inspector().end("a").await.unwrap(), COUNT);
    // One ends the lease.
    let scripts = scripts(&subject).await;
    assert!(scripts > COUNT.div_ceil(MOST), "{scripts} scripts for {COUNT} messages");
}

#[tokio::test]
async fn large_messages_that_are_requeued_go_back_few_at_a_time_and_in_their_order() {
    let subject = redis().await;
    let worker = join(config(&subject)).await.unwrap();
    published(&subject).await;
    let (held, _) = taken(&worker, COUNT).await;
    reset(&subject).await;
    let requeue: Vec<_> = held.iter().map(|delivery| settlement(delivery, Disposition::Requeue)).collect();
    worker.consumer.settle(&requeue).await.unwrap();
    let scripts = scripts(&subject).await;
    assert!(scripts >= COUNT.div_ceil(MOST), "{scripts} scripts for {COUNT} messages");
    let waiting = subject.waiting("mail", 0).await.unwrap();
    let in_order = |(raw, id): (&String, &String)| raw.contains(&format!("tag-{id}"));
    assert!(waiting.len() == COUNT && waiting.iter().zip(&large_ids()).all(in_order));
}

#[tokio::test]
async fn large_messages_that_were_abandoned_go_back_few_at_a_time() {
    let subject = redis().await;
    let worker = join(config(&subject)).await.unwrap();
    let (now, ids) = (subject.time().await.as_secs(), large_ids());
    for (at, id) in ids.iter().enumerate() {
        let since = (now - 10_000 + at as u64).to_string();
        let _: u64 = subject.ask(&["HSET", "unacked", id, &format!("[{}, \"\", \"mail\"]", large(id))]).await;
        let _: u64 = subject.ask(&["ZADD", "unacked_index", &since, id]).await;
    }
    reset(&subject).await;
    worker.lease.sweep().await.unwrap();
    // Two scripts of a sweep are for other things.
    let scripts = scripts(&subject).await;
    assert!(scripts > COUNT.div_ceil(MOST) + 1, "{scripts} scripts for {COUNT} messages");
    let waiting = subject.waiting("mail", 0).await.unwrap();
    let in_order = |(raw, id): (&String, &String)| raw.contains(&format!("tag-{id}"));
    assert!(waiting.len() == COUNT && waiting.iter().zip(&ids).all(in_order));
}

#[tokio::test]
async fn large_messages_that_are_due_go_back_few_at_a_time() {
    let subject = redis().await;
    let worker = join(config(&subject)).await.unwrap();
    published(&subject).await;
    let now = subject.now().await.unwrap();
    for delivery in taken(&worker, COUNT).await.0 {
        worker.consumer.settle(&[settlement(&delivery, Disposition::Park(now))]).await.unwrap();
    }
    let before: usize = subject.ask(&["ZCARD", "petiole:eta:mail"]).await;
    worker.lease.sweep().await.unwrap();
    let after: usize = subject.ask(&["ZCARD", "petiole:eta:mail"]).await;
    assert_eq!(before, COUNT);
    assert!((1..=MOST).contains(&(before - after)), "{after} are left of {before}");
}

#[tokio::test]
async fn large_messages_in_line_are_taken_few_at_a_time() {
    let subject = redis().await;
    let config = config(&subject);
    config.intake.limit("tasks.add", Some(Duration::from_hours(1)));
    let worker = join(config.clone()).await.unwrap();
    published(&subject).await;
    for delivery in taken(&worker, COUNT).await.0 {
        let start = Start {
            tag: delivery.tag,
            task: "tasks.add".to_owned(),
            id: delivery.tag.to_string(),
            priority: 0,
        };
        worker.rates.start(&[start]).await.unwrap();
    }
    config.intake.limit("tasks.add", None);
    let (_, most) = taken(&worker, COUNT - 1).await;
    assert!(most <= MOST, "{most} messages of 1 MiB in one call");
}
