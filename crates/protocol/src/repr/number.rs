//! Numbers as Python prints them.

use std::borrow::Cow;

/// `repr` of a number's JSON text.
pub(super) fn python(json: &str) -> Cow<'_, str> {
    match json {
        "NaN" => Cow::Borrowed("nan"),
        "-0" => Cow::Borrowed("0"),
        "Infinity" => Cow::Borrowed("inf"),
        "-Infinity" => Cow::Borrowed("-inf"),
        // An integer of any size.
        digits if !digits.contains(['.', 'e', 'E']) => Cow::Borrowed(digits),
        digits => digits.parse().map_or(Cow::Borrowed(digits), |number: f64| Cow::Owned(float(number))),
    }
}

/// `repr` of a float. Python and Rust both print the shortest digits that read back, and both turn to an exponent
/// below 0.0001 and from 1e16 on; Python writes its sign, and two digits of it.
pub(crate) fn float(number: f64) -> String {
    let text = format!("{number:?}");
    match text.split_once('e') {
        None if number.is_nan() => "nan".to_owned(),
        None => text,
        Some((digits, exponent)) => {
            let (sign, exponent) =
                exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}
