//! The certificates of those who may sign a pool's messages: whether the workers could start with them. Pure.

use std::fmt::Write as _;

use petiole_api::conditions::reasons;
use petiole_protocol::signed::Certificates;

use super::Validated;
use crate::refusal::Refusal;
use crate::secrets::Keys;

/// Characters of the hash: 64 bits, of files that one pool has had.
const HASH_LENGTH: usize = 16;

impl Validated {
    /// The same pool, with what its Secret of certificates holds; or why its workers could not start with that. Of a pool
    /// that names none, `keys` is nothing.
    pub fn with_certificates(self, keys: Option<&Result<Keys, Refusal>>) -> Result<Self, Refusal> {
        let (Some(from), Some(keys)) = (&self.accept.certificates_from, keys) else { return Ok(self) };
        let (name, keys) = (&from.secret_ref.name, keys.as_ref().map_err(Clone::clone)?);
        let refuse = |why: String| Refusal::new(reasons::CERTIFICATES_REFUSED, why);
        let mut certificates = Certificates::default();
        for (key, pem) in keys {
            certificates.add_pem(pem).map_err(|bad| {
                let bad = petiole_process::log::Chain(&bad);
                refuse(format!(
                    "the Secret {name}, key {key}: {bad}. Keep nothing but certificates in this Secret"
                ))
            })?;
        }
        if certificates.is_empty() {
            return Err(refuse(format!(
                "the Secret {name} is empty: add the certificates of those who may sign, as PEM"
            )));
        }
        Ok(Self { certificates: Some(hash(keys)), ..self })
    }
}

fn hash(keys: &Keys) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for (key, value) in keys {
        // With their lengths, so that nothing can move from one to the next.
        for part in [key.as_bytes(), value] {
            digest.update(&part.len().to_be_bytes());
            digest.update(part);
        }
    }
    let mut text = String::with_capacity(HASH_LENGTH);
    for byte in &digest.finish().as_ref()[..HASH_LENGTH / 2] {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
