//! Properties of whole searches over model nodes: each node ranks its own documents as the engine does.

mod distinct;
mod hybrid;
mod splits;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A document with what the engine would rank it by.
#[derive(Clone, Debug)]
struct Doc {
    id: usize,
    part: usize,
    words: u32,
    typos: u32,
    sort: Option<i32>,
    group: u8,
}

impl Doc {
    /// Smaller comes first.
    fn rank(&self) -> (u32, u32, bool, i32) {
        (3 - self.words, self.typos, self.sort.is_none(), self.sort.unwrap_or_default())
    }

    fn hit(&self) -> Value {
        json!({
            "id": self.id, "group": self.group, "text": "\"_miroir_shard\":\\\" {}[],", "_miroir_shard": "\u{2E00}\u{2E01}",
            "_formatted": { "_miroir_shard": "\u{2E00}\u{2E01}", "id": self.id.to_string() },
            "_rankingScore": 0.5,
            "_rankingScoreDetails": {
                "words": { "order": 0, "matchingWords": self.words, "maxMatchingWords": 3, "score": 1.0 },
                "value:asc": { "order": 2, "value": self.sort },
                "typo": { "order": 1, "typoCount": self.typos, "maxTypoCount": 4, "score": 0.1 },
            },
        })
    }
}

/// Documents in the order in which one node holding everything would rank them, where they were written in the order of
/// their ids.
fn ranked(mut docs: Vec<Doc>) -> Vec<Doc> {
    docs.sort_by_key(|doc| (doc.rank(), doc.id));
    docs
}

fn docs() -> impl Strategy<Value = Vec<Doc>> {
    let doc = (0usize..4, 1u32..4, 0u32..3, prop::option::of(-3i32..3), 0u8..6);
    prop::collection::vec(doc, 0..60).prop_map(|docs| {
        let made = docs.into_iter().enumerate();
        ranked(
            made.map(|(id, (part, words, typos, sort, group))| Doc { id, part, words, typos, sort, group }).collect(),
        )
    })
}

/// What a node answers that holds `docs`, which are ranked.
fn node(docs: &[Doc], part: usize, request: &NodeRequest) -> Vec<u8> {
    let asked: Value = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
    let limit = asked["hitsPerPage"].as_u64().or(asked["limit"].as_u64()).unwrap() as usize;
    let mut mine: Vec<&Doc> = docs.iter().filter(|doc| doc.part == part).collect();
    if asked.get("distinct").is_some() {
        let mut seen = std::collections::HashSet::new();
        mine.retain(|doc| seen.insert(doc.group));
    }
    let hits: Vec<Value> = mine.iter().take(limit).map(|doc| doc.hit()).collect();
    let total = if asked.get("page").is_some() { "totalHits" } else { "estimatedTotalHits" };
    json!({ "hits": hits, "query": "", "processingTimeMs": 1, total: mine.len(), "requestUid": "u" })
        .to_string()
        .into_bytes()
}

fn plan(body: &Value) -> Box<dyn Gather> {
    let body = body.to_string();
    let call = ReadCall {
        method: "POST",
        path: "/indexes/films/search",
        query: None,
        body: body.as_bytes(),
        include_metadata: false,
    };
    let view = SearchView::default();
    match plan_search(&call, &IndexFacts { uid: "films", primary_key: Some("id"), view: &view }) {
        Plan::Gather(gather) => gather,
        Plan::Relay { .. } => panic!("relayed: {body}"),
    }
}

fn search(docs: &[Doc], body: &Value) -> Value {
    let mut gather = plan(body);
    // Parts come in any order.
    for part in [2, 0, 3, 1] {
        let answer = node(docs, part, &gather.request(r#""clause""#, part));
        gather.accept(part, answer).unwrap();
    }
    gather.settle().unwrap();
    serde_json::from_slice(&gather.finish(1)).unwrap()
}

fn ids(answer: &Value) -> Vec<usize> {
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap() as usize).collect()
}

proptest! {
    #[test]
    fn the_merge_of_any_split_is_the_whole_list(docs in docs()) {
        let answer = search(&docs, &json!({ "limit": 1000 }));
        prop_assert_eq!(ids(&answer), docs.iter().map(|doc| doc.id).collect::<Vec<_>>());
        prop_assert_eq!(&answer["estimatedTotalHits"], &json!(docs.len()));
    }

    #[test]
    fn paging_neither_repeats_nor_skips(docs in docs(), size in 1usize..15, pages in any::<bool>()) {
        let mut seen = Vec::new();
        for page in 0..=docs.len() / size {
            let body = if pages {
                json!({ "page": page + 1, "hitsPerPage": size })
            } else {
                json!({ "offset": page * size, "limit": size })
            };
            seen.extend(ids(&search(&docs, &body)));
        }
        prop_assert_eq!(seen, docs.iter().map(|doc| doc.id).collect::<Vec<_>>());
    }

    #[test]
    fn distinct_holds_over_all_nodes(docs in docs(), limit in 0usize..8) {
        let mut groups = std::collections::HashSet::new();
        let first: Vec<usize> = docs.iter().filter(|doc| groups.insert(doc.group)).map(|doc| doc.id).take(limit).collect();
        let answer = search(&docs, &json!({ "limit": limit, "distinct": "group", "attributesToRetrieve": ["id"] }));
        prop_assert_eq!(ids(&answer), first);
    }

    #[test]
    fn a_hit_keeps_its_bytes_but_for_what_is_reserved(docs in docs(), score in any::<bool>(), details in any::<bool>()) {
        let body = json!({ "limit": 100, "showRankingScore": score, "showRankingScoreDetails": details });
        let answer = search(&docs, &body);
        for (hit, doc) in answer["hits"].as_array().unwrap().iter().zip(&docs) {
            let mut expected = doc.hit();
            let members = expected.as_object_mut().unwrap();
            members.shift_remove("_miroir_shard");
            members["_formatted"].as_object_mut().unwrap().shift_remove("_miroir_shard");
            if !score {
                members.shift_remove("_rankingScore");
            }
            if !details {
                members.shift_remove("_rankingScoreDetails");
            }
            prop_assert_eq!(hit.to_string(), expected.to_string());
        }
    }

    #[test]
    fn an_answer_that_was_cut_is_refused(docs in docs(), cut in 0usize..100_000) {
        let mut gather = plan(&json!({}));
        let answer = node(&docs, 0, &gather.request(r#""clause""#, 0));
        prop_assert!(gather.accept(0, answer[..cut % answer.len()].to_vec()).is_err());
        prop_assert!(gather.accept(0, answer).is_ok());
    }

    #[test]
    fn a_damaged_answer_never_panics(docs in docs(), at in 0usize..100_000, byte in any::<u8>()) {
        let mut gather = plan(&json!({ "facets": ["a"], "distinct": "group", "showRankingScore": true }));
        let mut answer = node(&docs, 0, &gather.request(r#""clause""#, 0));
        let at = at % answer.len();
        answer[at] = byte;
        let _ = gather.accept(0, answer);
        let _ = gather.settle();
        let _ = gather.finish(1);
    }

    #[test]
    fn no_bytes_make_any_of_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let view = SearchView::default();
        let index = IndexFacts { uid: "films", primary_key: None, view: &view };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for method in ["GET", "POST"] {
            let call = ReadCall { method, path: "/x", query: Some(&text), body: &bytes, include_metadata: true };
            let _ = plan_search(&call, &index);
            let _ = plan_documents(&call, &index);
            let _ = plan_facet_search(&call, &index);
            let _ = plan_multi_search(&call, &|_| None);
        }
        let _ = strip_document(&bytes);
        let _ = scrub_message(&text);
        let _ = renumber_rules(&text);
        let _ = join_multi_search(vec![(text, bytes.clone())]);
        let _ = plan(&json!({})).accept(0, bytes);
    }
}

#[test]
fn answers_that_lack_something_are_refused() {
    let details = r#"{"words":{"order":0,"matchingWords":1,"maxMatchingWords":1,"score":1.0}}"#;
    for answer in [
        "{}".to_owned(),
        "[]".to_owned(),
        r#"{"hits":[]}"#.to_owned(),
        r#"{"hits":{},"estimatedTotalHits":1}"#.to_owned(),
        r#"{"hits":[],"estimatedTotalHits":-1}"#.to_owned(),
        r#"{"hits":[],"estimatedTotalHits":"1"}"#.to_owned(),
        r#"{"hits":[],"totalHits":1}"#.to_owned(),
        r#"{"hits":[1],"estimatedTotalHits":1}"#.to_owned(),
        r#"{"hits":[{"id":1}],"estimatedTotalHits":1}"#.to_owned(),
        r#"{"hits":[{"_rankingScoreDetails":{"<hidden-rule-0>":{"order":0,"value":"<hidden>"}}}],"estimatedTotalHits":1}"#
            .to_owned(),
        format!(r#"{{"hits":[{{"_rankingScoreDetails":{details}}}],"estimatedTotalHits":1}} x"#),
    ] {
        assert!(plan(&json!({})).accept(0, answer.clone().into_bytes()).is_err(), "{answer}");
    }
    let good = format!(r#"{{"hits":[{{"_rankingScoreDetails":{details}}}],"estimatedTotalHits":1}}"#);
    assert!(plan(&json!({})).accept(0, good.clone().into_bytes()).is_ok());
    assert!(plan(&json!({ "facets": ["a"] })).accept(0, good.into_bytes()).is_err());
}

/// An answer with these hits, as the engine writes it.
fn answer_of(hits: &[&str]) -> Vec<u8> {
    format!(r#"{{"hits":[{}],"query":"","processingTimeMs":1,"estimatedTotalHits":9}}"#, hits.join(",")).into_bytes()
}

fn typos(count: u32, rest: &str) -> String {
    format!(
        r#"{{"_rankingScoreDetails":{{"typo":{{"order":0,"typoCount":{count},"maxTypoCount":9,"score":0.1}}}},"n":{count}{rest}}}"#
    )
}

#[test]
fn a_broken_hit_behind_the_page_is_of_no_interest_and_one_on_it_names_its_part() {
    let (good, late) = (typos(0, ""), typos(3, ""));
    for (limit, expected) in [(2, Ok(())), (3, Err(7))] {
        let mut gather = plan(&json!({ "limit": limit }));
        gather.accept(4, answer_of(&[&good, &late])).unwrap();
        gather.accept(7, answer_of(&[&good, &typos(1, ""), r#"{"n":2}"#])).unwrap();
        assert_eq!(gather.settle(), expected, "{limit}");
    }
}

#[test]
fn what_looks_like_the_end_of_the_hits_within_a_hit_is_not_it() {
    for rest in [r#","a":[{"b":[1],"query":2}]"#, r#","a":"],\"query\":""#, r#","a":{"b":[],"query":{}}"#] {
        for last in [false, true] {
            let (odd, plain) = (typos(1, rest), typos(2, ""));
            let hits = if last { [plain.as_str(), odd.as_str()] } else { [odd.as_str(), plain.as_str()] };
            let mut gather = plan(&json!({}));
            gather.accept(0, answer_of(&hits)).unwrap();
            gather.settle().unwrap();
            let answer: Value = serde_json::from_slice(&gather.finish(1)).unwrap();
            assert_eq!(answer["hits"].as_array().unwrap().len(), 2, "{rest}");
            let shown = answer["hits"].to_string();
            assert!(shown.contains(rest), "{shown}");
        }
    }
}

#[test]
fn a_document_loses_the_reserved_field_and_nothing_else() {
    let strip = |text: &str| strip_document(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(strip(r#"{"id":1.50,"_miroir_shard":"x"}"#).unwrap(), r#"{"id":1.50}"#);
    assert_eq!(strip(r#"{"_miroir_shard":"x","id":1}"#).unwrap(), r#"{"id":1}"#);
    assert_eq!(
        strip(r#"{"a":1 , "_miroir_shard":"x" ,"b":{"_miroir_shard":2}}"#).unwrap(),
        r#"{"a":1,"b":{"_miroir_shard":2}}"#
    );
    assert_eq!(strip(r#"{"_miroir_shard":"x"}"#).unwrap(), "{}");
    assert_eq!(strip("{}").unwrap(), "{}");
    assert!(strip("[]").is_err());
    assert!(strip(r#"{"id":1"#).is_err());
}
