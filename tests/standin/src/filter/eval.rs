//! Evaluation of a filter over one document, and the check of its attributes against the settings.

use charabia::normalizer::{Normalize, NormalizerOption};
use serde_json::{Map, Value};

use super::{Filter, FilterFault, Test, Word};
use crate::index::geo;
use crate::index::paths;
use crate::settings::{Features, Settings};

/// How complaints quote the filter: search re-writes it, the document routes quote the client's own text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Search: `2:6 "year" = "1"`.
    Search,
    /// Documents: `1:5 year = 1`.
    Documents,
}

/// The form in which facet values are compared.
pub(crate) fn normal(text: &str) -> String {
    let options = NormalizerOption { lossy: false, ..Default::default() };
    text.trim().normalize(&options).to_lowercase()
}

/// Checks that every attribute may be used as it is.
pub(crate) fn validate(
    filter: &Filter,
    settings: &Settings,
    contains: bool,
    scope: Scope,
    text: &Value,
) -> Result<(), FilterFault> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => {
            parts.iter().try_for_each(|part| validate(part, settings, contains, scope, text))
        }
        Filter::Not(part) => validate(part, settings, contains, scope, text),
        Filter::Radius(.., word) | Filter::Box(.., word) => match settings.features("_geo") {
            Some(_) => Ok(()),
            None => Err(not_filterable("_geo", word, settings, &quoted(filter, word, scope, text))),
        },
        Filter::On(attribute, test) => {
            if attribute.text.starts_with("_geo") {
                return Err(reserved(attribute, text));
            }
            if let Test::Contains(_) = test
                && !contains
            {
                return Err(FilterFault {
                    code: Some("feature_not_enabled"),
                    message: format!(
                        "Using `CONTAINS` in a filter requires enabling the `contains filter` experimental feature. See https://github.com/orgs/meilisearch/discussions/763\n{}:{} {}",
                        attribute.end + 2,
                        attribute.end + 10,
                        text.as_str().unwrap_or_default()
                    ),
                });
            }
            let Some((rule, features)) = settings.features(&attribute.text) else {
                return Err(not_filterable(
                    &attribute.text,
                    attribute,
                    settings,
                    &quoted(filter, attribute, scope, text),
                ));
            };
            // The engine has one code for this, whatever the route.
            let code = (scope == Scope::Documents).then_some("invalid_search_filter");
            allowed(&attribute.text, test, rule, features).map_err(|fault| FilterFault { code, ..fault })
        }
    }
}

fn reserved(word: &Word, text: &Value) -> FilterFault {
    FilterFault::new(format!(
        "`{}` is a reserved keyword and thus can't be used as a filter expression. Use the `_geoRadius(latitude, longitude, distance)` or `_geoBoundingBox([latitude, longitude], [latitude, longitude])` built-in rules to filter on `_geo` coordinates.\n{}:{} {}",
        word.text,
        word.start + 1,
        text.as_str().unwrap_or_default().chars().count() + 1,
        text.as_str().unwrap_or_default()
    ))
}

fn quoted(filter: &Filter, word: &Word, scope: Scope, text: &Value) -> String {
    match (scope, filter) {
        (Scope::Search, Filter::On(attribute, test)) => {
            let rest = match test {
                Test::Equal(value) => format!(" = \"{}\"", value.text),
                Test::NotEqual(value) => format!(" != \"{}\"", value.text),
                Test::Compare(operator, value) => format!(" {operator} \"{}\"", value.text),
                Test::Exists => " EXISTS".into(),
                Test::Null => " IS NULL".into(),
                Test::Empty => " IS EMPTY".into(),
                Test::In(values) => {
                    let values: Vec<_> = values.iter().map(|value| format!("\"{}\"", value.text)).collect();
                    format!(" IN[{}]", values.join(","))
                }
                _ => String::new(),
            };
            format!("2:{} \"{}\"{rest}", attribute.text.chars().count() + 2, attribute.text)
        }
        _ => format!("{}:{} {}", word.start + 1, word.end + 1, text.as_str().unwrap_or_default()),
    }
}

fn not_filterable(name: &str, _word: &Word, settings: &Settings, place: &str) -> FilterFault {
    let mut patterns = settings.filterable_patterns();
    patterns.sort();
    let known = if patterns.is_empty() {
        "This index does not have configured filterable attributes.".to_owned()
    } else {
        let list: Vec<_> = patterns.iter().map(|pattern| format!("`{pattern}`")).collect();
        format!("Available filterable attribute patterns are: {}.", list.join(", "))
    };
    FilterFault::new(format!("Attribute `{name}` is not filterable. {known}\n{place}"))
}

fn allowed(name: &str, test: &Test, rule: usize, features: Features) -> Result<(), FilterFault> {
    let (operator, needs_comparison) = match test {
        Test::Compare(operator, _) => (*operator, true),
        Test::Between(..) => ("TO", true),
        Test::Equal(_) => ("=", false),
        Test::NotEqual(_) => ("!=", false),
        Test::In(_) => ("IN", false),
        Test::StartsWith(_) => ("STARTS WITH", false),
        Test::Contains(_) => ("CONTAINS", false),
        _ => return Ok(()),
    };
    if (needs_comparison && features.comparison) || (!needs_comparison && features.equality) {
        return Ok(());
    }
    let mut operators = vec!["OR", "AND", "NOT"];
    if features.equality {
        operators.extend(["=", "!=", "IN"]);
    }
    if features.comparison {
        operators.extend(["<", ">", "<=", ">=", "TO"]);
    }
    operators.extend(["IS EMPTY", "IS NULL", "EXISTS"]);
    let kind = if needs_comparison { "comparison" } else { "equality" };
    Err(FilterFault::new(format!(
        "Filter operator `{operator}` is not allowed for the attribute `{name}`.\n  - Note: allowed operators: {}.\n  - Note: field `{name}` matched rule #{rule} in `filterableAttributes`\n  - Hint: enable {kind} in rule #{rule} by modifying the features.filter object\n  - Hint: prepend another rule matching `{name}` with appropriate filter features before rule #{rule}",
        operators.join(", ")
    )))
}

/// Whether a document passes the filter.
pub(crate) fn matches(filter: &Filter, document: &Map<String, Value>) -> bool {
    match filter {
        Filter::And(parts) => parts.iter().all(|part| matches(part, document)),
        Filter::Or(parts) => parts.iter().any(|part| matches(part, document)),
        Filter::Not(part) => !matches(part, document),
        Filter::Radius(center, metres, _) => {
            geo::of(document).is_some_and(|point| geo::distance(*center, point) <= *metres)
        }
        Filter::Box(top_right, bottom_left, _) => geo::of(document).is_some_and(|point| {
            let between = if bottom_left[1] <= top_right[1] {
                point[1] >= bottom_left[1] && point[1] <= top_right[1]
            } else {
                point[1] >= bottom_left[1] || point[1] <= top_right[1]
            };
            point[0] <= top_right[0] && point[0] >= bottom_left[0] && between
        }),
        Filter::On(attribute, test) => condition(&attribute.text, test, document),
    }
}

fn condition(attribute: &str, test: &Test, document: &Map<String, Value>) -> bool {
    let found = paths::values(document, attribute);
    match test {
        Test::Exists => !found.is_empty(),
        Test::Null => found.iter().any(|value| value.is_null()),
        Test::Empty => found.iter().any(|value| {
            value.as_str().is_some_and(str::is_empty)
                || value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(Map::is_empty)
        }),
        Test::NotEqual(value) => !found.iter().any(|found| equal(found, &value.text)),
        Test::Equal(value) => found.iter().any(|found| equal(found, &value.text)),
        Test::In(values) => values.iter().any(|value| found.iter().any(|found| equal(found, &value.text))),
        Test::Compare(operator, value) => found.iter().any(|found| compare(found, operator, &value.text)),
        Test::Between(low, high) => {
            found.iter().any(|found| compare(found, ">=", &low.text) && compare(found, "<=", &high.text))
        }
        Test::Contains(value) => {
            let part = normal(&value.text);
            found.iter().filter_map(|value| facet_text(value)).any(|text| text.contains(&part))
        }
        Test::StartsWith(value) => {
            let part = normal(&value.text);
            found.iter().filter_map(|value| facet_text(value)).any(|text| text.starts_with(&part))
        }
    }
}

/// A value as a text facet: texts and booleans.
fn facet_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(normal(text)),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn equal(found: &Value, wanted: &str) -> bool {
    match found {
        Value::Number(number) => wanted.parse::<f64>().is_ok_and(|wanted| number.as_f64() == Some(wanted)),
        other => facet_text(other).is_some_and(|text| text == normal(wanted)),
    }
}

fn compare(found: &Value, operator: &str, bound: &str) -> bool {
    let order = match (found, bound.parse::<f64>()) {
        (Value::Number(number), Ok(bound)) => number.as_f64().and_then(|number| number.partial_cmp(&bound)),
        (Value::String(_) | Value::Bool(_), Err(_)) => facet_text(found).map(|text| text.cmp(&normal(bound))),
        _ => None,
    };
    order.is_some_and(|order| match operator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::parse;
    use serde_json::json;

    #[test]
    fn conditions_look_into_lists_and_objects() {
        let document = json!({"id": 1, "tags": ["Été", "b"], "at": {"year": 1977}, "gone": null, "none": []});
        let passes = |text: &str| matches(&parse(text).unwrap().unwrap(), document.as_object().unwrap());
        for yes in
            ["tags = été", "at.year > 1970", "at.year 1970 TO 1980", "gone IS NULL", "none IS EMPTY", "at EXISTS"]
        {
            assert!(passes(yes), "{yes}");
        }
        for no in ["tags != b", "missing EXISTS", "at.year < 1970", "NOT tags IN [b]", "gone IS EMPTY"] {
            assert!(!passes(no), "{no}");
        }
    }
}
