//! A broker or result store with everything that is needed to connect to it. Two of them are one connection when
//! they are equal.

use std::fmt;
use std::sync::Arc;

use petiole_results::redis::{Endpoint, EndpointError, Identity, Login, Secrets};

/// Where a server is, and what it is told when a connection is opened. A rotated password makes it another address,
/// and so a new connection.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// The URL. It may hold a password, where it comes from a Secret.
    pub url: String,
    /// The user's name, where it does not stand in the URL.
    pub username: Option<String>,
    /// The password, where it does not stand in the URL.
    pub password: Option<String>,
    /// The authorities that sign the server's certificate, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// The client's certificate and its key, as PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The master that Sentinel is asked for.
    pub sentinel_master: Option<String>,
    /// Written before every key.
    pub key_prefix: String,
}

impl Address {
    /// Whether `other` means the same keys: the same server, database and prefix, whoever asks. Two names of one server
    /// count as two.
    pub fn is_place_of(&self, other: &Self) -> bool {
        let place = |address: &Self| {
            let endpoint = address.endpoint().ok()?;
            Some((endpoint.to_string(), endpoint.db(), endpoint.key_prefix().to_owned()))
        };
        place(self).is_some_and(|mine| place(other) == Some(mine))
    }

    /// As the Redis back ends take it; or what to write instead.
    pub fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        let mut endpoint = Endpoint::parse(&self.url)?.with_key_prefix(&self.key_prefix);
        if let Some(master) = &self.sentinel_master {
            endpoint = endpoint.with_sentinel_master(master)?;
        }
        let secrets = Secrets {
            login: Login { username: self.username.clone(), password: self.password.clone() },
            authorities: self.authorities.clone(),
            identity: self.identity.clone().map(|(certificate, key)| Identity { certificate, key }),
        };
        Ok(endpoint.with_secrets(Arc::new(move || Ok(secrets.clone()))))
    }
}

/// Without what may be secret.
impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.endpoint() {
            Ok(endpoint) => endpoint.fmt(formatter),
            Err(_) => formatter.write_str("an address that cannot be used"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_an_address_holds_no_password() {
        let address = Address {
            url: "redis://app:hidden@redis:6379/2".to_owned(),
            password: Some("hidden".to_owned()),
            ..Address::default()
        };
        let printed = format!("{address:?}");
        assert!(printed.contains("6379") && !printed.contains("hidden"), "{printed}");
    }

    #[test]
    fn a_rotated_password_is_another_address() {
        let with = |password: &str| Address {
            url: "redis://redis".to_owned(),
            password: Some(password.to_owned()),
            ..Address::default()
        };
        assert_ne!(with("old"), with("new"));
        assert!(with("old").is_place_of(&with("new")));
    }

    #[test]
    fn a_place_is_a_server_a_database_and_a_prefix() {
        let at = |url: &str, prefix: &str| Address {
            url: url.to_owned(),
            key_prefix: prefix.to_owned(),
            ..Address::default()
        };
        let place = at("redis://redis/0", "a");
        assert!(place.is_place_of(&at("redis://user:password@redis:6379", "a")));
        for other in
            [at("redis://redis/1", "a"), at("redis://redis/0", "b"), at("redis://other/0", "a"), at("", "a")]
        {
            assert!(!place.is_place_of(&other), "{other:?}");
        }
    }
}
