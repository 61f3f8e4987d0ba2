//! Connections that are cut, servers that go away, workers that stop halfway.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use petiole_broker::conformance::{Member, Subject as _, message, queue, settlement};
use petiole_broker::redis::{Config, Timeouts};
use petiole_broker::{BrokerError, Delivery, Disposition, Held, Settled, Tag};
use petiole_testkit::redis::Settings;
use petiole_testkit::wait::until;

use super::subject::{LIMIT, Redis, join, redis};

async fn published(subject: &Redis, count: usize) -> BTreeSet<String> {
    let ids: Vec<_> = (0..count).map(|id| format!("{id:03}")).collect();
    for id in &ids {
        subject.publish(&queue("mail"), &message(id, 0)).await.unwrap();
    }
    ids.into_iter().collect()
}

fn id(delivery: &Delivery) -> String {
    delivery.envelope.as_ref().unwrap().properties.correlation_id.clone().unwrap()
}

/// Acknowledges what it gets until there is nothing, whatever goes wrong on the way.
async fn work(subject: &Redis, worker: &Member) -> Vec<String> {
    let mut held: BTreeSet<Tag> = BTreeSet::new();
    let mut done = Vec::new();
    let limit = tokio::time::Instant::now() + LIMIT;
    loop {
        assert!(tokio::time::Instant::now() < limit, "{} are done, {held:?} are held", done.len());
        let mut taken = worker.consumer.receive(7).await.unwrap_or_default();
        taken.extend(worker.consumer.adopt(&|tag| held.contains(&tag)).await.unwrap_or_default());
        held.extend(taken.iter().map(|delivery| delivery.tag));
        let batch: Vec<_> = taken.iter().map(|delivery| settlement(delivery, Disposition::Ack)).collect();
        let settled =
            until("a settlement", LIMIT, async || worker.consumer.settle(&batch).await).await.unwrap();
        assert!(settled.iter().all(|settled| *settled == Settled::Done));
        held.clear();
        done.extend(taken.iter().map(id));
        let _ = worker.lease.beat().await;
        let left: u64 = subject.ask(&["EXISTS", "mail", "unacked", "unacked_index"]).await;
        if left == 0 {
            return done;
        }
    }
}

#[tokio::test]
async fn connections_that_are_cut_lose_nothing_and_double_nothing() {
    let subject = redis().await;
    let worker = join(subject.config("a")).await.unwrap();
    let all = published(&subject, 200).await;
    // Whenever a look finds that something is held, whatever is under way then is cut.
    let cut = async {
        loop {
            let held =
                until("something held", LIMIT, async || match subject.ask(&["HLEN", "unacked"]).await {
                    0_u64 => Err(()),
                    _ => Ok(()),
                });
            held.await.unwrap();
            let _: u64 = subject.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        }
    };
    let done = tokio::select! {
        done = work(&subject, &worker) => done,
        () = cut => unreachable!("it never ends"),
    };
    assert_eq!(done.len(), all.len());
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), all);
}

#[tokio::test]
async fn what_a_server_does_late_is_found() {
    let subject = redis().await;
    let timeouts = Timeouts { answer: Duration::from_millis(100), ..Timeouts::default() };
    let worker = join(Config { timeouts, lease: LIMIT, ..subject.config("a") }).await.unwrap();
    // The server has to know the script: it cannot ask for it when nobody listens any more.
    until("an answer", LIMIT, async || worker.consumer.receive(1).await).await.unwrap();
    let all = published(&subject, 3).await;
    subject.server.pause().unwrap();
    assert!(matches!(worker.consumer.receive(2).await, Err(BrokerError::Unreachable { .. })));
    subject.server.resume().unwrap();
    until("the late call", LIMIT, async || match subject.ask::<u64>(&["HLEN", "unacked"]).await {
        2 => Ok(()),
        held => Err(held),
    })
    .await
    .unwrap();
    let done = work(&subject, &worker).await;
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), all);
}

#[tokio::test]
async fn what_a_call_under_way_takes_is_not_taken_up() {
    let subject = redis().await;
    let worker = join(Config { lease: LIMIT, ..subject.config("a") }).await.unwrap();
    // The server has to know the script: a call that is left lying cannot tell it.
    assert!(worker.consumer.receive(2).await.unwrap().is_empty());
    published(&subject, 2).await;
    // The call is sent, and its answer is left lying.
    let mut receiving = worker.consumer.receive(2);
    let sent = poll_fn(|context| Poll::Ready(receiving.as_mut().poll(context))).await;
    assert!(sent.is_pending());
    until("the call to be done", LIMIT, async || match subject.ask::<u64>(&["HLEN", "unacked"]).await {
        2 => Ok(()),
        held => Err(held),
    })
    .await
    .unwrap();
    for _ in 0..3 {
        assert!(worker.consumer.adopt(&|_| false).await.unwrap().is_empty());
    }
    assert_eq!(receiving.await.unwrap().len(), 2);
    // From now on they are the caller's: one that does not know them has lost them.
    assert!(worker.consumer.adopt(&|_| false).await.unwrap().is_empty());
    assert_eq!(worker.consumer.adopt(&|_| false).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_starts_again_still_knows_what_is_held() {
    let mut subject = Redis::start(Settings::default().append_only(), 0, 0, "", "").await;
    let worker = join(Config { lease: LIMIT, ..subject.config("a") }).await.unwrap();
    published(&subject, 2).await;
    let held = worker.consumer.receive(1).await.unwrap();
    subject.server.kill().unwrap();
    let ack = [settlement(&held[0], Disposition::Ack)];
    assert!(matches!(worker.consumer.settle(&ack).await, Err(BrokerError::Unreachable { .. })));
    assert!(matches!(worker.lease.beat().await, Err(BrokerError::Unreachable { .. })));
    // Waiting ends, and does not spin: it is for the caller to notice.
    worker.consumer.wait().await;
    subject.server.start_again().unwrap();
    until("a beat", LIMIT, async || worker.lease.beat().await).await.unwrap();
    let settled = until("the settlement", LIMIT, async || worker.consumer.settle(&ack).await).await.unwrap();
    assert_eq!(settled, [Settled::Done]);
    assert_eq!(worker.consumer.receive(2).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_that_forgot_everything_has_no_leases() {
    let mut subject = redis().await;
    let worker = join(subject.config("a")).await.unwrap();
    subject.server.kill().unwrap();
    subject.server.start_again().unwrap();
    let held = until("an answer", LIMIT, async || worker.lease.beat().await).await.unwrap();
    assert_eq!(held, Held::Lost);
    let taken = until("an answer", LIMIT, async || match worker.consumer.receive(1).await {
        Err(BrokerError::Unreachable { source, .. }) => Err(source),
        answer => Ok(answer),
    });
    assert!(matches!(taken.await.unwrap(), Err(BrokerError::LeaseLost)));
}

#[tokio::test]
async fn several_who_put_messages_back_do_it_once_and_in_order() {
    let subject = redis().await;
    let (a, b) = (join(subject.config("a")).await.unwrap(), join(subject.config("b")).await.unwrap());
    let all = published(&subject, 300).await;
    assert_eq!(a.consumer.receive(150).await.unwrap().len(), 150);
    assert_eq!(a.consumer.receive(150).await.unwrap().len(), 150);
    let (one, other) = (subject.inspector(), subject.inspector());
    let (one, other, third) = tokio::join!(one.end("a"), other.end("a"), a.lease.release());
    third.unwrap();
    assert!(one.unwrap() + other.unwrap() <= 300);
    let waiting = subject.waiting("mail", 0).await.unwrap();
    assert_eq!(waiting.len(), 300);
    b.lease.beat().await.unwrap();
    let mut order = Vec::new();
    for _ in 0..3 {
        order.extend(b.consumer.receive(100).await.unwrap().iter().map(id));
    }
    // Who comes second may put a part back before who came first has put back the part before it; nothing is lost.
    assert_eq!(order.iter().cloned().collect::<BTreeSet<_>>(), all);
}

#[tokio::test]
async fn many_messages_go_back_in_their_order() {
    let subject = redis().await;
    let (a, b) = (join(subject.config("a")).await.unwrap(), join(subject.config("b")).await.unwrap());
    let all = published(&subject, 200).await;
    assert_eq!(a.consumer.receive(200).await.unwrap().len(), 200);
    assert_eq!(subject.inspector().end("a").await.unwrap(), 200);
    b.lease.beat().await.unwrap();
    let again = b.consumer.receive(200).await.unwrap();
    assert_eq!(again.iter().map(id).collect::<Vec<_>>(), all.into_iter().collect::<Vec<_>>());
    let left: u64 = subject.ask(&["EXISTS", "petiole:held:a:mail"]).await;
    assert_eq!(left, 0);
    assert_eq!(subject.ask::<Vec<String>>(&["SMEMBERS", "petiole:consumers:mail"]).await, ["b"]);
    assert_eq!(subject.ask::<Vec<String>>(&["HKEYS", "petiole:workers"]).await, ["b"]);
}

#[tokio::test]
async fn what_a_sweeper_left_halfway_is_finished_by_another() {
    let subject = redis().await;
    let (a, b) = (join(subject.config("a")).await.unwrap(), join(subject.config("b")).await.unwrap());
    published(&subject, 2).await;
    a.consumer.receive(2).await.unwrap();
    // So far has the first sweeper come; what follows is no matter of time any more.
    let _: u64 = subject.ask(&["ZADD", "petiole:leases", "-1", "a"]).await;
    assert!(matches!(a.consumer.receive(1).await, Err(BrokerError::LeaseLost)));
    assert_eq!(b.lease.sweep().await.unwrap(), 2);
    assert_eq!(subject.waiting("mail", 0).await.unwrap().len(), 2);
}

#[tokio::test]
async fn newer_keys_are_refused() {
    let subject = redis().await;
    let _: String = subject.ask(&["SET", "petiole:schema", "2"]).await;
    let refusal = join(subject.config("a")).await.err().unwrap();
    assert!(refusal.to_string().contains("upgrade"), "{refusal}");
    let refusal = subject.inspector().end("a").await.unwrap_err();
    assert!(refusal.to_string().contains("upgrade"), "{refusal}");
    assert_eq!(subject.ask::<u64>(&["DBSIZE"]).await, 1);
}

#[tokio::test]
async fn large_messages_are_taken_few_at_a_time_and_in_their_order() {
    let subject = redis().await;
    let worker = join(Config { lease: LIMIT, ..subject.config("a") }).await.unwrap();
    let ids: Vec<_> = (0..40).map(|number| format!("{number:03}")).collect();
    for id in &ids {
        let large = message(id, 0).replacen('{', &format!("{{\"padding\": \"{}\", ", "x".repeat(1 << 20)), 1);
        subject.publish(&queue("mail"), &large).await.unwrap();
    }
    let mut taken = Vec::new();
    while taken.len() < ids.len() {
        let held = worker.consumer.receive(256).await.unwrap();
        assert!((1..=8).contains(&held.len()), "{} messages of 1 MiB in one call", held.len());
        taken.extend(held.iter().map(id));
    }
    assert_eq!(taken, ids);
}
