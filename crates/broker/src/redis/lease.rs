//! How a worker says that it lives, and how it finds those that do not.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use petiole_results::redis::Connection;

use super::abandoned::Abandoned;
use super::keys::{Keys, SCHEMA};
use super::scripts::{BEAT, REGISTER, RENEW, RETURN_DUE, SWEEP, TELL};
use super::unknown::Unknown;
use super::{Config, Queue, Timeouts, during, inspect, milliseconds, restore, tag};
use crate::lost::End;
use crate::{BrokerError, Held, Lease, Load, Wish};

/// Into so many parts the visibility timeout is cut; in each, what is held is renewed once for Celery's workers, so
/// that nothing gets near the timeout even when the broker was away for some of them.
const RENEWALS: u32 = 4;

/// A gap of so many beats between two sweeps says that nobody could sweep. Sweeps come more often than beats.
const GAP: u32 = 2;

/// A worker's lease on Redis, on a connection of its own.
#[derive(Debug)]
pub struct RedisLease {
    connection: Connection,
    keys: Keys,
    config: Config,
    abandoned: Abandoned,
    unknown: Unknown,
    /// When what is held was last made young again.
    renewed: Mutex<Instant>,
}

impl RedisLease {
    /// Registers the worker, and with it its lease. A worker that was swept cannot be registered again: it has
    /// [`BrokerError::LeaseLost`]. Neither can one that is older than the keys on the broker.
    pub async fn register(config: Config) -> Result<Self, BrokerError> {
        config.check()?;
        let keys = Keys::new(config.broker.key_prefix());
        // A beat that is not answered before the next one is due is better tried on another connection.
        let timeouts = Timeouts {
            connect: config.timeouts.connect.min(config.beat),
            answer: config.timeouts.answer.min(config.beat),
        };
        let lease = Self {
            connection: Connection::new(config.broker.clone(), timeouts),
            abandoned: Abandoned::new(config.visibility_timeout),
            unknown: Unknown::default(),
            renewed: Mutex::new(Instant::now()),
            keys,
            config,
        };
        lease.write_down().await?;
        Ok(lease)
    }

    async fn write_down(&self) -> Result<(), BrokerError> {
        let worker = self.config.worker();
        let known = worker.described()?;
        let mut call = REGISTER.call(3 + worker.queues.len());
        call.arg(self.keys.schema()).arg(self.keys.leases()).arg(self.keys.workers());
        for queue in &worker.queues {
            call.arg(self.keys.consumers(&queue.name));
        }
        call.arg(SCHEMA).arg(&worker.incarnation).arg(self.length()).arg(known);
        match self.connection.run(call).await.map_err(during("register the worker"))? {
            0 => Err(BrokerError::LeaseLost),
            schema => known_schema(schema),
        }
    }

    /// Its queues as they are now.
    fn queues(&self) -> Vec<Queue> {
        Queue::all(&self.keys, &self.config.worker())
    }

    fn length(&self) -> u64 {
        milliseconds(self.config.lease)
    }

    async fn renew(&self) -> Result<(), BrokerError> {
        let queues = self.queues();
        let mut call = RENEW.call(2 + queues.len());
        call.arg(self.keys.leases()).arg(self.keys.celery().unacked_index());
        for queue in &queues {
            call.arg(&queue.held);
        }
        let worker = &self.config.worker.incarnation;
        call.arg(worker).arg(tag::prefix(worker));
        let _: u64 = self.connection.run(call).await.map_err(during("renew held messages"))?;
        Ok(())
    }

    async fn renew_in_time(&self) {
        let each = self.config.visibility_timeout / RENEWALS;
        let last = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(last) < each {
            return;
        }
        match self.renew().await {
            Ok(()) => *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = now,
            // The next beat tries again, long before the timeout.
            Err(error) => tracing::warn!(%error, "held messages could not be renewed for Celery's workers"),
        }
    }

    async fn sweep_workers(&self) -> Result<usize, BrokerError> {
        let mut call = SWEEP.call(3);
        call.arg(self.keys.sweep()).arg(self.keys.leases()).arg(self.keys.workers());
        call.arg(&self.config.worker.incarnation);
        call.arg(milliseconds(self.config.beat.saturating_mul(GAP))).arg(self.length());
        let swept: Vec<(String, Option<String>)> =
            self.connection.run(call).await.map_err(during("sweep for workers that have ended"))?;
        let mut restored = 0;
        for (incarnation, known) in swept {
            let worker = match inspect::read_worker(&incarnation, known.as_deref()) {
                Some(worker) => worker,
                None => match self.unknown.look(&self.connection, &self.keys, &incarnation).await? {
                    Some(worker) => worker,
                    None => continue,
                },
            };
            let count = restore::restore(&self.connection, &self.keys, &worker, End::RanOut).await?;
            tracing::info!(worker = incarnation, host = worker.host, count, "a worker's lease has ended");
            restored += count;
        }
        Ok(restored)
    }

    async fn return_due(&self) -> Result<(), BrokerError> {
        let queues = self.queues();
        let mut call = RETURN_DUE.call(3 * queues.len());
        for queue in &queues {
            call.arg(&queue.parked).arg(&queue.messages).arg(&queue.list);
        }
        let _: u64 = self.connection.run(call).await.map_err(during("return parked messages"))?;
        Ok(())
    }
}

/// Refuses keys of a newer schema.
pub(super) fn known_schema(schema: u64) -> Result<(), BrokerError> {
    if schema <= SCHEMA {
        return Ok(());
    }
    Err(BrokerError::Endpoint(format!(
        "the broker's keys have schema {schema}, this version of Petiole knows schema {SCHEMA}: a newer version \
         uses this broker too, upgrade this one"
    )))
}

#[async_trait]
impl Lease for RedisLease {
    async fn beat(&self) -> Result<Held, BrokerError> {
        let mut call = BEAT.call(1);
        call.arg(self.keys.leases()).arg(&self.config.worker.incarnation).arg(self.length());
        let held: bool = self.connection.run(call).await.map_err(during("renew the lease"))?;
        if !held {
            return Ok(Held::Lost);
        }
        self.renew_in_time().await;
        Ok(Held::Yes)
    }

    async fn tell(&self, load: &Load) -> Result<Wish, BrokerError> {
        let worker = &self.config.worker;
        let said = worker.says(load)?;
        let mut call = TELL.call(3);
        call.arg(self.keys.leases()).arg(self.keys.load(&worker.incarnation));
        call.arg(self.keys.wish(&worker.incarnation));
        call.arg(&worker.incarnation).arg(said).arg(self.length());
        let drains: bool = self.connection.run(call).await.map_err(during("say how busy the worker is"))?;
        Ok(if drains { Wish::Drain } else { Wish::Work })
    }

    async fn sweep(&self) -> Result<usize, BrokerError> {
        let restored = self.sweep_workers().await?;
        self.return_due().await?;
        self.abandoned.restore(&self.connection, &self.keys).await?;
        Ok(restored)
    }

    async fn release(&self) -> Result<(), BrokerError> {
        let worker = self.config.worker();
        inspect::end(&self.connection, &self.keys, &worker.incarnation, End::GivenUp).await?;
        restore::restore(&self.connection, &self.keys, &worker, End::GivenUp).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_refused_with_what_to_do() {
        assert!(known_schema(SCHEMA).is_ok());
        assert!(known_schema(SCHEMA + 1).unwrap_err().to_string().contains("upgrade"));
    }
}
