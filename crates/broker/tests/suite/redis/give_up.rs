//! Queues that are given up.

use petiole_broker::conformance::{Subject as _, message, queue};
use petiole_broker::redis::parked_key;
use petiole_broker::{Start, Turn};
use std::time::Duration;

use super::subject::{join, redis_apart};

#[tokio::test]
async fn more_parked_messages_than_one_script_takes_go_back_in_their_order() {
    let subject = redis_apart().await;
    let prefix = subject.broker.key_prefix();
    let (key, messages) = (parked_key(prefix, "mail"), format!("{prefix}petiole:parked:mail"));
    // As they are parked: under the task's id its time, and its list's suffix with the message.
    let mut times = vec!["ZADD".to_owned(), key.clone()];
    let mut texts = vec!["HSET".to_owned(), messages.clone()];
    for id in 0..1_200 {
        times.extend([(4_000_000_000_000_u64 + id).to_string(), id.to_string()]);
        texts.extend([id.to_string(), format!("\n{}", message(&id.to_string(), 0))]);
    }
    for words in [times, texts] {
        let _: u64 = subject.ask(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    assert_eq!(subject.inspector().give_up(&queue("mail")).await.unwrap(), 1_200);
    let expected: Vec<String> = (0..1_200).map(|id| message(&id.to_string(), 0)).collect();
    assert_eq!(subject.waiting("mail", 0).await.unwrap(), expected);
    assert_eq!(subject.ask::<u64>(&["EXISTS", &key, &messages]).await, 0);
}

#[tokio::test]
async fn nothing_is_left_of_lines_and_gates_end_by_themselves() {
    let subject = redis_apart().await;
    let prefix = subject.broker.key_prefix();
    let config = subject.config("a");
    config.intake.limit("tasks.add", Some(Duration::from_hours(1)));
    let worker = join(config).await.unwrap();
    for id in ["1", "2", "3"] {
        subject.publish(&queue("mail"), &message(id, 0)).await.unwrap();
    }
    let held = worker.consumer.receive(3).await.unwrap();
    let start = |tag| Start { tag, task: "tasks.add".to_owned(), id: format!("id-{tag}"), priority: 0 };
    let starts: Vec<_> = held.iter().map(|delivery| start(delivery.tag)).collect();
    assert_eq!(worker.rates.start(&starts).await.unwrap(), [Turn::Now, Turn::Later, Turn::Later]);
    let lines = format!("{prefix}petiole:lines:*");
    assert_eq!(subject.ask::<Vec<String>>(&["KEYS", &lines]).await.len(), 2);
    assert_eq!(subject.inspector().give_up(&queue("mail")).await.unwrap(), 2);
    assert!(subject.ask::<Vec<String>>(&["KEYS", &lines]).await.is_empty());
    let kept: i64 = subject.ask(&["PTTL", &format!("{prefix}petiole:gates:/")]).await;
    assert!(kept > 3_600_000, "{kept} ms");
}

#[tokio::test]
async fn newer_keys_are_left_alone() {
    let subject = redis_apart().await;
    let prefix = subject.broker.key_prefix();
    let _: String = subject.ask(&["SET", &format!("{prefix}petiole:schema"), "2"]).await;
    let _: u64 = subject.ask(&["ZADD", &parked_key(prefix, "mail"), "1", "id"]).await;
    let refusal = subject.inspector().give_up(&queue("mail")).await.unwrap_err();
    assert!(refusal.to_string().contains("upgrade"), "{refusal}");
    assert_eq!(subject.ask::<u64>(&["DBSIZE"]).await, 2);
}
