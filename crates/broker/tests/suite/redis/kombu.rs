//! Remote control, events and revocations as they stand on Redis, where kombu's clients look for them.

use petiole_broker::conformance::Subject as _;
use petiole_broker::redis::{MailboxConfig, RedisMailbox};
use petiole_broker::{Address, BoundQueue, Heard, Mailbox, Node};
use petiole_protocol::envelope::Envelope;
use petiole_testkit::wait::until;

use super::subject::{LIMIT, Redis, redis, redis_apart};

async fn heard(mailbox: &dyn Mailbox) -> Heard {
    tokio::time::timeout(LIMIT, mailbox.next()).await.unwrap()
}

#[tokio::test]
async fn requests_are_listened_to_where_kombu_publishes_them() {
    for (subject, channel) in
        [(redis().await, "/0.celery.pidbox"), (redis_apart().await, "{celery}:/2.celery.pidbox")]
    {
        let node = subject.mailbox("w1@a");
        assert!(matches!(heard(node.as_ref()).await, Heard::Listening));
        let raw = r#"{"body": "e30=", "headers": {"clock": 1}, "properties": {"body_encoding": "base64"}}"#;
        assert_eq!(subject.ask::<u64>(&["PUBLISH", channel, raw]).await, 1);
        assert_eq!(subject.ask::<u64>(&["PUBLISH", channel, "no message"]).await, 1);
        let Heard::Request(Ok(request)) = heard(node.as_ref()).await else { panic!("no request") };
        assert_eq!((&request.body[..], request.headers.get("clock")), (&b"{}"[..], Some("1")));
        assert!(matches!(heard(node.as_ref()).await, Heard::Request(Err(_))));
    }
}

#[tokio::test]
async fn other_prefixes_of_fanout_exchanges_are_kombus_too() {
    let subject = redis().await;
    for (prefix, channel) in [("", "celery.pidbox"), ("app{db}:", "app0:celery.pidbox")] {
        let config = MailboxConfig {
            fanout_prefix: prefix.to_owned(),
            ..MailboxConfig::new(subject.broker.clone(), Node::new("w1@a"))
        };
        let node = RedisMailbox::new(config);
        assert!(matches!(heard(&node).await, Heard::Listening));
        assert_eq!(subject.ask::<u64>(&["PUBLISH", channel, "{}"]).await, 1);
    }
}

#[tokio::test]
async fn a_node_and_its_queues_stand_among_the_bindings_as_kombu_writes_them() {
    let subject = redis().await;
    let node = subject.mailbox("w1@a");
    assert!(matches!(heard(node.as_ref()).await, Heard::Listening));
    node.bind(&[BoundQueue::named("mail")]).await.unwrap();
    let members = async |key| subject.ask::<Vec<String>>(&["SMEMBERS", key]).await;
    let own = "\u{6}\u{16}\u{6}\u{16}w1@a.celery.pidbox";
    assert_eq!(members("_kombu.binding.celery.pidbox").await, [own]);
    let mail = "mail\u{6}\u{16}\u{6}\u{16}mail";
    assert_eq!(members("_kombu.binding.mail").await, [mail]);
    assert_eq!(members("_kombu.binding_permanent.mail").await, [mail]);
    // kombu 5.7 sweeps away what has a deadline that is over, and no permanent binding.
    let deadlines: Vec<(String, f64)> =
        subject.ask(&["ZRANGE", "_kombu.binding_deadlines", "0", "-1", "WITHSCORES"]).await;
    assert_eq!(deadlines.len(), 1);
    assert_eq!(deadlines[0].0, "celery.pidbox");
    let hour = subject.time().await.as_secs_f64() * 1000.0 + 3_600_000.0;
    assert!((hour - 60_000.0..=hour).contains(&deadlines[0].1), "{deadlines:?}");
    let _: u64 = subject.ask(&["ZADD", "_kombu.binding_deadlines", "9e15", "celery.pidbox"]).await;
    subject.cut().await.unwrap();
    until("the node", LIMIT, async || match heard(node.as_ref()).await {
        Heard::Listening => Ok(()),
        other => Err(other),
    })
    .await
    .unwrap();
    // A later deadline is another's, and stays.
    let deadline: f64 = subject.ask(&["ZSCORE", "_kombu.binding_deadlines", "celery.pidbox"]).await;
    assert!((deadline - 9e15).abs() < 1.0, "{deadline}");
}

#[tokio::test]
async fn an_answer_goes_to_the_lists_that_clients_have_bound() {
    let subject = redis_apart().await;
    let node = subject.mailbox("w1@a");
    let bindings = "{celery}:_kombu.binding.reply.celery.pidbox";
    let usual = "oid\u{6}\u{16}\u{6}\u{16}oid.reply.celery.pidbox";
    let unusual = [
        "other\u{6}\u{16}\u{6}\u{16}one",
        "other\u{6}\u{16}\u{6}\u{16}two",
        "other-3\u{6}\u{16}\u{6}\u{16}three",
    ];
    for binding in [&[usual][..], &unusual[..]].concat() {
        let _: u64 = subject.ask(&["SADD", bindings, binding]).await;
    }
    for (routing_key, lists) in [("oid", &["oid.reply.celery.pidbox"][..]), ("other", &["one", "two"][..])] {
        let to = Address { exchange: "reply.celery.pidbox".to_owned(), routing_key: routing_key.to_owned() };
        assert!(node.reply(&to, &Envelope::default()).await.unwrap());
        for list in lists {
            assert_eq!(subject.waiting(list, 0).await.unwrap().len(), 1);
            let left: i64 = subject.ask(&["PTTL", &format!("{{celery}}:{list}")]).await;
            assert!((1..=10_000).contains(&left), "{left}");
        }
    }
    assert!(subject.waiting("three", 0).await.unwrap().is_empty());
    // A client that waits longer says so.
    let _: u64 = subject.ask(&["PEXPIRE", "{celery}:one", "60000"]).await;
    let to = Address { exchange: "reply.celery.pidbox".to_owned(), routing_key: "other".to_owned() };
    assert!(node.reply(&to, &Envelope::default()).await.unwrap());
    assert!(subject.ask::<i64>(&["PTTL", "{celery}:one"]).await > 10_000);
}

#[tokio::test]
async fn a_server_that_starts_again_is_listened_to_again() {
    let mut subject: Redis = redis().await;
    let node = subject.mailbox("w1@a");
    assert!(matches!(heard(node.as_ref()).await, Heard::Listening));
    subject.server.kill().unwrap();
    assert!(matches!(heard(node.as_ref()).await, Heard::Deaf(_)));
    subject.server.start_again().unwrap();
    until("the node", LIMIT, async || match heard(node.as_ref()).await {
        Heard::Listening => Ok(()),
        other => Err(other),
    })
    .await
    .unwrap();
    assert_eq!(subject.ask::<u64>(&["PUBLISH", "/0.celery.pidbox", "{}"]).await, 1);
    assert!(matches!(heard(node.as_ref()).await, Heard::Request(Ok(_))));
    assert_eq!(subject.ask::<u64>(&["SCARD", "_kombu.binding.celery.pidbox"]).await, 1);
}

#[tokio::test]
async fn requests_that_nobody_takes_are_a_gap_that_is_reported() {
    let subject = redis().await;
    let node = subject.mailbox("w1@a");
    assert!(matches!(heard(node.as_ref()).await, Heard::Listening));
    for _ in 0..2_500 {
        let _: u64 = subject.ask(&["PUBLISH", "/0.celery.pidbox", "{}"]).await;
    }
    let mut taken = 0;
    while let Heard::Request(_) = heard(node.as_ref()).await {
        taken += 1;
    }
    assert!((1_000..2_500).contains(&taken), "{taken}");
    let _: u64 = subject.ask(&["PUBLISH", "/0.celery.pidbox", "{}"]).await;
    assert!(matches!(heard(node.as_ref()).await, Heard::Request(Ok(_))));
}

#[tokio::test]
async fn a_revocation_is_kept_for_three_hours_of_the_servers_clock() {
    let subject = redis_apart().await;
    let revocations = subject.revocations();
    revocations.revoke(&["1".to_owned(), "2".to_owned()]).await.unwrap();
    let key = "{celery}:petiole:revoked";
    let until: f64 = subject.ask(&["ZSCORE", key, "1"]).await;
    let kept = until - subject.time().await.as_secs_f64() * 1000.0;
    assert!((10_700_000.0..=10_800_000.0).contains(&kept), "{kept}");
    let over = subject.time().await.as_millis().to_string();
    let _: u64 = subject.ask(&["ZADD", key, &over, "1"]).await;
    assert_eq!(revocations.load(None).await.unwrap().ids, ["2"]);
    revocations.revoke(&["3".to_owned()]).await.unwrap();
    assert_eq!(subject.ask::<u64>(&["ZCARD", key]).await, 2);
}

#[tokio::test]
async fn revocations_of_a_newer_schema_are_left_alone() {
    let subject = redis().await;
    let _: String = subject.ask(&["SET", "petiole:schema", "2"]).await;
    let revocations = subject.revocations();
    let refusal = revocations.revoke(&["1".to_owned()]).await.unwrap_err();
    assert!(refusal.to_string().contains("upgrade"), "{refusal}");
    assert!(revocations.load(None).await.is_err());
    assert_eq!(subject.ask::<u64>(&["DBSIZE"]).await, 1);
}
