//! JSON text → the same in kombu's other serializers, as Python's readers of them take it. For answers; tasks are sent as
//! JSON.

use std::fmt::Write as _;

use rmp::encode::buffer::ByteBuf;
use rmp::encode::{
    write_array_len, write_bool, write_f64, write_map_len, write_nil, write_sint, write_str, write_uint,
};

use super::write::float;
use crate::json::{check, elements, members, string};

/// How deep values may nest: less than what Python's writers take.
const MAX_DEPTH: usize = 256;

/// The longest name of a member that YAML has without a mark before it (1,024 characters), with room for its quotes.
const LONGEST_NAME: usize = 1000;

/// The value cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no JSON, or nests over {MAX_DEPTH} levels")]
pub struct Unwritable;

/// JSON text as YAML, which has all of JSON but some of its numbers and half of its escapes.
pub fn json_to_yaml(json: &str) -> Result<String, Unwritable> {
    let json = check(json.as_bytes()).map_err(|_| Unwritable)?;
    let mut out = String::with_capacity(json.len() + 1);
    yaml(json, 0, &mut out)?;
    out.push('\n');
    Ok(out)
}

/// JSON text as `MessagePack`. A whole number that this has no room for is a text.
pub fn json_to_msgpack(json: &str) -> Result<Vec<u8>, Unwritable> {
    let json = check(json.as_bytes()).map_err(|_| Unwritable)?;
    let mut out = ByteBuf::with_capacity(json.len());
    msgpack(json, 0, &mut out)?;
    Ok(out.into_vec())
}

fn yaml(json: &str, depth: usize, out: &mut String) -> Result<(), Unwritable> {
    if depth > MAX_DEPTH {
        return Err(Unwritable);
    }
    match json.as_bytes().first() {
        Some(b'[') => {
            out.push('[');
            for (at, element) in elements(json.as_bytes()).map_err(|_| Unwritable)?.into_iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                yaml(element, depth + 1, out)?;
            }
            out.push(']');
        }
        Some(b'{') => {
            out.push('{');
            for (at, (name, value)) in
                members(json.as_bytes()).map_err(|_| Unwritable)?.into_iter().enumerate()
            {
                out.push_str(if at > 0 { ", " } else { "" });
                let start = out.len();
                quoted(&name, out);
                if out.len() - start > LONGEST_NAME {
                    out.insert_str(start, "? ");
                }
                out.push_str(": ");
                yaml(value, depth + 1, out)?;
            }
            out.push('}');
        }
        Some(b'"') => quoted(&string(json).ok_or(Unwritable)?, out),
        _ => match json {
            "null" | "true" | "false" => out.push_str(json),
            "NaN" => out.push_str(".nan"),
            "Infinity" => out.push_str(".inf"),
            "-Infinity" => out.push_str("-.inf"),
            number if is_whole(number) => out.push_str(number),
            number => {
                let number = float(number.parse().map_err(|_| Unwritable)?);
                // Without a point it would be a text.
                match number.split_once('e') {
                    Some((digits, exponent)) if !digits.contains('.') => {
                        // Writing to a String cannot fail.
                        let _ = write!(out, "{digits}.0e{exponent}");
                    }
                    _ => out.push_str(&number),
                }
            }
        },
    }
    Ok(())
}

/// A text in double quotes. Outside of the first plane YAML has no pairs, but one escape.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(char),
            '\n' => out.push_str("\\n"),
            char => {
                let _ = write!(out, "\\U{:08x}", u32::from(char));
            }
        }
    }
    out.push('"');
}

fn is_whole(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

fn msgpack(json: &str, depth: usize, out: &mut ByteBuf) -> Result<(), Unwritable> {
    if depth > MAX_DEPTH {
        return Err(Unwritable);
    }
    let length = |length: usize| u32::try_from(length).map_err(|_| Unwritable);
    match json.as_bytes().first() {
        Some(b'[') => {
            let elements = elements(json.as_bytes()).map_err(|_| Unwritable)?;
            write_array_len(out, length(elements.len())?).map_err(|_| Unwritable)?;
            for element in elements {
                msgpack(element, depth + 1, out)?;
            }
        }
        Some(b'{') => {
            let members = members(json.as_bytes()).map_err(|_| Unwritable)?;
            write_map_len(out, length(members.len())?).map_err(|_| Unwritable)?;
            for (name, value) in members {
                write_str(out, &name).map_err(|_| Unwritable)?;
                msgpack(value, depth + 1, out)?;
            }
        }
        Some(b'"') => write_str(out, &string(json).ok_or(Unwritable)?).map_err(|_| Unwritable)?,
        _ => scalar(json, out)?,
    }
    Ok(())
}

fn scalar(json: &str, out: &mut ByteBuf) -> Result<(), Unwritable> {
    match json {
        "null" => write_nil(out).map_err(|_| Unwritable)?,
        "true" | "false" => write_bool(out, json == "true").map_err(|_| Unwritable)?,
        "NaN" => write_f64(out, f64::NAN).map_err(|_| Unwritable)?,
        "Infinity" => write_f64(out, f64::INFINITY).map_err(|_| Unwritable)?,
        "-Infinity" => write_f64(out, f64::NEG_INFINITY).map_err(|_| Unwritable)?,
        number if is_whole(number) => match (number.parse::<u64>(), number.parse::<i64>()) {
            (Ok(number), _) => drop(write_uint(out, number).map_err(|_| Unwritable)?),
            (_, Ok(number)) => drop(write_sint(out, number).map_err(|_| Unwritable)?),
            _ => write_str(out, number).map_err(|_| Unwritable)?,
        },
        number => write_f64(out, number.parse().map_err(|_| Unwritable)?).map_err(|_| Unwritable)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{msgpack_to_json, yaml_to_json};
    use super::*;

    const LIMIT: usize = 1 << 20;

    const VALUES: &str =
        r#"{"a": [1, -2, 1.5, 1e-06, 1e+300, true, null, "x\"\\\n\u00e9\ud83d\ude00"], "yes": {}, "": []}"#;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        assert_eq!(yaml_to_json(json_to_yaml(VALUES).unwrap().as_bytes(), LIMIT).unwrap(), VALUES);
        assert_eq!(msgpack_to_json(&json_to_msgpack(VALUES).unwrap(), LIMIT).unwrap(), VALUES);
        for number in ["NaN", "Infinity", "-Infinity", "18446744073709551615", "-9223372036854775808", "1E5"]
        {
            let expected = if number == "1E5" { "100000.0" } else { number };
            assert_eq!(yaml_to_json(json_to_yaml(number).unwrap().as_bytes(), LIMIT).unwrap(), expected);
            assert_eq!(msgpack_to_json(&json_to_msgpack(number).unwrap(), LIMIT).unwrap(), expected);
        }
        let long = format!(r#"{{"{}": 1}}"#, "a".repeat(2000));
        assert_eq!(yaml_to_json(json_to_yaml(&long).unwrap().as_bytes(), LIMIT).unwrap(), long);
        assert_eq!(
            msgpack_to_json(&json_to_msgpack("123456789012345678901").unwrap(), LIMIT).unwrap(),
            "\"123456789012345678901\""
        );
    }

    #[test]
    fn what_nests_too_deeply_is_not_written() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(json_to_yaml(&deep(MAX_DEPTH)).is_ok() && json_to_msgpack(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(json_to_yaml(&deep(MAX_DEPTH + 2)), Err(Unwritable));
        assert_eq!(json_to_msgpack(&deep(MAX_DEPTH + 2)), Err(Unwritable));
        assert_eq!(json_to_yaml("x"), Err(Unwritable));
    }
}
