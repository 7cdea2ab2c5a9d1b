//! The engine's words for what is wrong with a JSON value (Meilisearch 1.50, observed on its answers).

use miroir_core::error::expected_one_of;
use serde_json::Value;

/// The kind of a value, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_u64() => "a positive integer",
        Value::Number(number) if number.is_i64() => "a negative integer",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// "Invalid value type at `.a[0]`: expected a string, but found an array: `[]`".
pub(super) fn wrong_type(place: &str, expected: &str, found: &Value) -> String {
    let at = located(" at", place);
    match found {
        Value::Null => format!("Invalid value type{at}: expected {expected}, but found null"),
        _ => format!("Invalid value type{at}: expected {expected}, but found {}: `{found}`", kind(found)),
    }
}

/// "Invalid value at `.a`: …".
pub(super) fn invalid(place: &str, why: &str) -> String {
    format!("Invalid value{}: {why}", located(" at", place))
}

/// "Missing field `b` inside `.a`".
pub(super) fn missing(place: &str, field: &str) -> String {
    format!("Missing field `{field}`{}", located(" inside", place))
}

/// "Unknown field `b` inside `.a`: did you mean …".
pub(super) fn unknown_field<'a>(place: &str, field: &str, accepted: impl Iterator<Item = &'a str> + Clone) -> String {
    format!("Unknown field `{field}`{}: {}", located(" inside", place), expected_one_of(field, accepted))
}

/// "Unknown value `b` at `.a`: did you mean …".
pub(super) fn unknown_value<'a>(place: &str, value: &str, accepted: impl Iterator<Item = &'a str> + Clone) -> String {
    format!("Unknown value `{value}`{}: {}", located(" at", place), expected_one_of(value, accepted))
}

/// "Immutable field `a`: expected one of …".
pub(super) fn immutable<'a>(field: &str, accepted: impl Iterator<Item = &'a str>) -> String {
    format!("Immutable field `{field}`: expected one of {}", list(accepted))
}

fn located(article: &str, place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{article} `{place}`") }
}

fn list<'a>(accepted: impl Iterator<Item = &'a str>) -> String {
    accepted.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// "did you mean `a`? expected one of `a`, `b`".
pub(crate) fn unknown_of(found: &str, accepted: &[&str]) -> String {
    expected_one_of(found, accepted.iter().copied())
}
