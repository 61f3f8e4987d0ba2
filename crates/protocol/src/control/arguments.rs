//! Arguments of a command, checked as Python checks those of a function.

use std::fmt::Write as _;

use super::Answer;
use crate::json::{self, Object};
use crate::repr;

/// The parameters of a command, as Celery's function for it has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    /// The function's name, in what Python says of wrong arguments.
    pub(super) function: &'static str,
    pub(super) required: &'static [&'static str],
    pub(super) optional: &'static [&'static str],
    /// It takes any others as well.
    pub(super) open: bool,
}

/// Arguments that fit their parameters by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arguments<'a> {
    parameters: Parameters,
    object: &'a Object,
}

impl<'a> Arguments<'a> {
    /// Checks the names.
    pub(super) fn check(parameters: Parameters, object: &'a Object) -> Result<Self, Answer> {
        let Parameters { function, required, optional, open } = parameters;
        let type_error = |what: &str| Answer::raised("TypeError", &format!("{function}() {what}"));
        let members = object.members();
        let known = |name: &str| required.contains(&name) || optional.contains(&name);
        if let Some((name, _)) = members.iter().find(|(name, _)| !open && !known(name)) {
            return Err(type_error(&format!("got an unexpected keyword argument '{name}'")));
        }
        let given = |name: &str| members.iter().any(|(given, _)| given == name);
        let missing: Vec<_> = required.iter().filter(|name| !given(name)).collect();
        if missing.is_empty() {
            return Ok(Self { parameters, object });
        }
        let mut names = String::new();
        for (index, name) in missing.iter().enumerate() {
            names.push_str(match (index, missing.len() - index) {
                (0, _) => "",
                (1, 1) => " and ",
                (_, 1) => ", and ",
                _ => ", ",
            });
            // Writing to a String cannot fail.
            let _ = write!(names, "'{name}'");
        }
        let s = if missing.len() == 1 { "" } else { "s" };
        Err(type_error(&format!("missing {} required positional argument{s}: {names}", missing.len())))
    }

    /// The JSON text of an argument; what is null is absent.
    pub(super) fn given(&self, name: &str) -> Option<&'a str> {
        self.object.get(name).filter(|value| *value != "null")
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<String, Answer> {
        self.maybe_text(name)?.ok_or_else(|| self.wrong(name, "a text"))
    }

    /// A text that may be absent.
    pub(super) fn maybe_text(&self, name: &str) -> Result<Option<String>, Answer> {
        let text = |value| json::string(value).ok_or_else(|| self.wrong(name, "a text"));
        Ok(self.given(name).map(text).transpose()?.map(Into::into))
    }

    /// A text, or a list of texts; none when absent.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Answer> {
        let values = match self.given(name) {
            None => Vec::new(),
            Some(value) if value.starts_with('[') => json::elements(value.as_bytes()).unwrap_or_default(),
            Some(value) => vec![value],
        };
        let texts = values.into_iter().map(|value| json::string(value).map(Into::into));
        texts.collect::<Option<_>>().ok_or_else(|| self.wrong(name, "a text or a list of texts"))
    }

    /// A whole number that is not negative.
    pub(super) fn count(&self, name: &str) -> Result<Option<u32>, Answer> {
        let count = |value: &str| value.parse().map_err(|_| self.wrong(name, "a whole number, 0 or above"));
        self.given(name).map(count).transpose()
    }

    /// A number of seconds.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<f64>, Answer> {
        let seconds = |value: &str| {
            let seconds = value.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
            seconds.ok_or_else(|| self.wrong(name, "a number of seconds"))
        };
        self.given(name).map(seconds).transpose()
    }

    /// Whether Python takes the value for true.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.given(name).is_some_and(|value| match value {
            "false" | "\"\"" => false,
            value if value.starts_with(['[', '{']) => !value[1..value.len() - 1].trim_ascii().is_empty(),
            value => value.parse::<f64>() != Ok(0.0),
        })
    }

    /// Arguments beside the parameters.
    pub(super) fn others(&self) -> Object {
        let Parameters { required, optional, .. } = self.parameters;
        let mut others = Object::default();
        for (name, value) in self.object.members() {
            if !required.contains(&&*name) && !optional.contains(&&*name) {
                others.push(&name, value);
            }
        }
        others
    }

    /// What is said of a value of another type. Celery's function would raise one error or another, or none.
    pub(super) fn wrong(&self, name: &str, expected: &str) -> Answer {
        let found: String = repr::python(self.object.get(name).unwrap_or("null")).chars().take(80).collect();
        let function = self.parameters.function;
        Answer::raised(
            "TypeError",
            &format!("{function}() argument '{name}' must be {expected}, not {found}"),
        )
    }
}
