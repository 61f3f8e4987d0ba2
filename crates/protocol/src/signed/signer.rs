//! One who signs: a private key, and the certificate by which receivers know whose it is.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::rand_core::CryptoRngCore;
use rsa::{Pss, RsaPrivateKey, RsaPublicKey};
use sha2::{Sha256, Sha384, Sha512};

use super::certificates::{BadCertificate, Certificates, Digest};
use super::{CONTENT_TYPE, SEPARATOR};
use crate::envelope::Envelope;

/// What a private key in PKCS#1 begins with.
const PKCS1: &str = "-----BEGIN RSA PRIVATE KEY-----";

/// What is said of a private key with a password, in either form.
const ENCRYPTED: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];

/// Why nothing can be signed with a key. Nothing of the key is in it.
#[derive(Debug, thiserror::Error)]
pub enum BadSigner {
    /// It is no private key of RSA in PEM.
    #[error(
        "failed to read the private key: it must be RSA in PEM, `-----BEGIN PRIVATE KEY-----` or `{PKCS1}`, as Celery \
         signs with RSA alone"
    )]
    Key(#[source] rsa::pkcs8::Error),
    /// It has a password.
    #[error("the private key has a password: write it without one, by `openssl pkey -in FILE`")]
    Encrypted,
    /// The certificate cannot be read.
    #[error("failed to read the signer's certificate")]
    Certificate(#[source] BadCertificate),
    /// There are several.
    #[error("the signer's certificate stands among others: keep that one alone in its file")]
    Several,
    /// The certificate is another key's.
    #[error("the certificate {0:?} is not that of the private key: give the two that belong together")]
    Another(String),
    /// The key is too short for the hash.
    #[error("the private key is too short for this hash: 2048 bits are usual")]
    TooShort,
}

/// A signature could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to sign a message")]
pub struct NotSigned(#[source] rsa::Error);

/// One who signs.
pub struct Signer {
    key: RsaPrivateKey,
    /// Issuer and serial number.
    id: String,
    digest: Digest,
    /// How long the salt is: the longest that there is room for.
    salt: usize,
    expires: Timestamp,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads a private key and its certificate, both in PEM. Receivers must have the same digest.
    pub fn read(key: &[u8], certificate: &[u8], digest: Digest) -> Result<Self, BadSigner> {
        let text = std::str::from_utf8(key).unwrap_or_default();
        if ENCRYPTED.iter().any(|mark| text.contains(mark)) {
            return Err(BadSigner::Encrypted);
        }
        let key = if text.contains(PKCS1) {
            RsaPrivateKey::from_pkcs1_pem(text).map_err(|error| BadSigner::Key(error.into()))?
        } else {
            RsaPrivateKey::from_pkcs8_pem(text).map_err(BadSigner::Key)?
        };
        let mut certificates = Certificates::new(digest);
        certificates.add_pem(certificate).map_err(BadSigner::Certificate)?;
        let (id, certificate) = certificates.only().ok_or(BadSigner::Several)?;
        if certificate.key != RsaPublicKey::from(&key) {
            return Err(BadSigner::Another(id.to_owned()));
        }
        let salt = certificate.salt(digest.length()).ok_or(BadSigner::TooShort)?;
        Ok(Self { id: id.to_owned(), digest, salt, expires: certificate.to, key })
    }

    /// Issuer and serial number of its certificate.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The first moment at which its certificate is not valid any more, and nobody trusts its signatures.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The same message with its body signed, as Celery 5.3 and later do it: see [`super`]. Takes some 3 ms with a key of
    /// 2048 bits.
    pub fn sign(&self, envelope: Envelope, random: &mut impl CryptoRngCore) -> Result<Envelope, NotSigned> {
        let form = [&envelope.content_type, &envelope.content_encoding];
        let body = self.body(&envelope.body, form.map(|name| name.as_deref().unwrap_or_default()), random)?;
        Ok(Envelope {
            content_type: Some(CONTENT_TYPE.to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            body,
            ..envelope
        })
    }

    /// A body of this content type and encoding, signed.
    pub(crate) fn body(
        &self,
        body: &[u8],
        [content_type, encoding]: [&str; 2],
        random: &mut impl CryptoRngCore,
    ) -> Result<Bytes, NotSigned> {
        let scheme = match self.digest {
            Digest::Sha256 => Pss::new_blinded_with_salt::<Sha256>(self.salt),
            Digest::Sha384 => Pss::new_blinded_with_salt::<Sha384>(self.salt),
            Digest::Sha512 => Pss::new_blinded_with_salt::<Sha512>(self.salt),
        };
        let hash = self.digest.of(body);
        let signature = self.key.sign_with_rng(random, scheme, &hash).map_err(NotSigned)?;
        let (signer, signature) = (STANDARD.encode(&self.id), STANDARD.encode(signature));
        let parts =
            [signer.as_bytes(), signature.as_bytes(), content_type.as_bytes(), encoding.as_bytes(), body];
        Ok(STANDARD.encode(parts.join(SEPARATOR)).into())
    }
}

#[cfg(test)]
mod tests {
    use petiole_testkit::signer::{CERTIFICATE, KEY};
    use rsa::pkcs1::EncodeRsaPrivateKey as _;
    use rsa::rand_core::OsRng;

    use super::super::{Untrusted, verify};
    use super::*;

    fn read(key: &str, certificate: &str) -> Result<Signer, BadSigner> {
        Signer::read(key.as_bytes(), certificate.as_bytes(), Digest::default())
    }

    fn message() -> Envelope {
        Envelope {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            body: "[[1], {}, {}]".into(),
            ..Envelope::default()
        }
    }

    fn now() -> Timestamp {
        "2030-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_is_signed_is_verified_by_the_certificate_and_by_the_same_digest() {
        for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
            let signer = Signer::read(KEY.as_bytes(), CERTIFICATE.as_bytes(), digest).unwrap();
            let sent = signer.sign(message(), &mut OsRng).unwrap();
            assert_eq!(sent.content_type.as_deref(), Some("application/data"));
            let mut certificates = Certificates::new(digest);
            certificates.add_pem(CERTIFICATE.as_bytes()).unwrap();
            let verified = verify(&sent.body, &certificates, now()).unwrap();
            assert_eq!(
                (verified.content_type.as_str(), &verified.body),
                ("application/json", &message().body)
            );
            let mut others =
                Certificates::new(if digest == Digest::Sha256 { Digest::Sha512 } else { Digest::Sha256 });
            others.add_pem(CERTIFICATE.as_bytes()).unwrap();
            assert!(matches!(verify(&sent.body, &others, now()), Err(Untrusted::BadSignature(_))));
        }
    }

    #[test]
    fn a_key_may_have_either_form_of_rsa() {
        let key = RsaPrivateKey::from_pkcs8_pem(KEY).unwrap();
        let pkcs1 = key.to_pkcs1_pem(rsa::pkcs8::LineEnding::LF).unwrap();
        assert_eq!(read(&pkcs1, CERTIFICATE).unwrap().id(), read(KEY, CERTIFICATE).unwrap().id());
    }

    #[test]
    fn a_key_that_cannot_sign_says_what_to_give() {
        let why = |key: &str, certificate: &str| read(key, certificate).unwrap_err().to_string();
        assert!(why("", CERTIFICATE).contains("it must be RSA in PEM"));
        assert!(why(CERTIFICATE, CERTIFICATE).contains("it must be RSA in PEM"));
        assert!(why(ENCRYPTED[0], CERTIFICATE).contains("without one"));
        assert!(why(KEY, KEY).starts_with("failed to read the signer's certificate"));
        let another = include_str!("../../../operator/src/fixtures/signer.pem");
        assert!(why(KEY, another).contains("is not that of the private key"));
        assert!(why(KEY, &format!("{CERTIFICATE}{another}")).contains("keep that one alone"));
    }

    #[test]
    fn a_signer_tells_nothing_of_its_key() {
        let text = format!("{:?}", read(KEY, CERTIFICATE).unwrap());
        assert!(text.starts_with("Signer { id: \"") && text.ends_with("\", .. }"), "{text}");
    }
}
