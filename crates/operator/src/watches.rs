//! Watches: each kind once in a scope. What comes by fills the stores and wakes the controllers.

use futures_util::{Stream, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{Store, store};
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Api, Client, Resource};
use petiole_api::names;
use petiole_process::ready::Readiness;

use crate::cluster::{ApiError, Kind};
use crate::synced::Synced;

/// Where objects are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// In one namespace.
    Namespace(String),
    /// Everywhere.
    All,
}

impl Scope {
    /// The kind's part of the API in this scope.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
            Self::All => Api::all(client.clone()),
        }
    }
}

impl Scope {
    /// Whether something in a namespace is in this scope.
    pub fn holds(&self, namespace: &str) -> bool {
        match self {
            Self::Namespace(mine) => mine == namespace,
            Self::All => true,
        }
    }

    /// The name of a watch for readiness. Each is made once, when the process starts, and lives as long as it.
    pub fn part(&self, kind: &str) -> &'static str {
        match self {
            Self::Namespace(namespace) => format!("{kind} in {namespace}").leak(),
            Self::All => kind.to_owned().leak(),
        }
    }
}

/// Makes the watches of a scope.
pub struct Watches<'a> {
    /// The scope.
    pub scope: &'a Scope,
    /// The client of them all.
    pub client: &'a Client,
    /// Who is still missing.
    pub ready: &'a Readiness,
    /// Whether all of them were listed once.
    pub synced: &'a Synced,
}

/// A watch: its store is filled as its stream is polled, which says what was touched.
pub type Watch<K, S> = (Store<K>, S);

/// For a watch whose events nobody has to see.
pub fn unseen<K>(_: &Event<K>) {}

impl Watches<'_> {
    /// Watches every object of a kind. `see` sees each event before it is in the store: [`unseen`] where nobody has to.
    pub fn every<K>(
        &self,
        kinds: &str,
        prune: impl FnMut(&mut K) + Send + 'static,
        see: impl FnMut(&Event<K>) + Send + 'static,
    ) -> Watch<K, impl Stream<Item = Result<K, Error>> + Send + 'static>
    where
        K: Kind,
    {
        self.watch(kinds, Config::default(), prune, see)
    }

    /// The same of the objects of a kind that belong to pools.
    pub fn of_pools<K>(
        &self,
        kinds: &str,
        prune: impl FnMut(&mut K) + Send + 'static,
        see: impl FnMut(&Event<K>) + Send + 'static,
    ) -> Watch<K, impl Stream<Item = Result<K, Error>> + Send + 'static>
    where
        K: Kind,
    {
        self.watch(kinds, Config::default().labels(names::POOL), prune, see)
    }

    /// Errors are logged; the watch begins again, ever more slowly.
    fn watch<K>(
        &self,
        kinds: &str,
        config: Config,
        prune: impl FnMut(&mut K) + Send + 'static,
        mut see: impl FnMut(&Event<K>) + Send + 'static,
    ) -> Watch<K, impl Stream<Item = Result<K, Error>> + Send + 'static>
    where
        K: Kind,
    {
        let part = self.scope.part(kinds);
        let (ready, failed) = (self.ready.clone(), self.ready.clone());
        ready.missing(part, "not listed yet");
        let mut unlisted = Some(self.synced.expect());
        let (store, writer) = store();
        let touched = watcher(self.scope.api(self.client), config)
            .default_backoff()
            .inspect_err(move |error| {
                let why = explain(error);
                tracing::warn!(part, why, "failed to watch");
                // A watch that breaks later leaves what is known in place.
                if matches!(error, Error::InitialListFailed(_)) {
                    failed.missing(part, why);
                }
            })
            .modify(prune)
            .inspect_ok(move |event| see(event))
            .reflect(writer)
            .inspect_ok(move |event| {
                if matches!(event, Event::InitDone) {
                    ready.there(part);
                    if let Some(unlisted) = unlisted.take() {
                        unlisted.listed();
                    }
                }
            })
            .touched_objects();
        (store, touched)
    }
}

fn explain(error: &Error) -> String {
    match error {
        Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
            "the API server does not know this kind: install the chart petiole-crds".to_owned()
        }
        Error::InitialListFailed(kube::Error::Api(status)) if status.is_forbidden() => {
            format!("not allowed: {}", status.message)
        }
        Error::WatchError(status) => ApiError::Refused(status.clone()).to_string(),
        other => other.to_string(),
    }
}

/// Who manages which field is of no use to us, and often larger than all the rest.
pub fn slim(metadata: &mut kube::api::ObjectMeta) {
    metadata.managed_fields = None;
}
