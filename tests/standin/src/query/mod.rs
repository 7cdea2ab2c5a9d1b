//! Searching one index.

pub(crate) mod cost;
pub(crate) mod detail;
pub(crate) mod facets;
pub(crate) mod format;
pub(crate) mod graph;
pub(crate) mod rank;
pub(crate) mod sort;
pub(crate) mod terms;

mod request;

pub(crate) use request::{BODY, Request, from_url};

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::answer::{Refusal, refuse};
use crate::filter::{self, Scope};
use crate::index::{Index, geo, paths};
use crate::query::format::Formatter;
use crate::query::graph::Graph;
use crate::query::rank::{Ranked, Ranking, Rule, Strategy};
use crate::query::sort::{By, Criterion};

/// The documents that a search is about, ranked, and all candidates.
pub(crate) struct Found {
    /// In order.
    pub(crate) ranked: Vec<Ranked>,
    /// The query's terms.
    pub(crate) query: terms::Query,
}

/// The rules of a search. Words are dropped before any rule that looks at them, wherever `words` itself stands.
fn rules(index: &Index, criteria: &[Criterion], strategy: Strategy) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut words = strategy == Strategy::All;
    for rule in index.settings.texts("rankingRules") {
        let names: &[&'static str] = match rule.as_str() {
            "words" => &[],
            "typo" => &["typo"],
            "proximity" => &["proximity"],
            "attributeRank" => &["attributeRank"],
            "wordPosition" => &["wordPosition"],
            "exactness" => &["exactness"],
            "attribute" => &["attributeFirst", "attributeSecond"],
            "sort" => {
                rules.extend(criteria.iter().cloned().map(Rule::By));
                continue;
            }
            custom => {
                rules.extend(Criterion::parse(custom).map(Rule::By));
                continue;
            }
        };
        if !words {
            rules.push(Rule::Words("words"));
            words = true;
        }
        rules.extend(names.iter().map(|name| Rule::Words(name)));
    }
    rules
}

fn criteria(index: &Index, sort: &[String]) -> Result<Vec<Criterion>, Refusal> {
    let mut criteria = Vec::new();
    for text in sort {
        let criterion = Criterion::parse(text).ok_or_else(|| {
            refuse(
                "invalid_search_sort",
                format!("Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `{text}`."),
            )
        })?;
        let name = match &criterion.by {
            By::Field(name) => name.as_str(),
            By::Point(_) => "_geo",
        };
        if !index.settings.sortable(name) {
            let mut known = index.settings.texts("sortableAttributes");
            known.sort();
            let known = if known.is_empty() {
                "This index does not have configured sortable attributes.".to_owned()
            } else {
                format!("Available sortable attributes are: `{}`.", known.join(", "))
            };
            return Err(refuse(
                "invalid_search_sort",
                format!("Index `{}`: Attribute `{name}` is not sortable. {known}", index.uid),
            ));
        }
        criteria.push(criterion);
    }
    Ok(criteria)
}

/// Finds and ranks what a request asks for, without paging.
pub(crate) fn find(index: &Index, request: &Request, contains: bool, scope: Scope) -> Result<Found, Refusal> {
    let parsed = filter::from_json(&request.filter)
        .map_err(|fault| refuse(fault.code.unwrap_or("invalid_search_filter"), fault.message))?;
    if let Some(parsed) = &parsed {
        filter::validate(parsed, &index.settings, contains, scope, &request.filter).map_err(|fault| {
            match fault.code {
                Some(code) => refuse(code, fault.message),
                None if scope == Scope::Documents || fault.message.contains("reserved keyword") => {
                    refuse("invalid_search_filter", fault.message)
                }
                None => refuse("invalid_search_filter", format!("Index `{}`: {}", index.uid, fault.message)),
            }
        })?;
    }
    let criteria = criteria(index, &request.sort)?;
    if let Some(distinct) = &request.distinct
        && index.settings.features(distinct).is_none()
    {
        let mut known = index.settings.filterable_patterns();
        known.sort();
        let known = if known.is_empty() {
            "This index does not have configured filterable attributes.".to_owned()
        } else {
            format!("Available filterable attributes patterns are: `{}`.", known.join(", "))
        };
        return Err(refuse(
            "invalid_search_distinct",
            format!(
                "Index `{}`: Attribute `{distinct}` is not filterable and thus, cannot be used as distinct attribute. {known}",
                index.uid
            ),
        ));
    }
    if let Some(fields) = &request.search_on {
        let searchable = index.settings.texts("searchableAttributes");
        for field in fields.iter().filter(|field| *field != "*") {
            if searchable.iter().all(|name| name != "*") && index.settings.weight(field).is_none() {
                return Err(refuse(
                    "invalid_search_attributes_to_search_on",
                    format!(
                        "Index `{}`: Attribute `{field}` is not searchable. Available searchable attributes are: `{}`.",
                        index.uid,
                        searchable.join(", ")
                    ),
                ));
            }
        }
    }
    let documents: Vec<u32> = index
        .documents
        .iter()
        .filter(|(_, document)| parsed.as_ref().is_none_or(|parsed| filter::matches(parsed, document)))
        .map(|(internal, _)| *internal)
        .collect();
    let query = request.q.as_deref().map(|text| terms::parse(text, index)).unwrap_or_default();
    let in_fields = |field: u16| {
        request.search_on.as_ref().is_none_or(|fields| {
            fields.iter().any(|selector| {
                selector == "*"
                    || paths::under(index.words.name(field), selector)
                    || paths::fits(selector, index.words.name(field))
            })
        })
    };
    let everywhere = |_: u16| true;
    let documents: Vec<u32> = documents
        .into_iter()
        .filter(|document| {
            !query
                .negative_words
                .iter()
                .any(|word| index.words.get(word).is_some_and(|found| found.contains_key(document)))
                && !query
                    .negative_phrases
                    .iter()
                    .any(|phrase| graph::phrase(phrase, index, &everywhere).contains_key(document))
        })
        .collect();
    let graph = Graph::new(&query, index, &in_fields);
    let rules = rules(index, &criteria, request.strategy);
    let ranking = Ranking { index, graph: Some(&graph), rules: &rules, strategy: request.strategy };
    let mut ranked = ranking.rank(documents);
    if let Some(threshold) = request.threshold {
        ranked.retain(|ranked| detail::score(&ranked.details) >= threshold);
    }
    let distinct =
        request.distinct.clone().or_else(|| index.settings.get("distinctAttribute").as_str().map(str::to_owned));
    if let Some(distinct) = distinct {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        ranked.retain(|ranked| {
            let values = index
                .documents
                .get(&ranked.document)
                .map(|document| paths::values(document, &distinct))
                .unwrap_or_default();
            let forms: Vec<String> = values
                .into_iter()
                .filter(|value| value.is_string() || value.is_number() || value.is_boolean())
                .map(|value| value.as_str().map_or_else(|| value.to_string(), filter::normal))
                .collect();
            let first = !forms.iter().any(|form| seen.contains(form));
            if first {
                seen.extend(forms);
            }
            first
        });
    }
    Ok(Found { ranked, query })
}

/// Runs a search and writes the answer's body.
pub(crate) fn search(index: &Index, request: &Request, contains: bool) -> Result<Map<String, Value>, Refusal> {
    let found = find(index, request, contains, Scope::Search)?;
    let total = found.ranked.len();
    let most = index.settings.max_hits();
    let (offset, limit) = match request.page {
        Some((page, per_page)) => (per_page.wrapping_mul(page.saturating_sub(1)), if page == 0 { 0 } else { per_page }),
        None => (request.offset, request.limit),
    };
    // The engine's numbers wrap around: a page that ends beyond the highest one is empty.
    let limit = if offset.checked_add(limit).is_some() { limit } else { 0 };
    let page = found.ranked.iter().take(most).skip(offset).take(limit);
    let formatter = Formatter::new(index, &found.query, &request.format);
    let hits: Vec<Value> = page.filter_map(|ranked| hit(index, request, &formatter, ranked)).collect();
    let mut body = Map::new();
    body.insert("hits".into(), Value::Array(hits));
    body.insert("query".into(), json!(request.q.as_deref().unwrap_or_default()));
    body.insert("processingTimeMs".into(), json!(0));
    match request.page {
        Some((page, per_page)) => {
            body.insert("hitsPerPage".into(), json!(per_page));
            body.insert("page".into(), json!(page));
            body.insert(
                "totalPages".into(),
                json!(
                    total
                        .checked_add(per_page.saturating_sub(1))
                        .and_then(|sum| sum.checked_div(per_page))
                        .unwrap_or_default()
                ),
            );
            body.insert("totalHits".into(), json!(total));
        }
        None => {
            body.insert("limit".into(), json!(request.limit));
            body.insert("offset".into(), json!(request.offset));
            body.insert("estimatedTotalHits".into(), json!(total));
        }
    }
    if let Some(facets) = request.facets.as_ref().filter(|facets| !facets.is_empty()) {
        let documents: Vec<u32> = found.ranked.iter().map(|ranked| ranked.document).collect();
        let (distribution, stats) = facets::distribution(index, facets, &documents)?;
        body.insert("facetDistribution".into(), distribution);
        body.insert("facetStats".into(), stats);
    }
    body.insert("requestUid".into(), json!(uuid::Uuid::now_v7().to_string()));
    Ok(body)
}

fn hit(index: &Index, request: &Request, formatter: &Formatter<'_>, ranked: &Ranked) -> Option<Value> {
    let document = index.documents.get(&ranked.document)?;
    let shown = paths::select(document, &index.settings.texts("displayedAttributes"));
    let mut hit = match &request.retrieve {
        Some(fields) => paths::select(&shown, fields),
        None => shown.clone(),
    };
    hit.shift_remove("_vectors");
    let mut wide = hit.clone();
    if formatter.wanted() {
        let mut selectors: Vec<String> = request.format.highlight.clone();
        selectors
            .extend(request.format.crop.iter().map(|entry| entry.split(':').next().unwrap_or_default().to_owned()));
        let more = paths::select(&shown, &selectors);
        wide = shown
            .iter()
            .filter(|(name, _)| hit.contains_key(*name) || more.contains_key(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some(fields) = &request.retrieve {
            let all: Vec<String> = fields.iter().cloned().chain(selectors).collect();
            wide = paths::select(&shown, &all);
        }
        wide = formatter.formatted(&wide);
    }
    let positions = request.format.positions.then(|| formatter.positions(&shown));
    let nearest =
        request.sort.iter().filter_map(|text| Criterion::parse(text)).find_map(|criterion| match criterion.by {
            By::Point(center) => Some(center),
            By::Field(_) => None,
        });
    if let (Some(center), Some(point), true) = (nearest, geo::of(document), hit.contains_key("_geo")) {
        let metres = json!(geo::distance(center, point).round() as u64);
        hit.insert("_geoDistance".into(), metres);
    }
    if formatter.wanted() {
        hit.insert("_formatted".into(), Value::Object(wide));
    }
    if let Some(positions) = positions {
        hit.insert("_matchesPosition".into(), Value::Object(positions));
    }
    if request.score {
        hit.insert("_rankingScore".into(), json!(detail::score(&ranked.details)));
    }
    if request.details {
        let details = detail::map(&ranked.details, &|name| index.settings.displays(name));
        hit.insert("_rankingScoreDetails".into(), Value::Object(details));
    }
    Some(Value::Object(hit))
}
