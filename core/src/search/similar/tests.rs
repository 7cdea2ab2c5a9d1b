//! A request over parts that are played here.

use serde_json::{Value, json};

use super::*;
use crate::search::{Plan, ReadCall, plan_similar};

fn plan(body: &Value) -> Box<dyn Gather> {
    let body = body.to_string();
    let path = "/indexes/films/similar";
    let call = ReadCall { method: "POST", path, query: None, body: body.as_bytes(), include_metadata: false };
    let view = SearchView { distinct: Some("group".into()), ..SearchView::default() };
    match plan_similar(&call, &IndexFacts { uid: "films", primary_key: Some("id"), view: &view }) {
        Plan::Gather(gather) => gather,
        Plan::Relay { .. } => panic!("relayed: {body}"),
    }
}

fn asked(gather: &dyn Gather, part: usize) -> (String, Value) {
    let request = gather.request(r#""clause""#, part);
    (request.path, serde_json::from_slice(&request.body.unwrap()).unwrap())
}

fn hit(id: u32, similarity: Option<f64>) -> Value {
    json!({
        "id": id, "_miroir_shard": "\u{2E00}",
        "_rankingScore": similarity.unwrap_or_default(),
        "_rankingScoreDetails": { "vectorSort": { "order": 0, "similarity": similarity } },
    })
}

fn answer(hits: &[Value], total: u32) -> Vec<u8> {
    json!({ "hits": hits, "processingTimeMs": 1, "estimatedTotalHits": total }).to_string().into_bytes()
}

/// Document 7 lies in part 1.
fn found(body: &Value) -> Box<dyn Gather> {
    let mut gather = plan(body);
    assert_eq!(gather.authority(), Authority::Reader);
    let document = json!({ "results": [{ "id": 7, "_vectors": { "e": { "embeddings": [[1.0, 0.5], [9.0, 9.0]] } } }] });
    gather.accept(0, br#"{"results":[],"total":0}"#.to_vec()).unwrap();
    gather.accept(1, document.to_string().into_bytes()).unwrap();
    assert_eq!(gather.again(), [0, 1]);
    assert_eq!(gather.authority(), Authority::Client);
    gather
}

fn merged(mut gather: Box<dyn Gather>, parts: [&[Value]; 2]) -> Value {
    for (part, hits) in parts.into_iter().enumerate() {
        gather.accept(part, answer(hits, 10)).unwrap();
    }
    assert!(gather.again().is_empty());
    gather.settle().unwrap();
    serde_json::from_slice(&gather.finish(3)).unwrap()
}

#[test]
fn the_vector_is_fetched_first_and_then_sent_to_all_but_its_own_node() {
    let body = json!({ "id": 7, "embedder": "e", "filter": "a = 1", "offset": 1, "limit": 2 });
    let (path, fetch) = asked(&*plan(&body), 0);
    assert_eq!(path, "/indexes/films/documents/fetch");
    assert_eq!(fetch, json!({ "ids": [7], "retrieveVectors": true, "filter": ["clause"] }));
    let gather = found(&body);
    let shared = json!({ "offset": 0, "limit": 3, "showRankingScoreDetails": true, "filter": ["a = 1", "clause"] });
    let with = |more: Value| {
        let mut whole = shared.clone();
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    let (path, search) = asked(&*gather, 0);
    assert_eq!(path, "/indexes/films/search");
    assert_eq!(search, with(json!({ "hybrid": { "embedder": "e", "semanticRatio": 1.0 }, "vector": [1.0, 0.5] })));
    let (path, similar) = asked(&*gather, 1);
    assert_eq!(path, "/indexes/films/similar");
    assert_eq!(similar, with(json!({ "id": 7, "embedder": "e" })));
    assert_eq!(gather.judge(), Some(1), "the other node knows nothing of the document");
}

#[test]
fn hits_are_merged_by_similarity_and_those_without_a_vector_left_out() {
    let gather = found(&json!({ "id": 7, "embedder": "e", "offset": 1, "limit": 3, "showRankingScore": true }));
    let answer = merged(gather, [&[hit(1, Some(0.9)), hit(2, Some(0.0)), hit(3, None)], &[hit(4, Some(0.8))]]);
    assert_eq!(
        answer,
        json!({
            "hits": [{ "id": 4, "_rankingScore": 0.8 }, { "id": 2, "_rankingScore": 0.0 }],
            "id": "7", "processingTimeMs": 3, "limit": 3, "offset": 1, "estimatedTotalHits": 20,
        })
    );
}

#[test]
fn the_threshold_counts_over_all_parts() {
    let body = |limit: u32| json!({ "id": "x", "embedder": "e", "limit": limit, "rankingScoreThreshold": 0.5 });
    let parts: [&[Value]; 2] = [&[hit(1, Some(0.9)), hit(2, Some(0.4))], &[hit(3, Some(0.8)), hit(4, Some(0.3))]];
    let all = merged(found(&body(9)), parts);
    assert_eq!((&all["estimatedTotalHits"], all["hits"].as_array().unwrap().len()), (&json!(2), 2));
    assert_eq!(all["id"], "x");
    assert_eq!(all["hits"][0], json!({ "id": 1 }));
    // The page ends before the first hit that is below.
    assert_eq!(merged(found(&body(2)), parts)["estimatedTotalHits"], 20);
}

#[test]
fn no_more_is_counted_than_the_index_lists() {
    let mut gather = found(&json!({ "id": 7, "embedder": "e" }));
    for part in [0, 1] {
        gather.accept(part, answer(&[], 700)).unwrap();
    }
    gather.settle().unwrap();
    let answer: Value = serde_json::from_slice(&gather.finish(1)).unwrap();
    assert_eq!(answer["estimatedTotalHits"], SearchView::default().max_total_hits);
}

#[test]
fn a_document_without_a_vector_resembles_none_but_all_are_counted() {
    let mut gather = plan(&json!({ "id": 7, "embedder": "e" }));
    gather.accept(0, br#"{"results":[{"id":7,"_vectors":{"e":{"embeddings":[]}}}]}"#.to_vec()).unwrap();
    gather.accept(1, br#"{"results":[]}"#.to_vec()).unwrap();
    assert_eq!(gather.again().len(), 2);
    assert!(asked(&*gather, 1).1.get("vector").is_none());
    gather.accept(0, answer(&[], 4)).unwrap();
    let other =
        json!({ "hits": [{ "id": 1, "_rankingScoreDetails": {} }], "processingTimeMs": 1, "estimatedTotalHits": 6 });
    gather.accept(1, other.to_string().into_bytes()).unwrap();
    gather.settle().unwrap();
    let answer: Value = serde_json::from_slice(&gather.finish(1)).unwrap();
    assert_eq!((&answer["hits"], &answer["estimatedTotalHits"]), (&json!([]), &json!(10)));
}

#[test]
fn a_node_tells_the_client_that_there_is_no_such_document() {
    let mut gather = plan(&json!({ "id": "nope", "embedder": "e", "limit": 5 }));
    for part in [0, 1] {
        gather.accept(part, br#"{"results":[]}"#.to_vec()).unwrap();
    }
    assert_eq!(gather.again(), [0]);
    assert_eq!(gather.authority(), Authority::Client);
    let (path, own) = asked(&*gather, 0);
    assert_eq!((path.as_str(), own), ("/indexes/films/similar", json!({ "id": "nope", "embedder": "e", "limit": 0 })));
    // It has come meanwhile: the whole is asked anew.
    assert!(gather.accept(0, answer(&[], 0)).is_err());
}

#[test]
fn what_the_engine_refuses_is_relayed() {
    for body in [
        json!({ "embedder": "e" }),
        json!({ "id": 1 }),
        json!({ "id": [1], "embedder": "e" }),
        json!({ "id": true, "embedder": "e" }),
        json!({ "id": 1, "embedder": "e", "q": "x" }),
        json!({ "id": 1, "embedder": "e", "limit": "x" }),
        json!({ "id": 1, "embedder": "e", "rankingScoreThreshold": 2 }),
    ] {
        let body = body.to_string();
        let path = "/indexes/films/similar";
        let call = ReadCall { method: "POST", path, query: None, body: body.as_bytes(), include_metadata: false };
        let view = SearchView::default();
        let plan = plan_similar(&call, &IndexFacts { uid: "films", primary_key: None, view: &view });
        assert!(matches!(plan, Plan::Relay { .. }), "{body}");
    }
}
