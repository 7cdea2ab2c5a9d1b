//! `_geo`: reading, checking, distances.

use serde_json::{Map, Value};

fn coordinate(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The point of a document.
pub(crate) fn of(document: &Map<String, Value>) -> Option<[f64; 2]> {
    let geo = document.get("_geo")?.as_object()?;
    Some([coordinate(geo.get("lat")?)?, coordinate(geo.get("lng")?)?])
}

/// Metres between two points on a sphere, to the millimetre.
pub(crate) fn distance(from: [f64; 2], to: [f64; 2]) -> f64 {
    const MEAN_RADIUS: f64 = 6_371_000.0;
    let [lat1, lng1] = from.map(f64::to_radians);
    let [lat2, lng2] = to.map(f64::to_radians);
    let half = |difference: f64| (difference / 2.0).sin().powi(2);
    let arc = half(lat2 - lat1) + lat1.cos() * lat2.cos() * half(lng2 - lng1);
    (2.0 * MEAN_RADIUS * arc.sqrt().asin() * 1000.0).round() / 1000.0
}

/// The engine's complaint about a document's `_geo`, if it has one.
pub(crate) fn complaint(document: &Map<String, Value>, id: &str) -> Option<String> {
    let field = document.get("_geo")?;
    if field.is_null() {
        return None;
    }
    let Some(geo) = field.as_object() else {
        return Some(format!(
            "The `_geo` field in the document with the id: `\"{id}\"` is not an object. Was expecting an object with the `_geo.lat` and `_geo.lng` fields but instead got `{field}`."
        ));
    };
    let spot = |name: &str, label: &str| match geo.get(name) {
        Some(value) if coordinate(value).is_none() => Some(format!(
            "Could not parse {label} in the document with the id: `\"{id}\"`. Was expecting a finite number but instead got `{value}`."
        )),
        _ => None,
    };
    match (geo.get("lat"), geo.get("lng")) {
        (None, None) => Some(format!(
            "Could not find latitude nor longitude in the document with the id: `\"{id}\"`. Was expecting `_geo.lat` and `_geo.lng` fields."
        )),
        (None, Some(_)) => Some(format!(
            "Could not find latitude in the document with the id: `\"{id}\"`. Was expecting a `_geo.lat` field."
        )),
        (Some(_), None) => Some(format!(
            "Could not find longitude in the document with the id: `\"{id}\"`. Was expecting a `_geo.lng` field."
        )),
        _ => spot("lat", "latitude").or_else(|| spot("lng", "longitude")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn distances_are_in_metres() {
        let metres = distance([48.8566, 2.3522], [45.7640, 4.8357]);
        assert!((metres - 391_500.0).abs() < 1_000.0, "{metres}");
    }

    #[test]
    fn broken_points_are_told() {
        let complaint = |geo: Value| complaint(json!({"_geo": geo}).as_object().unwrap(), "1");
        assert!(complaint(json!({"lat": 1, "lng": "2.5"})).is_none());
        assert!(complaint(json!({"lat": 1})).unwrap().contains("longitude"));
        assert!(complaint(json!("x")).unwrap().contains("not an object"));
    }
}
