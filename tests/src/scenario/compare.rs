//! Comparing answers.

use serde_json::Value;

/// Where two values differ, if they do: the path, and both values. The order of fields does not count, except that of
/// facet values; numbers may differ by rounding.
pub(crate) fn difference(expected: &Value, found: &Value) -> Option<String> {
    at("", expected, found)
}

/// Puts the hits of a search, or the results of a listing, into an order that does not depend on ranking.
pub(super) fn any_order(value: &mut Value) {
    for list in ["hits", "results"] {
        if let Some(items) = value.get_mut(list).and_then(Value::as_array_mut) {
            items.sort_by_key(without_order);
        }
    }
}

/// A text of a value in which the order of fields does not show.
fn without_order(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

fn at(path: &str, expected: &Value, found: &Value) -> Option<String> {
    let differ = || Some(format!("{path}: expected {expected}, found {found}"));
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                let Some(other) = right.get(name) else { return Some(format!("{path}.{name}: missing")) };
                if let Some(difference) = at(&format!("{path}.{name}"), value, other) {
                    return Some(difference);
                }
            }
            if let Some(name) = right.keys().find(|name| !left.contains_key(*name)) {
                return Some(format!("{path}.{name}: not expected, found {}", right[name]));
            }
            let ordered = path.contains(".facetDistribution.");
            (ordered && !left.keys().eq(right.keys())).then(|| format!("{path}: another order: {expected} and {found}"))
        }
        (Value::Array(left), Value::Array(right)) => {
            if left.len() != right.len() {
                return differ();
            }
            left.iter()
                .zip(right)
                .enumerate()
                .find_map(|(position, (left, right))| at(&format!("{path}[{position}]"), left, right))
        }
        (Value::Number(left), Value::Number(right)) => {
            let near = left.as_f64().zip(right.as_f64()).is_some_and(|(left, right)| (left - right).abs() < 1e-9);
            let whole = left.is_f64() == right.is_f64();
            if left == right || (near && whole) { None } else { differ() }
        }
        _ if expected == found => None,
        _ => differ(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_named_by_their_path() {
        assert_eq!(difference(&json!({"a": 1, "b": [1, 2.0]}), &json!({"b": [1, 2.000_000_000_000_1], "a": 1})), None);
        assert_eq!(
            difference(&json!({"a": [{"b": 1}]}), &json!({"a": [{"b": 2}]})).unwrap(),
            ".a[0].b: expected 1, found 2"
        );
        assert!(difference(&json!({"a": 1}), &json!({"a": 1, "b": 2})).unwrap().starts_with(".b: not expected"));
        assert!(difference(&json!({"a": 1}), &json!({"a": 1.0})).is_some());
    }

    #[test]
    fn facet_values_have_an_order_and_other_fields_none() {
        let facets = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let (left, right) =
            (r#"{"facetDistribution":{"g":{"a":1,"b":2}}}"#, r#"{"facetDistribution":{"g":{"b":2,"a":1}}}"#);
        assert!(difference(&facets(left), &facets(right)).is_some());
    }

    #[test]
    fn hits_can_be_put_in_any_order() {
        let mut left = json!({"hits": [{"b": 1, "a": 2}, {"a": 1}]});
        let mut right = json!({"hits": [{"a": 1}, {"a": 2, "b": 1}]});
        any_order(&mut left);
        any_order(&mut right);
        assert_eq!(difference(&left, &right), None);
    }
}
