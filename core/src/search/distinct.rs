//! Values of the distinct attribute within a hit. A document is dropped where any of its values was seen before.

use super::normalise::normalise;
use serde_json::Value;

/// Appends the values of `attribute` (a path with dots) that the member `name` with the value `raw` holds.
pub(super) fn values_at(attribute: &str, name: &[u8], raw: &[u8], values: &mut Vec<Box<str>>) {
    let Some(rest) = attribute.as_bytes().strip_prefix(name) else { return };
    let path = match rest.split_first() {
        None => "",
        Some((b'.', _)) => attribute.get(name.len().saturating_add(1)..).unwrap_or_default(),
        Some(_) => return,
    };
    if let Ok(value) = serde_json::from_slice::<Value>(raw) {
        collect(&value, path, values);
    }
}

fn collect(value: &Value, path: &str, values: &mut Vec<Box<str>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, path, values)),
        Value::Object(members) if !path.is_empty() => {
            for (name, value) in members {
                match path.strip_prefix(name.as_str()) {
                    Some("") => collect(value, "", values),
                    Some(rest) => {
                        if let Some(rest) = rest.strip_prefix('.') {
                            collect(value, rest, values);
                        }
                    }
                    None => {}
                }
            }
        }
        _ if !path.is_empty() => {}
        // A number and a text are never the same value.
        Value::Bool(flag) => values.push(format!("t{flag}").into()),
        Value::String(text) => values.push(format!("t{}", normalise(text)).into()),
        Value::Number(number) => values.push(format!("n{}", number.as_f64().unwrap_or_default()).into()),
        Value::Null | Value::Object(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(attribute: &str, name: &str, raw: &str) -> Vec<String> {
        let mut values = Vec::new();
        values_at(attribute, name.as_bytes(), raw.as_bytes(), &mut values);
        values.into_iter().map(Into::into).collect()
    }

    #[test]
    fn values_are_found_at_paths_and_in_arrays() {
        assert_eq!(values("sku", "sku", "\"A-1\""), ["ta-1"]);
        assert_eq!(values("sku", "sku", "[1, 1.0, \"1\", null, true]"), ["n1", "n1", "t1", "ttrue"]);
        assert_eq!(values("a.b.c", "a", r#"{"b":{"c":1},"b.c":2,"x":3}"#), ["n1", "n2"]);
        assert_eq!(values("a.b", "a", r#"[{"b":1},{"b":[2]}]"#), ["n1", "n2"]);
        assert_eq!(values("a.b", "a.b", "7"), ["n7"]);
    }

    #[test]
    fn other_members_hold_none() {
        assert!(values("sku", "skus", "1").is_empty());
        assert!(values("skus", "sku", "1").is_empty());
        assert!(values("a.b", "a", "1").is_empty());
        assert!(values("a", "a", "{\"b\":1}").is_empty());
    }
}
