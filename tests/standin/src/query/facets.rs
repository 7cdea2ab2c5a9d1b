//! Facets: distribution, statistics, search.

use std::collections::{BTreeMap, BTreeSet};

use charabia::normalizer::{Normalize, NormalizerOption};
use serde_json::{Map, Value, json};

use crate::answer::{Refusal, refuse};
use crate::filter::normal;
use crate::index::{Index, paths};

/// One value of a facet: its spelling, its count.
type Values = BTreeMap<String, (String, u64)>;

/// Counts the values of one field over some documents: numbers by their text, texts by their normal form.
fn count(index: &Index, field: &str, documents: &[u32]) -> (BTreeMap<String, u64>, Values) {
    let (mut numbers, mut texts): (BTreeMap<String, u64>, Values) = Default::default();
    let mut sorted = documents.to_vec();
    sorted.sort_unstable();
    for internal in sorted {
        let Some(document) = index.documents.get(&internal) else { continue };
        let mut seen = BTreeSet::new();
        for value in paths::values(document, field) {
            let (text, number) = match value {
                Value::Number(number) => (number.as_f64().unwrap_or_default().to_string(), true),
                Value::String(text) => (text.trim().to_owned(), false),
                Value::Bool(flag) => (flag.to_string(), false),
                _ => continue,
            };
            let form = if number { text.clone() } else { normal(&text) };
            if !seen.insert((number, form.clone())) {
                continue;
            }
            if number {
                *numbers.entry(form).or_default() += 1;
            } else {
                texts.entry(form).or_insert((text, 0)).1 += 1;
            }
        }
    }
    (numbers, texts)
}

/// `facetDistribution` and `facetStats`.
pub(crate) fn distribution(index: &Index, asked: &[String], documents: &[u32]) -> Result<(Value, Value), Refusal> {
    let mut names = BTreeSet::new();
    let known = field_names(index);
    for pattern in asked {
        let met = |name: &&String| pattern == "*" || paths::under(name, pattern) || paths::fits(pattern, name);
        if pattern != "*" && index.settings.features(pattern).is_none() {
            return Err(refuse("invalid_search_facets", not_filterable(index, pattern)));
        }
        names.extend(known.iter().filter(met).filter(|name| index.settings.features(name).is_some()).cloned());
    }
    let (mut distribution, mut stats) = (Map::new(), Map::new());
    for name in names {
        let (numbers, texts) = count(index, &name, documents);
        let range = numbers.keys().filter_map(|number| number.parse::<f64>().ok());
        let (low, high) = range.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)));
        if !numbers.is_empty() {
            stats.insert(name.clone(), json!({"min": low, "max": high}));
        }
        let mut values: Vec<(String, u64)> = numbers.into_iter().collect();
        values.extend(texts.into_values());
        if index.settings.by_count(&name) {
            values.sort_by(|left, right| right.1.cmp(&left.1).then(right.0.cmp(&left.0)));
        }
        values.truncate(index.settings.max_values());
        distribution
            .insert(name, Value::Object(values.into_iter().map(|(value, count)| (value, json!(count))).collect()));
    }
    Ok((Value::Object(distribution), Value::Object(stats)))
}

/// Names of all fields in the index, also of the objects around them.
fn field_names(index: &Index) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for document in index.documents.values() {
        names.extend(document.keys().cloned());
        paths::leaves(document, &mut |name, _| {
            let parents = name.match_indices('.').map(|(at, _)| name[..at].to_owned());
            names.extend(parents.chain([name.to_owned()]));
        });
    }
    names
}

fn list(mut patterns: Vec<String>) -> String {
    patterns.sort();
    patterns.join(", ")
}

fn not_filterable(index: &Index, pattern: &str) -> String {
    let patterns = index.settings.filterable_patterns();
    let known = if patterns.is_empty() {
        "This index does not have configured filterable attributes.".to_owned()
    } else {
        format!("Available filterable attributes patterns are: `{}`.", list(patterns))
    };
    format!("Invalid facet distribution: Pattern `{pattern}` is not filterable. {known}")
}

/// Values of a facet that start with a text (the engine also forgives typos).
pub(crate) fn search(index: &Index, name: &str, text: Option<&str>, documents: &[u32]) -> Result<Value, Refusal> {
    let refused = |message: String| Err(refuse("invalid_facet_search_facet_name", message));
    if index.settings.get("facetSearch") == &json!(false) {
        return Err(refuse("facet_search_disabled", "The facet search is disabled for this index"));
    }
    match index.settings.features(name) {
        Some((_, features)) if features.facet_search => {}
        Some((rule, _)) => {
            return refused(format!(
                "Attribute `{name}` is not facet-searchable. Note: this attribute matches rule #{rule} in filterableAttributes, but this rule does not enable facetSearch.\nHint: enable facetSearch in rule #{rule} by adding `\"facetSearch\": true` to the rule.\nHint: prepend another rule matching {name} with facetSearch: true before rule #{rule}"
            ));
        }
        None => {
            let patterns = index.settings.facet_searchable_patterns();
            let known = if patterns.is_empty() {
                "This index does not have configured facet-searchable attributes.".to_owned()
            } else {
                format!("Available facet-searchable attributes patterns are: `{}`.", list(patterns))
            };
            return refused(format!(
                "Attribute `{name}` is not facet-searchable. {known} To make it facet-searchable add it to the `filterableAttributes` index settings."
            ));
        }
    }
    let (_, texts) = count(index, name, documents);
    let plain =
        |text: &str| text.trim().normalize(&NormalizerOption { lossy: true, ..Default::default() }).to_lowercase();
    let wanted = plain(text.unwrap_or_default());
    let mut found: Vec<(String, u64)> =
        texts.into_values().filter(|(value, _)| plain(value).starts_with(&wanted)).collect();
    if index.settings.by_count(name) {
        found.sort_by(|left, right| right.1.cmp(&left.1).then(right.0.cmp(&left.0)));
    }
    found.truncate(index.settings.max_values());
    Ok(found.into_iter().map(|(value, count)| json!({"value": value, "count": count})).collect())
}
