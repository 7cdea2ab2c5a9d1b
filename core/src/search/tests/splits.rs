//! Whatever part of the documents a node holds, the client gets the same facets and the same pages.

use std::collections::BTreeMap;

use super::*;
use crate::shardmap::FacetOrder;

/// A document with what is counted of it, and what it is listed by.
#[derive(Clone, Debug)]
struct Row {
    id: usize,
    genres: Vec<&'static str>,
    rating: Option<f64>,
}

impl Row {
    /// Unlike that of any other.
    fn rank(&self) -> i64 {
        let id = self.id as i64;
        if id % 2 == 0 { id } else { -id }
    }
}

/// Documents, and the node that each lies on.
fn rows(most: usize) -> impl Strategy<Value = (Vec<Row>, Vec<usize>)> {
    let genres = prop::collection::vec(prop::sample::select(vec!["Drama", "War", "Épopée", "10", "9", ""]), 0..3);
    let rating = prop::option::of((-40i32..40).prop_map(|quarters| f64::from(quarters) / 4.0));
    prop::collection::vec((genres, rating, 0usize..4), 0..most).prop_map(|made| {
        let rows = made.iter().enumerate();
        let rows = rows.map(|(id, (genres, rating, _))| Row { id, genres: genres.clone(), rating: *rating });
        (rows.collect(), made.iter().map(|(_, _, node)| *node).collect())
    })
}

/// What is counted of some documents, as the engine counts it: a value once a document.
fn counted(rows: &[&Row]) -> (Value, Value) {
    let mut genres: BTreeMap<&str, u64> = BTreeMap::new();
    let mut ratings: BTreeMap<String, u64> = BTreeMap::new();
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for row in rows {
        for genre in row.genres.iter().collect::<std::collections::BTreeSet<_>>() {
            *genres.entry(genre).or_default() += 1;
        }
        if let Some(rating) = row.rating {
            *ratings.entry(rating.to_string()).or_default() += 1;
            (min, max) = (min.min(rating), max.max(rating));
        }
    }
    let stats = if ratings.is_empty() { json!({}) } else { json!({ "rating": { "min": min, "max": max } }) };
    (json!({ "genres": genres, "rating": ratings }), stats)
}

/// The rows of each node, in order.
fn split<'a>(rows: &'a [Row], nodes: &[usize], count: usize) -> Vec<Vec<&'a Row>> {
    let of = |node: usize| rows.iter().zip(nodes).filter(move |(_, at)| **at == node).map(|(row, _)| row).collect();
    (0..count).map(of).collect()
}

fn facets(parts: &[Vec<&Row>], view: &SearchView) -> String {
    let body = br#"{"limit":0,"facets":["genres","rating"]}"#;
    let call = ReadCall { method: "POST", path: "/x", query: None, body, include_metadata: false };
    let Plan::Gather(mut gather) = plan_search(&call, &IndexFacts { uid: "films", primary_key: None, view }) else {
        panic!("relayed")
    };
    for (part, rows) in parts.iter().enumerate().rev() {
        let (distribution, stats) = counted(rows);
        let answer = json!({
            "hits": [], "query": "", "processingTimeMs": 1, "estimatedTotalHits": rows.len(),
            "facetDistribution": distribution, "facetStats": stats,
        });
        gather.accept(part, answer.to_string().into_bytes()).unwrap();
    }
    gather.settle().unwrap();
    String::from_utf8(gather.finish(1)).unwrap()
}

/// The ids of a page, and the total; each node answers what it is asked for.
fn listed(parts: &[Vec<&Row>], body: &Value) -> (Vec<usize>, usize) {
    let text = body.to_string();
    let call = ReadCall { method: "POST", path: "/x", query: None, body: text.as_bytes(), include_metadata: false };
    let view = SearchView::default();
    let Plan::Gather(mut gather) = plan_documents(&call, &IndexFacts { uid: "films", primary_key: None, view: &view })
    else {
        panic!("relayed")
    };
    let mut asked: Vec<usize> = (0..parts.len()).rev().collect();
    while !asked.is_empty() {
        for part in asked {
            let request: Value = serde_json::from_slice(&gather.request(r#""clause""#, part).body.unwrap()).unwrap();
            let number = |name: &str| request[name].as_u64().unwrap() as usize;
            let mut rows = parts[part].clone();
            let sorted = request.get("sort").is_some();
            if sorted {
                rows.sort_by_key(|row| row.rank());
            }
            let shown = rows.iter().skip(number("offset")).take(number("limit")).map(|row| {
                let mut document = json!({ "id": row.id, "_miroir_shard": "x" });
                if sorted {
                    let values = json!([{ "sort": { "asc": true, "value": row.rank() } }]);
                    document["_federation"] = json!({ "weightedScoreValues": values });
                }
                document
            });
            let answer = json!({ "results": shown.collect::<Vec<_>>(), "offset": 0, "limit": 1, "total": rows.len() });
            gather.accept(part, answer.to_string().into_bytes()).unwrap();
        }
        asked = gather.again();
    }
    gather.settle().unwrap();
    let answer: Value = serde_json::from_slice(&gather.finish(1)).unwrap();
    let ids = answer["results"].as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap() as usize);
    (ids.collect(), answer["total"].as_u64().unwrap() as usize)
}

proptest! {
    #[test]
    fn facets_and_their_bounds_are_those_of_the_whole((rows, nodes) in rows(60), most in 1u64..9, by_count: bool) {
        let parts = split(&rows, &nodes, 4);
        let whole = rows.iter().collect::<Vec<_>>();
        let answer: Value = serde_json::from_str(&facets(&parts, &SearchView::default())).unwrap();
        let (distribution, stats) = counted(&whole);
        prop_assert_eq!(&answer["facetDistribution"], &distribution);
        prop_assert_eq!(&answer["facetStats"], &stats);
        // The order of the values, and which are left out, does not hang on the split either.
        let mut view = SearchView { max_values_per_facet: most, ..SearchView::default() };
        if by_count {
            view.facet_order.insert("*".to_owned(), FacetOrder::Count);
        }
        prop_assert_eq!(facets(&parts, &view), facets(&[whole], &view));
    }

    #[test]
    fn documents_in_order_are_listed_as_from_one_node((rows, nodes) in rows(40), offset in 0usize..50, limit in 0usize..50) {
        let parts = split(&rows, &nodes, 4);
        let mut sorted: Vec<&Row> = rows.iter().collect();
        sorted.sort_by_key(|row| row.rank());
        let page: Vec<usize> = sorted.iter().skip(offset).take(limit).map(|row| row.id).collect();
        let body = json!({ "sort": ["rank:asc"], "offset": offset, "limit": limit });
        prop_assert_eq!(listed(&parts, &body), (page, rows.len()));
    }
}

/// Of many documents few cases will do.
fn few() -> ProptestConfig {
    ProptestConfig { cases: 16, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few())]

    /// Also beyond the depth up to which a page is fetched from its beginning.
    #[test]
    fn pages_of_documents_neither_repeat_nor_skip((rows, nodes) in rows(2500), size in 180usize..900) {
        let parts = split(&rows, &nodes, 4);
        let in_order = parts.concat();
        let mut seen = Vec::new();
        for offset in (0..=rows.len()).step_by(size) {
            let (ids, total) = listed(&parts, &json!({ "offset": offset, "limit": size }));
            prop_assert_eq!(total, rows.len());
            seen.extend(ids);
        }
        prop_assert_eq!(seen, in_order.iter().map(|row| row.id).collect::<Vec<_>>());
    }
}
