//! Whether a task is tried again, and when. Pure: what is random about it follows from the task's id.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};
use petiole_contract::instead::Retry;
use petiole_contract::pool::RetryPolicy;
use petiole_protocol::message::{Arguments, Message, NewBody};
use petiole_protocol::record::Exception;

use crate::work::Work;

/// The longest wait that is kept: ten years.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;

/// When a task is tried again; `None` when it has no tries left.
pub(super) fn again(
    policy: &RetryPolicy,
    asked: Retry,
    message: &Message,
    now: Timestamp,
) -> Option<Timestamp> {
    let most = asked.max.or(policy.max);
    if most.is_some_and(|most| message.retries >= most) {
        return None;
    }
    let wait = asked.countdown.unwrap_or_else(|| wait(policy, message));
    let wait = SignedDuration::try_from_secs_f64(wait.clamp(0.0, LONGEST)).unwrap_or_default();
    Some(now.checked_add(wait).unwrap_or(Timestamp::MAX))
}

fn wait(policy: &RetryPolicy, message: &Message) -> f64 {
    let doubled = if policy.exponential { 2_f64.powf(f64::from(message.retries)) } else { 1.0 };
    let wait = (policy.delay * doubled).min(policy.most.max(policy.delay));
    if policy.jitter { wait * share(&message.id, message.retries) } else { wait }
}

/// A share between 0 and 1, another one for each task and try.
fn share(id: &str, retries: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (id, retries).hash(&mut hasher);
    // 32 bits are enough of a share, and exact as a float.
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

/// Whether the policy tries a task again that failed so.
pub(super) fn covers(policy: &RetryPolicy, exception: &Exception) -> bool {
    policy.errors.iter().any(|name| exception.is_called(name))
}

/// What a task fails with that wants another try and has none left, and did not say why (Celery's
/// `MaxRetriesExceededError`).
pub(super) fn exhausted(message: &Message, arguments: &Arguments) -> Exception {
    let args = arguments.args.as_deref().unwrap_or_else(|| message.args());
    let kwargs = arguments.kwargs.as_deref().unwrap_or_else(|| message.kwargs());
    Exception::max_retries_exceeded(&message.task, &message.id, args, kwargs)
}

/// The message's body with other arguments, where they change.
pub(super) fn body(work: &Work, arguments: &Arguments) -> Result<Option<Box<NewBody>>, Exception> {
    let wrong = |why: &str| Exception::new("builtins", "ValueError", why);
    if arguments.is_empty() {
        return Ok(None);
    }
    if work.mapping.is_some() {
        return Err(wrong("a task that celery.map calls cannot be tried again with other arguments"));
    }
    let body = work.message.with_arguments(arguments);
    let body = body.ok_or_else(|| {
        wrong(
            "a task whose message is a pickle can be tried again with other arguments only when `started` had its embed \
             as payload, and with both `args` and `kwargs`",
        )
    })?;
    Ok(Some(Box::new(body)))
}

#[cfg(test)]
mod tests {
    use petiole_protocol::envelope::Envelope;

    use super::*;

    fn message(retries: u32) -> Message {
        let headers = format!(r#"{{"task": "a.b", "id": "1", "retries": {retries}}}"#);
        let raw = format!(
            r#"{{"body": "[[], {{}}, {{}}]", "content-type": "application/json", "headers": {headers}, "properties": {{}}}}"#
        );
        Message::read(&Envelope::from_redis(raw.as_bytes()).unwrap()).unwrap()
    }

    fn seconds(policy: &RetryPolicy, asked: Retry, retries: u32) -> Option<f64> {
        let now = Timestamp::UNIX_EPOCH;
        again(policy, asked, &message(retries), now).map(|at| at.duration_since(now).as_secs_f64())
    }

    #[test]
    fn a_task_is_tried_again_as_celery_tries_it_when_nothing_is_said() {
        let policy = RetryPolicy::default();
        let tries: Vec<_> = (0..4).map(|retries| seconds(&policy, Retry::default(), retries)).collect();
        assert_eq!(tries, [Some(180.0), Some(180.0), Some(180.0), None]);
    }

    #[test]
    fn the_tasks_own_word_comes_first() {
        let policy = RetryPolicy { max: None, ..RetryPolicy::default() };
        let asked = Retry { countdown: Some(1.5), max: Some(1) };
        assert_eq!(seconds(&policy, asked, 0), Some(1.5));
        assert_eq!(seconds(&policy, asked, 1), None);
        assert_eq!(seconds(&policy, Retry::default(), 10_000), Some(180.0));
        assert_eq!(seconds(&policy, Retry { countdown: Some(-1.0), max: None }, 0), Some(0.0));
        assert!(seconds(&policy, Retry { countdown: Some(f64::INFINITY), max: None }, 0).is_some());
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let policy =
            RetryPolicy { delay: 1.0, exponential: true, most: 5.0, max: None, ..RetryPolicy::default() };
        let waits: Vec<_> =
            (0..5).filter_map(|retries| seconds(&policy, Retry::default(), retries)).collect();
        assert_eq!(waits, [1.0, 2.0, 4.0, 5.0, 5.0]);
    }

    #[test]
    fn a_jittered_wait_is_within_its_length_and_the_same_when_it_is_asked_again() {
        let policy = RetryPolicy { jitter: true, max: None, ..RetryPolicy::default() };
        for retries in 0..100 {
            let wait = seconds(&policy, Retry::default(), retries).unwrap();
            assert!((0.0..=180.0).contains(&wait));
            assert_eq!(seconds(&policy, Retry::default(), retries), Some(wait));
        }
    }

    #[test]
    fn errors_are_named_with_or_without_their_module() {
        let exception = Exception::new("requests.exceptions", "Timeout", "");
        let covers = |name: &str| {
            covers(&RetryPolicy { errors: vec![name.to_owned()], ..RetryPolicy::default() }, &exception)
        };
        assert!(covers("Timeout") && covers("requests.exceptions.Timeout"));
        assert!(!covers("exceptions.Timeout") && !covers("ConnectionError"));
    }
}
