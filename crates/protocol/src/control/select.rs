//! Which nodes a request is for, when it says so by a pattern.

use regex_lite::{Regex, RegexBuilder, escape};

/// The longest pattern, in bytes.
const LONGEST: usize = 1024;
/// How much memory a pattern may take, in bytes.
const SIZE: usize = 256 << 10;
/// How deep groups may nest.
const NESTING: u32 = 32;

/// A pattern of node names.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPattern {
    /// There is no such matcher.
    #[error("there is no matcher {0:?}: use \"glob\" or \"pcre\"")]
    Matcher(String),
    /// It is longer than all patterns are.
    #[error("the pattern is {0} bytes long: use {LONGEST} at most")]
    TooLong(usize),
    /// It cannot be read, or has what we do not have: look-around and back-references.
    #[error("the pattern {pattern:?} cannot be used: {why}")]
    Unusable {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Pattern {
    /// Reads a pattern. `glob` is Python's `fnmatch`, `pcre` a regular expression that must match from the name's start.
    pub fn read(matcher: &str, pattern: &str) -> Result<Self, NoPattern> {
        if pattern.len() > LONGEST {
            return Err(NoPattern::TooLong(pattern.len()));
        }
        let unusable = |error: regex_lite::Error| NoPattern::Unusable {
            pattern: pattern.to_owned(),
            why: error.to_string(),
        };
        let expression = match matcher {
            "glob" => glob(pattern),
            "pcre" => {
                // By itself first, so that it cannot close our group.
                compile(pattern).map_err(unusable)?;
                format!("\\A(?:{pattern})")
            }
            other => return Err(NoPattern::Matcher(other.to_owned())),
        };
        Ok(Self { regex: compile(&expression).map_err(unusable)? })
    }

    /// Whether it matches a node's name.
    pub fn matches(&self, hostname: &str) -> bool {
        self.regex.is_match(hostname)
    }
}

fn compile(expression: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(expression).size_limit(SIZE).nest_limit(NESTING).build()
}

/// The regular expression of a pattern of `fnmatch`.
fn glob(pattern: &str) -> String {
    let mut out = String::from("\\A(?s:");
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        match char {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => match class(rest) {
                Some((inside, behind)) => {
                    put_class(&mut out, inside);
                    rest = behind;
                }
                None => out.push_str("\\["),
            },
            char => out.push_str(&escape(char.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push_str(")\\z");
    out
}

/// What stands between brackets, and what comes behind them. A closing one at the start stands for itself.
fn class(rest: &str) -> Option<(&str, &str)> {
    let start = usize::from(rest.starts_with('!'));
    let start = start + usize::from(rest[start..].starts_with(']'));
    let end = start + rest[start..].find(']')?;
    Some((&rest[..end], &rest[end + 1..]))
}

fn put_class(out: &mut String, inside: &str) {
    out.push('[');
    let inside = inside.strip_prefix('!').map_or(inside, |inside| {
        out.push('^');
        inside
    });
    let last = inside.chars().count().saturating_sub(1);
    for (index, char) in inside.chars().enumerate() {
        // Only a hyphen between two characters is more than a character.
        if char.is_ascii_punctuation() && (char != '-' || index == 0 || index == last) {
            out.push('\\');
        }
        out.push(char);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(matcher: &str, pattern: &str, name: &str) -> bool {
        Pattern::read(matcher, pattern).unwrap().matches(name)
    }

    #[test]
    fn globs_match_as_fnmatch_does() {
        for (pattern, name) in [
            ("*", ""),
            ("w?rker*", "worker@host"),
            ("[a-w]orker@[!x]*", "worker@host"),
            ("[]]x", "]x"),
            ("[!]]x", "ax"),
            ("a[b", "a[b"),
            ("[a-]", "-"),
            ("[.^$|]", "^"),
            ("[&&~]", "&"),
            ("a.b+(c)", "a.b+(c)"),
            ("é?", "éx"),
            ("a*b", "a\nb"),
        ] {
            assert!(matches("glob", pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("worker", "worker@host"), ("[!a]x", "ax"), ("a?", "a"), ("[]x", "x"), ("A", "a")]
        {
            assert!(!matches("glob", pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn regular_expressions_match_from_the_start() {
        assert!(matches("pcre", r"w\w+@(a|h)", "worker@host"));
        assert!(matches("pcre", "a|worker", "worker@host"));
        assert!(matches("pcre", "(?i)WORKER", "worker@host"));
        assert!(!matches("pcre", "orker", "worker@host"));
        assert!(!matches("pcre", "a|orker", "worker@host"));
        assert!(!matches("pcre", "worker$", "worker@host"));
    }

    #[test]
    fn what_cannot_be_matched_is_refused() {
        for pattern in ["(?=a)b", "(a)\\1", "a)|(b", "(", "a{1000}{1000}{1000}", "(?x)a # b)"] {
            assert!(matches!(Pattern::read("pcre", pattern), Err(NoPattern::Unusable { .. })), "{pattern}");
        }
        assert!(matches!(Pattern::read("pcre", &"(".repeat(900)), Err(NoPattern::Unusable { .. })));
        assert!(matches!(Pattern::read("glob", "[z-a]"), Err(NoPattern::Unusable { .. })));
        assert_eq!(Pattern::read("glob", &"a".repeat(2000)).unwrap_err(), NoPattern::TooLong(2000));
        let error = Pattern::read("sql", "a").unwrap_err().to_string();
        assert_eq!(error, "there is no matcher \"sql\": use \"glob\" or \"pcre\"");
    }
}
