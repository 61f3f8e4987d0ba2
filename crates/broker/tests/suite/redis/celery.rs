//! What Celery's workers on the same queues see and do.

use petiole_broker::conformance::{Subject as _, message, queue, record, settlement};
use petiole_broker::redis::{Config, Endpoint};
use petiole_broker::{BrokerError, Disposition, Held, Intake, Settled};
use petiole_testkit::redis::{Server, Settings};
use petiole_testkit::wait::until;
use std::time::Duration;

use super::subject::{LIMIT, Redis, join, redis};

/// Celery's key of a message that one of its workers holds.
const UUID: &str = "e151581d-d695-4dec-ba4b-eb0a9f7a57c5";

/// What Celery 5.7.0 has written of a message that it holds with `task_acks_late`.
const HELD: &str = r#"[{"body": "W1s2MF0sIHt9LCB7ImNhbGxiYWNrcyI6IG51bGwsICJlcnJiYWNrcyI6IG51bGwsICJjaGFpbiI6IG51bGwsICJjaG9yZCI6IG51bGx9XQ==", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"lang": "py", "task": "demo.sleep", "id": "id-mail", "shadow": null, "eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, "timelimit": [null, null], "root_id": "id-mail", "parent_id": null, "argsrepr": "(60,)", "kwargsrepr": "{}", "origin": "gen4746@vm", "ignore_result": false, "replaced_task_nesting": 0, "stamped_headers": null, "stamps": {}}, "properties": {"correlation_id": "id-mail", "reply_to": "23b634cb-87df-3750-9f95-5657e106fd3a", "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "mail"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "bdeda0ef-76a9-433b-ae02-cfb7e912fb5a"}}, "", "mail"]"#;

async fn published(subject: &Redis, ids: &[&str]) {
    for id in ids {
        subject.publish(&queue("mail"), &message(id, 0)).await.unwrap();
    }
}

/// Writes down that a Celery worker took a message so long ago.
async fn held_by_celery(subject: &Redis, tag: &str, entry: &str, age: Duration) {
    let since = (subject.time().await.as_secs_f64() - age.as_secs_f64()).to_string();
    let _: u64 = subject.ask(&["HSET", "unacked", tag, entry]).await;
    let _: u64 = subject.ask(&["ZADD", "unacked_index", &since, tag]).await;
}

#[tokio::test]
async fn what_a_worker_holds_stands_in_unacked_as_kombu_reads_it() {
    let subject = redis().await;
    let worker = join(subject.config("pod-1.x")).await.unwrap();
    published(&subject, &["1", "2"]).await;
    subject.publish(&queue("print"), &message("3", 9)).await.unwrap();
    let held = worker.consumer.receive(10).await.unwrap();
    let entries: Vec<String> = subject
        .ask(&["HMGET", "unacked", "petiole:pod-1.x:0", "petiole:pod-1.x:1", "petiole:pod-1.x:2"])
        .await;
    assert_eq!(entries[0], format!("[{},\"\",\"mail\"]", message("1", 0)));
    assert_eq!(entries[1], format!("[{},\"\",\"mail\"]", message("2", 0)));
    assert_eq!(entries[2], format!("[{},\"\",\"print\"]", message("3", 9)));
    let now = subject.time().await.as_secs_f64();
    let ages: Vec<(String, f64)> = subject.ask(&["ZRANGE", "unacked_index", "0", "-1", "WITHSCORES"]).await;
    assert_eq!(ages.len(), 3);
    assert!(
        ages.iter().all(|(tag, since)| tag.starts_with("petiole:pod-1.x:") && now - since < 60.0),
        "{ages:?}"
    );

    let ack: Vec<_> = held.iter().map(|delivery| settlement(delivery, Disposition::Ack)).collect();
    worker.consumer.settle(&ack).await.unwrap();
    let left: u64 = subject.ask(&["EXISTS", "unacked", "unacked_index", "petiole:held:pod-1.x:mail"]).await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_name_of_a_queue_is_written_as_json() {
    let subject = redis().await;
    let mut config = subject.config("a");
    config.intake = Intake::strict(&[queue("caf\u{e9} \"1\"")]);
    let worker = join(config).await.unwrap();
    subject.publish(&queue("caf\u{e9} \"1\""), &message("1", 0)).await.unwrap();
    worker.consumer.receive(1).await.unwrap();
    let entry: String = subject.ask(&["HGET", "unacked", "petiole:a:0"]).await;
    assert!(entry.ends_with(r#","","caf\u00e9 \"1\""]"#), "{entry}");
    worker.lease.release().await.unwrap();
    assert_eq!(subject.waiting("caf\u{e9} \"1\"", 0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn beats_renew_what_is_held_and_make_no_entry() {
    let subject = redis().await;
    let config = Config { visibility_timeout: Duration::from_millis(40), ..subject.config("a") };
    let worker = join(config).await.unwrap();
    published(&subject, &["1", "2"]).await;
    worker.consumer.receive(2).await.unwrap();
    let _: u64 = subject.ask(&["ZADD", "unacked_index", "1000", "petiole:a:0"]).await;
    let _: u64 = subject.ask(&["ZREM", "unacked_index", "petiole:a:1"]).await;
    until("a renewal", LIMIT, async || {
        assert_eq!(worker.lease.beat().await.unwrap(), Held::Yes);
        match subject.ask::<f64>(&["ZSCORE", "unacked_index", "petiole:a:0"]).await {
            since if since > 1000.0 => Ok(()),
            since => Err(since),
        }
    })
    .await
    .unwrap();
    assert_eq!(subject.ask::<u64>(&["ZCARD", "unacked_index"]).await, 1);
}

#[tokio::test]
async fn a_message_that_a_celery_worker_abandoned_goes_back() {
    let subject = redis().await;
    let _: u64 = subject
        .ask(&["SADD", "_kombu.binding.tasks", "key\x06\x16\x06\x16print", "no\x06\x16\x06\x16x"])
        .await;
    let hours = Duration::from_hours(2);
    held_by_celery(&subject, UUID, &format!("[{}, \"\", \"mail\"]", message("1", 0)), hours).await;
    held_by_celery(&subject, "bound", &format!("[{}, \"tasks\", \"key\"]", message("2", 4)), hours).await;
    held_by_celery(&subject, "young", &format!("[{}, \"\", \"mail\"]", message("3", 0)), hours / 4).await;
    held_by_celery(&subject, "odd", "no entry", hours).await;
    published(&subject, &["4"]).await;

    let worker = join(subject.config("a")).await.unwrap();
    worker.lease.sweep().await.unwrap();
    let waiting = subject.waiting("mail", 0).await.unwrap();
    assert_eq!(waiting.len(), 2);
    assert!(waiting[0].contains("tag-1") && waiting[0].contains("\"redelivered\": true"), "{waiting:?}");
    let bound = subject.waiting("print", 3).await.unwrap();
    assert!(bound.len() == 1 && bound[0].contains("tag-2"), "{bound:?}");
    let mut left: Vec<String> = subject.ask(&["HKEYS", "unacked"]).await;
    left.sort();
    assert_eq!(left, ["odd", "young"]);
    assert_eq!(subject.ask::<u64>(&["ZCARD", "unacked_index"]).await, 2);
}

#[tokio::test]
async fn a_celery_worker_that_was_killed_while_it_restored_is_not_waited_for() {
    let subject = redis().await;
    let entry = format!("[{}, \"\", \"mail\"]", message("1", 0));
    held_by_celery(&subject, UUID, &entry, Duration::from_hours(2)).await;
    let _: String = subject.ask(&["SET", "unacked_mutex", "another's"]).await;
    let worker = join(subject.config("a")).await.unwrap();
    worker.lease.sweep().await.unwrap();
    assert_eq!(subject.waiting("mail", 0).await.unwrap().len(), 1);
    assert_eq!(subject.ask::<String>(&["GET", "unacked_mutex"]).await, "another's");
}

#[tokio::test]
async fn what_a_worker_of_ours_holds_is_left_to_its_lease() {
    let subject = redis().await;
    let (a, b) = (join(subject.config("a")).await.unwrap(), join(subject.config("b")).await.unwrap());
    published(&subject, &["1"]).await;
    let held = a.consumer.receive(1).await.unwrap();
    let _: u64 = subject.ask(&["ZADD", "unacked_index", "1000", "petiole:a:0"]).await;
    let entry = format!("[{},\"\",\"mail\"]", message("2", 0));
    held_by_celery(&subject, "petiole:gone:7", &entry, Duration::from_hours(2)).await;
    b.lease.sweep().await.unwrap();
    assert_eq!(subject.ask::<Vec<String>>(&["HKEYS", "unacked"]).await, ["petiole:a:0"]);
    assert!(subject.waiting("mail", 0).await.unwrap()[0].contains("tag-2"));
    a.lease.beat().await.unwrap();
    let done = a.consumer.settle(&[settlement(&held[0], Disposition::Ack)]).await.unwrap();
    assert_eq!(done, [Settled::Done]);
}

#[tokio::test]
async fn a_message_that_a_celery_worker_restored_is_lost_to_us() {
    let subject = redis().await;
    let worker = join(subject.config("a")).await.unwrap();
    published(&subject, &["1", "2"]).await;
    let held = worker.consumer.receive(2).await.unwrap();
    for tag in ["petiole:a:0", "petiole:a:1"] {
        let _: u64 = subject.ask(&["ZREM", "unacked_index", tag]).await;
        let _: u64 = subject.ask(&["HDEL", "unacked", tag]).await;
    }
    let late = settlement(&held[0], Disposition::Ack).with_records([record("1")]);
    assert_eq!(worker.consumer.settle(&[late]).await.unwrap(), [Settled::Lost]);
    assert_eq!(subject.document("1").await.unwrap(), None);
    // It counts as held until that is found out, here by comparing.
    assert_eq!(subject.ask::<u64>(&["SCARD", "petiole:held:a:mail"]).await, 1);
    for _ in 0..2 {
        assert!(worker.consumer.adopt(&|_| false).await.unwrap().is_empty());
    }
    assert_eq!(subject.ask::<u64>(&["SCARD", "petiole:held:a:mail"]).await, 0);
}

#[tokio::test]
async fn a_result_is_kept_as_long_as_it_says_where_celery_looks_for_it() {
    let subject = Redis::start(Settings::default(), 0, 3, "", "app").await;
    let worker = join(subject.config("a")).await.unwrap();
    assert!(worker.consumer.stores_results());
    published(&subject, &["1"]).await;
    let held = worker.consumer.receive(1).await.unwrap();
    let ack = settlement(&held[0], Disposition::Ack).with_records([record("1")]);
    worker.consumer.settle(&[ack]).await.unwrap();
    // Selecting the results' database is over with the script.
    published(&subject, &["2"]).await;
    assert_eq!(worker.consumer.receive(1).await.unwrap().len(), 1);
    assert_eq!(subject.ask::<u64>(&["EXISTS", "app_celery-task-meta-1"]).await, 0);
    let _: String = subject.ask(&["SELECT", "3"]).await;
    let kept: i64 = subject.ask(&["TTL", "app_celery-task-meta-1"]).await;
    assert!((1..=3600).contains(&kept), "{kept}");
    assert_eq!(subject.ask::<u64>(&["DBSIZE"]).await, 1);
}

#[tokio::test]
async fn results_on_another_server_are_left_to_the_caller() {
    let subject = redis().await;
    let elsewhere = Server::start().unwrap();
    let results = Some(Endpoint::parse(&elsewhere.url()).unwrap());
    let worker = join(Config { results, ..subject.config("a") }).await.unwrap();
    assert!(!worker.consumer.stores_results());
    published(&subject, &["1"]).await;
    let held = worker.consumer.receive(1).await.unwrap();
    let ack = settlement(&held[0], Disposition::Ack).with_records([record("1")]);
    assert_eq!(worker.consumer.settle(&[ack]).await.unwrap(), [Settled::Done]);
    assert_eq!(subject.document("1").await.unwrap(), None);
}

#[tokio::test]
async fn a_worker_whose_lease_was_swept_cannot_take_it_up_again() {
    let subject = redis().await;
    let worker = join(subject.config("a")).await.unwrap();
    let _: u64 = subject.ask(&["ZADD", "petiole:leases", "-1", "a"]).await;
    assert!(matches!(join(subject.config("a")).await, Err(BrokerError::LeaseLost)));
    assert_eq!(worker.lease.beat().await.unwrap(), Held::Lost);
}

#[tokio::test]
async fn what_a_celery_worker_holds_with_late_acknowledgements_is_counted() {
    let subject = redis().await;
    held_by_celery(&subject, UUID, HELD, Duration::ZERO).await;
    let depths = subject.inspector().depths(&[queue("mail"), queue("print")]).await.unwrap();
    assert_eq!([depths[0].unacked, depths[1].unacked], [Some(1), Some(0)]);
}

#[tokio::test]
async fn how_much_celery_workers_hold_is_unknown_until_all_of_it_was_looked_through() {
    let subject = redis().await;
    let large = format!("[\"{}\", \"\", \"mail\"]", "x".repeat(2 << 20));
    for number in 0..3 {
        held_by_celery(&subject, &format!("large-{number}"), &large, Duration::ZERO).await;
    }
    for number in 0..1_200 {
        held_by_celery(&subject, &format!("small-{number}"), HELD, Duration::ZERO).await;
    }
    // What is no entry, or stands in one table only, hinders nothing.
    held_by_celery(&subject, "strange", "[1, 2]", Duration::ZERO).await;
    let _: u64 = subject.ask(&["ZADD", "unacked_index", "1", "gone"]).await;

    let inspector = subject.inspector();
    let mut questions = 0;
    let unacked = loop {
        questions += 1;
        assert!(questions < 20, "it is never counted");
        if let Some(unacked) = inspector.depths(&[queue("mail")]).await.unwrap()[0].unacked {
            break unacked;
        }
    };
    assert_eq!(unacked, 1_203);
    // Some five hundred tags are gone through at a time, and one of these large entries is read at a time.
    assert!(questions >= 5, "{questions}");
}

#[tokio::test]
async fn queues_are_counted_where_the_table_of_celerys_workers_cannot_be_read() {
    let subject = redis().await;
    let _: String = subject.ask(&["SET", "unacked_index", "no table"]).await;
    published(&subject, &["1"]).await;
    let inspector = subject.inspector();
    let depth = async || inspector.depths(&[queue("mail")]).await.unwrap()[0];
    assert_eq!((depth().await.ready, depth().await.unacked), (1, None));
    let _: u64 = subject.ask(&["DEL", "unacked_index"]).await;
    assert_eq!(depth().await.unacked, Some(0));
}
