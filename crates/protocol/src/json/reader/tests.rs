use proptest::prelude::*;

use super::super::*;

fn problem(text: &str) -> JsonProblem {
    Value::parse(text.as_bytes()).unwrap_err().problem
}

#[test]
fn every_kind_of_value_is_read() {
    let text =
        r#" {"a": [null, true, false, -12, 1.5e3], "b": {"c": "d\n\u00e9\ud83d\ude00/\/"}} "#;
    let Value::Object(object) = Value::parse(text.as_bytes()).unwrap() else {
        panic!("an object")
    };
    let list = [
        Value::Null,
        Value::Bool(true),
        Value::Bool(false),
        Value::Integer((-12).into()),
        Value::Float(1500.0),
    ];
    assert_eq!(object["a"], Value::List(list.to_vec()));
    let Value::Object(inner) = &object["b"] else {
        panic!("an object")
    };
    assert_eq!(inner["c"], Value::Text("d\né😀//".into()));
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    assert_eq!(
        problem(r#"{"a":1,"b":2,"a":1}"#),
        JsonProblem::Duplicate("a".into())
    );
    assert_eq!(
        problem(r#"{"a":1,"\u0061":1}"#),
        JsonProblem::Duplicate("a".into())
    );
    assert_eq!(problem("{} {}"), JsonProblem::Trailing);
    assert_eq!(problem(r#""\ud800""#), JsonProblem::LoneSurrogate);
    assert_eq!(problem(r#""\ude00\ud83d""#), JsonProblem::LoneSurrogate);
    assert_eq!(problem(r#""\ud83d\u0041""#), JsonProblem::LoneSurrogate);
    assert_eq!(problem("\"a\u{1}b\""), JsonProblem::Control);
    assert_eq!(problem("1e400"), JsonProblem::NumberTooLarge);
    assert_eq!(problem("NaN"), JsonProblem::Expected("a value"));
}

#[test]
fn broken_texts_are_refused_with_their_place() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{,}",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "tru",
        "\"abc",
        "\"\\x\"",
        "\"\\u12\"",
    ] {
        assert!(Value::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(
        Value::parse(b"[1, 2, x]").unwrap_err(),
        JsonError {
            at: 7,
            problem: JsonProblem::Expected("a value")
        }
    );
    assert_eq!(
        Value::parse(b"\"\xff\"").unwrap_err(),
        JsonError {
            at: 1,
            problem: JsonProblem::NotUtf8
        }
    );
    assert_eq!(Value::parse("\u{feff}{}".as_bytes()).unwrap_err().at, 0);
}

#[test]
fn nesting_values_and_digits_end_somewhere() {
    let list = |items: usize| format!("[{}0]", "0,".repeat(items - 1));
    assert!(Value::parse(list(MAX_VALUES - 1).as_bytes()).is_ok());
    assert_eq!(problem(&list(MAX_VALUES)), JsonProblem::TooMany);
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Value::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(problem(&nested(MAX_DEPTH + 1)), JsonProblem::TooDeep);
    assert_eq!(problem(&"[".repeat(100_000)), JsonProblem::TooDeep);
    assert!(Value::parse("9".repeat(MAX_DIGITS).as_bytes()).is_ok());
    assert_eq!(
        problem(&"9".repeat(MAX_DIGITS + 1)),
        JsonProblem::NumberTooLarge
    );
}

#[test]
fn integers_keep_their_digits() {
    let Value::Integer(large) = Value::parse(b"123456789012345678901234567890").unwrap() else {
        panic!("an integer")
    };
    assert_eq!(
        (large.as_str(), large.to_i64()),
        ("123456789012345678901234567890", None)
    );
    assert_eq!(Value::parse(b"-0").unwrap(), Value::Integer(0.into()));
}

proptest! {
    #[test]
    fn we_read_nothing_that_the_common_reader_refuses(text in "[\\[\\]{}\",:a0-9.eE+\\\\u \\-]{0,24}") {
        if Value::parse(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn any_text_reads_back(text: String) {
        let quoted = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(Value::parse(quoted.as_bytes()).unwrap(), Value::Text(text.into()));
    }
}
