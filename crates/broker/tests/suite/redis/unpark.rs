//! Queues that are given up.

use petiole_broker::conformance::{Subject as _, message, queue};
use petiole_broker::redis::parked_key;

use super::subject::redis_apart;

#[tokio::test]
async fn more_parked_messages_than_one_script_takes_go_back_in_their_order() {
    let subject = redis_apart().await;
    let key = parked_key(subject.broker.key_prefix(), "mail");
    // As they are parked: tag, the list's suffix, message.
    let member = |id: usize| format!("petiole:a:{id}\n\n{}", message(&id.to_string(), 0));
    let mut words = vec!["ZADD".to_owned(), key.clone()];
    for id in 0..1_200 {
        words.extend([(4_000_000_000_000_u64 + id as u64).to_string(), member(id)]);
    }
    let _: u64 = subject.ask(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(subject.inspector().unpark(&queue("mail")).await.unwrap(), 1_200);
    let expected: Vec<String> = (0..1_200).map(|id| message(&id.to_string(), 0)).collect();
    assert_eq!(subject.waiting("mail", 0).await.unwrap(), expected);
    assert_eq!(subject.ask::<u64>(&["EXISTS", &key]).await, 0);
}

#[tokio::test]
async fn newer_keys_are_left_alone() {
    let subject = redis_apart().await;
    let prefix = subject.broker.key_prefix();
    let _: String = subject.ask(&["SET", &format!("{prefix}petiole:schema"), "2"]).await;
    let _: u64 = subject.ask(&["ZADD", &parked_key(prefix, "mail"), "1", "petiole:a:1\n\nx"]).await;
    let refusal = subject.inspector().unpark(&queue("mail")).await.unwrap_err();
    assert!(refusal.to_string().contains("upgrade"), "{refusal}");
    assert_eq!(subject.ask::<u64>(&["DBSIZE"]).await, 2);
}
