//! `MessagePack` → JSON text, without recursion.

use std::borrow::Cow;

use jiff::Timestamp;
use rmp::Marker;

use super::Unreadable;
use super::scalar::iso_format;
use super::write::{Kind, Scalar, Writer};

/// The extension that is a point in time.
const TIMESTAMP: i8 = -1;

/// One value, with nothing behind it.
pub(super) fn to_json(body: &[u8], limit: usize) -> Result<String, Unreadable> {
    let mut reader = Reader { body, at: 0 };
    let mut writer = Writer::new(limit);
    // How many values are still to come in each open container; of an object, names count as well.
    let mut left: Vec<u64> = Vec::new();
    loop {
        let offset = reader.at;
        match reader.value()? {
            Value::Scalar(scalar) => {
                writer.scalar(&scalar, offset)?;
            }
            Value::Container(kind, length) => {
                writer.begin(kind, offset)?;
                left.push(u64::from(length) * if kind == Kind::Object { 2 } else { 1 });
            }
        }
        while left.last() == Some(&0) {
            left.pop();
            writer.end();
        }
        match left.last_mut() {
            Some(left) => *left -= 1,
            None => break,
        }
    }
    if reader.at < body.len() {
        return Err(Unreadable::at(reader.at, "more than one value"));
    }
    Ok(writer.text())
}

enum Value<'a> {
    Scalar(Scalar<'a>),
    /// With how many elements, or members.
    Container(Kind, u32),
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Value<'a>, Unreadable> {
        let offset = self.at;
        let [marker] = self.array()?;
        let scalar = match Marker::from_u8(marker) {
            Marker::Null => Scalar::Null,
            Marker::False => Scalar::Bool(false),
            Marker::True => Scalar::Bool(true),
            Marker::FixPos(value) => integer(value),
            Marker::FixNeg(value) => integer(value),
            Marker::U8 => integer(u8::from_be_bytes(self.array()?)),
            Marker::U16 => integer(u16::from_be_bytes(self.array()?)),
            Marker::U32 => integer(u32::from_be_bytes(self.array()?)),
            Marker::U64 => integer(u64::from_be_bytes(self.array()?)),
            Marker::I8 => integer(i8::from_be_bytes(self.array()?)),
            Marker::I16 => integer(i16::from_be_bytes(self.array()?)),
            Marker::I32 => integer(i32::from_be_bytes(self.array()?)),
            Marker::I64 => integer(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Scalar::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Scalar::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(length) => self.text(length.into())?,
            Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let length = self.length(marker - 0xd9)?;
                self.text(length)?
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let length = self.length(marker - 0xc4)?;
                Scalar::Bytes(Cow::Borrowed(self.take(length)?))
            }
            Marker::FixArray(length) => return Ok(Value::Container(Kind::Array, length.into())),
            Marker::FixMap(length) => return Ok(Value::Container(Kind::Object, length.into())),
            Marker::Array16 => return Ok(Value::Container(Kind::Array, self.length(1)?)),
            Marker::Array32 => return Ok(Value::Container(Kind::Array, self.length(2)?)),
            Marker::Map16 => return Ok(Value::Container(Kind::Object, self.length(1)?)),
            Marker::Map32 => return Ok(Value::Container(Kind::Object, self.length(2)?)),
            Marker::FixExt1 | Marker::FixExt2 | Marker::FixExt4 | Marker::FixExt8 | Marker::FixExt16 => {
                self.extension(1 << (marker - 0xd4), offset)?
            }
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
                let length = self.length(marker - 0xc7)?;
                self.extension(length, offset)?
            }
            Marker::Reserved => return Err(Unreadable::at(offset, "a byte that MessagePack does not use")),
        };
        Ok(Value::Scalar(scalar))
    }

    /// A length of 1, 2 or 4 bytes, by the power of two.
    fn length(&mut self, power: u8) -> Result<u32, Unreadable> {
        Ok(match power {
            0 => u8::from_be_bytes(self.array()?).into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?),
        })
    }

    fn text(&mut self, length: u32) -> Result<Scalar<'a>, Unreadable> {
        let offset = self.at;
        let text = std::str::from_utf8(self.take(length)?);
        text.map(|text| Scalar::Text(text.into()))
            .map_err(|error| Unreadable::at(offset + error.valid_up_to(), "a text that is not UTF-8"))
    }

    fn extension(&mut self, length: u32, offset: usize) -> Result<Scalar<'a>, Unreadable> {
        let kind = i8::from_be_bytes(self.array()?);
        let data = self.take(length)?;
        if kind != TIMESTAMP {
            let what = format!("an extension (type {kind}), which is no value of JSON: send text or bytes");
            return Err(Unreadable::at(offset, what));
        }
        let time = timestamp(data).ok_or_else(|| Unreadable::at(offset, "a time that is none"))?;
        Ok(Scalar::Typed("datetime", iso_format(time.to_zoned(jiff::tz::TimeZone::UTC).datetime(), Some(0))))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (array, _) = self.body[self.at..].split_first_chunk().ok_or_else(|| self.end())?;
        self.at += N;
        Ok(*array)
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], Unreadable> {
        let length = usize::try_from(length).map_err(|_| self.end())?;
        let taken = self.body[self.at..].get(..length).ok_or_else(|| self.end())?;
        self.at += length;
        Ok(taken)
    }

    fn end(&self) -> Unreadable {
        Unreadable::at(self.body.len(), "the body ends within a value")
    }
}

fn integer<'a>(value: impl Into<i128>) -> Scalar<'a> {
    Scalar::Integer(value.into().to_string().into())
}

/// The three forms that the specification has, where Python has such a time.
fn timestamp(data: &[u8]) -> Option<Timestamp> {
    let (seconds, nanoseconds) = if let Ok(seconds) = data.try_into() {
        (i64::from(u32::from_be_bytes(seconds)), 0)
    } else if let Ok(both) = data.try_into().map(u64::from_be_bytes) {
        (i64::try_from(both & ((1 << 34) - 1)).ok()?, i32::try_from(both >> 34).ok()?)
    } else {
        let (nanoseconds, seconds) = data.split_first_chunk()?;
        (i64::from_be_bytes(seconds.try_into().ok()?), i32::try_from(u32::from_be_bytes(*nanoseconds)).ok()?)
    };
    let nanoseconds = Some(nanoseconds).filter(|nanoseconds| *nanoseconds < 1_000_000_000)?;
    let time = Timestamp::new(seconds, nanoseconds).ok()?;
    // Python knows no year before 1.
    (time.as_second() >= -62_135_596_800).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &[u8]) -> Result<String, Unreadable> {
        to_json(body, 1000)
    }

    #[test]
    fn each_kind_of_value_has_its_json() {
        let cases: [(&[u8], &str); 17] = [
            (b"\xc0", "null"),
            (b"\xc2", "false"),
            (b"\x7f", "127"),
            (b"\xe0", "-32"),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
            (b"\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808"),
            (b"\xca\x3f\xc0\0\0", "1.5"),
            (b"\xcb\x7f\xf0\0\0\0\0\0\0", "Infinity"),
            (b"\xd9\x02\xc3\xa9", r#""\u00e9""#),
            (b"\xc4\x02ab", r#"{"__type__": "bytes", "__value__": "ab"}"#),
            (b"\xc4\x02\xff\0", r#"{"__type__": "base64", "__value__": "/wA="}"#),
            (b"\x93\x01\x90\x80", "[1, [], {}]"),
            (b"\x82\xa1a\x91\xc0\x05\x81\xc0\xc3", r#"{"a": [null], "5": {"null": true}}"#),
            (b"\xdc\0\x01\xde\0\0", "[{}]"),
            (b"\xd6\xff\0\0\0\0", r#"{"__type__": "datetime", "__value__": "1970-01-01T00:00:00+00:00"}"#),
            (
                b"\xd7\xff\x1d\xcd\x65\0\x66\0\0\0",
                r#"{"__type__": "datetime", "__value__": "2024-03-24T10:27:12.125000+00:00"}"#,
            ),
            (
                b"\xc7\x0c\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
                r#"{"__type__": "datetime", "__value__": "1969-12-31T23:59:59+00:00"}"#,
            ),
        ];
        for (body, text) in cases {
            assert_eq!(json(body).as_deref(), Ok(text), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn what_claims_more_than_it_has_is_refused_at_once() {
        for body in [
            &b""[..],
            b"\xdb\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xffabc",
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff\xa1a",
            b"\xc9\xff\xff\xff\xff\xff",
            b"\xcd\x01",
            b"\x91",
        ] {
            let end = Unreadable::at(body.len(), "the body ends within a value");
            assert_eq!(json(body), Err(end), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn what_has_no_json_says_why() {
        let why = |body: &[u8]| json(body).unwrap_err().to_string();
        assert_eq!(why(b"\x91\xc1"), "byte 1: a byte that MessagePack does not use");
        assert_eq!(why(b"\x01\x02"), "byte 1: more than one value");
        assert_eq!(why(b"\xa2a\xff"), "byte 2: a text that is not UTF-8");
        assert_eq!(why(b"\x81\xc4\x01a\x01"), "byte 1: a member's name must be text, not bytes");
        assert_eq!(why(b"\x81\x90\x01"), "byte 1: a member's name must be text, not a container");
        assert_eq!(
            why(b"\xd4\x05a"),
            "byte 0: an extension (type 5), which is no value of JSON: send text or bytes"
        );
        assert_eq!(why(b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "byte 0: a time that is none");
        assert_eq!(to_json(&b"\x91".repeat(5000), 5000), Err(Unreadable::TooDeep));
        assert_eq!(
            json(&[&b"\xdd\0\0\x10\0"[..], &b"\xc0".repeat(4096)].concat()),
            Err(Unreadable::TooLong(1000))
        );
    }
}
