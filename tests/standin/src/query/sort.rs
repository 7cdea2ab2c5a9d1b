//! Sort criteria: parsing, the values of documents, their order.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use crate::filter::normal;
use crate::index::{geo, paths};

/// A sort criterion.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Criterion {
    /// By what.
    pub(crate) by: By,
    /// Smallest first.
    pub(crate) ascending: bool,
}

/// What is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum By {
    /// The values of a field.
    Field(String),
    /// The distance from a point.
    Point([f64; 2]),
}

/// Value of a document under a criterion.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A point and its distance.
    Point([f64; 2], f64),
    /// Nothing: last in either direction.
    None,
}

impl Key {
    /// As details show it.
    pub(crate) fn shown(self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Point([lat, lng], _) => json!({"lat": lat, "lng": lng}),
            Self::None => Value::Null,
        }
    }
}

impl Criterion {
    /// Parses `field:asc` or `_geoPoint(1, 2):desc`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, ascending) = match (text.strip_suffix(":asc"), text.strip_suffix(":desc")) {
            (Some(name), _) => (name, true),
            (_, Some(name)) => (name, false),
            _ => return None,
        };
        let by = match name.strip_prefix("_geoPoint(").and_then(|rest| rest.strip_suffix(')')) {
            Some(inside) => {
                let (lat, lng) = inside.split_once(',')?;
                By::Point([lat.trim().parse().ok()?, lng.trim().parse().ok()?])
            }
            None => By::Field(name.to_owned()),
        };
        Some(Self { by, ascending })
    }

    /// Name and body in the ranking details.
    pub(crate) fn explain(&self, order: usize, value: &Value, displays: &dyn Fn(&str) -> bool) -> (String, Value) {
        let direction = if self.ascending { "asc" } else { "desc" };
        match &self.by {
            By::Field(name) if displays(name) => {
                (format!("{name}:{direction}"), json!({"order": order, "value": value}))
            }
            By::Field(_) => (format!("<hidden-rule-{order}>"), json!({"order": order, "value": "<hidden>"})),
            By::Point([lat, lng]) => {
                let point = value["lat"].as_f64().zip(value["lng"].as_f64());
                let distance = point.map(|(there, over)| geo::distance([*lat, *lng], [there, over]));
                let name = format!("_geoPoint({lat}, {lng}):{direction}");
                (name, json!({"order": order, "value": value, "distance": distance}))
            }
        }
    }
}

/// The value of a document: its best one for the direction; numbers come before texts.
pub(crate) fn key(criterion: &Criterion, document: &Map<String, Value>) -> Key {
    let name = match &criterion.by {
        By::Point(center) => {
            return geo::of(document).map_or(Key::None, |point| Key::Point(point, geo::distance(*center, point)));
        }
        By::Field(name) => name,
    };
    let values = paths::values(document, name);
    let best = |left: &Ordering| if criterion.ascending { left.is_lt() } else { left.is_gt() };
    let mut number: Option<f64> = None;
    let mut text: Option<String> = None;
    for value in values {
        match value {
            Value::Number(found) => {
                let found = found.as_f64().unwrap_or_default();
                if number.is_none_or(|known| best(&found.total_cmp(&known))) {
                    number = Some(found);
                }
            }
            Value::String(_) | Value::Bool(_) => {
                let found = value.as_str().map_or_else(|| value.to_string(), normal);
                if text.as_ref().is_none_or(|known| best(&found.cmp(known))) {
                    text = Some(found);
                }
            }
            _ => {}
        }
    }
    number.map(Key::Number).or(text.map(Key::Text)).unwrap_or(Key::None)
}

/// Whether a document's only value under a criterion is an explicit null.
pub(crate) fn null(criterion: &Criterion, document: &Map<String, Value>) -> bool {
    matches!(&criterion.by, By::Field(name) if paths::values(document, name).iter().any(|value| value.is_null()))
        && key(criterion, document) == Key::None
}

/// What a document was sorted by, as a node tells it to another.
pub(crate) fn weighted(criterion: &Criterion, document: &Map<String, Value>) -> Value {
    let asc = criterion.ascending;
    match (&criterion.by, key(criterion, document)) {
        (By::Point(_), Key::Point(_, distance)) => json!({"geoSort": {"asc": asc, "distance": distance}}),
        (By::Point(_), _) => json!({"geoSort": {"asc": asc, "distance": null}}),
        (By::Field(name), Key::Number(number)) => {
            let values = paths::values(document, name);
            let written = values.into_iter().find(|value| value.as_f64() == Some(number));
            json!({"sort": {"asc": asc, "value": written}})
        }
        (By::Field(_), value) => json!({"sort": {"asc": asc, "value": value.shown()}}),
    }
}

/// Which of two values comes first.
pub(crate) fn compare(criterion: &Criterion, left: &Key, right: &Key) -> Ordering {
    let turn = |order: Ordering| if criterion.ascending { order } else { order.reverse() };
    let kind = |key: &Key| match key {
        Key::Number(_) | Key::Point(..) => 0,
        Key::Text(_) => 1,
        Key::None => 2,
    };
    match (left, right) {
        (Key::Number(left), Key::Number(right)) | (Key::Point(_, left), Key::Point(_, right)) => {
            turn(left.total_cmp(right))
        }
        (Key::Text(left), Key::Text(right)) => turn(left.cmp(right)),
        (left, right) => kind(left).cmp(&kind(right)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_then_texts_then_nothing() {
        for (text, best) in [("a:asc", 1.0), ("a:desc", 3.0)] {
            let criterion = Criterion::parse(text).unwrap();
            let of = |value: Value| key(&criterion, json!({"a": value}).as_object().unwrap());
            assert_eq!(of(json!([3, 1, "x"])), Key::Number(best));
            assert!(compare(&criterion, &of(json!("x")), &of(json!(7))).is_gt());
            assert!(compare(&criterion, &of(json!(null)), &of(json!("x"))).is_gt());
        }
        assert_eq!(Criterion::parse("_geoPoint(1, -2.5):desc").unwrap().by, By::Point([1.0, -2.5]));
        assert!(Criterion::parse("a").is_none());
    }
}
