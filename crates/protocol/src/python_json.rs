//! The text that Python's `json.dumps(value, sort_keys=True)` writes by default.
//!
//! Cameras written from the public documents sign that text, so it is rebuilt here byte for byte:
//! `", "` and `": "` as separators, names sorted by code point, everything outside printable ASCII
//! escaped in lower-case hex (above U+FFFF as a surrogate pair), integers with all their digits,
//! other numbers as Python's `repr` writes them.

use std::fmt::Write;

use crate::json::{Object, Value};

/// Writes a value as Python does.
pub fn dumps(value: &Value<'_>) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// Writes an object as Python does.
pub fn dumps_object(object: &Object<'_>) -> String {
    let mut out = String::new();
    write_object(&mut out, object);
    out
}

fn write_value(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Integer(integer) => out.push_str(integer.as_str()),
        Value::Float(number) => out.push_str(&float_repr(*number)),
        Value::Text(text) => write_text(out, text),
        Value::List(list) => write_list(out, list),
        Value::Object(object) => write_object(out, object),
    }
}

fn write_list(out: &mut String, list: &[Value<'_>]) {
    out.push('[');
    for (position, value) in list.iter().enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        write_value(out, value);
    }
    out.push(']');
}

fn write_object(out: &mut String, object: &Object<'_>) {
    out.push('{');
    for (position, (name, value)) in object.iter().enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        write_text(out, name);
        out.push_str(": ");
        write_value(out, value);
    }
    out.push('}');
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            '\u{8}' => out.push_str("\\b"),
            ' '..='~' => out.push(character),
            _ => write_escaped(out, character),
        }
    }
    out.push('"');
}

fn write_escaped(out: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// The shortest digits that read back as the same number; an exponent below 1e-4 and from 1e16 on.
fn float_repr(number: f64) -> String {
    let scientific = shortest(number);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    #[expect(
        clippy::disallowed_methods,
        reason = "Rust writes every exponent as a number"
    )]
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    let before = (exponent + 1).max(0).unsigned_abs() as usize;
    let leading = (-exponent).max(0).unsigned_abs() as usize;
    let digits = format!(
        "{}{digits}{}",
        "0".repeat(leading),
        "0".repeat((before + 1).saturating_sub(digits.len()))
    );
    let (whole, fraction) = digits.split_at(before.max(1));
    format!("{sign}{whole}.{fraction}")
}

/// Of two equally near and equally short texts Rust takes the larger, Python the one that ends in
/// an even digit.
fn shortest(number: f64) -> String {
    let shortest = format!("{number:e}");
    let digits = shortest.split('e').next().unwrap_or_default();
    let digits = digits.bytes().filter(u8::is_ascii_digit).count();
    let nearest = format!("{number:.*e}", digits.saturating_sub(1));
    if nearest.parse() == Ok(number) {
        nearest
    } else {
        shortest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use std::borrow::Cow;

    use crate::json::Integer;

    fn rewritten(text: &str) -> String {
        dumps(&Value::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn separators_order_and_escapes_are_pythons() {
        let text = r#"{"b":[1,{"y":null,"x":true}],"a":"é😀\/\u007f\u0000","A":[],"é":{}}"#;
        let expected = r#"{"A": [], "a": "\u00e9\ud83d\ude00/\u007f\u0000", "b": [1, {"x": true, "y": null}], "\u00e9": {}}"#;
        assert_eq!(rewritten(text), expected);
    }

    #[test]
    fn names_are_ordered_by_code_point_and_not_by_utf16() {
        let text = "{\"\u{ffff}\": 1, \"\u{10000}\": 2}";
        assert_eq!(rewritten(text), r#"{"\uffff": 1, "\ud800\udc00": 2}"#);
    }

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (read, written) in [
            ("1732000000.0", "1732000000.0"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("123456789012345680000.0", "1.2345678901234568e+20"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("-0.0", "-0.0"),
            ("0.1", "0.1"),
            ("123.5", "123.5"),
            ("621653617420272.25", "621653617420272.2"),
            ("1141950083101036.75", "1141950083101036.8"),
            ("100.0", "100.0"),
            ("0.00012345", "0.00012345"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            (
                "340282366920938463463374607431768211456",
                "340282366920938463463374607431768211456",
            ),
        ] {
            assert_eq!(rewritten(read), written);
        }
    }

    fn any_value() -> impl Strategy<Value = Value<'static>> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| Value::Integer(Integer::from(number))),
            any::<f64>()
                .prop_filter("JSON has no such number", |number| number.is_finite())
                .prop_map(Value::Float),
            any::<String>().prop_map(|text| Value::Text(text.into())),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::btree_map(any::<String>().prop_map(Cow::Owned), inner, 0..4)
                    .prop_map(Value::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_reads_back(value in any_value()) {
            let text = dumps(&value);
            prop_assert!(text.is_ascii());
            prop_assert_eq!(Value::parse(text.as_bytes()).unwrap(), value);
        }
    }
}
