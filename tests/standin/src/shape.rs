//! Reading request bodies and query strings with the engine's own complaints.

use serde_json::{Map, Value};

use crate::answer::{Refusal, refuse};

/// Type that a field must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    /// Text.
    Text,
    /// A non-negative integer.
    Count,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    Texts,
    /// Anything: the reader of the field looks closer.
    Any,
}

/// A field that a body or query string may have: name, type, error code of a wrong type.
pub(crate) type Field = (&'static str, Is, &'static str);

/// How the engine names the type of a value in its complaints.
fn found(value: &Value) -> String {
    let kind = match value {
        Value::Null => return "null".to_owned(),
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_u64() => "a positive integer",
        Value::Number(number) if number.is_i64() => "a negative integer",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("{kind}: `{value}`")
}

/// `Invalid value type at `.limit`: expected …, but found …`.
pub(crate) fn wrong_type(code: &str, path: &str, expected: &str, value: &Value) -> Refusal {
    let place = if path.is_empty() { String::new() } else { format!(" at `{path}`") };
    refuse(code, format!("Invalid value type{place}: expected {expected}, but found {}", found(value)))
}

fn names(known: &[Field]) -> String {
    known.iter().map(|(name, ..)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The body as an object.
pub(crate) fn object(value: &Value) -> Result<&Map<String, Value>, Refusal> {
    value.as_object().ok_or_else(|| wrong_type("bad_request", "", "an object", value))
}

/// Checks names and types of a body's fields; `null` always counts as absent. `place` is put before the field names.
pub(crate) fn check(body: &Map<String, Value>, known: &[Field], place: &str) -> Result<(), Refusal> {
    for (name, value) in body {
        let Some((_, is, code)) = known.iter().find(|(known, ..)| known == name) else {
            let inside = if place.is_empty() { String::new() } else { format!(" inside `{place}`") };
            return Err(refuse(
                "bad_request",
                format!("Unknown field `{name}`{inside}: expected one of {}", names(known)),
            ));
        };
        let path = format!("{place}.{name}");
        let wrong = |expected: &str| Err(wrong_type(code, &path, expected, value));
        match (is, value) {
            (_, Value::Null) | (Is::Any, _) | (Is::Text, Value::String(_)) | (Is::Flag, Value::Bool(_)) => {}
            (Is::Count, value) if value.is_u64() => {}
            (Is::Number, value) if value.is_number() => {}
            (Is::Texts, Value::Array(items)) => {
                for (position, item) in items.iter().enumerate() {
                    if !item.is_string() {
                        return Err(wrong_type(code, &format!("{path}[{position}]"), "a string", item));
                    }
                }
            }
            (Is::Text, _) => return wrong("a string"),
            (Is::Count, _) => return wrong("a positive integer"),
            (Is::Number, _) => return wrong("a number"),
            (Is::Flag, _) => return wrong("a boolean"),
            (Is::Texts, _) => return wrong("an array"),
        }
    }
    Ok(())
}

/// Decodes `%41` and `+`.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match (first, hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The pairs of a query string, decoded.
pub(crate) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// Reads a query string into the fields that the same request would have in a JSON body.
pub(crate) fn query(query: Option<&str>, known: &[Field]) -> Result<Map<String, Value>, Refusal> {
    let mut fields = Map::new();
    for (name, text) in pairs(query) {
        let Some((_, is, code)) = known.iter().find(|(known, ..)| *known == name) else {
            return Err(refuse("bad_request", format!("Unknown parameter `{name}`: expected one of {}", names(known))));
        };
        let wrong = |kind: &str| {
            refuse(code, format!("Invalid value in parameter `{name}`: could not parse `{text}` as a {kind}"))
        };
        let value = match is {
            Is::Text | Is::Any => Value::String(text),
            Is::Count => Value::from(text.parse::<u64>().map_err(|_| wrong("positive integer"))?),
            Is::Number => Value::from(text.parse::<f64>().map_err(|_| wrong("number"))?),
            Is::Flag => Value::Bool(text.parse().map_err(|_| {
                refuse(
                    code,
                    format!(
                        "Invalid value in parameter `{name}`: could not parse `{text}` as a boolean, expected either `true` or `false`"
                    ),
                )
            })?),
            Is::Texts => text.split(',').map(str::trim).map(Value::from).collect(),
        };
        fields.insert(name, value);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIELDS: &[Field] = &[("q", Is::Text, "invalid_search_q"), ("limit", Is::Count, "invalid_search_limit")];

    #[test]
    fn complaints_are_the_engines() {
        let complaint = |body: Value| check(object(&body).unwrap(), FIELDS, "").unwrap_err().0.message;
        assert_eq!(complaint(json!({"foo": 1})), "Unknown field `foo`: expected one of `q`, `limit`");
        assert_eq!(
            complaint(json!({"limit": -1})),
            "Invalid value type at `.limit`: expected a positive integer, but found a negative integer: `-1`"
        );
        assert!(check(object(&json!({"q": null, "limit": 3})).unwrap(), FIELDS, "").is_ok());
    }

    #[test]
    fn query_strings_are_decoded() {
        assert_eq!(
            query(Some("q=a+b%20c&limit=3"), FIELDS).unwrap(),
            *json!({"q": "a b c", "limit": 3}).as_object().unwrap()
        );
        assert!(query(Some("limit=a"), FIELDS).is_err());
    }
}
