//! Settings of an index: the full view, its defaults, and what the rest of the engine asks of it.

mod check;

pub(crate) use check::{KEYS, Key, check_all, check_one};

use serde_json::{Map, Value, json};

use crate::index::paths;

/// What a rule of `filterableAttributes` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    /// Facet search.
    pub(crate) facet_search: bool,
    /// `=`, `!=`, `IN`.
    pub(crate) equality: bool,
    /// `<`, `TO` and the like.
    pub(crate) comparison: bool,
}

/// Settings as the engine shows them: every key is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings(Map<String, Value>);

impl Default for Settings {
    fn default() -> Self {
        Self(KEYS.iter().filter_map(|key| Some((key.name.to_owned(), default(key.name)?))).collect())
    }
}

/// The default of a key; none for keys that the engine does not show.
fn default(name: &str) -> Option<Value> {
    Some(match name {
        "displayedAttributes" | "searchableAttributes" => json!(["*"]),
        "rankingRules" => {
            json!(["words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"])
        }
        "filterableAttributes"
        | "sortableAttributes"
        | "stopWords"
        | "nonSeparatorTokens"
        | "separatorTokens"
        | "dictionary" => json!([]),
        "synonyms" | "embedders" => json!({}),
        "distinctAttribute" | "searchCutoffMs" | "localizedAttributes" => Value::Null,
        "proximityPrecision" => json!("byWord"),
        "typoTolerance" => json!({
            "enabled": true,
            "minWordSizeForTypos": {"oneTypo": 5, "twoTypos": 9},
            "disableOnWords": [],
            "disableOnAttributes": [],
            "disableOnNumbers": false,
        }),
        "faceting" => json!({"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha"}}),
        "pagination" => json!({"maxTotalHits": 1000}),
        "facetSearch" => json!(true),
        "prefixSearch" => json!("indexingTime"),
        _ => return None,
    })
}

/// Lays `change` over `onto`: objects are merged key by key, null resets to `default`.
fn lay(onto: &mut Value, change: &Value, default: &Value) {
    match (onto, change) {
        (onto, Value::Null) => *onto = default.clone(),
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                let default = default.get(name).unwrap_or(&Value::Null);
                lay(fields.entry(name.clone()).or_insert(Value::Null), change, default);
                if fields.get(name).is_some_and(Value::is_null) {
                    fields.remove(name);
                }
            }
        }
        (onto, change) => *onto = change.clone(),
    }
}

impl Settings {
    /// The whole view.
    pub(crate) fn view(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// One key of the view.
    pub(crate) fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// Applies checked changes.
    pub(crate) fn apply(&mut self, changes: &Map<String, Value>) {
        for (name, change) in changes {
            let Some(default) = default(name) else { continue };
            let merged = ["typoTolerance", "faceting", "pagination", "embedders"].contains(&name.as_str());
            let slot = self.0.entry(name.clone()).or_insert(Value::Null);
            // The engine replaces this map whole, unlike the others.
            if name == "faceting" && change.get("sortFacetValuesBy").is_some() {
                slot["sortFacetValuesBy"] = json!({});
            }
            if merged {
                lay(slot, change, &default);
            } else {
                *slot = if change.is_null() { default } else { change.clone() };
            }
            if name == "faceting"
                && let Some(by) = slot.get_mut("sortFacetValuesBy").and_then(Value::as_object_mut)
            {
                by.entry("*").or_insert(json!("alpha"));
                by.sort_keys();
            }
        }
    }

    /// A key that is a list of texts.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let items = self.get(name).as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// Weight of a field in searches: its place among the searchable attributes; none if it is not searchable.
    pub(crate) fn weight(&self, field: &str) -> Option<u32> {
        let searchable = self.get("searchableAttributes").as_array()?;
        let position = searchable.iter().position(|selector| {
            selector.as_str().is_some_and(|selector| selector == "*" || paths::under(field, selector))
        })?;
        u32::try_from(position).ok()
    }

    /// The greatest weight that a field can have.
    pub(crate) fn max_weight(&self) -> u32 {
        let count = self.get("searchableAttributes").as_array().map_or(1, Vec::len);
        u32::try_from(count.saturating_sub(1)).unwrap_or_default()
    }

    /// Whether a field may be shown.
    pub(crate) fn displays(&self, field: &str) -> bool {
        self.texts("displayedAttributes").iter().any(|selector| selector == "*" || paths::under(field, selector))
    }

    /// The rule of `filterableAttributes` that a field meets first: its number, from 0, and what it allows.
    pub(crate) fn features(&self, field: &str) -> Option<(usize, Features)> {
        let rules = self.get("filterableAttributes").as_array()?;
        rules.iter().enumerate().find_map(|(number, rule)| {
            let (patterns, features) = rule_parts(rule);
            // A rule that is a mere name is that field's, whatever it looks like.
            let fits = |pattern: &String| !rule.is_string() && paths::fits(pattern, field);
            let met = patterns.iter().any(|pattern| paths::under(field, pattern) || fits(pattern));
            met.then_some((number, features))
        })
    }

    /// All patterns of `filterableAttributes`.
    pub(crate) fn filterable_patterns(&self) -> Vec<String> {
        let rules = self.get("filterableAttributes").as_array().into_iter().flatten();
        rules.flat_map(|rule| rule_parts(rule).0).collect()
    }

    /// Patterns whose rule allows facet search.
    pub(crate) fn facet_searchable_patterns(&self) -> Vec<String> {
        let rules = self.get("filterableAttributes").as_array().into_iter().flatten();
        rules.map(rule_parts).filter(|(_, features)| features.facet_search).flat_map(|(patterns, _)| patterns).collect()
    }

    /// Whether results may be sorted by a field.
    pub(crate) fn sortable(&self, field: &str) -> bool {
        self.texts("sortableAttributes").iter().any(|name| name == field)
    }

    /// Typos allowed in a word.
    pub(crate) fn typos(&self, word: &str) -> u8 {
        let typo = self.get("typoTolerance");
        let size = |name: &str| {
            typo["minWordSizeForTypos"][name].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(255)
        };
        let length = word.chars().count();
        let exact = typo["disableOnWords"].as_array().is_some_and(|words| words.iter().any(|exact| exact == word));
        let number = typo["disableOnNumbers"] == true && word.parse::<f64>().is_ok();
        if typo["enabled"] != true || exact || number || length < size("oneTypo") {
            0
        } else if length < size("twoTypos") {
            1
        } else {
            2
        }
    }

    /// How the values of a facet are ordered: by count, or else by name.
    pub(crate) fn by_count(&self, facet: &str) -> bool {
        let by = &self.get("faceting")["sortFacetValuesBy"];
        by.get(facet).or_else(|| by.get("*")).is_some_and(|order| order == "count")
    }

    /// Most values shown of a facet.
    pub(crate) fn max_values(&self) -> usize {
        self.get("faceting")["maxValuesPerFacet"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(100)
    }

    /// Most hits that can be paged through.
    pub(crate) fn max_hits(&self) -> usize {
        self.get("pagination")["maxTotalHits"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1000)
    }
}

/// Patterns and features of one rule, which is a text or an object.
fn rule_parts(rule: &Value) -> (Vec<String>, Features) {
    if let Value::String(name) = rule {
        return (vec![name.clone()], Features { facet_search: true, equality: true, comparison: true });
    }
    let patterns = rule["attributePatterns"].as_array().into_iter().flatten();
    let features = &rule["features"];
    let flag = |value: &Value, otherwise: bool| value.as_bool().unwrap_or(otherwise);
    (
        patterns.filter_map(|pattern| pattern.as_str().map(str::to_owned)).collect(),
        Features {
            facet_search: flag(&features["facetSearch"], false),
            equality: flag(&features["filter"]["equality"], true),
            comparison: flag(&features["filter"]["comparison"], false),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_resets_and_objects_merge() {
        let mut settings = Settings::default();
        let apply = |settings: &mut Settings, change: Value| settings.apply(change.as_object().unwrap());
        apply(&mut settings, json!({"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 3}}, "stopWords": ["a"]}));
        assert_eq!(settings.typos("abc"), 1);
        assert_eq!(settings.get("typoTolerance")["minWordSizeForTypos"]["twoTypos"], 9);
        apply(&mut settings, json!({"typoTolerance": {"minWordSizeForTypos": {"oneTypo": null}}, "stopWords": null}));
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let mut settings = Settings::default();
        let rules = json!({"filterableAttributes": [
            {"attributePatterns": ["a*"], "features": {"filter": {"comparison": true}}}, "b"]});
        settings.apply(rules.as_object().unwrap());
        let (rule, features) = settings.features("ab").unwrap();
        assert!(rule == 0 && !features.facet_search && features.equality && features.comparison);
        assert_eq!(settings.features("b.c").unwrap().0, 1);
        assert!(settings.features("c").is_none());
    }
}
