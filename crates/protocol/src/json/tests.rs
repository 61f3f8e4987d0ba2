//! The scanner, by examples that only Python takes, and against `serde_json` on what both take.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

#[test]
fn what_python_writes_beyond_strict_json_is_a_value() {
    for text in
        ["NaN", "Infinity", "-Infinity", "[NaN, {\"a\": -Infinity}]", r#""\ud800""#, r#"{"\udd80": 1}"#]
    {
        assert_eq!(check(text.as_bytes()), Ok(text));
    }
    let digits = format!("-{}", "9".repeat(5000));
    assert_eq!(check(digits.as_bytes()), Ok(&*digits));
}

#[test]
fn white_space_around_a_value_is_not_part_of_it() {
    assert_eq!(check(b" \t\r\n[ 1 , 2 ]\n"), Ok("[ 1 , 2 ]"));
    assert_eq!(elements(b"\n[ 1 , [ 2 ]\t, \"3\"]").unwrap(), ["1", "[ 2 ]", "\"3\""]);
}

#[test]
fn what_is_no_value_is_refused_with_place_and_expectation() {
    let cases: [(&[u8], usize, &str); 19] = [
        (b"", 0, "a value"),
        (b"  ", 2, "a value"),
        (b"nul", 0, "null"),
        (b"nan", 0, "null"),
        (b"-", 1, "a digit"),
        (b"-NaN", 1, "a digit"),
        (b"01", 1, "the end of the text"),
        (b"1.", 2, "a digit"),
        (b"1e+", 3, "a digit"),
        (b"1 2", 2, "the end of the text"),
        (b"[1,]", 3, "a value"),
        (b"[1 2]", 3, "`,` or `]`"),
        (b"[1}", 2, "`,` or `]`"),
        (b"{\"a\" 1}", 5, "`:`"),
        (b"{a: 1}", 1, "a member's name in double quotes"),
        (b"{\"a\": 1]", 7, "`,` or `}`"),
        (b"\"a\nb\"", 2, "an escaped control character"),
        (b"\"a\\u12g4\"", 2, "an escape of JSON"),
        (b"\"\xff\"", 1, "UTF-8"),
    ];
    for (bytes, offset, expected) in cases {
        assert_eq!(check(bytes), Err(Invalid { offset, expected }), "{}", bytes.escape_ascii());
    }
    assert_eq!(elements(b"{}"), Err(Invalid { offset: 0, expected: "an array" }));
    assert_eq!(members(b"[]"), Err(Invalid { offset: 0, expected: "an object" }));
    assert_eq!(check(b"nope").unwrap_err().to_string(), "no JSON at byte 0: expected null");
}

#[test]
fn values_nest_as_deeply_as_python_reads_them_and_no_deeper() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(check(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(check(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().offset, MAX_DEPTH);
    assert!(check("{\"a\":[".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn every_plain_length_before_a_special_character_is_passed() {
    // The scanner takes eight bytes at a time.
    for length in 0..40 {
        let plain = "é~ ".chars().cycle().take(length).collect::<String>();
        for special in [r"\n", r#"\""#, r"\\", r"\u00e9"] {
            let text = format!("\"{plain}{special}{plain}\"");
            assert_eq!(check(text.as_bytes()), Ok(&*text));
        }
        for control in ["\n", "\u{1f}", "\0"] {
            assert!(check(format!("\"{plain}{control}{plain}\"").as_bytes()).is_err());
        }
    }
}

/// Values as strict JSON text, with white space where it may stand.
fn value() -> impl Strategy<Value = String> {
    let space = "[ \t\r\n]{0,2}";
    let number = r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?";
    let word = prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned);
    let leaf = prop_oneof![word, number, any::<String>().prop_map(|text| quote(&text)), text()];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let element = (space, inner.clone(), space).prop_map(|(a, value, b)| a + &value + &b);
        let member = (space, text(), space, element.clone());
        let member = member.prop_map(|(a, name, b, value)| a + &name + &b + ":" + &value);
        prop_oneof![
            (space, prop::collection::vec(element, 0..6)).prop_map(|(a, v)| format!("[{a}{}]", v.join(","))),
            (space, prop::collection::vec(member, 0..6)).prop_map(|(a, v)| format!("{{{a}{}}}", v.join(","))),
        ]
    })
}

/// A string's JSON text, not escaped more than it must be.
fn text() -> impl Strategy<Value = String> {
    "[a-c é☃]{0,12}(\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-fA-F]{2}|\\\\ud83e\\\\udd80)?[a-c]{0,3}"
        .prop_map(|text| format!("\"{text}\""))
}

proptest! {
    #[test]
    fn a_value_is_cut_as_serde_cuts_it(value in value()) {
        prop_assert_eq!(check(value.as_bytes()), Ok(value.trim_ascii()));
        match serde_json::from_str::<Vec<&RawValue>>(&value) {
            Ok(theirs) => {
                let theirs = theirs.into_iter().map(RawValue::get).collect::<Vec<_>>();
                prop_assert_eq!(elements(value.as_bytes()).unwrap(), theirs);
            }
            Err(_) => prop_assert!(elements(value.as_bytes()).is_err()),
        }
        match serde_json::from_str::<BTreeMap<String, &RawValue>>(&value) {
            Ok(theirs) => {
                let ours = members(value.as_bytes()).unwrap();
                let ours: BTreeMap<_, _> = ours.into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
                let theirs: BTreeMap<_, _> = theirs.into_iter().map(|(name, value)| (name, value.get())).collect();
                prop_assert_eq!(ours, theirs);
            }
            Err(_) => prop_assert!(members(value.as_bytes()).is_err()),
        }
    }

    #[test]
    fn what_serde_refuses_is_refused_and_nothing_else(value in value(), at in any::<prop::sample::Index>(), with in "[\\[\\]{},:\"\\\\ 0-9eE.+a-z\n-]{0,3}", cut in 0usize..4) {
        // Any text near a valid one. No capital N or I, by which Python's numbers begin.
        let chars: Vec<char> = value.chars().collect();
        let at = at.index(chars.len());
        let near: String = chars[..at].iter().copied().chain(with.chars()).chain(chars.iter().skip(at + cut).copied()).collect();
        prop_assert_eq!(check(near.as_bytes()).is_ok(), serde_json::from_str::<&RawValue>(&near).is_ok(), "{}", near);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = (check(&bytes), elements(&bytes), members(&bytes));
    }

    #[test]
    fn a_string_is_written_and_read_as_serde_does(text in any::<String>()) {
        let quoted = quote(&text);
        prop_assert!(quoted.is_ascii());
        prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), &*text);
        prop_assert_eq!(string(&quoted).map(Cow::into_owned), Some(text));
    }

    #[test]
    fn a_strings_text_is_read_as_serde_reads_it(text in text()) {
        prop_assert_eq!(string(&text).map(Cow::into_owned), serde_json::from_str::<String>(&text).ok());
    }

    #[test]
    fn setting_a_member_leaves_the_others(members in prop::collection::vec(("[a-d]{1,2}", value()), 0..6), name in "[a-d]{1,2}", new in value()) {
        let text = members.iter().map(|(name, value)| format!("\"{name}\" :{value}")).collect::<Vec<_>>();
        let mut object = Object::read(format!("{{{}}}", text.join(" ,")).as_bytes()).unwrap();
        object.set(&name, new.as_bytes()).unwrap();
        let mut expected: Vec<_> = members.iter().map(|(name, value)| (&**name, value.trim_ascii())).collect();
        match expected.iter_mut().rfind(|(old, _)| *old == name) {
            Some((_, value)) => *value = new.trim_ascii(),
            None => expected.push((&name, new.trim_ascii())),
        }
        let found = object.members();
        let found: Vec<_> = found.iter().map(|(name, value)| (&**name, *value)).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(object.get(&name), Some(new.trim_ascii()));
    }
}
