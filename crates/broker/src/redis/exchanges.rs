//! Which queues an exchange feeds: read from kombu's bindings, and known for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use petiole_results::redis::Connection;

use super::during;
use super::keys::Keys;
use crate::BrokerError;
use crate::exchange::{Binding, queues};

/// For how long bindings count as known: a queue that is bound meanwhile is fed after this.
const KNOWN: Duration = Duration::from_secs(5);

/// What is known of exchanges.
#[derive(Debug, Default)]
pub(super) struct Exchanges(Mutex<HashMap<String, Known>>);

#[derive(Debug)]
struct Known {
    since: Instant,
    bindings: Vec<Binding>,
}

impl Exchanges {
    /// The queues that an exchange feeds under this routing key. That there are none is never taken from memory.
    pub(super) async fn queues(
        &self,
        connection: &Connection,
        keys: &Keys,
        exchange: &str,
        routing_key: &str,
    ) -> Result<Vec<String>, BrokerError> {
        let known = self.known(exchange, routing_key);
        if !known.is_empty() {
            return Ok(known);
        }
        let bindings = bindings(connection, keys, exchange).await?;
        let fed = queues(&bindings, routing_key);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Messages name exchanges, so that there may be many.
        all.retain(|_, known| known.since.elapsed() < KNOWN);
        all.insert(exchange.to_owned(), Known { since: Instant::now(), bindings });
        Ok(fed)
    }

    fn known(&self, exchange: &str, routing_key: &str) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(exchange).filter(|known| known.since.elapsed() < KNOWN);
        known.map(|known| queues(&known.bindings, routing_key)).unwrap_or_default()
    }
}

/// The bindings of an exchange.
pub(super) async fn bindings(
    connection: &Connection,
    keys: &Keys,
    exchange: &str,
) -> Result<Vec<Binding>, BrokerError> {
    let mut ask = redis::cmd("SMEMBERS");
    ask.arg(keys.celery().bindings(exchange));
    let members: Vec<String> = connection.query(&ask).await.map_err(during("read an exchange's bindings"))?;
    Ok(members.iter().filter_map(|member| Binding::read(member)).collect())
}
