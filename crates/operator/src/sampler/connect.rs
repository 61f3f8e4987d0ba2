//! Where inspectors and stores come from: a seam, so that tests can put them in memory.

use std::sync::Arc;

use petiole_broker::Inspector;
use petiole_broker::redis::RedisInspector;
use petiole_results::Store;
use petiole_results::redis::{EndpointError, RedisStore, Timeouts};

use super::address::Address;

/// Makes the connections of the sampler. None of them is opened before it is used.
pub trait Connect: Send + Sync {
    /// To a broker.
    fn broker(&self, address: &Address) -> Result<Arc<dyn Inspector>, EndpointError>;
    /// To a result store.
    fn results(&self, address: &Address) -> Result<Arc<dyn Store>, EndpointError>;
}

/// The real ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Redis;

impl Connect for Redis {
    fn broker(&self, address: &Address) -> Result<Arc<dyn Inspector>, EndpointError> {
        Ok(Arc::new(RedisInspector::new(address.endpoint()?, Timeouts::default())))
    }

    fn results(&self, address: &Address) -> Result<Arc<dyn Store>, EndpointError> {
        Ok(Arc::new(RedisStore::new(address.endpoint()?, Timeouts::default())))
    }
}
