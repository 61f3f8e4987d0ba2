//! Who asks, by the word of the API server: it asks in the name of others, by a certificate of its front proxy. Pure.
//!
//! It publishes how it does so in a ConfigMap. Whoever comes without that certificate is nobody: everyone can ask through the
//! API server, and so this server needs no right to look at anybody's token.

use std::collections::BTreeMap;

use http::HeaderMap;
use percent_encoding::percent_decode_str;

/// How the API server says in whose name it asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrontProxy {
    /// Who signs its certificates, as PEM.
    pub authorities: String,
    /// What these certificates may be called; anything, where this is empty.
    names: Vec<String>,
    user: Vec<String>,
    uid: Vec<String>,
    groups: Vec<String>,
    extra: Vec<String>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Caller {
    /// Its name.
    pub user: String,
    /// Its UID, where it has one.
    pub uid: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// What else is known of it.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The group of everybody who has a name. The API server may leave it to others to add it.
const AUTHENTICATED: &str = "system:authenticated";

impl FrontProxy {
    /// From the ConfigMap's data.
    pub fn read(data: &BTreeMap<String, String>) -> Result<Self, String> {
        let list = |key: &str| -> Result<Vec<String>, String> {
            let Some(text) = data.get(key) else { return Ok(Vec::new()) };
            serde_json::from_str(text).map_err(|error| format!("{key} is no list of texts: {error}"))
        };
        let authorities = data.get("requestheader-client-ca-file").filter(|pem| !pem.trim().is_empty());
        let authorities = authorities.cloned().ok_or(
            "it has no requestheader-client-ca-file: the API server needs --requestheader-client-ca-file, and so its \
             aggregation layer",
        )?;
        let user = list("requestheader-username-headers")?;
        if user.is_empty() {
            return Err("it has no requestheader-username-headers".to_owned());
        }
        Ok(Self {
            authorities,
            names: list("requestheader-allowed-names")?,
            user,
            uid: list("requestheader-uid-headers")?,
            groups: list("requestheader-group-headers")?,
            extra: list("requestheader-extra-headers-prefix")?,
        })
    }

    /// Who asks. `certificate` is the name in the certificate of whoever brings the request, which one of the
    /// authorities has signed.
    pub fn caller(&self, certificate: Option<&str>, headers: &HeaderMap) -> Result<Caller, &'static str> {
        let name = certificate.ok_or("ask through the API server")?;
        if !self.names.is_empty() && !self.names.iter().any(|allowed| allowed == name) {
            return Err("this certificate is not the API server's");
        }
        let first = |names: &[String]| {
            let values = names.iter().filter_map(|name| headers.get(name)?.to_str().ok());
            values.map(str::to_owned).find(|value| !value.is_empty())
        };
        let user = first(&self.user).ok_or("the API server does not say who asks")?;
        let all = |name: &String| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        let mut groups: Vec<String> = self.groups.iter().flat_map(all).map(str::to_owned).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) && user != ANONYMOUS {
            groups.push(AUTHENTICATED.to_owned());
        }
        Ok(Caller { user, uid: first(&self.uid), groups, extra: self.extra(headers) })
    }

    fn extra(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            // Names of headers are lower case here.
            let key =
                self.extra.iter().find_map(|prefix| name.as_str().strip_prefix(&*prefix.to_lowercase()));
            if let (Some(key), Ok(value)) = (key, value.to_str()) {
                let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
                extra.entry(key).or_default().push(value.to_owned());
            }
        }
        extra
    }
}

/// The user who has no name.
const ANONYMOUS: &str = "system:anonymous";

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> BTreeMap<String, String> {
        [
            ("requestheader-client-ca-file", "PEM"),
            ("requestheader-allowed-names", r#"["front-proxy"]"#),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
            ("requestheader-uid-headers", r#"["X-Remote-Uid"]"#),
            ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
            ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_api_server_says_who_asks() {
        let proxy = FrontProxy::read(&published()).unwrap();
        let headers = headers(&[
            ("x-remote-user", "anna"),
            ("x-remote-uid", "7"),
            ("x-remote-group", "mail"),
            ("x-remote-group", "photos"),
            ("x-remote-extra-example.com%2fscopes", "a"),
            ("x-remote-extra-example.com%2fscopes", "b"),
        ]);
        let caller = proxy.caller(Some("front-proxy"), &headers).unwrap();
        assert_eq!((&*caller.user, caller.uid.as_deref()), ("anna", Some("7")));
        assert_eq!(caller.groups, ["mail", "photos", "system:authenticated"]);
        assert_eq!(caller.extra["example.com/scopes"], ["a", "b"]);
    }

    #[test]
    fn who_is_not_the_api_server_speaks_for_nobody() {
        let proxy = FrontProxy::read(&published()).unwrap();
        let anna = headers(&[("x-remote-user", "anna")]);
        assert_eq!(proxy.caller(None, &anna), Err("ask through the API server"));
        assert_eq!(proxy.caller(Some("kubelet"), &anna), Err("this certificate is not the API server's"));
        let nobody = headers(&[("x-remote-user", ""), ("x-remote-group", "system:masters")]);
        assert_eq!(proxy.caller(Some("front-proxy"), &nobody), Err("the API server does not say who asks"));
        let mut any = published();
        any.insert("requestheader-allowed-names".to_owned(), "[]".to_owned());
        assert!(FrontProxy::read(&any).unwrap().caller(Some("kubelet"), &anna).is_ok());
    }

    #[test]
    fn what_cannot_be_read_says_what_is_missing() {
        for (key, value, says) in [
            ("requestheader-client-ca-file", None, "needs --requestheader-client-ca-file"),
            ("requestheader-username-headers", None, "has no requestheader-username-headers"),
            ("requestheader-allowed-names", Some("front-proxy"), "requestheader-allowed-names is no list"),
        ] {
            let mut data = published();
            match value {
                Some(value) => data.insert(key.to_owned(), value.to_owned()),
                None => data.remove(key),
            };
            let why = FrontProxy::read(&data).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }
}
