//! The certificate that this server shows, and when another is made. Pure, but for the chance in a key.
//!
//! Each certificate is signed by itself, and the API server is told to trust this one: there is no authority whose key could
//! sign another. While one follows on another, both are trusted.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Tag, Tagged as _, oid::db::rfc4519::CN};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// So long a certificate is valid: whoever has stolen its key can be this server for no longer.
const LASTS: SignedDuration = SignedDuration::from_hours(90 * 24);
/// So long before its end another is made: an operator may be away for weeks, and nobody has to act in haste.
const BEFORE_END: SignedDuration = SignedDuration::from_hours(30 * 24);
/// A clock of another node may be behind.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Key of the Secret: the certificate.
const CERTIFICATE: &str = "tls.crt";
/// Key of the Secret: its private key.
const KEY: &str = "tls.key";
/// Key of the Secret: whom the API server is to trust.
const TRUSTED: &str = "ca.crt";

/// Why no certificate can be made, or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// See its source.
    #[error("failed to make a certificate")]
    Make(#[from] rcgen::Error),
    /// What the Secret holds is something else.
    #[error("{0} of the Secret cannot be read")]
    Unreadable(&'static str),
}

/// What the Secret holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Held {
    certificate: String,
    key: String,
    /// Whom the API server is to trust, as PEM.
    pub trusted: String,
    from: Timestamp,
    to: Timestamp,
    names: Vec<String>,
}

impl Held {
    /// From the Secret's data: nothing, while it is empty.
    pub fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Option<Self>, CertificateError> {
        let text = |key: &'static str| {
            let bytes = data.get(key).filter(|bytes| !bytes.is_empty());
            bytes.map(|bytes| String::from_utf8(bytes.clone()).map_err(|_| CertificateError::Unreadable(key)))
        };
        let (Some(certificate), Some(key)) = (text(CERTIFICATE).transpose()?, text(KEY).transpose()?) else {
            return Ok(None);
        };
        let trusted = text(TRUSTED).transpose()?.unwrap_or_else(|| certificate.clone());
        let (from, to, names) =
            dates_and_names(&certificate).ok_or(CertificateError::Unreadable(CERTIFICATE))?;
        Ok(Some(Self { certificate, key, trusted, from, to, names }))
    }

    /// A new one for a server of these names, in the place of another.
    pub fn make(names: &[String], before: Option<&Self>, now: Timestamp) -> Result<Self, CertificateError> {
        let mut params = CertificateParams::new(names.to_vec())?;
        // A name has room for 64 characters, and nobody looks at it.
        params.distinguished_name.push(DnType::CommonName, "petiole-external-metrics");
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        params.not_before = SystemTime::from(now - SKEW).into();
        params.not_after = SystemTime::from(now + LASTS).into();
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let mut trusted = certificate.clone();
        if let Some(before) = before.filter(|before| now < before.to) {
            trusted.push_str(&before.certificate);
        }
        let (from, to, names) =
            dates_and_names(&certificate).ok_or(CertificateError::Unreadable(CERTIFICATE))?;
        Ok(Self { certificate, key: key.serialize_pem(), trusted, from, to, names })
    }

    /// Whether another has to be made: its end is near, it is for other names, or it is of a time to come.
    pub fn is_due(&self, names: &[String], now: Timestamp) -> bool {
        now + BEFORE_END >= self.to || now < self.from || names.iter().any(|name| !self.names.contains(name))
    }

    /// As the Secret has it.
    pub fn data(&self) -> BTreeMap<&'static str, Vec<u8>> {
        [(CERTIFICATE, &self.certificate), (KEY, &self.key), (TRUSTED, &self.trusted)]
            .map(|(key, text)| (key, text.clone().into_bytes()))
            .into()
    }

    /// As the server shows it.
    pub fn pair(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), CertificateError> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let certificate = certificate.map_err(|_| CertificateError::Unreadable(CERTIFICATE))?;
        Ok((certificate, key.map_err(|_| CertificateError::Unreadable(KEY))?))
    }
}

fn dates_and_names(pem: &str) -> Option<(Timestamp, Timestamp, Vec<String>)> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let certificate = Certificate::from_der(&der).ok()?.tbs_certificate;
    let at = |since: Duration| Timestamp::from_second(i64::try_from(since.as_secs()).ok()?).ok();
    let validity = certificate.validity;
    let names = certificate.get::<SubjectAltName>().ok()?.map(|(_, names)| names.0).unwrap_or_default();
    let name = |name: GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        _ => None,
    };
    Some((
        at(validity.not_before.to_unix_duration())?,
        at(validity.not_after.to_unix_duration())?,
        names.into_iter().filter_map(name).collect(),
    ))
}

/// What a certificate is called.
pub fn common_name(certificate: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let mut attributes = certificate.tbs_certificate.subject.0.iter().flat_map(|one| one.0.iter());
    let name = attributes.find(|attribute| attribute.oid == CN)?;
    match name.value.tag() {
        Tag::Utf8String | Tag::PrintableString => String::from_utf8(name.value.value().to_vec()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap()
    }

    fn names() -> Vec<String> {
        vec!["metrics.petiole.svc".to_owned()]
    }

    fn stored(held: &Held) -> BTreeMap<String, Vec<u8>> {
        held.data().into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    #[test]
    fn what_was_made_is_what_is_read() {
        let made = Held::make(&names(), None, day(0)).unwrap();
        let read = Held::read(&stored(&made)).unwrap().unwrap();
        assert!(read == made);
        let (certificate, _) = read.pair().unwrap();
        assert_eq!(common_name(&certificate).as_deref(), Some("petiole-external-metrics"));
        assert!(Held::read(&BTreeMap::new()).unwrap().is_none());
    }

    #[test]
    fn another_is_made_in_time_and_for_other_names() {
        let made = Held::make(&names(), None, day(0)).unwrap();
        assert!(!made.is_due(&names(), day(0)));
        assert!(!made.is_due(&names(), day(59)));
        assert!(made.is_due(&names(), day(60)));
        assert!(made.is_due(&names(), day(-1)));
        assert!(made.is_due(&["other.petiole.svc".to_owned()], day(1)));
    }

    #[test]
    fn the_one_before_is_trusted_until_its_end() {
        let count = |held: &Held| held.trusted.matches("BEGIN CERTIFICATE").count();
        let first = Held::make(&names(), None, day(0)).unwrap();
        let second = Held::make(&names(), Some(&first), day(60)).unwrap();
        assert_eq!((count(&first), count(&second)), (1, 2));
        assert!(second.trusted.ends_with(&first.certificate));
        // The second's own alone, not whom the second trusted.
        assert_eq!(count(&Held::make(&names(), Some(&second), day(120)).unwrap()), 2);
        assert_eq!(count(&Held::make(&names(), Some(&first), day(91)).unwrap()), 1);
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let mut data = stored(&Held::make(&names(), None, day(0)).unwrap());
        data.insert("tls.crt".to_owned(), b"nonsense".to_vec());
        let why = Held::read(&data).err().unwrap().to_string();
        assert_eq!(why, "tls.crt of the Secret cannot be read");
    }
}
