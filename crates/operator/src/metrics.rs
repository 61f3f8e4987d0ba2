//! What the operator counts. [`pools`]: of the pools.

pub mod pools;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use jiff::Timestamp;
use petiole_process::metrics::{HistogramVec, IntCounterVec, IntGaugeVec, RegisterError, Registry};

use self::pools::PoolMetrics;
use crate::sampler::{QueueKey, Sampler};

/// The operator's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `petiole_operator_reconciles_total`
    pub reconciles: IntCounterVec,
    /// `petiole_operator_reconcile_seconds`
    pub seconds: HistogramVec,
    /// `petiole_operator_leader`
    pub leader: IntGaugeVec,
    /// Of the pools.
    pub pools: PoolMetrics,
    messages: IntGaugeVec,
    consumers: IntGaugeVec,
    reachable: IntGaugeVec,
    age: IntGaugeVec,
    known: std::sync::Arc<Mutex<BTreeSet<QueueKey>>>,
}

/// The states of `petiole_queue_messages`.
const STATES: [&str; 5] = ["ready", "reserved", "unacked", "scheduled", "dead"];
/// The servers of `petiole_queue_reachable`.
const SERVERS: [&str; 2] = ["broker", "results"];

impl Metrics {
    /// Registers all of them.
    pub fn new(registry: &Registry) -> Result<Self, RegisterError> {
        Ok(Self {
            reconciles: registry.counter(
                "petiole_operator_reconciles_total",
                "How often an object was looked after, by its kind and how that ended (ok, error).",
                &["kind", "outcome"],
            )?,
            seconds: registry.seconds(
                "petiole_operator_reconcile_seconds",
                "How long it took to look after an object.",
                &["kind"],
            )?,
            leader: registry.gauge(
                "petiole_operator_leader",
                "1 on the replica that writes, 0 on the others.",
                &[],
            )?,
            messages: registry.gauge(
                "petiole_queue_messages",
                "Messages of a TaskQueue, by their state (ready, reserved, unacked, scheduled, dead). Absent while the \
                 broker cannot be asked.",
                &["namespace", "task_queue", "state"],
            )?,
            consumers: registry.gauge(
                "petiole_queue_consumers",
                "Workers that take from a TaskQueue.",
                &["namespace", "task_queue"],
            )?,
            reachable: registry.gauge(
                "petiole_queue_reachable",
                "1 when the server (broker, results) of a TaskQueue answers, 0 when it does not.",
                &["namespace", "task_queue", "server"],
            )?,
            age: registry.gauge(
                "petiole_queue_sample_age_seconds",
                "How long ago the messages of a TaskQueue were counted last. It grows while its broker cannot be asked.",
                &["namespace", "task_queue"],
            )?,
            pools: PoolMetrics::new(registry)?,
            known: std::sync::Arc::default(),
        })
    }

    /// Sets what is measured of queues to what was seen of them last.
    pub fn sample(&self, sampler: &Sampler, now: Timestamp) {
        let seen = sampler.all();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let here: BTreeSet<QueueKey> = seen.iter().map(|(key, _)| key.clone()).collect();
        for gone in known.difference(&here) {
            self.forget(gone);
        }
        for (QueueKey { namespace, name }, sample) in seen {
            let queue = [namespace.as_str(), name.as_str()];
            if let Some(counted) = sample.counted {
                self.age.with_label_values(&queue).set(now.duration_since(counted).as_secs().max(0));
            }
            match &sample.broker {
                Some(Ok((depth, _))) => {
                    let petiole_broker::Depth { ready, reserved, unacked, scheduled, dead, .. } = *depth;
                    let figures = [Some(ready), Some(reserved), unacked, Some(scheduled), Some(dead)];
                    for (state, figure) in STATES.iter().zip(figures) {
                        let labels = [queue[0], queue[1], state];
                        match figure {
                            Some(figure) => self.messages.with_label_values(&labels).set(gauge(figure)),
                            // What is not there need not be removed.
                            None => drop(self.messages.remove_label_values(&labels)),
                        }
                    }
                    self.consumers.with_label_values(&queue).set(gauge(depth.consumers));
                }
                // Unknown is not zero.
                Some(Err(_)) => self.forget_figures(&queue),
                None => {}
            }
            let answers =
                [sample.broker.as_ref().map(Result::is_ok), sample.results.as_ref().map(Result::is_ok)];
            for (server, answers) in SERVERS.iter().zip(answers) {
                if let Some(answers) = answers {
                    self.reachable.with_label_values(&[queue[0], queue[1], server]).set(i64::from(answers));
                }
            }
        }
        *known = here;
    }

    fn forget(&self, QueueKey { namespace, name }: &QueueKey) {
        self.forget_figures(&[namespace, name]);
        let _ = self.age.remove_label_values(&[namespace, name]);
        for server in SERVERS {
            // What is not there need not be removed.
            let _ = self.reachable.remove_label_values(&[namespace, name, server]);
        }
    }

    fn forget_figures(&self, queue: &[&str; 2]) {
        for state in STATES {
            let _ = self.messages.remove_label_values(&[queue[0], queue[1], state]);
        }
        let _ = self.consumers.remove_label_values(queue);
    }
}

fn gauge(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use petiole_broker::QueueName;
    use petiole_results::redis::EndpointError;

    use super::*;
    use crate::sampler::Watch;
    use crate::sampler::address::Address;
    use crate::sampler::connect::{Connect, Redis};

    /// A store that is never asked, and no broker.
    struct NoBroker;

    impl Connect for NoBroker {
        fn broker(&self, _: &Address) -> Result<Arc<dyn petiole_broker::Inspector>, EndpointError> {
            let nothing = Address::default();
            Redis.broker(&nothing)
        }

        fn results(&self, address: &Address) -> Result<Arc<dyn petiole_results::Store>, EndpointError> {
            Redis.results(address)
        }
    }

    #[tokio::test]
    async fn a_queue_that_cannot_be_asked_has_no_figures_and_one_that_is_gone_has_nothing() {
        let registry = Registry::default();
        let metrics = Metrics::new(&registry).unwrap();
        let text = || String::from_utf8(registry.render().unwrap()).unwrap();
        let (sampler, _changes) = Sampler::new(Arc::new(NoBroker));
        let key = QueueKey { namespace: "photos".to_owned(), name: "thumbnails".to_owned() };
        let queue = QueueName { name: "a".to_owned(), priority_steps: vec![0], dead_letter: "b".to_owned() };
        sampler.watch(key.clone(), Watch { broker: Address::default(), queue, results: None });
        metrics.sample(&sampler, Timestamp::now());
        let line = r#"petiole_queue_reachable{namespace="photos",server="broker",task_queue="thumbnails"} 0"#;
        assert!(text().contains(line), "{}", text());
        assert!(!text().contains("petiole_queue_messages{"), "{}", text());
        sampler.forget(&key);
        metrics.sample(&sampler, Timestamp::now());
        assert!(!text().contains("petiole_queue_reachable{"), "{}", text());
    }
}
