//! `accept`: which forms of messages a pool reads (Celery's `accept_content` and its message signing).

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which forms of messages are read. The default is Celery's: JSON alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!('auth' in self.content) || has(self.certificatesFrom)",
        "auth is for signed messages, and needs certificatesFrom: the Secret with the certificates of those who may sign"),
    validation = ("!has(self.certificatesFrom) || 'auth' in self.content",
        "certificatesFrom is for signed messages: add auth to content, or leave certificatesFrom out"),
    validation = ("self.digest == 'sha256' || 'auth' in self.content",
        "digest is for signed messages: add auth to content, or leave digest out"),
    validation = ("!self.onlySigned || 'auth' in self.content",
        "onlySigned is for signed messages: add auth to content, or leave onlySigned out")
)]
pub struct Accept {
    /// The forms, by the names of Celery's serializers: json, yaml, msgpack, auth (signed messages, whatever they hold), and
    /// pickle (mode Serve: a handler that says so in its hello takes a body as the bytes that it is; nobody else reads
    /// it). With auth alone, messages that are not signed are refused.
    #[serde(default = "Accept::default_content")]
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = ("self.all(form, self.exists_one(other, other == form))", "write each form once")
    )]
    pub content: Vec<Content>,
    /// The certificates of those who may sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates_from: Option<CertificatesFrom>,
    /// The hash under the signatures (`digest` of Celery's `app.setup_security`). Messages do not name it: write what their
    /// senders have.
    #[serde(default)]
    pub digest: Digest,
    /// Whether messages that are not signed are refused, whatever else content has; requests of remote control, too. What
    /// workers themselves send, such as the next step of a chain, is signed where their pool has signing.
    #[serde(default)]
    pub only_signed: bool,
}

/// A form of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Content {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `MessagePack`.
    Msgpack,
    /// Python's pickle.
    Pickle,
    /// Signed, whatever it holds.
    Auth,
}

/// The hash under signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Digest {
    /// SHA-256, Celery's default.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Where certificates are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CertificatesFrom {
    /// A Secret of which every key holds certificates as PEM, and nothing else. When it changes, the pods are replaced.
    pub secret_ref: SecretRef,
}

/// A Secret in the object's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl Accept {
    fn default_content() -> Vec<Content> {
        vec![Content::Json]
    }
}

impl Default for Accept {
    fn default() -> Self {
        Self {
            content: Self::default_content(),
            certificates_from: None,
            digest: Digest::default(),
            only_signed: false,
        }
    }
}

impl Content {
    /// As Celery calls its serializer.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Msgpack => "msgpack",
            Self::Pickle => "pickle",
            Self::Auth => "auth",
        }
    }
}

impl Digest {
    /// As Celery's `security_digest` calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_called_as_it_is_written() {
        for content in [Content::Json, Content::Yaml, Content::Msgpack, Content::Pickle, Content::Auth] {
            assert_eq!(serde_json::to_value(content).unwrap(), content.as_str());
        }
        for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
            assert_eq!(serde_json::to_value(digest).unwrap(), digest.as_str());
        }
    }
}
