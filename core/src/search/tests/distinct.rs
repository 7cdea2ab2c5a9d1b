//! How many hits there are of distinct values over nodes that each know only their own.

use super::*;
use std::collections::HashSet;

/// What an attribute holds in one document.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (0u8..9).prop_map(|number| json!(format!("value {number}"))),
        1 => (0u8..3).prop_map(|number| json!(format!("VALUE {number} "))),
        1 => (0u8..3).prop_map(|number| json!(number)),
        1 => (0u8..3).prop_map(|number| json!(number.to_string())),
        1 => Just(json!(true)),
        1 => Just(Value::Null),
        1 => Just(json!([])),
    ]
}

/// The form in which the engine tells a value apart; none for one that is no value.
fn form(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(format!("text {}", text.trim().to_lowercase())),
        Value::Bool(flag) => Some(format!("text {flag}")),
        Value::Number(number) => Some(format!("number {number}")),
        _ => None,
    }
}

/// The documents that are left of some, with their places among all.
fn distinct<'a>(values: impl Iterator<Item = (usize, &'a Value)>) -> Vec<(usize, &'a Value)> {
    let mut seen = HashSet::new();
    values.filter(|(_, value)| form(value).is_none_or(|form| seen.insert(form))).collect()
}

/// What a node answers that holds these values.
fn node(mine: &[(usize, &Value)], request: &NodeRequest) -> Vec<u8> {
    let asked: Value = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
    let hits = asked["hitsPerPage"].as_u64().unwrap() as usize;
    let detailed = asked["showRankingScoreDetails"] == json!(true);
    let names: Vec<&str> = asked["attributesToRetrieve"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let left = distinct(mine.iter().copied());
    let shown = left.iter().take(hits).map(|(id, value)| {
        let mut hit = json!({ "id": id, "kind": value, "_miroir_shard": "x" });
        hit.as_object_mut().unwrap().retain(|name, _| names.contains(&name.as_str()));
        if detailed {
            hit["_rankingScoreDetails"] = json!({ "rank:asc": { "order": 0, "value": id } });
        }
        hit
    });
    let shown: Vec<Value> = shown.collect();
    let mut answer = json!({ "hits": shown, "query": "", "processingTimeMs": 1, "totalHits": left.len() });
    if asked.get("facets").is_some() {
        answer["facetDistribution"] = json!({ "id": { "x": left.len() } });
        answer["facetStats"] = json!({});
    }
    answer.to_string().into_bytes()
}

/// The client's answer, and how many requests that took.
fn search(values: &[(usize, Value)], most: u64, body: &Value) -> (Value, usize) {
    let text = body.to_string();
    let call = ReadCall { method: "POST", path: "/x", query: None, body: text.as_bytes(), include_metadata: false };
    let view = SearchView { distinct: Some("kind".into()), max_total_hits: most, ..SearchView::default() };
    let Plan::Gather(mut gather) = plan_search(&call, &IndexFacts { uid: "films", primary_key: None, view: &view })
    else {
        panic!("relayed")
    };
    let (mut asked, mut requests) = (vec![1, 0, 2], 0);
    while !asked.is_empty() {
        for part in asked {
            let mine = values.iter().enumerate().filter(|(_, (at, _))| *at == part).map(|(id, (_, value))| (id, value));
            let mine: Vec<_> = mine.collect();
            requests += 1;
            gather.accept(part, node(&mine, &gather.request(r#""clause""#, part))).unwrap();
        }
        asked = gather.again();
    }
    gather.settle().unwrap();
    (serde_json::from_slice(&gather.finish(1)).unwrap(), requests)
}

fn page(page: usize, hits: usize) -> Value {
    json!({ "page": page, "hitsPerPage": hits, "attributesToRetrieve": ["id"], "facets": ["id"] })
}

fn values(made: &[(usize, &str)]) -> Vec<(usize, Value)> {
    made.iter().map(|(part, value)| (*part, json!(value))).collect()
}

#[test]
fn nodes_that_have_shown_all_are_not_asked_again() {
    let few = values(&[(0, "a"), (1, "a"), (1, "b"), (1, "c")]);
    for (hits, requests) in [(3, 3), (2, 4), (0, 5)] {
        let (answer, asked) = search(&few, 1000, &page(1, hits));
        assert_eq!((&answer["totalHits"], asked), (&json!(3), requests), "{hits}");
    }
    let alone = values(&[(2, "a"), (2, "b"), (2, "b")]);
    let (answer, asked) = search(&alone, 1000, &page(1, 1));
    assert_eq!((&answer["totalHits"], asked), (&json!(2), 3), "nobody else has any");
}

#[test]
fn where_nodes_have_more_than_they_list_the_total_is_an_upper_bound() {
    let many = values(&[(0, "c"), (1, "a"), (1, "b"), (1, "c")]);
    for (most, total, requests) in [(2, 4, 3), (3, 3, 4)] {
        let (answer, asked) = search(&many, most, &page(2, 1));
        assert_eq!((&answer["totalHits"], asked), (&json!(total), requests), "{most}");
    }
}

#[test]
fn estimates_and_searches_without_distinct_take_one_round() {
    let call = |body: &Value, distinct: Option<&str>| {
        let text = body.to_string();
        let call = ReadCall { method: "POST", path: "/x", query: None, body: text.as_bytes(), include_metadata: false };
        let view = SearchView { distinct: distinct.map(str::to_owned), ..SearchView::default() };
        let index = IndexFacts { uid: "films", primary_key: None, view: &view };
        let Plan::Gather(mut gather) = plan_search(&call, &index) else { panic!("relayed") };
        let total = if body.get("page").is_some() { "totalHits" } else { "estimatedTotalHits" };
        let hit = r#"{"kind":"a","_rankingScoreDetails":{"rank:asc":{"order":0,"value":1}}}"#;
        for part in 0..2 {
            let answer = format!(r#"{{"hits":[{hit}],"query":"","processingTimeMs":1,"{total}":9}}"#);
            gather.accept(part, answer.into_bytes()).unwrap();
        }
        gather.again()
    };
    assert!(call(&json!({ "limit": 1 }), Some("kind")).is_empty());
    assert!(call(&json!({ "page": 1, "hitsPerPage": 1 }), None).is_empty());
    assert_eq!(call(&json!({ "page": 1, "hitsPerPage": 1 }), Some("kind")), [0, 1]);
}

proptest! {
    #[test]
    fn distinct_hits_of_any_split_are_counted_as_those_of_the_whole(
        values in prop::collection::vec((0usize..3, value()), 0..40),
        (number, hits) in (0usize..4, 0usize..9),
    ) {
        let whole = distinct(values.iter().map(|(_, value)| value).enumerate());
        let (answer, _) = search(&values, 1000, &page(number, hits));
        let skip = number.saturating_sub(1) * hits;
        let expected: Vec<usize> = whole.iter().map(|(id, _)| *id).skip(skip).take(if number == 0 { 0 } else { hits }).collect();
        prop_assert_eq!(ids(&answer), expected);
        prop_assert_eq!(&answer["totalHits"], &json!(whole.len()));
        prop_assert_eq!(&answer["totalPages"], &json!(if hits == 0 { 0 } else { whole.len().div_ceil(hits) }));
    }
}
