//! Signing: what this worker sends by its own word is signed with the pool's key before it is committed.
//!
//! ```text
//!   settled ──follow-ups──> sign ──> commit
//!           ──anything else────────> commit
//! ```
//!
//! A signature takes milliseconds of a processor, and a group has thousands: they are made beside the loop. Copies of
//! messages (retries, what goes back) keep the signatures of their senders, which are of the body alone; a retry with other
//! arguments has a new one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use petiole_broker::{Disposition, Settlement};
use petiole_contract::pool::{self, Pool};
use petiole_process::log::Chain;
use petiole_protocol::envelope::Envelope;
use petiole_protocol::signed::{BadSigner, Digest, NotSigned, OsRng, Signer};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, spawn_blocking};

/// How many settlements are signed at a time.
const AT_ONCE: usize = 2;

/// Why a worker cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A file cannot be read.
    #[error("failed to read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key and the certificate are none that sign.
    #[error("failed to understand the key {} and its certificate {}", key.display(), certificate.display())]
    Signer {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
        /// Why.
        #[source]
        source: Box<BadSigner>,
    },
    /// There is no such hash.
    #[error("no hash under signatures is called {0:?}: sha256, sha384 and sha512 are known")]
    Digest(String),
}

/// The pool's key, and where it comes from: it is read again when its files have changed.
#[derive(Debug)]
pub struct Signing {
    files: pool::Signing,
    digest: Digest,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    signer: Arc<Signer>,
    /// When the files it was read from had been written.
    written: Written,
}

type Written = [Option<SystemTime>; 2];

impl Signing {
    /// Of the pool whose file this is; of one that signs nothing, nothing.
    pub fn of(pool: &Pool) -> Result<Option<Self>, SigningError> {
        let Some(files) = pool.signing.clone() else { return Ok(None) };
        let digest =
            Digest::named(&files.digest).ok_or_else(|| SigningError::Digest(files.digest.clone()))?;
        let written = written(&files);
        let signer = Arc::new(read(&files, digest)?);
        tell(&signer);
        Ok(Some(Self { files, digest, current: Mutex::new(Current { signer, written }) }))
    }

    /// The key as its files have it now; the one before, while they cannot be used.
    fn signer(&self) -> Arc<Signer> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let written = written(&self.files);
        if written != current.written {
            match read(&self.files, self.digest) {
                Ok(signer) => {
                    tell(&signer);
                    current.signer = Arc::new(signer);
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "the new key cannot be used; the one before signs on");
                }
            }
            current.written = written;
        }
        current.signer.clone()
    }

    /// The same message, signed.
    pub async fn envelope(self: &Arc<Self>, envelope: Envelope) -> Option<Envelope> {
        let signing = self.clone();
        let signed = spawn_blocking(move || signing.signer().sign(envelope, &mut OsRng)).await.ok()?;
        signed.inspect_err(failed).ok()
    }

    /// The same settlement, what it sends signed.
    async fn settlement(self: Arc<Self>, settlement: Settlement) -> Option<Settlement> {
        let signed = spawn_blocking(move || {
            let signer = self.signer();
            let mut settlement = settlement;
            for sent in &mut settlement.sends {
                // We have written it ourselves.
                let Ok(envelope) = Envelope::from_redis(&sent.message) else { continue };
                sent.message = signer.sign(envelope, &mut OsRng)?.to_redis();
            }
            if let Disposition::Retry { body: Some(body), .. } = &mut settlement.disposition {
                body.sign(&signer, &mut OsRng)?;
            }
            Ok(settlement)
        });
        signed.await.ok()?.inspect_err(failed).ok()
    }
}

fn failed(error: &NotSigned) {
    tracing::error!(error = %Chain(error), "nothing is sent: the message that it follows stays held");
}

fn tell(signer: &Signer) {
    let (id, expires) = (signer.id(), signer.expires());
    if expires <= Timestamp::now() {
        tracing::warn!(signer = id, %expires, "the certificate of the pool's key has expired: nobody trusts what it signs");
    } else {
        tracing::info!(signer = id, %expires, "what follows tasks is signed");
    }
}

/// When the files were written, as far as that can be seen.
fn written(files: &pool::Signing) -> Written {
    [&files.key, &files.certificate].map(|path| path.metadata().and_then(|file| file.modified()).ok())
}

fn read(files: &pool::Signing, digest: Digest) -> Result<Signer, SigningError> {
    let file = |path: &Path| {
        std::fs::read(path).map_err(|source| SigningError::File { path: path.to_owned(), source })
    };
    Signer::read(&file(&files.key)?, &file(&files.certificate)?, digest).map_err(|source| {
        SigningError::Signer {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
            source: Box::new(source),
        }
    })
}

/// Whether there is something in it to be signed.
pub fn says_something(settlement: &Settlement) -> bool {
    let rewritten = matches!(settlement.disposition, Disposition::Retry { body: Some(_), .. });
    rewritten || !settlement.sends.is_empty()
}

/// Signs what comes and hands it over to be committed, until the senders are gone. What cannot be signed is not
/// committed: its message stays held, and goes to another worker when this one ends.
pub async fn sign(
    signing: Arc<Signing>,
    mut inbox: mpsc::UnboundedReceiver<Settlement>,
    commits: mpsc::UnboundedSender<Settlement>,
) {
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            next = inbox.recv() => {
                let Some(settlement) = next else { return };
                let (signing, at_once) = (signing.clone(), at_once.clone());
                under_way.spawn(async move {
                    let _permit = at_once.acquire_owned().await;
                    signing.settlement(settlement).await
                });
            }
            Some(Ok(signed)) = under_way.join_next() => {
                if let Some(settlement) = signed {
                    let _ = commits.send(settlement);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use petiole_broker::{Outgoing, Target};
    use petiole_protocol::signed::{Certificates, verify};
    use petiole_testkit::signer::{CERTIFICATE, KEY};
    use serde_json::json;

    use super::*;

    fn pool(folder: &Path, digest: &str) -> Pool {
        let signing =
            json!({ "key": folder.join("key"), "certificate": folder.join("cert"), "digest": digest });
        let pool = json!({
            "namespace": "", "name": "", "mode": "exec", "concurrency": 1, "queues": [], "tasks": {}, "defaults": {},
            "broker": { "url": { "value": "redis://redis" } }, "signing": signing,
        });
        serde_json::from_value(pool).unwrap()
    }

    fn files() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), KEY).unwrap();
        std::fs::write(folder.path().join("cert"), CERTIFICATE).unwrap();
        folder
    }

    fn message(body: &'static str) -> Envelope {
        Envelope {
            content_type: Some("application/json".to_owned()),
            body: body.into(),
            ..Envelope::default()
        }
    }

    fn verified(envelope: &Envelope) -> String {
        let mut certificates = Certificates::default();
        certificates.add_pem(CERTIFICATE.as_bytes()).unwrap();
        let verified = verify(&envelope.body, &certificates, Timestamp::now()).unwrap();
        String::from_utf8(verified.body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn everything_that_a_settlement_sends_is_signed() {
        let folder = files();
        let signing = Arc::new(Signing::of(&pool(folder.path(), "sha256")).unwrap().unwrap());
        let (to_sign, inbox) = mpsc::unbounded_channel();
        let (commits, mut signed) = mpsc::unbounded_channel();
        let sends = ["[1]", "[2]"].map(|body| Outgoing {
            to: Target::Queue("a".to_owned()),
            priority: 3,
            message: message(body).to_redis(),
        });
        let settlement = Settlement { sends: sends.to_vec(), ..Settlement::new(7, Disposition::Ack) };
        to_sign.send(settlement).unwrap();
        let signing = tokio::spawn(sign(signing, inbox, commits));
        let settlement = signed.recv().await.unwrap();
        signing.abort();
        assert_eq!((settlement.tag, settlement.disposition), (7, Disposition::Ack));
        let bodies =
            settlement.sends.iter().map(|sent| verified(&Envelope::from_redis(&sent.message).unwrap()));
        assert_eq!(bodies.collect::<Vec<_>>(), ["[1]", "[2]"]);
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_used_stops_a_worker_that_starts_and_none_that_works() {
        let folder = files();
        let why = |digest: &str| Chain(&Signing::of(&pool(folder.path(), digest)).unwrap_err()).to_string();
        assert!(why("md5").contains("sha256, sha384 and sha512 are known"));
        let signing = Arc::new(Signing::of(&pool(folder.path(), "sha256")).unwrap().unwrap());
        std::fs::remove_file(folder.path().join("cert")).unwrap();
        assert!(why("sha256").starts_with("failed to read"));
        assert_eq!(verified(&signing.envelope(message("[1]")).await.unwrap()), "[1]");
        std::fs::write(folder.path().join("cert"), "none").unwrap();
        assert!(why("sha256").contains("there is no certificate"));
        assert_eq!(verified(&signing.envelope(message("[1]")).await.unwrap()), "[1]");
    }
}
