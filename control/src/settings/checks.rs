//! Checks of single values beyond their types.

use serde_json::Value;

/// A ranking rule is a built-in name, or `attribute:asc` or `attribute:desc` of an attribute that is not reserved.
pub(super) fn ranking_rule(value: &mut Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    const BUILT_IN: &[&str] =
        &["words", "typo", "proximity", "attribute", "attributeRank", "wordPosition", "sort", "exactness"];
    if BUILT_IN.contains(&text) {
        return Ok(());
    }
    let field = match text.rsplit_once(':') {
        Some((field, "asc" | "desc")) => field,
        _ => {
            return Err(format!(
                "`{text}` ranking rule is invalid. Valid ranking rules are words, typo, sort, proximity, attribute, exactness and custom ranking rules."
            ));
        }
    };
    let reserved = |name: &str| format!("`{name}` is a reserved keyword and thus can't be used as a ranking rule");
    let reserved_for = |name, what| format!("{}. `{name}` can only be used for {what} at search time", reserved(name));
    match field {
        _ if field.starts_with("_geoPoint(") && !field.ends_with(')') => Ok(()),
        _ if named(field, "_geoPoint") => Err(reserved_for("_geoPoint", "sorting")),
        _ if named(field, "_geoRadius") => Err(reserved_for("_geoRadius", "filtering")),
        _ if named(field, "_geoBoundingBox") => Err(reserved_for("_geoBoundingBox", "filtering")),
        "_geo" | "_geojson" | "_geoDistance" => Err(reserved(field)),
        _ if field.starts_with("_geo(") || field.starts_with("_geoDistance(") => Err(reserved(field)),
        _ => Ok(()),
    }
}

/// The name alone or with parentheses.
fn named(field: &str, name: &str) -> bool {
    field.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('('))
}

/// `oneTypo` must not exceed `twoTypos` where both are given.
pub(super) fn minimum_word_sizes(value: &mut Value) -> Result<(), String> {
    match (value["oneTypo"].as_u64(), value["twoTypos"].as_u64()) {
        (Some(one), Some(two)) if one > two => Err(word_sizes_crossed(one, two)),
        _ => Ok(()),
    }
}

/// The engine's words for `oneTypo` above `twoTypos`.
pub(super) fn word_sizes_crossed(one: u64, two: u64) -> String {
    format!(
        "`minWordSizeForTypos` setting is invalid. `oneTypo` and `twoTypos` fields should be between `0` and `255`, and `twoTypos` should be greater or equals to `oneTypo` but found `oneTypo: {one}` and twoTypos: {two}`."
    )
}

/// The distribution of an embedder's scores.
pub(super) fn distribution(value: &mut Value) -> Result<(), String> {
    let mean = value["mean"].as_f64().unwrap_or_default() as f32;
    let sigma = value["sigma"].as_f64().unwrap_or_default() as f32;
    if !(0.0..=1.0).contains(&mean) {
        return Err(format!("the distribution mean must be in the range [0, 1], got {mean}"));
    }
    if sigma <= 0.0 || sigma > 1.0 {
        return Err(format!("the distribution sigma must be in the range ]0, 1], got {sigma}"));
    }
    Ok(())
}

/// `semanticRatio` of a chat's hybrid search.
pub(super) fn ratio(value: &mut Value) -> Result<(), String> {
    unit(value, "semanticRatio")
}

/// `rankingScoreThreshold` of a chat's search.
pub(super) fn score_threshold(value: &mut Value) -> Result<(), String> {
    unit(value, "rankingScoreThreshold")
}

fn unit(value: &Value, name: &str) -> Result<(), String> {
    if value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number)) {
        return Ok(());
    }
    Err(format!("the value of `{name}` is invalid, expected a float between `0.0` and `1.0`."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ranking_rules_are_judged_as_by_the_engine() {
        for fine in ["words", "attributeRank", "price:asc", "a:b:desc", ":asc", "_geography:asc"] {
            assert_eq!(ranking_rule(&mut json!(fine)), Ok(()), "{fine}");
        }
        for (bad, start) in [
            ("foo", "`foo` ranking rule is invalid."),
            ("price:up", "`price:up` ranking rule is invalid."),
            ("_geoPoint(1,2):asc", "`_geoPoint` is a reserved keyword"),
            ("_geoPoint(1):desc", "`_geoPoint` is a reserved keyword"),
            ("_geo:asc", "`_geo` is a reserved keyword and thus can't be used as a ranking rule"),
            (
                "_geoRadius(1):asc",
                "`_geoRadius` is a reserved keyword and thus can't be used as a ranking rule. `_geoRadius` can only be used for filtering",
            ),
        ] {
            let why = ranking_rule(&mut json!(bad)).unwrap_err();
            assert!(why.starts_with(start), "{why}");
        }
    }

    #[test]
    fn word_sizes_may_not_cross() {
        assert!(minimum_word_sizes(&mut json!({"oneTypo":9,"twoTypos":5})).is_err());
        assert!(minimum_word_sizes(&mut json!({"oneTypo":9})).is_ok());
        assert!(minimum_word_sizes(&mut json!({"oneTypo":5,"twoTypos":5})).is_ok());
    }
}
