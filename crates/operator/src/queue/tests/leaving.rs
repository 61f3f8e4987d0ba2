//! Queues that have gone, with and without messages that wait for their time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{Store, store};
use kube::runtime::watcher::Event;
use petiole_api::conditions::reasons;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

/// A queue that is looked after, and a watch.
struct Going {
    server: ApiServer,
    broker: Arc<Broker>,
    context: Arc<Context>,
    changed: UnboundedReceiver<QueueKey>,
    store: Store<Guarded>,
    writer: Writer<Guarded>,
    events: Vec<Event<Guarded>>,
}

const PARKED: Depth =
    Depth { ready: 0, reserved: 0, unacked: None, scheduled: 2, due: 0, dead: 0, consumers: 0 };
const RETURNED: Depth = Depth { ready: 2, scheduled: 0, ..PARKED };

impl Going {
    async fn new(leadership: Leadership, queue: &TaskQueue, depth: Depth) -> Self {
        let broker = Arc::new(Broker::default());
        broker.holds(depth);
        let (server, context, changed) = operator_on(broker.clone(), leadership);
        server.put(SECRET, secret("password"));
        let (store, writer) = store();
        let mut going = Self { server, broker, context, changed, store, writer, events: Vec::new() };
        going.says(Event::Apply(guarded(queue)));
        look_after(queue, &going.context).await.unwrap();
        // The broker has answered, and has told its settings.
        for _ in 0..2 {
            going.change().await;
        }
        going.server.calls();
        going
    }

    async fn parked() -> Self {
        Self::new(Leadership::always(), &queue("thumbnails"), PARKED).await
    }

    /// Waits until a change was told; of paused time nothing is lost.
    async fn change(&mut self) {
        timeout(Duration::from_mins(10), self.changed.recv()).await.expect("no change was told").unwrap();
    }

    /// What the watch is going to say.
    fn says(&mut self, event: Event<Guarded>) {
        self.writer.apply_watcher_event(&event);
        self.events.push(event);
    }

    /// The watch says it all, and ends.
    async fn watched(&mut self) {
        let (see, seen) = mpsc::unbounded_channel();
        for event in self.events.drain(..) {
            see.send(event).unwrap();
        }
        drop(see);
        let run = leave::run(seen, self.store.clone(), self.context.clone());
        timeout(Duration::from_mins(10), run).await.expect("it never ends");
    }

    async fn deleted(&mut self) {
        self.says(Event::Delete(guarded(&queue("thumbnails"))));
        self.watched().await;
    }

    fn depth(&self) -> Depth {
        *self.broker.depth.lock().unwrap()
    }

    fn is_sampled(&self) -> bool {
        self.context.sampler.latest(&key(&queue("thumbnails"))).is_some()
    }

    /// The note of the only event, which is that messages are left.
    fn left(&self) -> String {
        assert_eq!(self.server.calls(), ["POST events"]);
        let events = self.server.all("/apis/events.k8s.io/v1/namespaces/photos/events");
        let [event] = &events[..] else { panic!("one event") };
        assert_eq!(event["reason"], reasons::PARKED_MESSAGES_LEFT);
        assert_eq!(event["type"], "Warning");
        assert_eq!(event["regarding"]["uid"], "uid-of-thumbnails");
        event["note"].as_str().unwrap().to_owned()
    }

    fn says_nothing(&self) {
        assert_eq!(self.server.calls(), Vec::<String>::new());
    }
}

fn guarded(queue: &TaskQueue) -> Guarded {
    DeserializeGuard(Ok(queue.clone()))
}

fn with_scheduled(figure: i64) -> TaskQueue {
    let status = TaskQueueStatus { scheduled: Some(figure), ..TaskQueueStatus::default() };
    TaskQueue { status: Some(status), ..queue("thumbnails") }
}

#[tokio::test(start_paused = true)]
async fn the_parked_messages_of_a_queue_that_is_deleted_go_back() {
    let mut going = Going::parked().await;
    going.deleted().await;
    assert_eq!(going.depth(), RETURNED);
    assert!(!going.is_sampled());
    going.says_nothing();
}

#[tokio::test(start_paused = true)]
async fn those_of_a_queue_that_went_away_while_nobody_watched_go_back() {
    let mut going = Going::parked().await;
    going.says(Event::Init);
    going.says(Event::InitDone);
    going.watched().await;
    assert_eq!(going.depth(), RETURNED);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_there_keeps_its_parked_messages() {
    let mut going = Going::parked().await;
    going.says(Event::Init);
    going.says(Event::InitApply(guarded(&queue("thumbnails"))));
    going.says(Event::InitDone);
    going.watched().await;
    assert_eq!(going.depth(), PARKED);
    assert!(going.is_sampled());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_only_forgets() {
    let mut going = Going::new(Leadership::never(), &queue("thumbnails"), PARKED).await;
    going.deleted().await;
    assert_eq!(going.depth(), PARKED);
    assert!(!going.is_sampled());
    going.says_nothing();
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_queue_that_another_object_stands_for_stay_parked() {
    let mut going = Going::parked().await;
    let twin = queue_with("twin", json!({ "queue": "thumbnails" }));
    look_after(&twin, &going.context).await.unwrap();
    going.server.calls();
    going.deleted().await;
    assert_eq!(going.depth(), PARKED);
    going.says_nothing();
    // Until that one goes, too.
    going.says(Event::Apply(guarded(&twin)));
    going.says(Event::Delete(guarded(&twin)));
    going.watched().await;
    assert_eq!(going.depth(), RETURNED);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_made_anew_keeps_its_parked_messages() {
    let mut going = Going::parked().await;
    let mut anew = queue("thumbnails");
    anew.metadata.uid = Some("another".to_owned());
    going.says(Event::Delete(guarded(&queue("thumbnails"))));
    going.says(Event::Apply(guarded(&anew)));
    going.watched().await;
    assert_eq!(going.depth(), PARKED);
    assert!(going.is_sampled());
    going.says_nothing();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_asked_again() {
    let mut going = Going::parked().await;
    let broker = going.broker.clone();
    broker.is_down(true);
    let back = async {
        broker.asked.notified().await;
        broker.is_down(false);
    };
    tokio::join!(going.deleted(), back);
    assert_eq!(going.depth(), RETURNED);
    going.says_nothing();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_for_a_queue_that_was_made_anew_meanwhile() {
    let Going { server, broker, context, store, mut writer, .. } = Going::parked().await;
    let (see, seen) = mpsc::unbounded_channel();
    let gone = Event::Delete(guarded(&queue("thumbnails")));
    writer.apply_watcher_event(&gone);
    see.send(gone).unwrap();
    drop(see);
    broker.is_down(true);
    let back = async {
        broker.asked.notified().await;
        let mut anew = queue("thumbnails");
        anew.metadata.uid = Some("another".to_owned());
        writer.apply_watcher_event(&Event::Apply(guarded(&anew)));
        broker.is_down(false);
    };
    let run = leave::run(seen, store, context);
    let both = async { tokio::join!(run, back) };
    timeout(Duration::from_mins(10), both).await.expect("it never ends");
    assert_eq!(*broker.depth.lock().unwrap(), PARKED);
    assert_eq!(server.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leads_no_more_tries_no_more() {
    let lasts = Duration::from_mins(1);
    let mut going = Going::new(Leadership::lasts(lasts), &queue("thumbnails"), PARKED).await;
    let broker = going.broker.clone();
    broker.is_down(true);
    let back = async {
        broker.asked.notified().await;
        tokio::time::advance(lasts).await;
        broker.is_down(false);
    };
    tokio::join!(going.deleted(), back);
    assert_eq!(going.depth(), PARKED);
    going.says_nothing();
}

#[tokio::test(start_paused = true)]
async fn of_a_broker_that_stays_away_is_said_what_it_still_holds() {
    let mut going = Going::parked().await;
    going.broker.is_down(true);
    going.deleted().await;
    let note = going.left();
    for says in ["connection refused", "petiole:eta:thumbnails", "Create a TaskQueue for the same queue"] {
        assert!(note.contains(says), "{note}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_an_outage_says_whether_messages_are_left() {
    for (figure, are_left) in [(0, false), (2, true)] {
        let mut going = Going::parked().await;
        going.broker.is_down(true);
        going.change().await;
        going.says(Event::Delete(guarded(&with_scheduled(figure))));
        going.watched().await;
        if are_left {
            going.left();
        } else {
            going.says_nothing();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn workers_that_would_park_the_messages_again_are_waited_for() {
    let mut going =
        Going::new(Leadership::always(), &queue("thumbnails"), Depth { consumers: 1, ..PARKED }).await;
    let broker = going.broker.clone();
    let end = async {
        broker.asked.notified().await;
        broker.holds(PARKED);
    };
    tokio::join!(going.deleted(), end);
    assert_eq!(going.depth(), RETURNED);
    going.says_nothing();
}

#[tokio::test(start_paused = true)]
async fn workers_that_go_on_taking_are_said_if_there_was_anything_to_park() {
    for (scheduled, are_left) in [(0, false), (2, true)] {
        let depth = Depth { scheduled, consumers: 1, ..PARKED };
        let mut going = Going::new(Leadership::always(), &queue("thumbnails"), depth).await;
        going.deleted().await;
        if are_left {
            let note = going.left();
            assert!(note.contains("1 of Petiole's workers"), "{note}");
        } else {
            going.says_nothing();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_may_go_before_the_queue_that_something_else_keeps() {
    let mut going = Going::new(Leadership::always(), &secured(), PARKED).await;
    going.server.refuse("GET secrets", StatusCode::NOT_FOUND, "gone");
    tokio::time::advance(crate::secrets::AGE).await;
    let mut leaving = secured();
    leaving.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
    look_after(&leaving, &going.context).await.unwrap();
    assert!(going.server.calls().contains(&"GET secrets/redis".to_owned()));
    assert!(going.is_sampled());
    going.deleted().await;
    assert_eq!(going.depth(), RETURNED);
}

#[tokio::test(start_paused = true)]
async fn what_its_status_says_is_left_of_a_queue_whose_broker_is_not_known_any_more() {
    for (figure, are_left) in [(0, false), (2, true)] {
        let mut going = Going::parked().await;
        going.context.sampler.forget(&key(&queue("thumbnails")));
        going.says(Event::Delete(guarded(&with_scheduled(figure))));
        going.watched().await;
        assert_eq!(going.depth(), PARKED);
        if are_left {
            going.left();
        } else {
            going.says_nothing();
        }
    }
}
