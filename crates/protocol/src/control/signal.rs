//! Signals that a task is ended by.

use super::Answer;
use super::arguments::Arguments;
use crate::json;

/// A signal, by its number on Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// SIGTERM, what Celery sends unless told otherwise.
    pub const TERM: Self = Self(15);

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// By its number, from 1 to 64.
    pub fn by_number(number: i32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number))
    }

    /// By its name, with `SIG` or without, in capitals.
    pub fn by_name(name: &str) -> Option<Self> {
        const NAMES: [&str; 31] = [
            "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
            "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU",
            "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
        ];
        let name = name.strip_prefix("SIG").unwrap_or(name);
        let number = match name {
            "CLD" => Some(17),
            "POLL" => Some(29),
            "IOT" => Some(6),
            name => (1..).zip(NAMES).find(|(_, known)| *known == name).map(|(number, _)| number),
        };
        number.map(Self)
    }

    pub(super) fn read(given: &Arguments<'_>) -> Result<Self, Answer> {
        let Some(value) = given.given("signal") else {
            return Ok(Self::TERM);
        };
        if let Ok(number) = value.parse() {
            return Self::by_number(number).ok_or_else(|| given.wrong("signal", "a signal from 1 to 64"));
        }
        match json::string(value).as_deref() {
            Some("") => Ok(Self::TERM),
            Some(name) if name.chars().any(char::is_uppercase) && !name.chars().any(char::is_lowercase) => {
                let name = name.strip_prefix("SIG").unwrap_or(name);
                let unknown = || format!("module 'signal' has no attribute 'SIG{name}'");
                Self::by_name(name).ok_or_else(|| Answer::raised("AttributeError", &unknown()))
            }
            _ => Err(Answer::raised("TypeError", "signal name must be uppercase string.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_its_number_on_linux() {
        let names = ["HUP", "SIGKILL", "TERM", "CHLD", "SIGIO", "SYS", "SIGCLD"];
        let numbers = names.map(|name| Signal::by_name(name).map(Signal::number));
        assert_eq!(numbers, [1, 9, 15, 17, 29, 31, 17].map(Some));
        assert_eq!([Signal::by_name("NONE"), Signal::by_name(""), Signal::by_number(0)], [None; 3]);
    }
}
