//! From the pool's file to an endpoint of Redis. Secrets are read from their files whenever a connection is opened, so
//! that their rotation is followed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use petiole_contract::pool::{Endpoint as Named, Text};
use petiole_results::redis::{Endpoint, EndpointError, Identity, Login, Secrets};

/// Why an endpoint of the pool's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file that holds the URL cannot be read.
    #[error("failed to read the URL from its file")]
    Url(#[source] io::Error),
    /// The URL is none that can be used.
    #[error("failed to understand the URL")]
    Parse(#[source] EndpointError),
}

/// Makes the endpoint that `named` describes.
pub fn endpoint(named: &Named) -> Result<Endpoint, ReadError> {
    let url = text(&named.url).map_err(ReadError::Url)?;
    let mut endpoint = Endpoint::parse(&url).map_err(ReadError::Parse)?;
    if let Some(master) = &named.sentinel_master {
        endpoint = endpoint.with_sentinel_master(master).map_err(ReadError::Parse)?;
    }
    let named = named.clone();
    Ok(endpoint.with_key_prefix(named.key_prefix.clone()).with_secrets(Arc::new(move || secrets(&named))))
}

fn secrets(named: &Named) -> io::Result<Secrets> {
    let Named { url: _, username, password, ca, identity, sentinel_master: _, key_prefix: _ } = named;
    Ok(Secrets {
        login: Login {
            username: username.as_ref().map(text).transpose()?,
            password: password.as_deref().map(line).transpose()?,
        },
        authorities: ca.as_deref().map(std::fs::read).transpose()?,
        identity: identity
            .as_ref()
            .map(|identity| {
                Ok::<_, io::Error>(Identity {
                    certificate: std::fs::read(&identity.certificate)?,
                    key: std::fs::read(&identity.key)?,
                })
            })
            .transpose()?,
    })
}

fn text(text: &Text) -> io::Result<String> {
    match text {
        Text::Value(value) => Ok(value.clone()),
        Text::File(path) => line(path),
    }
}

/// A file's content without the newline that editors and `echo` put at its end.
fn line(path: &Path) -> io::Result<String> {
    let mut content = std::fs::read_to_string(path)?;
    content.truncate(content.trim_end_matches(['\n', '\r']).len());
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_from_its_file_each_time_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "first\n").unwrap();
        let named = Named {
            url: Text::Value("redis://localhost/0".to_owned()),
            username: None,
            password: Some(path.clone()),
            ca: None,
            identity: None,
            sentinel_master: None,
            key_prefix: String::new(),
        };
        assert_eq!(secrets(&named).unwrap().login.password.as_deref(), Some("first"));
        std::fs::write(&path, "second").unwrap();
        assert_eq!(secrets(&named).unwrap().login.password.as_deref(), Some("second"));
    }
}
