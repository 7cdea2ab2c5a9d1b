//! The attributes of a search: nodes display everything, so the client's lists are cut down to what is displayed here,
//! and what merging needs beside them is asked for and hidden again.

use super::IndexFacts;
use super::hits::{HitRules, Ranked};
use super::query::{NotUnderstood, Query};
use crate::shardmap::SearchView;

const RETRIEVE: &str = "attributesToRetrieve";
const HIGHLIGHT: &str = "attributesToHighlight";
const CROP: &str = "attributesToCrop";

/// Rewrites the attribute lists of `query` and says what to do with the members of hits.
pub(super) fn attributes(query: &mut Query, index: &IndexFacts<'_>) -> Result<HitRules, NotUnderstood> {
    let view = index.view;
    let distinct: Option<String> = query.get("distinct")?;
    let mut rules = HitRules {
        keep_score: query.strict("showRankingScore")?.unwrap_or(false),
        keep_details: query.strict("showRankingScoreDetails")?.unwrap_or(false),
        displayed: view.displayed.clone(),
        distinct: distinct.or_else(|| view.distinct.clone()).map(String::into_boxed_str),
        primary_key: index.primary_key.filter(|key| !key.contains('.')).map(Box::from),
        ..HitRules::plain(Ranked::Details)
    };
    let formatted = formats(query, view)?;
    let wanted: Option<Vec<String>> = query.get(RETRIEVE)?;
    let mut retrieved = match (wanted, &view.displayed) {
        (None, None) => None,
        (None, Some(displayed)) => Some(displayed.clone()),
        (Some(wanted), None) if has(&wanted, "*") => None,
        (Some(wanted), None) => Some(wanted),
        (Some(wanted), Some(displayed)) if has(&wanted, "*") => Some(displayed.clone()),
        (Some(wanted), Some(displayed)) => Some(wanted.into_iter().filter(|name| has(displayed, name)).collect()),
    };
    if let (Some(names), Some(distinct)) = (&mut retrieved, &rules.distinct) {
        // Seen from the front of the path: `a` shows `a.b`.
        let shown = ancestors(distinct).any(|name| has(names, name));
        if !shown {
            let top = distinct.split('.').next().unwrap_or_default();
            let beside = names.iter().any(|name| name.strip_prefix(top).is_some_and(|rest| rest.starts_with('.')));
            let mut hidden = vec![distinct.clone()];
            if !beside && top != &**distinct {
                hidden.push(top.into());
            }
            let also = formatted.iter().any(|name| name == "*" || ancestors(distinct).any(|part| part == name));
            rules.hidden_formatted = if also { Vec::new() } else { hidden.clone() };
            rules.hidden = hidden;
            names.push(distinct.to_string());
        }
    }
    if let (Some(names), Some(key)) = (&mut retrieved, &rules.primary_key)
        && !has(names, key)
    {
        if !formatted.iter().any(|name| name == "*" || **name == **key) {
            rules.hidden_formatted.push(key.clone());
        }
        rules.hidden.push(key.clone());
        names.push(key.to_string());
    }
    if let Some(names) = &retrieved {
        query.set(RETRIEVE, names);
    }
    if view.displayed.as_ref().is_some_and(|displayed| !has(displayed, "_vectors")) {
        rules.hidden.push("_vectors".into());
    }
    query.remove("showRankingScore");
    query.set("showRankingScoreDetails", &true);
    Ok(rules)
}

fn has(names: &[String], wanted: &str) -> bool {
    names.iter().any(|name| name == wanted)
}

/// `a.b.c` as `a`, `a.b`, `a.b.c`.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').filter_map(|(at, _)| path.get(..at)).chain([path])
}

/// Cuts the lists of what is formatted down to what is displayed; returns the names in them.
fn formats(query: &mut Query, view: &SearchView) -> Result<Vec<String>, NotUnderstood> {
    let highlight: Option<Vec<String>> = query.get(HIGHLIGHT)?;
    let crop: Option<Vec<String>> = query.get(CROP)?;
    if let Some(displayed) = &view.displayed {
        if let Some(names) = &highlight {
            let shown: Vec<&String> = if has(names, "*") {
                displayed.iter().collect()
            } else {
                names.iter().filter(|name| has(displayed, name)).collect()
            };
            query.set(HIGHLIGHT, &shown);
        }
        if let Some(names) = &crop {
            query.set(CROP, &cropped(names, displayed));
        }
    }
    let crop = crop.unwrap_or_default().into_iter().map(|entry| crop_name(&entry).0.to_owned());
    Ok(highlight.unwrap_or_default().into_iter().chain(crop).collect())
}

/// Splits `name:length` at its last colon.
fn crop_name(entry: &str) -> (&str, Option<&str>) {
    entry.rsplit_once(':').map_or((entry, None), |(name, length)| (name, Some(length)))
}

fn cropped(names: &[String], displayed: &[String]) -> Vec<String> {
    let mut shown = Vec::new();
    for entry in names {
        let (name, length) = crop_name(entry);
        if name == "*" {
            // A length that is no number stands for `cropLength`; a name with a colon needs one.
            shown.extend(displayed.iter().map(|name| format!("{name}:{}", length.unwrap_or_default())));
        } else if has(displayed, name) {
            shown.push(entry.clone());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(body: &str, view: &SearchView) -> (serde_json::Value, HitRules) {
        let mut query = Query::parse(body.as_bytes()).unwrap();
        let rules = attributes(&mut query, &IndexFacts { uid: "films", primary_key: None, view }).unwrap();
        (serde_json::from_slice(&query.json()).unwrap(), rules)
    }

    fn displaying(names: &[&str]) -> SearchView {
        SearchView { displayed: Some(names.iter().map(ToString::to_string).collect()), ..SearchView::default() }
    }

    #[test]
    fn without_lists_nothing_but_the_details_is_asked_for() {
        let (query, rules) = rewritten(r#"{"q":"a","showRankingScore":true}"#, &SearchView::default());
        assert_eq!(query, serde_json::json!({ "q": "a", "showRankingScoreDetails": true }));
        assert!(rules.keep_score && !rules.keep_details);
    }

    #[test]
    fn lists_are_cut_to_what_is_displayed() {
        let body = r#"{"attributesToRetrieve":["title","secret"],"attributesToHighlight":["*"],"attributesToCrop":["*:7","secret"]}"#;
        let (query, _) = rewritten(body, &displaying(&["title", "year"]));
        assert_eq!(query["attributesToRetrieve"], serde_json::json!(["title"]));
        assert_eq!(query["attributesToHighlight"], serde_json::json!(["title", "year"]));
        assert_eq!(query["attributesToCrop"], serde_json::json!(["title:7", "year:7"]));
        let (query, _) = rewritten("{}", &displaying(&["title"]));
        assert_eq!(query["attributesToRetrieve"], serde_json::json!(["title"]));
    }

    #[test]
    fn the_distinct_attribute_is_fetched_and_hidden() {
        let body = r#"{"attributesToRetrieve":["title"],"distinct":"sku"}"#;
        let (query, rules) = rewritten(body, &SearchView::default());
        assert_eq!(query["attributesToRetrieve"], serde_json::json!(["title", "sku"]));
        assert_eq!(rules.hidden, ["sku".into()]);
        assert_eq!(rules.hidden_formatted, ["sku".into()]);
        let body = r#"{"attributesToRetrieve":["sku"],"distinct":"sku.code"}"#;
        let (query, rules) = rewritten(body, &SearchView::default());
        assert_eq!(query["attributesToRetrieve"], serde_json::json!(["sku"]));
        assert!(rules.hidden.is_empty());
    }

    #[test]
    fn the_primary_key_is_fetched_and_hidden() {
        let keyed = |body: &str, primary_key| {
            let mut query = Query::parse(body.as_bytes()).unwrap();
            let index = IndexFacts { uid: "films", primary_key, view: &SearchView::default() };
            let rules = attributes(&mut query, &index).unwrap();
            (serde_json::from_slice::<serde_json::Value>(&query.json()).unwrap()["attributesToRetrieve"].clone(), rules)
        };
        let (asked, rules) = keyed(r#"{"attributesToRetrieve":["title"],"distinct":"id"}"#, Some("id"));
        assert_eq!((asked, &rules.hidden[..]), (serde_json::json!(["title", "id"]), &["id".into()][..]));
        let (asked, rules) = keyed(r#"{"attributesToRetrieve":["title"],"attributesToHighlight":["id"]}"#, Some("id"));
        assert_eq!((asked, &rules.hidden[..]), (serde_json::json!(["title", "id"]), &["id".into()][..]));
        assert!(rules.hidden_formatted.is_empty());
        let (asked, rules) = keyed(r#"{"attributesToRetrieve":["title"]}"#, Some("a.id"));
        assert_eq!((asked, rules.primary_key), (serde_json::json!(["title"]), None));
        assert_eq!(keyed("{}", Some("id")).0, serde_json::Value::Null);
    }

    #[test]
    fn lists_of_other_types_are_not_understood() {
        for body in [r#"{"attributesToRetrieve":"title"}"#, r#"{"distinct":1}"#, r#"{"showRankingScore":null}"#] {
            let mut query = Query::parse(body.as_bytes()).unwrap();
            let index = IndexFacts { uid: "films", primary_key: None, view: &SearchView::default() };
            assert!(attributes(&mut query, &index).is_err(), "{body}");
        }
    }
}
