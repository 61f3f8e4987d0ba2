//! Objects that claim to be ours and cannot be read: their status says so. The schema lets none through; one that was
//! there before the schema is what is left.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::error_boundary::InvalidObject;
use petiole_api::conditions::{self, Fact, READY, Status, reasons};
use serde::Serialize;

use crate::cluster::{Cluster, ClusterError, Kind};

/// Which of them were told already, in which generation.
#[derive(Debug, Default)]
pub struct Invalid {
    told: Mutex<HashMap<(String, String), Option<i64>>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InvalidStatus {
    observed_generation: Option<i64>,
    conditions: Vec<Condition>,
}

impl Invalid {
    /// Writes why an object cannot be read into its status, once for each generation of it.
    pub async fn tell<K: Kind>(
        &self,
        cluster: &Cluster,
        object: &InvalidObject,
        namespace: &str,
        name: &str,
    ) -> Result<(), ClusterError> {
        let key = (namespace.to_owned(), name.to_owned());
        let generation = object.metadata.generation;
        let told = |told: &HashMap<_, _>| told.get(&key) == Some(&generation);
        if !cluster.leads() || told(&self.told.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        tracing::warn!(kind = %K::kind(&()), namespace, name, why = object.error, "an object cannot be read");
        let fact = Fact {
            kind: READY,
            status: Status::False,
            reason: reasons::INVALID_OBJECT,
            message: format!("the object cannot be read: {}", object.error),
        };
        let status = InvalidStatus {
            observed_generation: generation,
            conditions: conditions::keep(&[], vec![fact], generation, Timestamp::now()),
        };
        cluster.write_status::<K>(namespace, name, &status).await?;
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key, generation);
        Ok(())
    }
}
