//! What every broker does: one suite, run against each back end.
//!
//! A back end's tests write `petiole_broker::conformance!(subject)`, where `subject` makes an empty broker to test:
//! a [`Subject`]. Each check becomes a test of its own.

pub mod adopt;
pub mod attempts;
pub mod chord;
pub mod dead_letters;
pub mod depths;
pub mod follow_ups;
pub mod intake;
pub mod large;
pub mod lease;
pub mod mailbox;
pub mod park;
pub mod rates;
pub mod receive;
pub mod remote;
pub mod revocations;
pub mod settle;
pub mod wish;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use petiole_protocol::envelope::Envelope;
use petiole_results::chord::ChordPart;
use petiole_results::{Precedence, Record, Store};

use crate::dead_letter::DeadLetters;
use crate::exchange::Binding;
use crate::{
    Address, Attempts, Consumer, Delivery, Depth, Disposition, Inspector, Intake, Lease, Mailbox, Outgoing,
    Parking, QueueName, Rates, Revocations, Settlement, Tag, Target, Worker,
};

/// What a check says when it could not be made. What does not hold panics.
pub type Checked<T = ()> = Result<T, Box<dyn Error>>;

/// A broker under test.
#[async_trait(?Send)]
pub trait Subject {
    /// Registers a worker that takes what this says.
    async fn register(&self, worker: Worker, intake: Intake) -> Checked<Member>;
    /// The mailbox of the node of this name, in Celery's default namespace.
    fn mailbox(&self, node: &str) -> Arc<dyn Mailbox>;
    /// The queues that an exchange feeds under this routing key, in alphabetical order.
    async fn bound(&self, from: &Address) -> Checked<Vec<String>>;
    /// What is revoked.
    fn revocations(&self) -> Arc<dyn Revocations>;
    /// Its dead-letter queues.
    fn dead_letters(&self) -> Arc<dyn DeadLetters>;
    /// What the operator sees.
    fn inspector(&self) -> Arc<dyn Inspector>;
    /// Puts a message behind the others of its priority, as a Celery client does.
    async fn publish(&self, queue: &QueueName, raw: &str) -> Checked;
    /// One of Celery's workers has taken this message of a queue.
    async fn celery_holds(&self, queue: &QueueName, raw: &str) -> Checked;
    /// What waits in a list, the next one first.
    async fn waiting(&self, queue: &str, step: u8) -> Checked<Vec<String>>;
    /// The result document of a task.
    async fn document(&self, task_id: &str) -> Checked<Option<String>>;
    /// Where results and chords are.
    fn store(&self) -> Arc<dyn Store>;
    /// Binds a queue to an exchange.
    async fn bind(&self, exchange: &str, binding: Binding) -> Checked;
    /// The time on the broker.
    async fn now(&self) -> Checked<jiff::Timestamp>;
    /// Returns when so much time has passed on the broker.
    async fn pass(&self, time: Duration) -> Checked;
    /// How long a lease lasts here.
    fn lease(&self) -> Duration;
    /// Cuts off whoever is connected. They can connect again at once.
    async fn cut(&self) -> Checked;
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
    /// Which of its attempts have begun.
    pub attempts: Arc<dyn Attempts>,
    /// What is parked of its queues.
    pub parking: Arc<dyn Parking>,
    /// Its tasks that have a limit.
    pub rates: Arc<dyn Rates>,
    /// Its lease.
    pub lease: Arc<dyn Lease>,
}

/// A queue where nothing stands, with nothing in the hands of Celery's workers: of few messages the first look tells that.
const EMPTY: Depth =
    Depth { ready: 0, reserved: 0, unacked: Some(0), scheduled: 0, due: 0, dead: 0, consumers: 0 };

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
        precedence: Precedence::Result,
    }
}

/// A settlement that writes nothing.
pub fn settlement(delivery: &Delivery, disposition: Disposition) -> Settlement {
    Settlement::new(delivery.tag, disposition)
}

/// A message to a queue.
pub fn send(queue: &str, id: &str, priority: u8) -> Outgoing {
    let to = Target::Queue(queue.to_owned());
    Outgoing { to, priority, message: message(id, priority).into_bytes() }
}

/// A part of a chord, by this run of its task.
pub fn part(group: &str, task_id: &str, index: u64, run: &str, claim: Duration) -> ChordPart {
    ChordPart {
        group: group.to_owned(),
        task_id: task_id.to_owned(),
        index: Some(index),
        adds: Vec::new(),
        member: format!("[1, \"{task_id}\", \"SUCCESS\", 3]"),
        expires: Some(Duration::from_hours(1)),
        claim,
        token: run.to_owned(),
    }
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
    let intake = Intake::strict(&[queue("mail"), queue("print")]);
    subject.register(known(incarnation, &intake), intake).await
}

/// A worker of this name that takes what this says.
fn known(incarnation: &str, intake: &Intake) -> Worker {
    Worker {
        incarnation: incarnation.to_owned(),
        namespace: "default".to_owned(),
        pool: "pool".to_owned(),
        host: format!("host-{incarnation}"),
        queues: intake.queues(),
    }
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
            follow_ups::what_is_sent_stands_behind_the_others_of_its_priority,
            follow_ups::an_exchange_feeds_the_queues_that_are_bound_to_it,
            follow_ups::a_message_for_nobody_is_refused_and_nothing_is_written,
            follow_ups::what_was_sent_without_an_answer_is_sent_once,
            follow_ups::a_lost_lease_writes_nothing_of_all_of_it,
            follow_ups::a_message_that_is_gone_has_nothing_written,
            follow_ups::what_was_acknowledged_early_is_still_followed_up,
            follow_ups::several_records_are_written_with_what_they_may_replace,
            follow_ups::a_retry_comes_back_at_its_time_and_says_which_it_is,
            follow_ups::a_message_that_cannot_be_made_a_retry_is_given_up,
            chord::the_last_part_holds_its_message_until_the_body_is_sent,
            chord::a_chord_of_one_is_complete_at_once,
            chord::a_part_is_counted_with_what_it_adds,
            chord::parts_of_one_batch_complete_once,
            chord::two_finishers_at_once_complete_once,
            chord::a_part_that_is_delivered_twice_counts_once,
            chord::a_worker_that_ends_between_claim_and_body_strands_nothing,
            chord::a_claim_that_ran_out_is_taken_by_the_next_part,
            chord::a_part_that_comes_after_the_body_does_nothing,
            chord::a_chord_that_was_completed_without_an_answer_sends_one_body,
            intake::each_queue_has_its_share,
            intake::priorities_are_strict_inside_a_queue_that_has_a_share,
            intake::what_an_empty_queue_leaves_is_taken_from_the_others,
            intake::a_queue_that_is_added_is_taken_from,
            intake::what_is_held_of_an_added_queue_goes_back_when_its_worker_ends,
            intake::what_is_held_of_an_added_queue_goes_back_when_its_worker_gives_up,
            intake::a_queue_that_is_cancelled_keeps_what_it_has,
            rates::a_task_starts_as_often_as_its_limit_allows,
            rates::those_in_line_come_in_their_order_and_are_counted,
            rates::the_most_urgent_stand_first_in_line,
            rates::another_limit_counts_at_once,
            rates::a_limit_counts_over_the_workers_of_a_pool,
            rates::starts_that_were_not_made_do_not_add_up,
            rates::waiting_ends_when_a_turn_comes,
            rates::who_leaves_the_line_leaves_no_gap,
            rates::a_line_that_nobody_serves_goes_back_to_its_queue,
            rates::a_counted_message_whose_worker_ends_asks_again,
            rates::a_worker_that_lost_its_lease_starts_nothing,
            rates::a_message_that_is_gone_does_not_start,
            park::a_parked_message_comes_back_at_its_time,
            park::a_parked_message_is_next_in_its_priority,
            park::messages_of_one_text_are_parked_apart,
            park::a_sweep_returns_parked_messages,
            park::a_queue_that_is_given_up_gets_its_parked_messages_back,
            park::waiting_ends_when_a_parked_message_is_due,
            park::waiting_ends_when_another_parks_an_earlier_message,
            park::parked_messages_are_listed_by_pages,
            park::a_parked_message_is_taken_out_once_and_held,
            park::of_parked_messages_of_one_id_the_first_is_taken,
            park::an_unparked_message_goes_back_when_its_worker_ends,
            lease::messages_of_a_swept_worker_are_next_in_their_order_and_marked,
            lease::a_worker_that_lost_its_lease_writes_nothing,
            lease::a_lease_that_ran_out_writes_nothing_until_it_is_renewed,
            lease::after_a_gap_leases_can_be_renewed_before_they_are_ended,
            lease::a_worker_that_beats_is_not_swept,
            lease::a_worker_that_is_known_to_have_ended_is_ended_at_once,
            lease::a_released_worker_gives_everything_back,
            lease::a_message_that_is_no_message_comes_back_too,
            large::large_messages_of_a_worker_that_ends_go_back_in_their_order,
            large::large_messages_in_line_come_in_their_order,
            large::large_messages_that_are_due_all_come,
            adopt::messages_whose_delivery_was_cut_off_are_taken_up,
            adopt::known_messages_are_not_taken_up,
            attempts::attempts_that_had_begun_are_counted_when_they_are_lost,
            attempts::lost_deliveries_are_remembered,
            attempts::what_was_said_last_counts,
            attempts::what_begins_by_being_taken_is_counted,
            attempts::what_is_said_with_a_taking_and_by_itself_counts_together,
            attempts::a_worker_that_gives_up_loses_no_attempt,
            attempts::a_worker_that_lost_its_lease_notes_nothing,
            dead_letters::letters_are_listed_by_pages_the_oldest_first,
            dead_letters::a_letter_that_is_put_back_is_as_it_was_and_behind_the_others,
            dead_letters::letters_are_chosen,
            dead_letters::more_letters_than_a_page_has_go_back_in_their_order,
            dead_letters::a_letter_is_taken_once,
            dead_letters::a_letter_that_does_not_say_where_it_came_from_stays_until_it_is_dropped,
            mailbox::a_request_reaches_every_node,
            mailbox::what_is_sent_says_where_it_went,
            mailbox::events_say_how_many_listen,
            mailbox::an_answer_reaches_who_asked,
            mailbox::an_answer_to_nobody_is_dropped,
            mailbox::a_node_that_was_cut_off_says_so_and_listens_again,
            mailbox::a_node_that_sends_learns_that_it_was_cut_off,
            mailbox::a_call_that_is_given_up_loses_nothing,
            mailbox::a_node_is_known_while_it_is_there,
            mailbox::a_queue_is_bound_to_its_exchange,
            remote::events_of_workers_are_heard_from_the_first_call_on,
            remote::what_a_worker_is_told_it_answers,
            remote::who_was_cut_off_from_workers_says_so_and_hears_again,
            revocations::what_is_revoked_is_known_to_all,
            revocations::stamps_are_revoked_apart_from_ids,
            revocations::what_was_revoked_since_a_reading_is_read_alone,
            revocations::of_too_many_the_newest_are_kept,
            depths::messages_are_counted_where_they_stand,
            depths::workers_are_listed_until_they_end,
            depths::what_is_due_soon_is_counted_apart,
            depths::what_celerys_workers_hold_is_counted_by_queue,
            depths::what_a_worker_says_of_itself_is_known_until_it_ends,
            wish::a_wish_reaches_the_workers_that_it_is_for_until_it_is_withdrawn,
            wish::a_wish_that_is_not_said_again_lapses,
            wish::a_wish_ends_with_the_lease,
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
