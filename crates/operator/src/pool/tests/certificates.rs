//! Pools whose messages are signed: the one Secret that a pool names by itself.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use super::*;
use crate::fixtures::SIGNER;
use crate::secrets::AGE;

/// A pool that takes signed messages, and the Secret with these keys.
fn signed(operator: &Operator, keys: &[(&str, &str)]) -> WorkerPool {
    let keys: BTreeMap<_, _> =
        keys.iter().map(|(key, value)| (*key, ByteString(value.as_bytes().to_vec()))).collect();
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "signers" }, "data": keys });
    operator.server.put(&format!("{CORE}/secrets/signers"), secret);
    let from = json!({ "secretRef": { "name": "signers" } });
    pool_with(json!({ "accept": { "content": ["auth"], "certificatesFrom": from } }))
}

#[tokio::test(start_paused = true)]
async fn certificates_that_change_replace_the_pods_and_others_cost_no_call() {
    let mut operator = Operator::new();
    let pool = operator.look_after(&signed(&operator, &[("a.pem", SIGNER)])).await;
    let before = operator.deployment();
    assert!(before["spec"]["template"]["metadata"]["annotations"][names::CERTIFICATES].is_string());
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(operator.server.calls(), Vec::<String>::new());

    tokio::time::advance(AGE).await;
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(operator.server.calls(), ["GET secrets/signers"]);

    signed(&operator, &[("b.pem", SIGNER)]);
    tokio::time::advance(AGE).await;
    operator.reconcile(&pool).await.unwrap();
    assert_eq!(operator.server.calls(), ["GET secrets/signers", "PATCH deployments/resizer"]);
    assert_ne!(operator.deployment(), before);
}

#[tokio::test(start_paused = true)]
async fn a_pool_whose_certificates_cannot_be_used_says_so_and_what_runs_stays() {
    let mut operator = Operator::new();
    let pool = operator.look_after(&signed(&operator, &[("a.pem", SIGNER)])).await;
    let before = operator.deployment();
    for (keys, reason, says) in [
        (
            Some(&[("a.pem", SIGNER), ("tls.key", "x")][..]),
            reasons::CERTIFICATES_REFUSED,
            "key tls.key: there is no",
        ),
        (Some(&[]), reasons::CERTIFICATES_REFUSED, "the Secret signers is empty"),
        (None, reasons::SECRET_NOT_FOUND, "no Secret signers"),
    ] {
        match keys {
            Some(keys) => drop(signed(&operator, keys)),
            None => operator.server.refuse("GET secrets", StatusCode::NOT_FOUND, "not found"),
        }
        tokio::time::advance(AGE).await;
        let status = operator.status(&pool).await;
        let ready = conditions::find(&status.conditions, READY).unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", reason));
        assert!(ready.message.contains(says), "{}", ready.message);
        operator.reconcile(&pool).await.unwrap();
        assert_eq!(operator.deployment(), before);
    }
}
