//! The pool's file, as the workers read it.

use std::path::PathBuf;
use std::time::Duration;

use petiole_api::accept::{Content, SecretRef};
use petiole_api::connection::{Connection, SecretKeyRef, Tls, ValueFrom};
use petiole_api::duration::Expiry;
use petiole_contract::pool::{Accept, Endpoint, Identity, Mode, Pool, Results, Signing, Text};

use crate::pool::validate::Validated;

/// How long a worker has for giving back what it has killed.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// The file of a pool whose tasks our workers run, in this mode. `path` says where the worker finds a Secret's key, `folder` where it finds all keys of a Secret.
pub fn config(
    pool: &Validated,
    mode: &Mode,
    path: &dyn Fn(&SecretKeyRef) -> PathBuf,
    folder: &dyn Fn(&SecretRef) -> PathBuf,
) -> Pool {
    let certificates = pool.accept.certificates_from.as_ref();
    Pool {
        namespace: pool.namespace.clone(),
        name: pool.name.clone(),
        mode: mode.clone(),
        concurrency: pool.concurrency,
        broker: endpoint(&pool.broker.connection(), path),
        results: pool.results.as_ref().map(|results| Results {
            store: endpoint(&results.connection(), path),
            expires: match results.expires {
                Expiry::Never => 0,
                Expiry::After(expires) => expires.whole_seconds(),
            },
            extended: results.extended,
        }),
        queues: pool.queues.clone(),
        order: pool.order,
        accept: Accept {
            content: pool.accept.content.iter().copied().map(Content::as_str).map(str::to_owned).collect(),
            certificates: certificates.map(|from| folder(&from.secret_ref)),
            digest: certificates.map(|_| pool.accept.digest.as_str().to_owned()),
            only_signed: pool.accept.only_signed,
        },
        signing: pool.signing.as_ref().map(|signing| Signing {
            key: path(&signing.key_from.secret_key_ref),
            certificate: path(&signing.certificate_from.secret_key_ref),
            digest: signing.digest.as_str().to_owned(),
        }),
        routes: pool.routes.clone(),
        tasks: pool.tasks.clone(),
        defaults: pool.defaults.clone(),
        drain: Some(drain(pool.grace_seconds)),
        events: pool.events,
    }
}

/// How much of a grace period running tasks have. The rest is for killing them and giving their messages back in order:
/// what the kubelet kills counts as a delivery that was lost.
fn drain(grace_seconds: u64) -> f64 {
    let grace = Duration::from_secs(grace_seconds);
    grace.saturating_sub(GIVING_BACK).max(grace / 2).as_secs_f64()
}

fn endpoint(connection: &Connection<'_>, path: &dyn Fn(&SecretKeyRef) -> PathBuf) -> Endpoint {
    let file = |from: &ValueFrom| path(&from.secret_key_ref);
    let tls = |of: fn(&Tls) -> Option<&ValueFrom>| connection.tls.and_then(of).map(file);
    let certificate = tls(|tls| tls.certificate_from.as_ref());
    let key = tls(|tls| tls.key_from.as_ref());
    Endpoint {
        url: match connection.url_from {
            Some(from) => Text::File(file(from)),
            None => Text::Value(connection.url.unwrap_or_default().to_owned()),
        },
        username: connection.username_from.map(|from| Text::File(file(from))),
        password: connection.password_from.map(file),
        ca: tls(|tls| tls.ca_from.as_ref()),
        identity: certificate.zip(key).map(|(certificate, key)| Identity { certificate, key }),
        sentinel_master: connection.sentinel.map(|sentinel| sentinel.master_name.clone()),
        key_prefix: connection.key_prefix.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_has_time_left_for_giving_back() {
        let drains = [3630, 10, 4, 0].map(|grace| Duration::from_secs_f64(drain(grace)).as_secs());
        assert_eq!(drains, [3625, 5, 2, 0]);
    }
}
