//! Checks of settings bodies, with the engine's complaints, and the form in which they are kept.

use serde_json::{Map, Value, json};

use crate::answer::{Refusal, refuse};
use crate::shape::{self, Field, Is, wrong_type};

/// A setting.
pub(crate) struct Key {
    /// Name in the settings object.
    pub(crate) name: &'static str,
    /// Segment of its own route.
    pub(crate) route: &'static str,
    /// Error code of a bad value.
    pub(crate) code: &'static str,
    /// Whether its own route takes `PATCH` (else `PUT`).
    pub(crate) patch: bool,
}

const fn key(name: &'static str, route: &'static str, code: &'static str, patch: bool) -> Key {
    Key { name, route, code, patch }
}

/// All settings, in the engine's order.
pub(crate) const KEYS: &[Key] = &[
    key("displayedAttributes", "displayed-attributes", "invalid_settings_displayed_attributes", false),
    key("searchableAttributes", "searchable-attributes", "invalid_settings_searchable_attributes", false),
    key("filterableAttributes", "filterable-attributes", "invalid_settings_filterable_attributes", false),
    key("sortableAttributes", "sortable-attributes", "invalid_settings_sortable_attributes", false),
    key("foreignKeys", "foreign-keys", "invalid_settings_foreign_keys", false),
    key("rankingRules", "ranking-rules", "invalid_settings_ranking_rules", false),
    key("stopWords", "stop-words", "invalid_settings_stop_words", false),
    key("nonSeparatorTokens", "non-separator-tokens", "invalid_settings_non_separator_tokens", false),
    key("separatorTokens", "separator-tokens", "invalid_settings_separator_tokens", false),
    key("dictionary", "dictionary", "invalid_settings_dictionary", false),
    key("synonyms", "synonyms", "invalid_settings_synonyms", false),
    key("distinctAttribute", "distinct-attribute", "invalid_settings_distinct_attribute", false),
    key("proximityPrecision", "proximity-precision", "invalid_settings_proximity_precision", false),
    key("typoTolerance", "typo-tolerance", "invalid_settings_typo_tolerance", true),
    key("faceting", "faceting", "invalid_settings_faceting", true),
    key("pagination", "pagination", "invalid_settings_pagination", true),
    key("embedders", "embedders", "invalid_settings_embedders", true),
    key("searchCutoffMs", "search-cutoff-ms", "invalid_settings_search_cutoff_ms", false),
    key("localizedAttributes", "localized-attributes", "invalid_settings_localized_attributes", false),
    key("facetSearch", "facet-search", "invalid_settings_facet_search", false),
    key("prefixSearch", "prefix-search", "invalid_settings_prefix_search", false),
    key("chat", "chat", "invalid_settings_index_chat", true),
];

/// Checks a whole settings object and returns it as it is kept and echoed.
pub(crate) fn check_all(body: &Value) -> Result<Map<String, Value>, Refusal> {
    let body = shape::object(body)?;
    let fields: Vec<Field> = KEYS.iter().map(|key| (key.name, Is::Any, key.code)).collect();
    shape::check(body, &fields, "")?;
    let mut kept = Map::new();
    for key in KEYS {
        if let Some(value) = body.get(key.name) {
            kept.insert(key.name.to_owned(), check_one(key, value, &format!(".{}", key.name))?);
        }
    }
    Ok(kept)
}

/// Checks the value of one setting, which stands at `place` in the body.
pub(crate) fn check_one(key: &Key, value: &Value, place: &str) -> Result<Value, Refusal> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let code = key.code;
    match key.name {
        "displayedAttributes" | "searchableAttributes" => texts(code, value, place),
        "sortableAttributes" | "stopWords" | "nonSeparatorTokens" | "separatorTokens" | "dictionary" => {
            texts(code, value, place).map(sorted)
        }
        "filterableAttributes" => filterable(code, value, place),
        "rankingRules" => ranking_rules(code, value, place),
        "synonyms" => synonyms(code, value, place),
        "distinctAttribute" if !value.is_string() => Err(wrong_type(code, place, "a string", value)),
        "proximityPrecision" => choice(code, value, place, &["byWord", "byAttribute"]),
        "prefixSearch" => choice(code, value, place, &["indexingTime", "disabled"]),
        "searchCutoffMs" if !value.is_u64() => Err(wrong_type(code, place, "a positive integer", value)),
        "facetSearch" if !value.is_boolean() => Err(wrong_type(code, place, "a boolean", value)),
        "typoTolerance" => typo_tolerance(code, value, place),
        "faceting" => faceting(code, value, place),
        "pagination" => inside(code, value, place, &[("maxTotalHits", Is::Count, code)]),
        _ => Ok(value.clone()),
    }
}

/// An object with these fields; unknown ones are refused under the setting's own code.
fn inside(code: &str, value: &Value, place: &str, fields: &[Field]) -> Result<Value, Refusal> {
    let object = value.as_object().ok_or_else(|| wrong_type(code, place, "an object", value))?;
    shape::check(object, fields, place).map_err(|Refusal(body, status)| match body.code.as_str() {
        "bad_request" => refuse(code, body.message),
        _ => Refusal(body, status),
    })?;
    Ok(value.clone())
}

fn texts(code: &str, value: &Value, place: &str) -> Result<Value, Refusal> {
    let items = value.as_array().ok_or_else(|| wrong_type(code, place, "an array", value))?;
    for (position, item) in items.iter().enumerate() {
        if !item.is_string() {
            return Err(wrong_type(code, &format!("{place}[{position}]"), "a string", item));
        }
    }
    Ok(value.clone())
}

fn sorted(value: Value) -> Value {
    let mut items: Vec<String> =
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect();
    items.sort();
    items.dedup();
    json!(items)
}

fn choice(code: &str, value: &Value, place: &str, choices: &[&str]) -> Result<Value, Refusal> {
    let text = value.as_str().ok_or_else(|| wrong_type(code, place, "a string", value))?;
    if choices.contains(&text) {
        return Ok(value.clone());
    }
    let at = if place.is_empty() { String::new() } else { format!(" at `{place}`") };
    let list: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    Err(refuse(code, format!("Unknown value `{text}`{at}: expected one of {}", list.join(", "))))
}

fn filterable(code: &str, value: &Value, place: &str) -> Result<Value, Refusal> {
    let rules = value.as_array().ok_or_else(|| wrong_type(code, place, "an array", value))?;
    let mut kept = Vec::new();
    for (position, rule) in rules.iter().enumerate() {
        let place = format!("{place}[{position}]");
        if rule.is_string() {
            kept.push(rule.clone());
            continue;
        }
        inside(
            code,
            rule,
            &place,
            &[
                ("attributePatterns", Is::Texts, "invalid_settings_filterable_attributes"),
                ("features", Is::Any, "invalid_settings_filterable_attributes"),
            ],
        )?;
        let features = &rule["features"];
        let flag = |value: &Value, otherwise: bool| value.as_bool().unwrap_or(otherwise);
        kept.push(json!({
            "attributePatterns": rule["attributePatterns"],
            "features": {
                "facetSearch": flag(&features["facetSearch"], false),
                "filter": {
                    "equality": flag(&features["filter"]["equality"], true),
                    "comparison": flag(&features["filter"]["comparison"], false),
                },
            },
        }));
    }
    Ok(Value::Array(kept))
}

fn ranking_rules(code: &str, value: &Value, place: &str) -> Result<Value, Refusal> {
    texts(code, value, place)?;
    const RULES: &[&str] =
        &["words", "typo", "proximity", "attribute", "attributeRank", "sort", "wordPosition", "exactness"];
    for (position, rule) in value.as_array().into_iter().flatten().enumerate() {
        let rule = rule.as_str().unwrap_or_default();
        let custom = [":asc", ":desc"].iter().any(|end| rule.strip_suffix(end).is_some_and(|name| !name.is_empty()));
        if !custom && !RULES.contains(&rule) {
            return Err(refuse(
                code,
                format!(
                    "Invalid value at `{place}[{position}]`: `{rule}` ranking rule is invalid. Valid ranking rules are words, typo, sort, proximity, attribute, exactness and custom ranking rules."
                ),
            ));
        }
    }
    Ok(value.clone())
}

fn synonyms(code: &str, value: &Value, place: &str) -> Result<Value, Refusal> {
    let object = value.as_object().ok_or_else(|| wrong_type(code, place, "an object", value))?;
    let mut kept = Map::new();
    for (word, synonyms) in object {
        kept.insert(word.clone(), texts(code, synonyms, &format!("{place}.{word}"))?);
    }
    kept.sort_keys();
    Ok(Value::Object(kept))
}

fn typo_tolerance(code: &'static str, value: &Value, place: &str) -> Result<Value, Refusal> {
    let fields: &[Field] = &[
        ("enabled", Is::Flag, code),
        ("minWordSizeForTypos", Is::Any, code),
        ("disableOnWords", Is::Texts, code),
        ("disableOnAttributes", Is::Texts, code),
        ("disableOnNumbers", Is::Flag, code),
    ];
    let mut kept = inside(code, value, place, fields)?;
    if let Some(sizes) = value.get("minWordSizeForTypos").filter(|sizes| !sizes.is_null()) {
        let place = format!("{place}.minWordSizeForTypos");
        inside(code, sizes, &place, &[("oneTypo", Is::Count, code), ("twoTypos", Is::Count, code)])?;
        if let (Some(one), Some(two)) = (sizes["oneTypo"].as_u64(), sizes["twoTypos"].as_u64())
            && one > two
        {
            return Err(refuse(
                "invalid_settings_typo_tolerance",
                format!(
                    "Invalid value at `{place}`: `minWordSizeForTypos` setting is invalid. `oneTypo` and `twoTypos` fields should be between `0` and `255`, and `twoTypos` should be greater or equals to `oneTypo` but found `oneTypo: {one}` and twoTypos: {two}`."
                ),
            ));
        }
    }
    for list in ["disableOnWords", "disableOnAttributes"] {
        if let Some(slot) = kept.get_mut(list).filter(|slot| !slot.is_null()) {
            *slot = sorted(slot.take());
        }
    }
    Ok(kept)
}

fn faceting(code: &'static str, value: &Value, place: &str) -> Result<Value, Refusal> {
    inside(code, value, place, &[("maxValuesPerFacet", Is::Count, code), ("sortFacetValuesBy", Is::Any, code)])?;
    if let Some(by) = value.get("sortFacetValuesBy").and_then(Value::as_object) {
        for (facet, order) in by {
            choice(code, order, &format!("{place}.sortFacetValuesBy.{facet}"), &["alpha", "count"])?;
        }
    }
    Ok(value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_filled_in() {
        let kept = check_all(&json!({"filterableAttributes": ["a", {"attributePatterns": ["b"]}]})).unwrap();
        assert_eq!(
            kept["filterableAttributes"][1]["features"]["filter"],
            json!({"equality": true, "comparison": false})
        );
    }

    #[test]
    fn complaints_are_the_engines() {
        let complaint = |body: Value| check_all(&body).unwrap_err().0.message;
        assert_eq!(
            complaint(json!({"pagination": {"maxTotalHits": "a"}})),
            "Invalid value type at `.pagination.maxTotalHits`: expected a positive integer, but found a string: `\"a\"`"
        );
        assert_eq!(
            complaint(json!({"prefixSearch": "x"})),
            "Unknown value `x` at `.prefixSearch`: expected one of `indexingTime`, `disabled`"
        );
    }
}
