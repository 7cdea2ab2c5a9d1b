//! Dotted paths into documents: `a.b` means the field `b` of the object, or of each object of the list, in `a`.

use serde_json::{Map, Value};

/// Every value found under a dotted name; lists are opened, but an empty list or object stands for itself.
pub(crate) fn values<'a>(document: &'a Map<String, Value>, name: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    in_object(document, name, &mut found);
    found
}

/// Every value found under a dotted name; lists at its end are not opened.
pub(crate) fn whole<'a>(document: &'a Map<String, Value>, name: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for (key, value) in document {
        if key == name {
            found.push(value);
        } else if let Some(rest) = name.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix('.'))
            && let Value::Object(inner) = value
        {
            found.extend(whole(inner, rest));
        }
    }
    found
}

fn in_object<'a>(object: &'a Map<String, Value>, name: &str, found: &mut Vec<&'a Value>) {
    for (key, value) in object {
        if key == name {
            open(value, found);
        } else if let Some(rest) = name.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix('.')) {
            descend(value, rest, found);
        }
    }
}

fn descend<'a>(value: &'a Value, rest: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => in_object(object, rest, found),
        Value::Array(items) => items.iter().for_each(|item| descend(item, rest, found)),
        _ => {}
    }
}

fn open<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|item| open(item, found)),
        other => found.push(other),
    }
}

/// Every leaf of a document with its dotted name, in order; lists are opened.
pub(crate) fn leaves<'a>(document: &'a Map<String, Value>, visit: &mut impl FnMut(&str, &'a Value)) {
    for (key, value) in document {
        leaf(key, value, visit);
    }
}

fn leaf<'a>(name: &str, value: &'a Value, visit: &mut impl FnMut(&str, &'a Value)) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                leaf(&format!("{name}.{key}"), value, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| leaf(name, item, visit)),
        other => visit(name, other),
    }
}

/// Whether the name is the selector or lies under it.
pub(crate) fn under(name: &str, selector: &str) -> bool {
    name.strip_prefix(selector).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a name fits a pattern: exact, `prefix*`, `*suffix`, `*part*` or `*`.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(rest), Some(_)) => name.contains(rest.trim_end_matches('*')),
        (Some(suffix), None) => name.ends_with(suffix),
        (None, Some(prefix)) => name.starts_with(prefix),
        (None, None) => name == pattern,
    }
}

/// The document reduced to the selected fields, which may be dotted; the order is the document's own.
pub(crate) fn select(document: &Map<String, Value>, selectors: &[String]) -> Map<String, Value> {
    if selectors.iter().any(|selector| selector == "*") {
        return document.clone();
    }
    select_at(document, "", selectors)
}

fn select_at(object: &Map<String, Value>, prefix: &str, selectors: &[String]) -> Map<String, Value> {
    let mut kept = Map::new();
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        if selectors.iter().any(|selector| under(&name, selector) || (selector.contains('*') && fits(selector, &name)))
        {
            kept.insert(key.clone(), value.clone());
        } else if selectors.iter().any(|selector| under(selector, &name)) {
            let inner = select_value(value, &format!("{name}."), selectors);
            if let Some(inner) = inner {
                kept.insert(key.clone(), inner);
            }
        }
    }
    kept
}

fn select_value(value: &Value, prefix: &str, selectors: &[String]) -> Option<Value> {
    match value {
        Value::Object(object) => {
            let kept = select_at(object, prefix, selectors);
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let kept: Vec<_> = items.iter().filter_map(|item| select_value(item, prefix, selectors)).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dotted_names_reach_into_lists() {
        let document = json!({"a": [{"b": 1}, {"b": [2, 3]}], "a.b": 4, "e": []});
        let document = document.as_object().unwrap();
        assert_eq!(values(document, "a.b"), [&json!(1), &json!(2), &json!(3), &json!(4)]);
        assert_eq!(values(document, "e"), [&json!([])]);
        assert_eq!(
            Value::Object(select(document, &["a.b".into()])),
            *json!({"a": [{"b": 1}, {"b": [2, 3]}], "a.b": 4})
                .as_object()
                .map(|map| Value::Object(map.clone()))
                .as_ref()
                .unwrap()
        );
    }

    #[test]
    fn patterns() {
        assert!(fits("*", "x") && fits("a*", "ab") && fits("*b", "ab") && fits("*b*", "abc") && !fits("a", "ab"));
        assert!(under("a.b", "a") && !under("ab", "a"));
    }
}
