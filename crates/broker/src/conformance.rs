//! What every broker does: one suite, run against each back end.
//!
//! A back end's tests write `petiole_broker::conformance!(subject)`, where `subject` makes an empty broker to test:
//! a [`Subject`]. Each check becomes a test of its own.

pub mod adopt;
pub mod depths;
pub mod lease;
pub mod park;
pub mod receive;
pub mod settle;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use petiole_protocol::envelope::Envelope;
use petiole_results::Record;

use crate::{Consumer, Delivery, Disposition, Inspector, Lease, QueueName, Settlement, Tag, Worker};

/// What a check says when it could not be made. What does not hold panics.
pub type Checked<T = ()> = Result<T, Box<dyn Error>>;

/// A broker under test.
#[async_trait(?Send)]
pub trait Subject {
    /// Registers a worker.
    async fn register(&self, worker: Worker) -> Checked<Member>;
    /// What the operator sees.
    fn inspector(&self) -> Arc<dyn Inspector>;
    /// Puts a message behind the others of its priority, as a Celery client does.
    async fn publish(&self, queue: &QueueName, raw: &str) -> Checked;
    /// What waits in a list, the next one first.
    async fn waiting(&self, queue: &str, step: u8) -> Checked<Vec<String>>;
    /// The result document of a task.
    async fn document(&self, task_id: &str) -> Checked<Option<String>>;
    /// The time on the broker.
    async fn now(&self) -> Checked<jiff::Timestamp>;
    /// Returns when so much time has passed on the broker.
    async fn pass(&self, time: Duration) -> Checked;
    /// How long a lease lasts here.
    fn lease(&self) -> Duration;
    /// Loses the answers to what is asked from now on; what is asked is done, though it may be done late.
    async fn lose_answers(&self) -> Checked;
    /// Answers again, and returns when everything that was asked has been done.
    async fn answer_again(&self) -> Checked;
}

/// A registered worker of a broker under test.
#[derive(Clone)]
pub struct Member {
    /// Its messages.
    pub consumer: Arc<dyn Consumer>,
    /// Its lease.
    pub lease: Arc<dyn Lease>,
}

/// The most messages that a check takes at once.
const MANY: usize = 100;

/// A queue of this name, with kombu's steps.
pub fn queue(name: &str) -> QueueName {
    QueueName {
        name: name.to_owned(),
        priority_steps: petiole_protocol::keys::PRIORITY_STEPS.to_vec(),
        dead_letter: format!("{name}.dead"),
    }
}

/// A message as kombu writes it.
pub fn message(id: &str, priority: u8) -> String {
    format!(
        "{{\"body\": \"W1tdLCB7fSwge31d\", \"content-encoding\": \"utf-8\", \"content-type\": \"application/json\", \
         \"headers\": {{\"task\": \"tasks.add\", \"id\": \"{id}\"}}, \"properties\": {{\"correlation_id\": \"{id}\", \
         \"delivery_info\": {{\"exchange\": \"\", \"routing_key\": \"mail\"}}, \"priority\": {priority}, \
         \"body_encoding\": \"base64\", \"delivery_tag\": \"tag-{id}\"}}}}"
    )
}

/// The result document of a task that has succeeded.
pub fn record(task_id: &str) -> Record {
    Record {
        task_id: task_id.to_owned(),
        document: format!("{{\"status\": \"SUCCESS\", \"result\": 3, \"task_id\": \"{task_id}\"}}"),
        expires: Some(Duration::from_hours(1)),
    }
}

/// A settlement without a record.
pub fn settlement(delivery: &Delivery, disposition: Disposition) -> Settlement {
    Settlement { tag: delivery.tag, record: None, disposition }
}

/// The ids of deliveries, in their order.
fn ids(deliveries: &[Delivery]) -> Vec<String> {
    deliveries
        .iter()
        .map(|delivery| delivery.envelope.as_ref().map_or_else(|_| "?".to_owned(), id_of))
        .collect()
}

fn id_of(envelope: &Envelope) -> String {
    envelope.properties.correlation_id.clone().unwrap_or_default()
}

/// The ids of messages, in their order.
fn ids_of(messages: &[String]) -> Vec<String> {
    let read =
        |raw: &String| Envelope::from_redis(raw.as_bytes()).map_or_else(|_| "?".to_owned(), |it| id_of(&it));
    messages.iter().map(read).collect()
}

fn tags(deliveries: &[Delivery]) -> Vec<Tag> {
    deliveries.iter().map(|delivery| delivery.tag).collect()
}

fn all_redelivered(deliveries: &[Delivery]) -> bool {
    deliveries.iter().all(|delivery| delivery.envelope.as_ref().is_ok_and(Envelope::redelivered))
}

/// Registers a worker of this name that takes from `mail` and `print`.
async fn worker(subject: &dyn Subject, incarnation: &str) -> Checked<Member> {
    let worker = Worker {
        incarnation: incarnation.to_owned(),
        namespace: "default".to_owned(),
        pool: "pool".to_owned(),
        host: format!("host-{incarnation}"),
        queues: vec![queue("mail"), queue("print")],
    };
    subject.register(worker).await
}

/// Publishes messages of priority 0 to `mail`.
async fn publish(subject: &dyn Subject, ids: &[&str]) -> Checked {
    for id in ids {
        subject.publish(&queue("mail"), &message(id, 0)).await?;
    }
    Ok(())
}

/// Sweeps until a lease has ended, and says how many messages went back.
async fn swept(subject: &dyn Subject, by: &Member) -> Checked<usize> {
    let mut left = 1_000;
    loop {
        assert!(left > 0, "no lease ends");
        left -= 1;
        let count = by.lease.sweep().await?;
        if count > 0 {
            return Ok(count);
        }
        by.lease.beat().await?;
        subject.pass(subject.lease() / 20).await?;
    }
}

/// Makes a test of each check, against the broker that this function makes.
#[macro_export]
macro_rules! conformance {
    ($subject:path) => {
        $crate::conformance! { $subject;
            receive::the_oldest_message_comes_first,
            receive::the_most_urgent_step_of_all_queues_comes_first,
            receive::no_more_is_taken_than_is_wanted,
            receive::bytes_that_are_no_message_are_delivered_as_such,
            receive::two_calls_at_once_share_what_there_is,
            receive::a_message_that_came_back_has_another_tag,
            receive::waiting_ends_when_a_message_comes,
            receive::waiting_ends_at_once_when_a_message_is_there,
            settle::an_acknowledged_message_is_gone,
            settle::a_kept_message_stays_held,
            settle::a_record_is_written_with_the_acknowledgement,
            settle::requeued_messages_are_next_in_their_order_and_marked,
            settle::a_requeued_message_goes_back_to_its_priority,
            settle::a_message_that_is_given_up_says_why,
            settle::bytes_that_are_no_message_can_be_given_up,
            settle::a_message_is_settled_once,
            settle::a_batch_settles_what_is_held_and_leaves_the_rest,
            settle::what_was_settled_without_an_answer_is_done,
            park::a_parked_message_comes_back_at_its_time,
            park::a_parked_message_is_next_in_its_priority,
            park::messages_of_one_text_are_parked_apart,
            park::a_sweep_returns_parked_messages,
            park::a_queue_that_is_given_up_gets_its_parked_messages_back,
            lease::messages_of_a_swept_worker_are_next_in_their_order_and_marked,
            lease::a_worker_that_lost_its_lease_writes_nothing,
            lease::a_lease_that_ran_out_writes_nothing_until_it_is_renewed,
            lease::after_a_gap_leases_can_be_renewed_before_they_are_ended,
            lease::a_worker_that_beats_is_not_swept,
            lease::a_worker_that_is_known_to_have_ended_is_ended_at_once,
            lease::a_released_worker_gives_everything_back,
            lease::a_message_that_is_no_message_comes_back_too,
            adopt::messages_whose_delivery_was_cut_off_are_taken_up,
            adopt::known_messages_are_not_taken_up,
            depths::messages_are_counted_where_they_stand,
            depths::workers_are_listed_until_they_end,
        }
    };
    ($subject:path; $($topic:ident::$check:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $check() {
                let subject = $subject().await;
                $crate::conformance::$topic::$check(&subject).await.unwrap();
            }
        )+
    };
}
