//! `conf` and `report`: how a node is set up.

use std::fmt::Write as _;

use super::Answer;
use crate::json::{self, Object};
use crate::repr;

/// What stands in place of a secret (Celery's text).
const MASK: &str = "********";

/// A setting whose name has one of these is a secret (Celery's list).
const SECRET: [&str; 8] =
    ["API", "TOKEN", "KEY", "SECRET", "PASS", "PROFANITIES_LIST", "SIGNATURE", "DATABASE"];

/// A node's settings by Celery's names, without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    settings: Object,
}

impl Settings {
    /// Adds a setting, a JSON text. A secret is masked, and so is a password in a URL.
    pub fn add(&mut self, name: &str, value: &str) {
        let upper = name.to_ascii_uppercase();
        let value = match json::string(value) {
            _ if SECRET.iter().any(|secret| upper.contains(secret)) => json::quote(MASK),
            Some(text) if text.contains("://") => json::quote(&masked_url(&text)),
            _ => json::check(value.as_bytes()).unwrap_or("null").to_owned(),
        };
        self.settings.push(name, &value);
    }

    /// What `conf` answers.
    pub fn answer(&self) -> Answer {
        Answer::json(self.settings.as_str().to_owned())
    }
}

/// A URL without its password. Several are set off by `;`.
pub fn masked_url(url: &str) -> String {
    let masked = url.split(';').map(|url| {
        let Some((scheme, rest)) = url.split_once("://") else {
            return url.to_owned();
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        // A password may have `/` and `@` in it where somebody forgot to escape them.
        let Some((user, _)) = rest[..end].rsplit_once('@').or_else(|| rest.rsplit_once('@')) else {
            return url.to_owned();
        };
        match user.split_once(':') {
            Some((name, _)) => format!("{scheme}://{name}:{MASK}{}", &rest[user.len()..]),
            None => url.to_owned(),
        }
    });
    masked.collect::<Vec<_>>().join(";")
}

/// What `report` says, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report<'a> {
    /// Programs and their versions.
    pub software: Vec<(&'a str, &'a str)>,
    /// The system: `("system", "Linux")`.
    pub platform: Vec<(&'a str, &'a str)>,
    /// The kind of the broker: `redis`.
    pub transport: &'a str,
    /// The kind or URL of the result store; a password in it is masked.
    pub results: &'a str,
    /// How the node is set up.
    pub settings: Settings,
}

impl Report<'_> {
    /// What `report` answers.
    pub fn answer(&self) -> Answer {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(" ")
        };
        let mut text = format!(
            "\nsoftware -> {}\nplatform -> {}\nsettings -> transport:{} results:{}\n\n",
            pairs(&self.software),
            pairs(&self.platform),
            self.transport,
            masked_url(self.results)
        );
        for (name, value) in self.settings.settings.members() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {}", repr::python(value));
        }
        Answer::ok(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_told() {
        for (url, masked) in [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://:pw@h/0", "redis://:********@h/0"),
            ("rediss://user:p:w@h:1/0?a=b@c", "rediss://user:********@h:1/0?a=b@c"),
            ("amqp://user@h//", "amqp://user@h//"),
            ("redis://:p/w@h/0", "redis://:********@h/0"),
            ("sentinel://:a@h:1;sentinel://:b@h:2", "sentinel://:********@h:1;sentinel://:********@h:2"),
            ("rpc://", "rpc://"),
            ("disabled", "disabled"),
        ] {
            assert_eq!(masked_url(url), masked);
        }
    }

    #[test]
    fn settings_are_told_without_secrets() {
        let mut settings = Settings::default();
        settings.add("broker_url", "\"redis://:pw@h/0\"");
        settings.add("security_key", "\"hidden\"");
        settings.add("redis_password", "5");
        settings.add("task_acks_late", "true");
        let conf = settings.answer();
        let expected = r#"{"broker_url": "redis://:********@h/0", "security_key": "********", "redis_password": "********", "task_acks_late": true}"#;
        assert_eq!(conf.as_str(), expected);
        let report = Report {
            software: vec![("petiole", "1.0"), ("rust", "1.95")],
            platform: vec![("system", "Linux")],
            transport: "redis",
            results: "redis://:pw@h/1",
            settings,
        };
        let expected = r#"{"ok": "\nsoftware -> petiole:1.0 rust:1.95\nplatform -> system:Linux\nsettings -> transport:redis results:redis://:********@h/1\n\nbroker_url: 'redis://:********@h/0'\nsecurity_key: '********'\nredis_password: '********'\ntask_acks_late: True\n"}"#;
        assert_eq!(report.answer().as_str(), expected);
    }
}
