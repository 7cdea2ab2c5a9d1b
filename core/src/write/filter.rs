//! The body of `POST /documents/delete`: the client's filter, checked far enough that it can be narrowed to a node's
//! shards without ever widening it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{ErrorBody, expected_one_of};
use crate::search::hide_in_filter;

/// Reads `{"filter": …}` and returns the filter's JSON text. Syntax within the filter is the nodes' to judge; what is
/// refused here is what would change its meaning once a clause is added: an empty filter, which the engine forbids,
/// would otherwise match everything.
pub(super) fn read(body: &[u8]) -> Result<String, ErrorBody> {
    let fields = object(body)?;
    if let Some(unknown) = fields.keys().find(|name| *name != "filter") {
        let expected = expected_one_of(unknown, ["filter"].into_iter());
        return Err(ErrorBody::new("bad_request", format!("Unknown field `{unknown}`: {expected}")));
    }
    let Some(filter) = fields.get("filter") else {
        return Err(ErrorBody::new("missing_document_filter", "Missing field `filter`"));
    };
    check_syntax(filter)?;
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        filter: &'a RawValue,
    }
    // A repeated field is refused here and not above; the engine takes the last.
    match serde_json::from_slice::<Raw<'_>>(body) {
        Ok(raw) => Ok(raw.filter.get().to_owned()),
        Err(_) => Ok(filter.to_string()),
    }
}

/// The client's filter within the shards of `clause`, if there is one: an array is a conjunction. The reserved field is
/// no attribute of the client's.
pub(super) fn narrow(filter: &str, clause: Option<&str>) -> Vec<u8> {
    format!(r#"{{"filter":{}}}"#, conjunction(filter, clause)).into_bytes()
}

/// JSON text of the filter that asks for both.
pub(super) fn conjunction(filter: &str, clause: Option<&str>) -> String {
    let filter = hide_in_filter(filter);
    let Some(clause) = clause else { return filter.to_string() };
    let clause = serde_json::Value::from(clause).to_string();
    let inner = filter.trim();
    let elements = inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(inner);
    format!("[{elements},{clause}]")
}

/// Reads a body that must be a JSON object.
pub(super) fn object(body: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, ErrorBody> {
    if body.is_empty() {
        return Err(ErrorBody::new("missing_payload", "A json payload is missing."));
    }
    match serde_json::from_slice(body) {
        Ok(serde_json::Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(ErrorBody::new(
            "bad_request",
            format!("Invalid value type: expected an object, but found {}", describe(&other)),
        )),
        Err(error) => {
            Err(ErrorBody::new("malformed_payload", format!("The json payload provided is malformed. `{error}`.")))
        }
    }
}

/// Refuses a filter whose meaning a clause more would change.
pub(super) fn check_syntax(filter: &serde_json::Value) -> Result<(), ErrorBody> {
    let mismatch = |expected: &str, found: &serde_json::Value| {
        ErrorBody::new(
            "invalid_document_filter",
            format!("Invalid syntax for the filter parameter: `expected {expected}, found: {found}`."),
        )
    };
    let mut says_something = false;
    let mut text = |text: &str| says_something |= !text.trim().is_empty();
    match filter {
        serde_json::Value::String(expression) => text(expression),
        serde_json::Value::Array(conjunction) => {
            for element in conjunction {
                match element {
                    serde_json::Value::String(expression) => text(expression),
                    serde_json::Value::Array(disjunction) => {
                        for alternative in disjunction {
                            match alternative {
                                serde_json::Value::String(expression) => text(expression),
                                other => return Err(mismatch("String", other)),
                            }
                        }
                    }
                    other => return Err(mismatch("String, [String]", other)),
                }
            }
        }
        other => return Err(mismatch("String, Array", other)),
    }
    if says_something {
        Ok(())
    } else {
        Err(ErrorBody::new("invalid_document_filter", "Sending an empty filter is forbidden."))
    }
}

/// A value in the words of the engine's messages.
pub(super) fn describe(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "null".to_owned(),
        serde_json::Value::Bool(flag) => format!("a boolean: `{flag}`"),
        serde_json::Value::Number(number) if number.is_f64() => format!("a number: `{number}`"),
        serde_json::Value::Number(number) if number.is_i64() && !number.is_u64() => {
            format!("a negative integer: `{number}`")
        }
        serde_json::Value::Number(number) => format!("a positive integer: `{number}`"),
        serde_json::Value::String(_) => format!("a string: `{value}`"),
        serde_json::Value::Array(_) => format!("an array: `{value}`"),
        serde_json::Value::Object(_) => format!("an object: `{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(filter: &str) -> String {
        let text = read(format!(r#"{{"filter":{filter}}}"#).as_bytes()).unwrap();
        String::from_utf8(narrow(&text, Some("_miroir_shard IN [\"x\"]"))).unwrap()
    }

    #[test]
    fn the_clause_is_one_more_condition() {
        let clause = r#""_miroir_shard IN [\"x\"]""#;
        assert_eq!(narrowed(r#""a = 1 OR b = 2""#), format!(r#"{{"filter":["a = 1 OR b = 2",{clause}]}}"#));
        assert_eq!(
            narrowed(r#" [ ["a = 1","b = 2"] , "c = \u0033" ] "#),
            format!(r#"{{"filter":[ ["a = 1","b = 2"] , "c = \u0033" ,{clause}]}}"#)
        );
    }

    #[test]
    fn without_a_clause_the_filter_is_the_clients() {
        for filter in [r#""a = 1 OR b = 2""#, r#"[["a = 1","b = 2"],"c = 3"]"#] {
            let text = read(format!(r#"{{"filter":{filter}}}"#).as_bytes()).unwrap();
            assert_eq!(narrow(&text, None), format!(r#"{{"filter":{filter}}}"#).as_bytes());
        }
        let text = read(br#"{"filter":"_miroir_shard EXISTS"}"#).unwrap();
        assert_eq!(narrow(&text, None), br#"{"filter":"_miroir_SHARD EXISTS"}"#);
    }

    #[test]
    fn a_client_cannot_delete_by_the_reserved_field() {
        let narrowed = narrowed(r#"["_miroir_shard EXISTS", "a = \"_miroir_shard\""]"#);
        assert!(narrowed.contains("[\"_miroir_SHARD EXISTS\",\"a = \\\"_miroir_shard\\\"\","), "{narrowed}");
    }

    #[test]
    fn an_empty_filter_never_becomes_the_clause_alone() {
        for filter in [r#""""#, r#"" ""#, "[]", "[[]]", r#"[""]"#, r#"["",[" "]]"#] {
            let error = read(format!(r#"{{"filter":{filter}}}"#).as_bytes()).unwrap_err();
            assert_eq!(error.message, "Sending an empty filter is forbidden.", "{filter}");
        }
    }

    /// Texts recorded from Meilisearch 1.50.
    #[test]
    fn faults_read_as_the_engines() {
        let message = |body: &str| read(body.as_bytes()).unwrap_err().message;
        assert_eq!(message(""), "A json payload is missing.");
        assert_eq!(message(r#"{"filter":"a = 1","x":1}"#), "Unknown field `x`: expected one of `filter`");
        assert_eq!(message("{}"), "Missing field `filter`");
        assert_eq!(message("[]"), "Invalid value type: expected an object, but found an array: `[]`");
        assert_eq!(
            message(r#"{"filter":"#),
            "The json payload provided is malformed. `EOF while parsing a value at line 1 column 10`."
        );
        let syntax = |filter: &str| message(&format!(r#"{{"filter":{filter}}}"#));
        assert_eq!(syntax("null"), "Invalid syntax for the filter parameter: `expected String, Array, found: null`.");
        assert_eq!(syntax("[1]"), "Invalid syntax for the filter parameter: `expected String, [String], found: 1`.");
        assert_eq!(
            syntax(r#"["a = 1",["b = 1",["c"]]]"#),
            r#"Invalid syntax for the filter parameter: `expected String, found: ["c"]`."#
        );
    }
}
