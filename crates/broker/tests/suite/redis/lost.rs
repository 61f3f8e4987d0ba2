//! Leases of workers of which nothing else is known, and dead letters as they stand on Redis.

use petiole_broker::conformance::{Subject as _, message, queue};
use petiole_broker::dead_letter::{Fate, take_all};
use petiole_broker::lost;
use petiole_protocol::envelope::Envelope;
use petiole_testkit::wait::until;

use super::subject::{LIMIT, Redis, join, redis, redis_apart};

async fn published(subject: &Redis, ids: &[&str]) {
    for id in ids {
        subject.publish(&queue("mail"), &message(id, 0)).await.unwrap();
    }
}

fn id(raw: &str) -> String {
    Envelope::from_redis(raw.as_bytes()).unwrap().properties.correlation_id.unwrap()
}

/// What is left of a worker of this name.
async fn traces(subject: &Redis, worker: &str) -> Vec<String> {
    let mut left: Vec<String> = subject.ask(&["KEYS", &format!("*petiole:*:{worker}*")]).await;
    for (command, key) in [("ZRANGE", "leases"), ("HKEYS", "workers"), ("SMEMBERS", "consumers:mail")] {
        let key = subject.keys.prefixed(&format!("petiole:{key}"));
        let mut words = vec![command, &key];
        if command == "ZRANGE" {
            words.extend(["0", "-1"]);
        }
        let members: Vec<String> = subject.ask(&words).await;
        left.extend(members.into_iter().filter(|name| name == worker));
    }
    left
}

#[tokio::test]
async fn what_a_worker_held_that_cannot_be_read_is_found_and_put_back() {
    for (subject, known) in [(redis_apart().await, None), (redis().await, Some("no JSON"))] {
        // Only this one takes from the queue `odd`.
        let config = subject.config("a.1");
        config.intake.consume(queue("odd"));
        let (a, b) = (join(config).await.unwrap(), join(subject.config("b")).await.unwrap());
        // Longer than one step of the search, and of workers whose names begin alike.
        let others: Vec<String> =
            (0..1_500).flat_map(|n| [format!("petiole:a.10:{n}"), "[{},\"\",\"mail\"]".to_owned()]).collect();
        let unacked = subject.keys.unacked();
        let words: Vec<&str> =
            ["HSET", &unacked].into_iter().chain(others.iter().map(String::as_str)).collect();
        let _: u64 = subject.ask(&words).await;
        published(&subject, &["1", "2", "3"]).await;
        subject.publish(&queue("odd"), &message("4", 9)).await.unwrap();
        let held = a.consumer.receive(10).await.unwrap();
        a.attempts.started(&[held[1].tag]).await.unwrap();
        let workers = subject.keys.prefixed("petiole:workers");
        match known {
            None => subject.ask::<u64>(&["HDEL", &workers, "a.1"]).await,
            Some(known) => subject.ask(&["HSET", &workers, "a.1", known]).await,
        };
        let swept = until("the sweep", LIMIT, async || {
            b.lease.beat().await.unwrap();
            match b.lease.sweep().await.unwrap() {
                0 => Err("nothing was put back"),
                count => Ok(count),
            }
        });
        assert_eq!(swept.await.unwrap(), 4);
        let waiting = subject.waiting("mail", 0).await.unwrap();
        assert_eq!(waiting.iter().map(|raw| id(raw)).collect::<Vec<_>>(), ["1", "2", "3"]);
        let counts = waiting
            .iter()
            .map(|raw| lost::deliveries(&Envelope::from_redis(raw.as_bytes()).unwrap().headers));
        assert_eq!(counts.collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!(subject.waiting("odd", 9).await.unwrap().len(), 1);
        assert_eq!(traces(&subject, "a.1").await, Vec::<String>::new());
        assert_eq!(subject.ask::<u64>(&["HLEN", &unacked]).await, 1_500);
    }
}

#[tokio::test]
async fn who_is_told_of_the_end_of_a_worker_that_cannot_be_read_puts_back_too() {
    let subject = redis().await;
    let a = join(subject.config("a")).await.unwrap();
    published(&subject, &["1", "2"]).await;
    a.consumer.receive(10).await.unwrap();
    let _: u64 = subject.ask(&["HDEL", "petiole:workers", "a"]).await;
    assert_eq!(subject.inspector().end("a").await.unwrap(), 2);
    assert_eq!(subject.waiting("mail", 0).await.unwrap().len(), 2);
    assert_eq!(traces(&subject, "a").await, Vec::<String>::new());
}

/// A letter of this queue.
fn letter(id: &str, from: &str) -> String {
    let why = format!(r#"{{"reason": "why", "queue": "{from}", "at": "2026-11-21T10:00:00Z", "step": 0}}"#);
    message(id, 0).replace("\"headers\": {", &format!("\"headers\": {{\"petiole-dead-letter\": {why}, "))
}

#[tokio::test]
async fn a_letter_stays_where_it_is_when_its_queue_is_something_else() {
    let subject = redis().await;
    let _: String = subject.ask(&["SET", "mail", "no list"]).await;
    for raw in [letter("1", "mail"), letter("2", "print")] {
        subject.publish(&queue("dead"), &raw).await.unwrap();
    }
    let refusal = take_all(&*subject.dead_letters(), "dead", &|_| true, Fate::PutBack).await.unwrap_err();
    assert!(refusal.to_string().contains("\"mail\" is no list"), "{refusal}");
    let left = subject.waiting("dead", 0).await.unwrap();
    assert_eq!(left.iter().map(|raw| id(raw)).collect::<Vec<_>>(), ["1"]);
    assert_eq!(subject.waiting("print", 0).await.unwrap(), [message("2", 0)]);
}

#[tokio::test]
async fn letters_of_a_newer_schema_are_left_alone() {
    let subject = redis().await;
    let _: String = subject.ask(&["SET", "petiole:schema", "2"]).await;
    subject.publish(&queue("dead"), &letter("1", "mail")).await.unwrap();
    let refusal = take_all(&*subject.dead_letters(), "dead", &|_| true, Fate::PutBack).await.unwrap_err();
    assert!(refusal.to_string().contains("upgrade"), "{refusal}");
    assert_eq!(subject.waiting("dead", 0).await.unwrap().len(), 1);
}
