use super::*;
use proptest::prelude::*;

fn accepts(bytes: &[u8]) -> bool {
    let mut scanner = Scanner::new(bytes);
    scanner.value().is_ok() && scanner.end().is_ok()
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        "{",
        "}",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "[1 2]",
        "01",
        "-",
        "1.",
        "1e",
        "tru",
        "nul",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "[1]]",
        "{\"a\":}",
        "+1",
        "[}",
        "{]",
    ] {
        assert!(!accepts(text.as_bytes()), "{text}");
    }
    for text in ["{}", "[]", " [ ] ", "-0.5e+3", "[[],{}]", "{\"a\":[1,{\"b\":null}],\"c\":\"\\\"\"}", "\"\u{e9}\""] {
        assert!(accepts(text.as_bytes()), "{text}");
    }
}

#[test]
fn nesting_has_an_end() {
    assert!(accepts(format!("{}{}", "[".repeat(128), "]".repeat(128)).as_bytes()));
    assert!(!accepts(format!("{}{}", "[".repeat(129), "]".repeat(129)).as_bytes()));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".{0,20}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec((".{0,9}", inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_json_is_walked(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        prop_assert!(accepts(text.unwrap().as_bytes()));
    }

    #[test]
    fn it_agrees_with_serde_json(bytes in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\u0019.eE+-tfnalsr \x01"[..]), 0..24)) {
        prop_assert_eq!(accepts(&bytes), serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = accepts(&bytes);
    }
}
