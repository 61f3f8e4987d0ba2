//! The broker goes away and comes back.

use petiole_broker::memory::Fault;
use petiole_testkit::wait::until;
use petiole_worker::metrics::BROKER_UP;

use crate::rig::{PATIENCE, Running, broker};

async fn broker_up_is(worker: &Running, value: &str) {
    let look = async || match worker.metric(BROKER_UP) {
        Some(now) if now == value => Ok(()),
        other => Err(other),
    };
    until("the metric to follow the broker", PATIENCE, look).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_cut_off_is_down_until_it_answers_again() {
    let broker = broker();
    let worker = Running::start(&broker, "pod-1");
    let _runner = worker.runner().await;
    broker_up_is(&worker, "1").await;
    broker.set_fault(Fault::Away);
    broker_up_is(&worker, "0").await;
    broker.set_fault(Fault::None);
    broker_up_is(&worker, "1").await;
}
