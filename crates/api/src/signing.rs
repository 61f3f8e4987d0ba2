//! `signing`: by what messages are signed that a pool's tasks send (Celery's `security_key` and `security_certificate`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accept::Digest;
use crate::connection::ValueFrom;

/// A private key and its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Signing {
    /// The private key: RSA, as PEM, without a password. The workers alone read it, and read it again when it changes.
    pub key_from: ValueFrom,
    /// Its certificate, as PEM: by its issuer and serial number receivers know who has signed.
    pub certificate_from: ValueFrom,
    /// The hash under the signatures (`digest` of Celery's `app.setup_security`). Messages do not name it: write what their
    /// receivers have.
    #[serde(default)]
    pub digest: Digest,
}
