//! Celery's message signing: the serializer `auth`.
//!
//! ```text
//!   base64( base64(signer) 00 01 base64(signature) 00 01 content type 00 01 encoding 00 01 body )     5.3 and later
//!   base64(        signer  00 01        signature  00 01 content type 00 01 encoding 00 01 body )     before
//! ```
//!
//! The signer is named by its certificate's issuer and serial number; the signature is RSASSA-PSS with the longest salt
//! that the key has room for. It covers the **body** alone: arguments and follow-ups, and in protocol 1 the whole task.
//! In protocol 2 the headers (the task's name, its id, its times) are not signed, nor is the content type in either, and a
//! message can be sent again.

mod certificates;
mod signer;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
pub use certificates::{BadCertificate, Certificates, Digest};
use jiff::Timestamp;
/// The kernel's randomness, of the generation that signing takes.
pub use rsa::rand_core::OsRng;
pub use signer::{BadSigner, NotSigned, Signer};

/// What a signed body is said to be.
pub(crate) const CONTENT_TYPE: &str = "application/data";

/// What stands between the parts.
const SEPARATOR: &[u8] = b"\0\x01";

/// Python's reader, without what it passes over: letters that are not base64.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A body whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the body is: `application/json`.
    pub content_type: String,
    /// The body, as the serializer under the signature left it.
    pub body: Bytes,
}

/// Why a signed body is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It has not the form of a signed body.
    #[error("the body is not signed: send the task with `serializer=\"auth\"`, after `app.setup_security()`")]
    NotSigned,
    /// Nobody knows the signer.
    #[error("the body is signed by {0:?}, whose certificate this pool does not have")]
    UnknownSigner(String),
    /// The signer's certificate is not valid yet, or not any more.
    #[error("the body is signed by {signer:?}, whose certificate is valid from {from} to {to}")]
    NotValidNow {
        /// Issuer and serial number.
        signer: String,
        /// The first moment at which it is valid.
        from: Timestamp,
        /// The first moment at which it is not valid any more.
        to: Timestamp,
    },
    /// The signature is not that of the body.
    #[error(
        "the signature is not one of the body by {0:?}: the body was changed, or signed with another key or another \
         `security_digest`"
    )]
    BadSignature(String),
}

/// Verifies a body against the certificates of those who may sign.
pub fn verify(body: &[u8], certificates: &Certificates, now: Timestamp) -> Result<Verified, Untrusted> {
    let raw: Bytes = BASE64.decode(body).map_err(|_| Untrusted::NotSigned)?.into();
    let (signer, behind) = split(&raw).ok_or(Untrusted::NotSigned)?;
    // The older form is not base64, so its signature may hold the separator: its length is that of the key.
    let old = std::str::from_utf8(signer).ok().and_then(|signer| certificates.get(signer));
    let (signer, certificate, signature, rest) = if let Some((signer, certificate)) = old {
        let (signature, behind) =
            behind.split_at_checked(certificate.signature_length()).ok_or(Untrusted::NotSigned)?;
        let rest = behind.strip_prefix(SEPARATOR).ok_or(Untrusted::NotSigned)?;
        (signer, certificate, signature.to_vec(), rest)
    } else {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
        // A signer of the older form whom nobody knows is most often no base64.
        let name = BASE64.decode(signer).ok().and_then(text).or_else(|| text(signer.to_vec()));
        let name = name.ok_or(Untrusted::NotSigned)?;
        let Some((known, certificate)) = certificates.get(&name) else {
            return Err(Untrusted::UnknownSigner(name));
        };
        let (signature, rest) = split(behind).ok_or(Untrusted::NotSigned)?;
        let signature = BASE64.decode(signature).map_err(|_| Untrusted::NotSigned)?;
        (known, certificate, signature, rest)
    };
    let (content_type, rest) = split(rest).ok_or(Untrusted::NotSigned)?;
    let (_encoding, body) = split(rest).ok_or(Untrusted::NotSigned)?;
    if now < certificate.from || now >= certificate.to {
        let (from, to) = (certificate.from, certificate.to);
        return Err(Untrusted::NotValidNow { signer: signer.to_owned(), from, to });
    }
    if !certificate.has_signed(body, &signature, certificates.digest()) {
        return Err(Untrusted::BadSignature(signer.to_owned()));
    }
    let content_type = std::str::from_utf8(content_type).map_err(|_| Untrusted::NotSigned)?.to_owned();
    Ok(Verified { content_type, body: raw.slice_ref(body) })
}

/// Whether a body has the form of a signed one, whoever signed it.
pub fn is_signed(body: &[u8]) -> bool {
    let separators =
        |raw: Vec<u8>| raw.windows(SEPARATOR.len()).filter(|window| *window == SEPARATOR).count();
    BASE64.decode(body).is_ok_and(|raw| separators(raw) >= 4)
}

/// What stands before the first separator, and what behind.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(SEPARATOR.len()).position(|window| window == SEPARATOR)?;
    Some((&bytes[..at], &bytes[at + SEPARATOR.len()..]))
}
