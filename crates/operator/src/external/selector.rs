//! Label selectors as they stand in a request: `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Pure.
//!
//! [`kube`] has the expressions and how they match, but does not read them. Of Kubernetes' own, `a>1` and `a<1` are missing:
//! no label here is a number.

use std::collections::BTreeSet;

use kube::core::{Expression, Selector};

/// Why a selector cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse the selector at {rest:?}: {why}")]
pub struct Unreadable {
    rest: String,
    why: &'static str,
}

/// Reads a selector. An empty one selects everything.
pub fn parse(text: &str) -> Result<Selector, Unreadable> {
    let mut reader = Reader { rest: text.trim() };
    let mut expressions = Vec::new();
    if reader.rest.is_empty() {
        return Ok(Selector::default());
    }
    loop {
        expressions.push(reader.expression()?);
        if reader.rest.is_empty() {
            return Ok(expressions.into_iter().collect());
        }
        if !reader.take(",") {
            return Err(reader.fail("write a comma between two requirements"));
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn fail(&self, why: &'static str) -> Unreadable {
        Unreadable { rest: self.rest.chars().take(40).collect(), why }
    }

    /// Takes a sign, if it is the next thing.
    fn take(&mut self, sign: &str) -> bool {
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    /// What stands before the next sign or space; maybe nothing.
    fn word(&mut self) -> &'a str {
        let ends = |character: char| ",()=!<>".contains(character) || character.is_whitespace();
        let (word, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        word
    }

    fn key(&mut self) -> Result<String, Unreadable> {
        let before = Reader { rest: self.rest };
        match self.word() {
            "" => Err(before.fail("a label's name is missing")),
            key => Ok(key.to_owned()),
        }
    }

    fn expression(&mut self) -> Result<Expression, Unreadable> {
        if self.take("!") {
            return Ok(Expression::DoesNotExist(self.key()?));
        }
        let key = self.key()?;
        if self.rest.is_empty() || self.rest.starts_with(',') {
            return Ok(Expression::Exists(key));
        }
        if self.take("==") || self.take("=") {
            return Ok(Expression::Equal(key, self.word().to_owned()));
        }
        if self.take("!=") {
            return Ok(Expression::NotEqual(key, self.word().to_owned()));
        }
        let before = Reader { rest: self.rest };
        match self.word() {
            "in" => Ok(Expression::In(key, self.values()?)),
            "notin" => Ok(Expression::NotIn(key, self.values()?)),
            _ => Err(before.fail("write one of =, ==, !=, in, notin")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, Unreadable> {
        if !self.take("(") {
            return Err(self.fail("write the values in parentheses"));
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.word().to_owned());
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err(self.fail("write a comma between two values, and ) after the last"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::SelectorExt as _;
    use proptest::prelude::*;

    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn a_selector_means_what_it_means_to_kubernetes() {
        let labels = [("queue", "mail"), ("state", "ready")];
        for (selector, expected) in [
            ("", true),
            ("queue=mail", true),
            ("queue==mail, state = ready", true),
            ("queue=other", false),
            ("queue!=other", true),
            ("nothing!=other", true),
            ("queue in (other, mail)", true),
            ("queue in(mail)", true),
            ("queue notin (mail)", false),
            ("nothing notin (mail)", true),
            ("queue", true),
            ("nothing", false),
            ("!nothing,!other", true),
            ("!queue", false),
            ("queue=", false),
            ("queue in ()", false),
            ("queue,state in (ready,due),queue!=x", true),
            ("in in (in)", false),
        ] {
            assert_eq!(selects(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_what_to_write() {
        for (text, says) in [
            (",", "a label's name is missing"),
            ("a=b,", "a label's name is missing"),
            ("=b", "a label's name is missing"),
            ("a b", "one of =, ==, !=, in, notin"),
            ("a>1", "one of =, ==, !=, in, notin"),
            ("a in b", "in parentheses"),
            ("a in (b", "a comma between two values"),
            ("a in (b c)", "a comma between two values"),
            ("a=b c=d", "a comma between two requirements"),
            ("a=b=c", "a comma between two requirements"),
        ] {
            let why = parse(text).unwrap_err().to_string();
            assert!(why.contains(says), "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in "[abin!=<>(), ]{0,24}") {
            // What was read is read again from what it says of itself.
            if let Ok(selector) = parse(&text) {
                prop_assert_eq!(parse(&selector.to_string()), Ok(selector));
            }
        }
    }
}
