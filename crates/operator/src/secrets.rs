//! The keys of Secrets that resources name: read by name, never listed or watched, and again when they have aged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use petiole_api::conditions::reasons;
use petiole_api::connection::SecretKeyRef;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError};
use crate::refusal::Refusal;

/// After this a key is read again, so that a rotation is followed.
pub const AGE: Duration = Duration::from_mins(1);
/// The same where it is missing, or where the server refuses what was read: a rotation may be under way.
pub const AGE_REFUSED: Duration = Duration::from_secs(10);

/// What Secrets hold under the keys that were asked for, or why they do not.
pub type Values = BTreeMap<SecretKeyRef, Result<Vec<u8>, Refusal>>;

/// What was read. It never leaves the process, not even to its log.
#[derive(Default)]
pub struct Secrets {
    read: Mutex<BTreeMap<(String, SecretKeyRef), Read>>,
}

struct Read {
    at: Instant,
    value: Result<Vec<u8>, Refusal>,
}

impl Secrets {
    /// The values of these keys, none of them older than `age`.
    pub async fn values(
        &self,
        cluster: &Cluster,
        namespace: &str,
        keys: &BTreeSet<SecretKeyRef>,
        age: Duration,
    ) -> Result<Values, ClusterError> {
        let stale: BTreeSet<&str> = keys
            .iter()
            .filter(|key| self.fresh(namespace, key, age).is_none())
            .map(|key| key.name.as_str())
            .collect();
        for name in stale {
            let of_it = keys.iter().filter(|key| key.name == name);
            self.read(cluster, namespace, name, of_it).await?;
        }
        let value = |key: &SecretKeyRef| {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            let read = read.get(&(namespace.to_owned(), key.clone()));
            (key.clone(), read.map_or_else(|| Err(missing_secret(&key.name)), |read| read.value.clone()))
        };
        Ok(keys.iter().map(value).collect())
    }

    fn fresh(&self, namespace: &str, key: &SecretKeyRef, age: Duration) -> Option<Result<Vec<u8>, Refusal>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read.get(&(namespace.to_owned(), key.clone()))?;
        // What is missing may be there in a moment: whoever wrote the name is about to create it.
        let age = if found.value.is_err() { age.min(AGE_REFUSED) } else { age };
        (found.at.elapsed() < age).then(|| found.value.clone())
    }

    async fn read<'a>(
        &self,
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        keys: impl Iterator<Item = &'a SecretKeyRef>,
    ) -> Result<(), ClusterError> {
        let secret = match cluster.secret(namespace, name).await {
            Ok(Some(secret)) => Ok(secret.data.unwrap_or_default()),
            Ok(None) => Err(missing_secret(name)),
            Err(error) if error.status().is_some_and(kube::core::Status::is_forbidden) => Err(Refusal::new(
                reasons::SECRET_FORBIDDEN,
                format!("the operator may not read the Secret {name}: give it the right to get it"),
            )),
            Err(error) => return Err(error),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let value = match &secret {
                Err(refusal) => Err(refusal.clone()),
                Ok(data) => data.get(&key.key).map(|value| value.0.clone()).ok_or_else(|| {
                    Refusal::new(
                        reasons::SECRET_KEY_NOT_FOUND,
                        format!(
                            "the Secret {name} has no key {}: add it, or correct the key's name",
                            key.key
                        ),
                    )
                }),
            };
            read.insert((namespace.to_owned(), key.clone()), Read { at: Instant::now(), value });
        }
        Ok(())
    }

    /// Forgets what nobody has asked for in a while.
    pub fn forget_unused(&self) {
        // Asked for, it is read again after `AGE`.
        self.read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, read| read.at.elapsed() < AGE * 5);
    }
}

fn missing_secret(name: &str) -> Refusal {
    Refusal::new(
        reasons::SECRET_NOT_FOUND,
        format!("there is no Secret {name} in this namespace: create it, or correct its name"),
    )
}
