//! What asks: a task for each broker, and one for each result store. It ends when no queue is watched there.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use petiole_broker::{BrokerError, Hazard, Inspector, QueueName, Report, Said};
use petiole_process::log::Chain;
use petiole_protocol::envelope::Envelope;
use petiole_results::Store;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::address::Address;
use super::sample::Problem;
use super::{Inner, QueueKey};

/// Between two looks at a broker's queues.
const DEPTHS: Duration = Duration::from_secs(1);
/// Between two looks at its settings, which are people's to change.
const HAZARDS: Duration = Duration::from_mins(1);
/// Between two looks at a result store, of which we only want to know whether it is there.
const RESULTS: Duration = Duration::from_secs(5);

/// The queues of one broker.
type Queues = Vec<(QueueKey, QueueName)>;

/// Asks a broker about its queues until none is watched there.
pub(super) async fn broker(sampler: Arc<Inner>, address: Address) {
    let mut ticks = interval(DEPTHS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hazards_due = Instant::now();
    let mut known: Option<Vec<Hazard>> = None;
    loop {
        ticks.tick().await;
        let Some((broker, queues)) = sampler.broker_queues(&address) else { return };
        let (keys, names): (Vec<QueueKey>, Vec<QueueName>) = queues.into_iter().unzip();
        let (answer, loads, said) =
            tokio::join!(broker.depths(&names), broker.loads(), sampler.converse(&address, &*broker));
        let now = Timestamp::now();
        sampler.hear(&address, said, now);
        sampler.keep_loads(&address, loads, now);
        if answer.is_err() {
            // When it is back, it may be another one, or have been set up anew.
            hazards_due = Instant::now();
        }
        let reachable = answer.is_ok();
        sampler.update(&keys, |index, sample| {
            if answer.is_ok() {
                sample.counted = Some(now);
            }
            sample.broker = Some(match &answer {
                Ok(depths) => Ok((depths.get(index).copied().unwrap_or_default(), now)),
                Err(error) => Err(Problem::from(error)),
            });
            sample.hazards.clone_from(&known);
        });
        sampler.rounds.send_modify(|round| *round += 1);
        if reachable && hazards_due <= Instant::now() {
            hazards_due = Instant::now() + HAZARDS;
            if let Some(hazards) = hazards(&*broker).await {
                known = Some(hazards);
                sampler.update(&keys, |_, sample| sample.hazards.clone_from(&known));
            }
        }
    }
}

/// Nothing, when the server does not say: managed ones often hide their settings.
async fn hazards(broker: &dyn Inspector) -> Option<Vec<Hazard>> {
    match broker.hazards().await {
        Ok(hazards) => Some(hazards),
        Err(error) => {
            tracing::debug!(%error, "the broker does not tell its settings");
            None
        }
    }
}

/// Asks a result store whether it is there until no queue is watched that has it.
pub(super) async fn results(sampler: Arc<Inner>, address: Address) {
    let mut ticks = interval(RESULTS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some((store, keys)) = sampler.store_queues(&address) else { return };
        let answer = store.ping().await.map_err(|error| Problem::from(&error));
        sampler.update(&keys, |_, sample| sample.results = Some(answer.clone()));
    }
}

impl Inner {
    /// The queues of a broker. When there are none, the broker is forgotten under the same lock, so that one that is
    /// watched at the same moment gets a task of its own.
    fn broker_queues(&self, address: &Address) -> Option<(Arc<dyn Inspector>, Queues)> {
        let mut state = self.lock();
        let here = state.queues.iter().filter(|(_, watched)| watched.watch.broker == *address);
        let queues: Vec<_> = here.map(|(key, watched)| (key.clone(), watched.watch.queue.clone())).collect();
        if queues.is_empty() {
            state.brokers.remove(address);
            state.loads.remove(address);
            state.fleets.remove(address);
            return None;
        }
        Some((state.brokers.get(address)?.clone(), queues))
    }

    /// Talks with Celery's own workers, where somebody wants to know of them.
    async fn converse(&self, address: &Address, broker: &dyn Inspector) -> Option<Result<Said, BrokerError>> {
        let requests = self.requests(address, broker.answers_to())?;
        Some(broker.converse(&requests).await)
    }

    fn requests(&self, address: &Address, answers_to: &str) -> Option<Vec<Envelope>> {
        let now = Timestamp::now();
        let fleets = &mut self.lock().fleets;
        let fleet = fleets.get_mut(address)?;
        if fleet.is_wanted(now) {
            return Some(fleet.requests(answers_to, now));
        }
        fleets.remove(address);
        None
    }

    fn hear(&self, address: &Address, said: Option<Result<Said, BrokerError>>, now: Timestamp) {
        let Some(said) = said else { return };
        let said =
            said.inspect_err(|error| tracing::debug!(error = %Chain(error), "workers cannot be heard")).ok();
        if let Some(fleet) = self.lock().fleets.get_mut(address) {
            fleet.take(said.as_ref(), now);
        }
    }

    /// With what Celery's own workers have to do.
    fn keep_loads(&self, address: &Address, loads: Result<Vec<Report>, BrokerError>, now: Timestamp) {
        let mut state = self.lock();
        match loads {
            Ok(mut loads) => {
                loads.extend(state.fleets.get(address).into_iter().flat_map(|fleet| fleet.reports(now)));
                state.loads.insert(address.clone(), Arc::new(loads));
            }
            // That the broker cannot be asked is said with its queues.
            Err(_) => {
                state.loads.remove(address);
            }
        }
    }

    /// The queues that have this result store.
    fn store_queues(&self, address: &Address) -> Option<(Arc<dyn Store>, Vec<QueueKey>)> {
        let mut state = self.lock();
        let here = state.queues.iter().filter(|(_, watched)| watched.watch.results.as_ref() == Some(address));
        let queues: Vec<_> = here.map(|(key, _)| key.clone()).collect();
        if queues.is_empty() {
            state.stores.remove(address);
            return None;
        }
        Some((state.stores.get(address)?.clone(), queues))
    }
}
