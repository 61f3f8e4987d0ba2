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

/// All that one Secret holds, by its keys.
pub type Keys = BTreeMap<String, Vec<u8>>;

/// What was read. It never leaves the process, not even to its log.
#[derive(Default)]
pub struct Secrets {
    keys: Cache<SecretKeyRef, Vec<u8>>,
    whole: Cache<String, Keys>,
}

/// By namespace, and what was asked for there.
type Cache<K, T> = Mutex<BTreeMap<(String, K), Read<T>>>;

struct Read<T> {
    at: Instant,
    value: Result<T, Refusal>,
}

impl<T: Clone> Read<T> {
    fn now(value: Result<T, Refusal>) -> Self {
        Self { at: Instant::now(), value }
    }

    fn fresh(&self, age: Duration) -> Option<Result<T, Refusal>> {
        // What is missing may be there in a moment: whoever wrote the name is about to create it.
        let age = if self.value.is_err() { age.min(AGE_REFUSED) } else { age };
        (self.at.elapsed() < age).then(|| self.value.clone())
    }
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
            let read = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let read = read.get(&(namespace.to_owned(), key.clone()));
            (key.clone(), read.map_or_else(|| Err(missing_secret(&key.name)), |read| read.value.clone()))
        };
        Ok(keys.iter().map(value).collect())
    }

    /// All that a Secret holds, not older than [`AGE`].
    pub async fn whole(
        &self,
        cluster: &Cluster,
        namespace: &str,
        name: &str,
    ) -> Result<Result<Keys, Refusal>, ClusterError> {
        let key = (namespace.to_owned(), name.to_owned());
        let fresh = {
            let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
            whole.get(&key).and_then(|read| read.fresh(AGE))
        };
        if let Some(fresh) = fresh {
            return Ok(fresh);
        }
        let value = fetch(cluster, namespace, name).await?;
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.insert(key, Read::now(value.clone()));
        Ok(value)
    }

    fn fresh(&self, namespace: &str, key: &SecretKeyRef, age: Duration) -> Option<Result<Vec<u8>, Refusal>> {
        let read = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        read.get(&(namespace.to_owned(), key.clone()))?.fresh(age)
    }

    async fn read<'a>(
        &self,
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        keys: impl Iterator<Item = &'a SecretKeyRef>,
    ) -> Result<(), ClusterError> {
        let secret = fetch(cluster, namespace, name).await?;
        let mut read = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let value = match &secret {
                Err(refusal) => Err(refusal.clone()),
                Ok(data) => data.get(&key.key).cloned().ok_or_else(|| {
                    Refusal::new(
                        reasons::SECRET_KEY_NOT_FOUND,
                        format!(
                            "the Secret {name} has no key {}: add it, or correct the key's name",
                            key.key
                        ),
                    )
                }),
            };
            read.insert((namespace.to_owned(), key.clone()), Read::now(value));
        }
        Ok(())
    }

    /// Forgets what nobody has asked for in a while.
    pub fn forget_unused(&self) {
        // Asked for, it is read again after `AGE`.
        let unused = AGE * 5;
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, read| read.at.elapsed() < unused);
        self.whole
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, read| read.at.elapsed() < unused);
    }
}

/// Reads a Secret, or says why it cannot be read.
async fn fetch(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Result<Keys, Refusal>, ClusterError> {
    match cluster.secret(namespace, name).await {
        Ok(Some(secret)) => {
            let data = secret.data.unwrap_or_default();
            Ok(Ok(data.into_iter().map(|(key, value)| (key, value.0)).collect()))
        }
        Ok(None) => Ok(Err(missing_secret(name))),
        Err(error) if error.status().is_some_and(kube::core::Status::is_forbidden) => Ok(Err(Refusal::new(
            reasons::SECRET_FORBIDDEN,
            format!("the operator may not read the Secret {name}: give it the right to get it"),
        ))),
        Err(error) => Err(error),
    }
}

fn missing_secret(name: &str) -> Refusal {
    Refusal::new(
        reasons::SECRET_NOT_FOUND,
        format!("there is no Secret {name} in this namespace: create it, or correct its name"),
    )
}
