//! A worker that starts in the place of one that has ended.

use petiole_broker::{Consumer, Inspector};
use petiole_testkit::wait::until;

use crate::rig::{PATIENCE, Running, broker, known, message, queue};

const EARLIER: &str = "pod-1-0123abcd";
const ANOTHER: &str = "pod-10-0123abcd";

#[tokio::test]
async fn what_an_earlier_worker_of_the_pod_held_runs_as_soon_as_the_runner_says_hello() {
    let broker = broker();
    for incarnation in [EARLIER, ANOTHER] {
        broker.publish(&queue(), message());
        let held = broker.register(known(incarnation)).unwrap().receive(1).await.unwrap();
        assert_eq!(held.len(), 1);
    }

    let worker = Running::start(&broker, "pod-1");
    let look = async || {
        let count = broker.workers().await.unwrap().len();
        if count == 3 { Ok(()) } else { Err(count) }
    };
    until("the worker to be registered", PATIENCE, look).await.unwrap();
    assert_eq!(broker.held()[EARLIER], 1, "without a runner its tasks may still run");

    let mut runner = worker.runner().await;
    let started = runner.hears("start").await;
    assert_eq!(started["label"], "id-1");
    assert_eq!(broker.held().get(EARLIER), None);
    assert_eq!(broker.held()[ANOTHER], 1, "the worker of another pod lives");
}
