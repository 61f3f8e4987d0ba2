//! Which forms of messages the pool's file lets this worker read, with the certificates of those who may sign.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use petiole_contract::pool::{Mode, Pool};
use petiole_protocol::message::{Accept, NotAcceptable};
use petiole_protocol::serial::Serializer;
use petiole_protocol::signed::{BadCertificate, Certificates, Digest};

use crate::signing::Signing;

/// Why a worker cannot read what its pool's file asks for.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The folder of certificates cannot be read.
    #[error("failed to read the folder of certificates {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file in it cannot be read.
    #[error("failed to read the certificates {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file in it holds something else.
    #[error("failed to understand the certificates {}", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: BadCertificate,
    },
    /// There is no such hash.
    #[error("no hash under signatures is called {0:?}: sha256, sha384 and sha512 are known")]
    Digest(String),
    /// The forms cannot be had together.
    #[error("failed to understand which forms of messages are read")]
    Forms(#[source] NotAcceptable),
    /// A command gets JSON.
    #[error("pickle is for handlers that take it, and mode Exec has none: leave it out of accept.content")]
    PickleInExec,
}

/// Which forms messages have.
#[derive(Debug, Clone, Default)]
pub struct Forms {
    /// Those that are read.
    pub accept: Accept,
    /// Signs what is sent.
    pub signing: Option<Arc<Signing>>,
}

/// Reads the certificates that the pool's file names, and says what messages are read.
pub fn accept(pool: &Pool) -> Result<Accept, AcceptError> {
    let certificates = match &pool.accept.certificates {
        Some(folder) => Some(Arc::new(certificates(folder, digest(pool)?)?)),
        None => None,
    };
    let names = pool.accept.content.iter().map(String::as_str);
    let accept = Accept::of(names, certificates.as_ref()).map_err(AcceptError::Forms)?;
    if pool.mode == Mode::Exec && accept.accepts(Serializer::Pickle) {
        return Err(AcceptError::PickleInExec);
    }
    if pool.accept.only_signed { accept.only_signed().map_err(AcceptError::Forms) } else { Ok(accept) }
}

fn digest(pool: &Pool) -> Result<Digest, AcceptError> {
    let Some(name) = &pool.accept.digest else { return Ok(Digest::default()) };
    Digest::named(name).ok_or_else(|| AcceptError::Digest(name.clone()))
}

fn certificates(folder: &Path, digest: Digest) -> Result<Certificates, AcceptError> {
    let failed = |source| AcceptError::Folder { path: folder.to_owned(), source };
    let mut certificates = Certificates::new(digest);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // The kubelet keeps a mounted Secret in folders whose names begin with a dot, and links to its keys.
        if !path.is_file() {
            continue;
        }
        let pem = std::fs::read(&path).map_err(|source| AcceptError::File { path: path.clone(), source })?;
        certificates.add_pem(&pem).map_err(|source| AcceptError::Certificate { path, source })?;
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use petiole_process::log::Chain;
    use serde_json::json;

    use super::*;

    fn pool(mode: &serde_json::Value, accept: &serde_json::Value) -> Pool {
        let pool = json!({
            "namespace": "", "name": "", "mode": mode, "concurrency": 1, "queues": [], "tasks": {}, "defaults": {},
            "broker": { "url": { "value": "redis://redis" } }, "accept": accept,
        });
        serde_json::from_value(pool).unwrap()
    }

    fn serve() -> serde_json::Value {
        json!({ "serve": { "command": ["a"] } })
    }

    #[test]
    fn a_pool_that_says_nothing_reads_json_alone() {
        let mut pool = pool(&json!("exec"), &json!({ "content": ["json"] }));
        pool.accept = petiole_contract::pool::Accept::default();
        let accept = accept(&pool).unwrap();
        let read: Vec<_> = Serializer::ALL.into_iter().filter(|form| accept.accepts(*form)).collect();
        assert_eq!(read, [Serializer::Json]);
        assert!(!accept.demands_signatures());
    }

    #[test]
    fn pickle_is_for_handlers() {
        let content = json!({ "content": ["json", "pickle"] });
        assert!(accept(&pool(&serve(), &content)).unwrap().accepts(Serializer::Pickle));
        assert!(matches!(accept(&pool(&json!("exec"), &content)), Err(AcceptError::PickleInExec)));
    }

    #[test]
    fn a_folder_without_certificates_says_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let why = |folder: &Path| {
            let accept = json!({ "content": ["auth"], "certificates": folder });
            super::accept(&pool(&serve(), &accept)).map(|_| ()).map_err(|error| Chain(&error).to_string())
        };
        assert!(
            why(&folder.path().join("none"))
                .unwrap_err()
                .starts_with("failed to read the folder of certificates")
        );
        assert!(
            why(folder.path()).unwrap_err().contains("`auth` needs the certificates of those who may sign")
        );
        std::fs::create_dir(folder.path().join("..data")).unwrap();
        std::fs::write(folder.path().join("..data/a.pem"), "no certificate").unwrap();
        std::os::unix::fs::symlink("..data/a.pem", folder.path().join("a.pem")).unwrap();
        let bad = why(folder.path()).unwrap_err();
        assert!(bad.contains("a.pem: there is no certificate"), "{bad}");
    }
}
