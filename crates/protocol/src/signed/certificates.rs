//! The certificates of those who may sign messages.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, Pss, RsaPublicKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::der::{DecodePem as _, Encode as _, Tag, Tagged as _};
use x509_cert::name::Name;
use x509_cert::time::Time;

/// What ends a certificate in PEM.
const END: &str = "-----END CERTIFICATE-----";

/// The hash under the signatures, which messages do not name: Celery's `security_digest`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256, Celery's default.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// By the name that it has in `security_digest`.
    pub fn named(name: &str) -> Option<Self> {
        match &*name.to_ascii_lowercase() {
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// How many bytes a hash has.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Sha256 => Sha256::output_size(),
            Self::Sha384 => Sha384::output_size(),
            Self::Sha512 => Sha512::output_size(),
        }
    }

    /// The hash of a body.
    pub(super) fn of(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(body).to_vec(),
            Self::Sha384 => Sha384::digest(body).to_vec(),
            Self::Sha512 => Sha512::digest(body).to_vec(),
        }
    }
}

/// Why a file holds no certificate that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// It is no certificate in PEM.
    #[error("failed to read a certificate: it must be X.509 in PEM, `-----BEGIN CERTIFICATE-----`")]
    NotPem(#[source] x509_cert::der::Error),
    /// There is none in it.
    #[error("there is no certificate: X.509 in PEM is needed, `-----BEGIN CERTIFICATE-----`")]
    Empty,
    /// Its key is not RSA, or longer than 4096 bits.
    #[error(
        "the certificate {id:?} must have an RSA key of at most 4096 bits, as Celery signs with RSA alone"
    )]
    Key {
        /// Issuer and serial number.
        id: String,
        #[source]
        /// What is wrong with the key.
        source: rsa::pkcs8::spki::Error,
    },
    /// Its issuer is no text.
    #[error("the certificate's issuer must be made of texts: signers are known by it")]
    Issuer,
    /// Its dates are none that we know.
    #[error("failed to read the dates of the certificate {id:?}")]
    Dates {
        /// Issuer and serial number.
        id: String,
        #[source]
        /// What is wrong with them.
        source: jiff::Error,
    },
    /// There are two of one name.
    #[error("there are two certificates of issuer and serial number {0:?}: leave one of them out")]
    Duplicate(String),
}

/// The certificates of those who may sign, by issuer and serial number.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    digest: Digest,
    by_id: BTreeMap<String, Certificate>,
}

impl Certificates {
    /// None yet; signatures are over this digest.
    pub fn new(digest: Digest) -> Self {
        Self { digest, by_id: BTreeMap::new() }
    }

    /// Adds the certificates of a file in PEM. One that has expired may be added: its signatures do not count.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), BadCertificate> {
        // By hand, for the library's own reader of several panics on an empty file.
        let mut rest = std::str::from_utf8(pem).map_err(|_| BadCertificate::Empty)?;
        if !rest.contains(END) {
            return Err(BadCertificate::Empty);
        }
        while let Some((_, behind)) = rest.split_once(END) {
            let (one, behind) = rest.split_at(rest.len() - behind.len());
            rest = behind;
            let certificate = x509_cert::Certificate::from_pem(one).map_err(BadCertificate::NotPem)?;
            let (id, certificate) = Certificate::read(&certificate)?;
            if self.by_id.contains_key(&id) {
                return Err(BadCertificate::Duplicate(id));
            }
            self.by_id.insert(id, certificate);
        }
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn get(&self, id: &str) -> Option<(&str, &Certificate)> {
        self.by_id.get_key_value(id).map(|(id, certificate)| (&**id, certificate))
    }

    /// The only one.
    pub(super) fn only(&self) -> Option<(&str, &Certificate)> {
        let first = self.by_id.first_key_value().filter(|_| self.by_id.len() == 1);
        first.map(|(id, certificate)| (&**id, certificate))
    }
}

/// What of a certificate counts here.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) key: RsaPublicKey,
    /// The first moment at which it is valid.
    pub(super) from: Timestamp,
    /// The first moment at which it is not valid any more.
    pub(super) to: Timestamp,
}

impl Certificate {
    fn read(from: &x509_cert::Certificate) -> Result<(String, Self), BadCertificate> {
        let from = &from.tbs_certificate;
        let serial = BigUint::from_bytes_be(from.serial_number.as_bytes());
        let id = format!("{} {serial}", issuer(&from.issuer).ok_or(BadCertificate::Issuer)?);
        let key = from.subject_public_key_info.to_der().map_err(Into::into);
        let key = key.and_then(|der| RsaPublicKey::from_public_key_der(&der));
        let key = key.map_err(|source| BadCertificate::Key { id: id.clone(), source })?;
        let date = |time: Time| {
            let date = Timestamp::try_from(time.to_system_time());
            date.map_err(|source| BadCertificate::Dates { id: id.clone(), source })
        };
        let (from, to) = (date(from.validity.not_before)?, date(from.validity.not_after)?);
        Ok((id, Self { key, from, to }))
    }

    /// How many bytes a signature has.
    pub(super) fn signature_length(&self) -> usize {
        self.key.size()
    }

    /// The longest salt that there is room for beside a hash of this length, which Celery asks for: `PSS.MAX_LENGTH`.
    pub(super) fn salt(&self, hash: usize) -> Option<usize> {
        let room = (self.key.n().bits() - 1).div_ceil(8);
        room.checked_sub(hash + 2)
    }

    /// Whether the signature is one of this body.
    pub(super) fn has_signed(&self, body: &[u8], signature: &[u8], digest: Digest) -> bool {
        let hash = digest.of(body);
        let Some(salt) = self.salt(hash.len()) else {
            return false;
        };
        let scheme = match digest {
            Digest::Sha256 => Pss::new_with_salt::<Sha256>(salt),
            Digest::Sha384 => Pss::new_with_salt::<Sha384>(salt),
            Digest::Sha512 => Pss::new_with_salt::<Sha512>(salt),
        };
        self.key.verify(scheme, &hash, signature).is_ok()
    }
}

/// The values of an issuer's attributes with spaces between them, as Celery puts them together.
fn issuer(name: &Name) -> Option<String> {
    let values = name.0.iter().flat_map(|attributes| attributes.0.iter()).map(|attribute| {
        let bytes = attribute.value.value();
        match attribute.value.tag() {
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::TeletexString => {
                String::from_utf8(bytes.to_vec()).ok()
            }
            Tag::BmpString => {
                let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
                String::from_utf16(&units.collect::<Vec<_>>()).ok()
            }
            _ => None,
        }
    });
    values.collect::<Option<Vec<_>>>().map(|values| values.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_says_what_to_give() {
        let why = |pem: &str| Certificates::default().add_pem(pem.as_bytes()).unwrap_err().to_string();
        let empty = "there is no certificate: X.509 in PEM is needed, `-----BEGIN CERTIFICATE-----`";
        for none in ["", "\n", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(why(none), empty);
        }
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(why(broken).starts_with("failed to read a certificate"));
    }

    #[test]
    fn a_digest_has_the_name_that_the_setting_gives_it() {
        assert_eq!(Digest::named("sha256"), Some(Digest::default()));
        assert_eq!(Digest::named("SHA512"), Some(Digest::Sha512));
        assert_eq!(Digest::named("md5"), None);
    }
}
