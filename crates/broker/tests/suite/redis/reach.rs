//! Servers that are reached by other ways, or allow less.

use std::sync::Arc;
use std::time::Duration;

use petiole_broker::conformance::{Member, Subject as _, message, part, queue, record, send, settlement};
use petiole_broker::redis::{
    Config, Endpoint, Login, MailboxConfig, RedisInspector, RedisMailbox, RedisRevocations, Secrets, Timeouts,
};
use petiole_broker::{
    BoundQueue, BrokerError, Disposition, Heard, Inspector as _, Intake, Mailbox as _, Node,
    Revocations as _, Settled, Settlement, Start, Turn, Worker,
};
use petiole_protocol::envelope::Envelope;
use petiole_results::chord::{CLAIM, ChordStart};
use petiole_results::redis::Connection;
use petiole_testkit::redis::{Sentinel, Server, Settings};
use petiole_testkit::tls::Authority;
use petiole_testkit::wait::until;

use super::subject::{LIMIT, Redis, join, redis, redis_apart};

fn config(broker: Endpoint) -> Config {
    let worker = Worker { incarnation: "a".to_owned(), queues: vec![queue("mail")], ..Worker::default() };
    Config { results: Some(broker.clone()), ..Config::new(broker, worker) }
}

async fn publish(endpoint: &Endpoint, id: &str) {
    let connection = Connection::new(endpoint.clone(), Timeouts::default());
    let mut push = redis::cmd("LPUSH");
    push.arg("mail").arg(message(id, 0));
    let _: u64 = connection.query(&push).await.unwrap();
}

/// Does everything that a worker does once.
async fn lives(endpoint: &Endpoint) {
    let Member { consumer, attempts, parking, rates, lease } = join(config(endpoint.clone())).await.unwrap();
    assert!(consumer.stores_results());
    publish(endpoint, "1").await;
    let held = until("a message", LIMIT, async || {
        tokio::time::timeout(LIMIT, consumer.wait()).await.unwrap();
        let held = consumer.receive(1).await.unwrap();
        if held.is_empty() { Err(held) } else { Ok(held) }
    });
    let held = held.await.unwrap();
    assert!(parking.unpark(&["1".to_owned()]).await.unwrap().is_empty());
    assert!(parking.parked(0, 0, 1).await.unwrap().is_empty());
    attempts.started(&[held[0].tag]).await.unwrap();
    let start = Start { tag: held[0].tag, task: "tasks.add".to_owned(), id: "1".to_owned(), priority: 0 };
    assert_eq!(rates.start(&[start]).await.unwrap(), [Turn::Now]);
    let part = part("g", "1", 0, "a", CLAIM);
    let claim = part.claimed();
    let end = Settlement {
        starts: vec![ChordStart { group: "g".to_owned(), size: 1, saved: None, expires: None }],
        sends: vec![send("mail", "2", 0)],
        chord: Some(part),
        ..settlement(&held[0], Disposition::Ack).with_records([record("1")])
    };
    let complete = Settled::ChordComplete(claim.clone());
    assert_eq!(consumer.settle(&[end]).await.unwrap(), [complete]);
    let body = Settlement { finish: Some(claim), ..settlement(&held[0], Disposition::Ack) };
    assert_eq!(consumer.settle(&[body]).await.unwrap(), [Settled::Done]);
    let held = consumer.receive(1).await.unwrap();
    let ack = settlement(&held[0], Disposition::Ack).with_records([record("2")]);
    assert_eq!(consumer.settle(&[ack]).await.unwrap(), [Settled::Done]);
    lease.beat().await.unwrap();
    lease.sweep().await.unwrap();
    lease.release().await.unwrap();

    let mailbox = RedisMailbox::new(MailboxConfig::new(endpoint.clone(), Node::new("w1@a")));
    let heard = tokio::time::timeout(LIMIT, mailbox.next()).await.unwrap();
    assert!(matches!(heard, Heard::Listening), "{heard:?}");
    mailbox.bind(&[BoundQueue::named("mail")]).await.unwrap();
    let inbox = mailbox.inbox().await.unwrap();
    assert!(mailbox.reply(inbox.address(), &Envelope::default()).await.unwrap());
    assert!(inbox.next(LIMIT).await.unwrap().is_some());
    inbox.close().await.unwrap();
    mailbox.leave().await.unwrap();
    let revocations = RedisRevocations::new(endpoint.clone(), Timeouts::default());
    revocations.revoke(&["1".to_owned()]).await.unwrap();
    assert_eq!(revocations.load(None).await.unwrap().ids, ["1"]);
}

#[tokio::test]
async fn a_worker_lives_behind_tls() {
    let authority = Authority::new().unwrap();
    let server = Settings::default().tls(&authority, false).unwrap().start().unwrap();
    let authorities = authority.pem();
    let endpoint = Endpoint::parse(&server.url()).unwrap().with_secrets(Arc::new(move || {
        Ok(Secrets { authorities: Some(authorities.clone()), ..Secrets::default() })
    }));
    lives(&endpoint).await;
}

#[tokio::test]
async fn a_worker_lives_with_the_rights_that_it_needs_and_no_more() {
    // No `client|tracking`: it has to look for messages itself.
    let rules = "on >secret ~* &* -@all +@read +@write +@connection -client|tracking +eval +evalsha +script|load \
                 +publish +psubscribe +punsubscribe +multi +exec +time";
    let server = Settings::default().password("root").user("worker", rules).start().unwrap();
    let endpoint = Endpoint::parse(&server.url()).unwrap().with_secrets(Arc::new(|| {
        let login = Login { username: Some("worker".to_owned()), password: Some("secret".to_owned()) };
        Ok(Secrets { login, ..Secrets::default() })
    }));
    lives(&endpoint).await;
}

#[tokio::test]
async fn a_worker_lives_on_a_master_that_sentinel_names() {
    let master = Server::start().unwrap();
    let sentinel = Sentinel::start(&master).unwrap();
    let endpoint = Endpoint::parse(&sentinel.url()).unwrap().with_sentinel_master(sentinel.master_name());
    lives(&endpoint.unwrap()).await;
}

#[tokio::test]
async fn a_refused_login_is_a_refusal_that_does_not_tell_the_password() {
    let server = Settings::default().password("root").start().unwrap();
    let address = server.url().replace("redis://", "redis://:hunter2@");
    let refusal = join(config(Endpoint::parse(&address).unwrap())).await.err().unwrap();
    assert!(matches!(refusal, BrokerError::Refused { .. }), "{refusal:?}");
    assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
}

#[tokio::test]
async fn nobody_there_is_an_error_soon() {
    let mut server = Server::start().unwrap();
    let endpoint = Endpoint::parse(&server.url()).unwrap();
    server.kill().unwrap();
    let joined = tokio::time::timeout(LIMIT, join(config(endpoint))).await.unwrap();
    assert!(matches!(joined.err(), Some(BrokerError::Unreachable { .. })));
}

#[tokio::test]
async fn redis_tells_an_idle_worker_of_messages() {
    let subject = redis().await;
    let worker = join(subject.config("a")).await.unwrap();
    worker.consumer.wait().await;
    let clients: String = subject.ask(&["CLIENT", "LIST"]).await;
    let tracked = clients.lines().filter(|line| line.split(' ').any(|field| field == "flags=t"));
    assert_eq!(tracked.count(), 1, "{clients}");
}

#[tokio::test]
async fn every_key_stands_behind_the_prefix() {
    let subject = redis_apart().await;
    let worker = join(subject.config("a")).await.unwrap();
    for id in ["1", "2", "3"] {
        subject.publish(&queue("mail"), &message(id, 0)).await.unwrap();
    }
    let held = worker.consumer.receive(2).await.unwrap();
    let later = subject.now().await.unwrap() + Duration::from_hours(1);
    worker.consumer.settle(&[settlement(&held[0], Disposition::Park(later))]).await.unwrap();
    worker.lease.sweep().await.unwrap();
    let mut keys: Vec<String> = subject.ask(&["KEYS", "*"]).await;
    keys.sort();
    let ours = [
        "consumers:mail",
        "consumers:print",
        "eta:mail",
        "held:a:mail",
        "leases",
        "parked:mail",
        "schema",
        "sweep",
        "workers",
    ];
    let mut expected: Vec<_> = ours.iter().map(|key| format!("{{celery}}:petiole:{key}")).collect();
    expected.insert(0, "{celery}:mail".to_owned());
    expected.extend(["{celery}:unacked".to_owned(), "{celery}:unacked_index".to_owned()]);
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn a_worker_needs_a_name_and_a_queue() {
    let subject = redis().await;
    for name in ["", "a:b", "a b"] {
        let refusal = join(subject.config(name)).await.err().unwrap();
        assert!(refusal.to_string().contains("write letters"), "{refusal}");
    }
    let mut config = subject.config("a");
    config.intake = Intake::strict(&[]);
    assert!(join(config).await.err().unwrap().to_string().contains("queue"));
}

#[tokio::test]
async fn settings_that_put_work_at_risk_are_named() {
    let subject = redis().await;
    let inspector = subject.inspector();
    assert!(inspector.hazards().await.unwrap().is_empty());
    let _: String = subject.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    assert!(inspector.hazards().await.unwrap().is_empty());
    let _: String = subject.ask(&["CONFIG", "SET", "maxmemory", "100mb"]).await;
    let hazards = inspector.hazards().await.unwrap();
    assert_eq!(hazards.iter().map(|hazard| hazard.reason).collect::<Vec<_>>(), ["EvictsKeys"]);
    assert!(hazards[0].message.contains("allkeys-lru") && hazards[0].message.contains("noeviction"));
}

#[tokio::test]
async fn a_cluster_is_named_as_a_hazard() {
    let server = Settings::default().with(["--cluster-enabled", "yes"]).start().unwrap();
    let inspector = RedisInspector::new(Endpoint::parse(&server.url()).unwrap(), Timeouts::default());
    let hazards = inspector.hazards().await.unwrap();
    assert_eq!(hazards.iter().map(|hazard| hazard.reason).collect::<Vec<_>>(), ["ClusterMode"]);
}

#[tokio::test]
async fn many_queues_are_counted_at_once() {
    let subject: Redis = redis().await;
    let queues: Vec<_> = (0..150).map(|number| queue(&format!("q{number}"))).collect();
    subject.publish(&queues[149], &message("1", 0)).await.unwrap();
    let depths = subject.inspector().depths(&queues).await.unwrap();
    assert_eq!(depths.len(), 150);
    assert_eq!(depths.iter().map(|depth| depth.ready).sum::<u64>(), 1);
    assert_eq!(depths[149].ready, 1);
}
