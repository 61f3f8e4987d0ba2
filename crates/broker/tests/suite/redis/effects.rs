//! What a settlement writes on a real server, beside what every broker does.

use std::sync::{Arc, Mutex};

use petiole_broker::conformance::{Member, Subject as _, message, part, queue, record, send, settlement};
use petiole_broker::redis::Timeouts;
use petiole_broker::{
    Delivery, Disposition, Intake, Outgoing, QueueName, Refusal, Settled, Settlement, Target,
};
use petiole_results::chord::{CLAIM, ChordStart};
use petiole_results::redis::Connection;
use petiole_testkit::wait::until;
use redis::{PushKind, Value, cmd};

use super::subject::{LIMIT, Redis, join, redis, redis_apart};

/// A worker that holds so many messages.
async fn holding(subject: &Redis, count: usize) -> (Member, Vec<Delivery>) {
    let worker = join(subject.config("a")).await.unwrap();
    for id in 0..count {
        subject.publish(&queue("mail"), &message(&id.to_string(), 0)).await.unwrap();
    }
    let held = worker.consumer.receive(count).await.unwrap();
    (worker, held)
}

fn sending(held: &Delivery, queue: &str, disposition: Disposition) -> Settlement {
    Settlement { sends: vec![send(queue, "sent", 0)], ..settlement(held, disposition) }
}

#[tokio::test]
async fn a_fanout_exchange_reaches_whoever_listens() {
    let subject = redis_apart().await;
    let (worker, held) = holding(&subject, 1).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let said = heard.clone();
    let ear =
        Connection::new(subject.broker.clone(), Timeouts::default()).with_pushes(Arc::new(move |push| {
            if let (PushKind::PMessage, [_, Value::BulkString(channel), Value::BulkString(message)]) =
                (push.kind, push.data.as_slice())
            {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                said.lock().unwrap().push((text(channel), text(message)));
            }
        }));
    ear.query::<Value>(cmd("PSUBSCRIBE").arg("*")).await.unwrap();
    let fanout = |routing_key: &str, id: &str| Outgoing {
        to: Target::Fanout { exchange: "news".to_owned(), routing_key: routing_key.to_owned() },
        ..send("", id, 0)
    };
    let sends = vec![fanout("", "1"), fanout("weather", "2")];
    let settle = Settlement { sends, ..settlement(&held[0], Disposition::Ack) };
    assert_eq!(worker.consumer.settle(&[settle]).await.unwrap(), [Settled::Done]);
    let all = until("both messages", LIMIT, async || {
        let heard = heard.lock().unwrap().clone();
        if heard.len() == 2 { Ok(heard) } else { Err(heard) }
    });
    let expected = [("{celery}:/2.news", "1"), ("{celery}:/2.news/weather", "2")];
    assert_eq!(all.await.unwrap(), expected.map(|(channel, id)| (channel.to_owned(), message(id, 0))));
}

#[tokio::test]
async fn a_queue_that_has_the_name_of_something_else_is_refused() {
    let subject = redis().await;
    let (worker, held) = holding(&subject, 2).await;
    let wrong = Settlement {
        sends: vec![send("print", "1", 0), send("unacked", "2", 0)],
        ..settlement(&held[0], Disposition::Ack).with_records([record("0")])
    };
    let batch = [wrong, sending(&held[1], "other", Disposition::Ack)];
    let refused = Settled::Refused(Refusal::WrongKey("unacked".to_owned()));
    assert_eq!(worker.consumer.settle(&batch).await.unwrap(), [refused, Settled::Done]);
    assert!(subject.waiting("print", 0).await.unwrap().is_empty());
    assert_eq!(subject.document("0").await.unwrap(), None);
    assert_eq!(subject.waiting("other", 0).await.unwrap().len(), 1);
    assert_eq!(subject.ask::<u64>(&["HLEN", "unacked"]).await, 1);
    let failed = settlement(&held[0], Disposition::Ack).with_records([record("0")]);
    assert_eq!(worker.consumer.settle(&[failed]).await.unwrap(), [Settled::Done]);
}

#[tokio::test]
async fn a_group_that_has_the_name_of_something_else_is_refused() {
    let subject = redis().await;
    let (worker, held) = holding(&subject, 1).await;
    let _: u64 = subject.ask(&["LPUSH", "celery-taskset-meta-g.j", "x"]).await;
    let wrong = Settlement {
        chord: Some(part("g", "0", 0, "a", CLAIM)),
        ..sending(&held[0], "print", Disposition::Ack).with_records([record("0")])
    };
    let start = ChordStart { group: "h".to_owned(), size: 1, saved: None, expires: None };
    let beginning = Settlement { starts: vec![start], ..wrong.clone() };
    for wrong in [wrong, beginning] {
        let settled = worker.consumer.settle(&[wrong]).await.unwrap();
        assert_eq!(settled, [Settled::Refused(Refusal::WrongKey("celery-taskset-meta-g".to_owned()))]);
        assert!(subject.waiting("print", 0).await.unwrap().is_empty());
        assert_eq!(subject.document("0").await.unwrap(), None);
        assert_eq!(subject.ask::<u64>(&["EXISTS", "celery-taskset-meta-h.s"]).await, 0);
    }
}

#[tokio::test]
async fn marks_are_forgotten_when_the_answer_has_come_and_when_the_worker_ends() {
    let subject = redis().await;
    let (worker, held) = holding(&subject, 2).await;
    let marks = async || subject.ask::<u64>(&["SCARD", "petiole:done:a"]).await;
    worker.consumer.settle(&[sending(&held[0], "print", Disposition::Keep)]).await.unwrap();
    assert_eq!(marks().await, 1);
    worker.consumer.settle(&[settlement(&held[0], Disposition::Ack)]).await.unwrap();
    assert_eq!(marks().await, 0);
    worker.consumer.settle(&[sending(&held[1], "print", Disposition::Keep)]).await.unwrap();
    subject.inspector().end("a").await.unwrap();
    assert_eq!(marks().await, 0);
}

#[tokio::test]
async fn a_chord_stands_among_the_results() {
    let subject = redis_apart().await;
    let (worker, held) = holding(&subject, 1).await;
    let start = ChordStart { group: "g".to_owned(), size: 1, saved: None, expires: None };
    let settle = Settlement {
        starts: vec![start],
        chord: Some(part("g", "0", 0, "a", CLAIM)),
        ..sending(&held[0], "print", Disposition::Ack)
    };
    assert!(matches!(worker.consumer.settle(&[settle]).await.unwrap()[..], [Settled::ChordComplete(_)]));
    // What is sent is the broker's.
    assert_eq!(subject.waiting("print", 0).await.unwrap().len(), 1);
    let _: String = subject.ask(&["SELECT", "5"]).await;
    let mut keys: Vec<String> = subject.ask(&["KEYS", "*"]).await;
    keys.sort();
    assert_eq!(keys, ["c", "d", "j", "s"].map(|suffix| format!("app_celery-taskset-meta-g.{suffix}")));
}

#[tokio::test]
async fn a_large_group_is_sent_whole_and_in_its_order() {
    let subject = redis().await;
    let (worker, held) = holding(&subject, 3).await;
    let of = |number: usize| (0..1200).map(move |id| send("print", &format!("{number}-{id}"), 0));
    let batch: Vec<_> = held
        .iter()
        .enumerate()
        .map(|(number, held)| Settlement {
            sends: of(number).collect(),
            ..settlement(held, Disposition::Ack).with_records([record(&number.to_string())])
        })
        .collect();
    let settled = worker.consumer.settle(&batch).await.unwrap();
    assert_eq!(settled, [Settled::Done, Settled::Done, Settled::Done]);
    let waiting = subject.waiting("print", 0).await.unwrap();
    let sent: Vec<_> = (0..3).flat_map(of).map(|send| String::from_utf8(send.message).unwrap()).collect();
    assert_eq!(waiting, sent);
}

#[tokio::test]
async fn a_queues_own_priority_steps_count() {
    let subject = redis().await;
    let mut config = subject.config("a");
    let steps = QueueName { priority_steps: vec![0, 5], ..queue("print") };
    config.intake = Intake::strict(&[queue("mail"), steps]);
    let worker = join(config).await.unwrap();
    subject.publish(&queue("mail"), &message("1", 0)).await.unwrap();
    let held = worker.consumer.receive(1).await.unwrap();
    let sends = vec![send("print", "2", 6), send("elsewhere", "3", 6)];
    let settle = Settlement { sends, ..settlement(&held[0], Disposition::Ack) };
    worker.consumer.settle(&[settle]).await.unwrap();
    assert_eq!(subject.waiting("print", 5).await.unwrap().len(), 1);
    assert_eq!(subject.waiting("elsewhere", 6).await.unwrap().len(), 1);
}
