//! Queues that are given up.

use petiole_broker::conformance::{Subject as _, message, queue};
use petiole_broker::redis::parked_key;

use super::subject::redis_apart;

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
async fn newer_keys_are_left_alone() {
    let subject = redis_apart().await;
    let prefix = subject.broker.key_prefix();
    let _: String = subject.ask(&["SET", &format!("{prefix}petiole:schema"), "2"]).await;
    let _: u64 = subject.ask(&["ZADD", &parked_key(prefix, "mail"), "1", "id"]).await;
    let refusal = subject.inspector().give_up(&queue("mail")).await.unwrap_err();
    assert!(refusal.to_string().contains("upgrade"), "{refusal}");
    assert_eq!(subject.ask::<u64>(&["DBSIZE"]).await, 2);
}
