//! Queues that are deleted, with and without messages that wait for their time.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use petiole_api::conditions::{self, Fact, READY, Status, reasons};
use petiole_api::names;
use tokio::time::timeout;

use super::*;

/// A queue of which two messages wait for their time, on an API server; one that leads looks after it.
struct Parked {
    server: ApiServer,
    broker: Arc<Broker>,
    context: Arc<Context>,
    changed: UnboundedReceiver<QueueKey>,
}

const QUEUE: &str = "/apis/petiole.dev/v1alpha1/namespaces/photos/taskqueues/thumbnails";
const SET_FINALIZERS: &str = "PATCH taskqueues/thumbnails";
const WRITE_STATUS: &str = "PATCH taskqueues/thumbnails/status";

impl Parked {
    async fn new() -> Self {
        let broker = Arc::new(Broker::default());
        broker.holds(Depth { scheduled: 2, ..Depth::default() });
        let (server, context, changed) = operator_on(broker.clone(), Leadership::always());
        server.put(QUEUE, serde_json::to_value(queue("thumbnails")).unwrap());
        let mut parked = Self { server, broker, context, changed };
        parked.look_after().await.unwrap();
        parked.seen().await;
        parked.look_after().await.unwrap();
        parked.server.calls();
        parked
    }

    /// The broker's answer, and that it has told its settings.
    async fn seen(&mut self) {
        self.change().await;
        self.change().await;
    }

    /// Waits until a change was told; of paused time nothing is lost.
    async fn change(&mut self) {
        timeout(Duration::from_mins(10), self.changed.recv()).await.expect("no change was told");
    }

    fn queue(&self) -> Option<TaskQueue> {
        self.server.get(QUEUE).map(|queue| serde_json::from_value(queue).unwrap())
    }

    /// Someone has deleted it.
    fn delete(&self, ago: SignedDuration) {
        let mut queue = self.queue().unwrap();
        queue.metadata.deletion_timestamp = Some(Time(Timestamp::now() - ago));
        self.server.put(QUEUE, serde_json::to_value(queue).unwrap());
    }

    async fn look_after(&self) -> Result<Action, QueueError> {
        look_after(&self.queue().unwrap(), &self.context).await
    }

    fn events(&self) -> Vec<(String, String)> {
        self.server
            .all("/apis/events.k8s.io/v1/namespaces/photos/events")
            .iter()
            .map(|event| {
                [&event["reason"], &event["note"]].map(|text| text.as_str().unwrap().to_owned()).into()
            })
            .collect()
    }
}

const JUST_NOW: SignedDuration = SignedDuration::ZERO;
const LONG_AGO: SignedDuration = SignedDuration::from_mins(6);

#[tokio::test(start_paused = true)]
async fn a_queue_is_held_once_messages_were_seen_that_wait_for_their_time() {
    let parked = Parked::new().await;
    assert_eq!(parked.queue().unwrap().finalizers(), [names::PARKED_FINALIZER]);
    let written = with_status(&parked.queue().unwrap(), &parked.context);
    look_after(&written, &parked.context).await.unwrap();
    assert_eq!(parked.server.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_queue_without_such_messages_is_never_held() {
    let (server, context, mut changed) = operator(Leadership::always());
    server.put(QUEUE, serde_json::to_value(queue("thumbnails")).unwrap());
    look_after(&queue("thumbnails"), &context).await.unwrap();
    changed.recv().await;
    look_after(&queue("thumbnails"), &context).await.unwrap();
    assert!(server.calls().iter().all(|call| call == WRITE_STATUS));
}

#[tokio::test(start_paused = true)]
async fn the_finalizers_of_others_stay() {
    let parked = Parked::new().await;
    let mut queue = parked.queue().unwrap();
    queue.metadata.finalizers = Some(vec!["theirs".to_owned()]);
    parked.server.put(QUEUE, serde_json::to_value(&queue).unwrap());
    parked.look_after().await.unwrap();
    assert_eq!(parked.queue().unwrap().finalizers(), ["theirs", names::PARKED_FINALIZER]);
    parked.delete(JUST_NOW);
    parked.look_after().await.unwrap();
    assert_eq!(parked.queue().unwrap().finalizers(), ["theirs"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_has_changed_meanwhile_keeps_its_finalizers() {
    let parked = Parked::new().await;
    let before = queue("thumbnails");
    look_after(&before, &parked.context).await.unwrap();
    assert!(parked.server.calls().contains(&SET_FINALIZERS.to_owned()));
    assert_eq!(parked.queue().unwrap().finalizers(), [names::PARKED_FINALIZER]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_to_hold_a_queue_does_not_keep_its_status_from_being_written() {
    let parked = Parked::new().await;
    parked.server.refuse("PATCH taskqueues", StatusCode::FORBIDDEN, "no right");
    look_after(&queue("thumbnails"), &parked.context).await.unwrap_err();
    assert_eq!(parked.server.calls(), [SET_FINALIZERS, WRITE_STATUS]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_deleted_gives_its_parked_messages_back_and_goes() {
    let parked = Parked::new().await;
    parked.delete(JUST_NOW);
    parked.look_after().await.unwrap();
    assert_eq!(parked.server.calls(), [SET_FINALIZERS]);
    assert!(parked.queue().is_none());
    assert_eq!(*parked.broker.depth.lock().unwrap(), Depth { ready: 2, ..Depth::default() });
    assert_eq!(parked.context.sampler.latest(&key(&queue("thumbnails"))), None);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_not_held_goes_at_once() {
    let parked = Parked::new().await;
    parked.broker.is_down(true);
    let mut queue = queue("thumbnails");
    queue.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
    look_after(&queue, &parked.context).await.unwrap();
    assert_eq!(parked.server.calls(), Vec::<String>::new());
    assert_eq!(parked.context.sampler.latest(&key(&queue)), None);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_gives_nothing_back() {
    let broker = Arc::new(Broker::default());
    broker.holds(Depth { scheduled: 2, ..Depth::default() });
    let (server, context, _changed) = operator_on(broker.clone(), Leadership::never());
    let mut queue = queue("thumbnails");
    queue.metadata.finalizers = Some(vec![names::PARKED_FINALIZER.to_owned()]);
    queue.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
    look_after(&queue, &context).await.unwrap();
    assert_eq!(server.calls(), Vec::<String>::new());
    assert_eq!(broker.depth.lock().unwrap().scheduled, 2);
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_queue_that_another_object_stands_for_stay_parked() {
    let mut parked = Parked::new().await;
    let twin = queue_with("twin", json!({ "queue": "thumbnails" }));
    look_after(&twin, &parked.context).await.unwrap();
    parked.change().await;
    parked.delete(JUST_NOW);
    parked.look_after().await.unwrap();
    assert!(parked.queue().is_none());
    assert_eq!(parked.broker.depth.lock().unwrap().scheduled, 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_away_the_queue_stays_and_says_so_once() {
    let parked = Parked::new().await;
    parked.broker.is_down(true);
    parked.delete(JUST_NOW);
    let action = parked.look_after().await.unwrap();
    assert_ne!(action, Action::await_change());
    assert_eq!(parked.server.calls(), [WRITE_STATUS, "POST events"]);
    let [(reason, note)] = &parked.events()[..] else { panic!("one event") };
    assert_eq!(reason, reasons::PARKED_MESSAGES_NOT_RETURNED);
    for says in [names::PARKED_FINALIZER, "connection refused", "petiole:eta:thumbnails"] {
        assert!(note.contains(says), "{note}");
    }
    // As the watch brings it.
    let mut queue = parked.queue().unwrap();
    let ready = Fact {
        kind: READY,
        status: Status::False,
        reason: reasons::PARKED_MESSAGES_NOT_RETURNED,
        message: note.clone(),
    };
    let ready = conditions::keep(&[], vec![ready], None, Timestamp::UNIX_EPOCH);
    queue.status = Some(TaskQueueStatus { conditions: ready, ..TaskQueueStatus::default() });
    look_after(&queue, &parked.context).await.unwrap();
    assert!(!parked.server.calls().contains(&"POST events".to_owned()));

    parked.broker.is_down(false);
    parked.look_after().await.unwrap();
    assert!(parked.queue().is_none());
    assert_eq!(parked.broker.depth.lock().unwrap().scheduled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stays_away_keeps_a_queue_only_so_long() {
    let parked = Parked::new().await;
    parked.broker.is_down(true);
    parked.delete(LONG_AGO);
    parked.look_after().await.unwrap();
    assert_eq!(parked.server.calls(), ["POST events", SET_FINALIZERS]);
    assert!(parked.queue().is_none());
    let [(reason, note)] = &parked.events()[..] else { panic!("one event") };
    assert_eq!(reason, reasons::PARKED_MESSAGES_LEFT);
    assert!(note.contains("petiole:eta:thumbnails"), "{note}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_waits_for_the_workers_that_would_park_its_messages_again() {
    let parked = Parked::new().await;
    parked.broker.holds(Depth { scheduled: 2, consumers: 1, ..Depth::default() });
    parked.delete(JUST_NOW);
    parked.look_after().await.unwrap();
    assert!(parked.queue().is_some());
    let [(_, note)] = &parked.events()[..] else { panic!("one event") };
    assert!(note.contains("1 of Petiole's workers"), "{note}");
    // They have ended.
    parked.broker.holds(Depth { scheduled: 2, ..Depth::default() });
    parked.look_after().await.unwrap();
    assert!(parked.queue().is_none());
    assert_eq!(parked.broker.depth.lock().unwrap().scheduled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_goes_before_the_queue_does_not_keep_it() {
    let broker = Arc::new(Broker::default());
    broker.holds(Depth { scheduled: 2, ..Depth::default() });
    let (server, context, changed) = operator_on(broker.clone(), Leadership::always());
    server.put(SECRET, secret("password"));
    server.put(QUEUE, serde_json::to_value(secured()).unwrap());
    let mut parked = Parked { server, broker, context, changed };
    parked.look_after().await.unwrap();
    parked.seen().await;
    parked.look_after().await.unwrap();
    parked.server.refuse("GET secrets", StatusCode::NOT_FOUND, "gone");
    tokio::time::advance(crate::secrets::AGE).await;
    parked.delete(JUST_NOW);
    parked.look_after().await.unwrap();
    assert!(parked.server.calls().contains(&"GET secrets/redis".to_owned()));
    assert!(parked.queue().is_none());
    assert_eq!(parked.broker.depth.lock().unwrap().scheduled, 0);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_let_go() {
    let (server, context, _changed) = operator(Leadership::always());
    let object = json!({
        "apiVersion": "petiole.dev/v1alpha1", "kind": "TaskQueue",
        "metadata": {
            "name": "thumbnails", "namespace": "photos", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": [names::PARKED_FINALIZER],
        },
        "spec": { "broker": 7 },
    });
    server.put(QUEUE, object);
    let object: Guarded = serde_json::from_value(server.get(QUEUE).unwrap()).unwrap();
    reconcile(Arc::new(object), context).await.unwrap();
    assert_eq!(server.calls(), ["POST events", SET_FINALIZERS]);
    assert_eq!(server.get(QUEUE), None);
}
