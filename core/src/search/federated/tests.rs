use super::*;

fn planned(body: &str) -> Box<dyn Gather> {
    let view = SearchView::default();
    let replay = NodeRequest { method: "POST", path: "/multi-search".into(), headers: &[], body: None };
    let lookup = |uid: &str| match uid {
        "a" => Some(IndexFacts { uid: "a", primary_key: None, view: &view }),
        "b" => Some(IndexFacts { uid: "b", primary_key: None, view: &view }),
        _ => None,
    };
    match plan(&Query::parse(body.as_bytes()).unwrap(), &lookup, false, &replay) {
        Ok(MultiPlan::Federated { gather, .. }) => gather,
        _ => panic!("not federated"),
    }
}

const BOTH: &str = r#"{"federation":{"limit":3,"facetsByIndex":{"a":["g"],"b":["g"]}},"queries":[{"indexUid":"b","q":"x","federationOptions":{"weight":0.5}},{"indexUid":"a","q":"y","showRankingScore":true,"filter":"g = 1"}]}"#;

fn hit(id: u32, uid: &str, query: usize, score: f64, weight: f64) -> String {
    format!(
        r#"{{"id":{id},"_miroir_shard":"s","_federation":{{"indexUid":"{uid}","queriesPosition":{query},"weightedRankingScore":{}}},"_rankingScore":{score},"_rankingScoreDetails":{{"proximity":{{"order":0,"score":{score}}}}}}}"#,
        score * weight
    )
}

fn answer(hits: &[String], total: u32, facets: &str) -> Vec<u8> {
    format!(
        r#"{{"hits":[{}],"processingTimeMs":1,"limit":3,"offset":0,"estimatedTotalHits":{total},"facetsByIndex":{facets}}}"#,
        hits.join(",")
    )
    .into_bytes()
}

#[test]
fn nodes_are_asked_all_queries_within_their_shards() {
    let gather = planned(BOTH);
    let body: serde_json::Value = serde_json::from_slice(&gather.request(r#""CLAUSE""#, 0).body.unwrap()).unwrap();
    assert_eq!(body["federation"]["limit"], 3);
    assert_eq!(body["queries"][0]["filter"], serde_json::json!(["CLAUSE"]));
    assert_eq!(body["queries"][1]["filter"], serde_json::json!(["g = 1", "CLAUSE"]));
    assert_eq!(body["queries"][0]["federationOptions"]["weight"], 0.5);
    let judged: serde_json::Value = serde_json::from_slice(&gather.replay().unwrap().body.unwrap()).unwrap();
    assert_eq!((&judged["federation"]["limit"], &judged["queries"][1]["filter"]), (&0.into(), &"g = 1".into()));
}

#[test]
fn hits_totals_and_facets_of_the_nodes_are_merged() {
    let mut gather = planned(BOTH);
    let first = [hit(1, "a", 1, 0.9, 1.0), hit(2, "b", 0, 1.0, 0.5)];
    gather.accept(0, answer(&first, 2, r#"{"a":{"distribution":{"g":{"1":1}},"stats":{}}}"#)).unwrap();
    let second = [hit(3, "b", 0, 1.0, 0.5), hit(4, "a", 1, 0.5, 1.0), hit(5, "a", 1, 0.4, 1.0)];
    let facets = r#"{"a":{"distribution":{"g":{"1":2}},"stats":{}},"b":{"distribution":{"g":{"z":1}},"stats":{}}}"#;
    gather.accept(1, answer(&second, 3, facets)).unwrap();
    let page: serde_json::Value = serde_json::from_slice(&gather.finish(7)).unwrap();
    let ids: Vec<u64> = page["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect();
    // Hits that rank alike are ordered by their index; of one query, by the node.
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(page["hits"][0]["_rankingScore"], 0.9);
    assert!(page["hits"][1].get("_rankingScore").is_none() && page["hits"][1].get("_miroir_shard").is_none());
    assert_eq!(page["hits"][1]["_federation"]["queriesPosition"], 0);
    assert_eq!((&page["estimatedTotalHits"], &page["processingTimeMs"]), (&5.into(), &7.into()));
    assert_eq!(page["facetsByIndex"]["a"]["distribution"]["g"]["1"], 3);
    assert_eq!(page["facetsByIndex"]["b"]["distribution"]["g"]["z"], 1);
}

#[test]
fn facets_can_be_merged_over_the_indexes() {
    let body = BOTH.replace("\"limit\":3", "\"limit\":3,\"mergeFacets\":{\"maxValuesPerFacet\":1}");
    let mut gather = planned(&body);
    assert!(!String::from_utf8(gather.request("s", 0).body.unwrap()).unwrap().contains("mergeFacets"));
    let facets = r#"{"a":{"distribution":{"g":{"1":2}},"stats":{"g":{"min":1,"max":1}}},"b":{"distribution":{"g":{"1":1,"z":1}},"stats":{}}}"#;
    gather.accept(0, answer(&[], 3, facets)).unwrap();
    let page: serde_json::Value = serde_json::from_slice(&gather.finish(7)).unwrap();
    assert_eq!(page["facetDistribution"], serde_json::json!({ "g": { "1": 3 } }));
    assert_eq!(page["facetStats"]["g"]["max"], 1.0);
    assert!(page.get("facetsByIndex").is_none());
}

#[test]
fn a_distinct_value_is_seen_once_over_all_queries() {
    let body = r#"{"federation":{"distinct":"sku"},"queries":[{"indexUid":"a"},{"indexUid":"b"}]}"#;
    let mut gather = planned(body);
    let row = |uid: &str, query: u32| {
        format!(
            r#"{{"sku":1,"_federation":{{"indexUid":"{uid}","queriesPosition":{query},"weightedRankingScore":1.0}},"_rankingScoreDetails":{{}}}}"#
        )
    };
    gather.accept(0, answer(&[row("a", 0)], 1, "{}")).unwrap();
    gather.accept(1, answer(&[row("b", 1)], 1, "{}")).unwrap();
    let page: serde_json::Value = serde_json::from_slice(&gather.finish(7)).unwrap();
    assert_eq!((page["hits"].as_array().unwrap().len(), &page["estimatedTotalHits"]), (1, &1.into()));
}

#[test]
fn broken_answers_are_refused() {
    let mut gather = planned(BOTH);
    for body in ["", "[]", "{}", r#"{"hits":[{"id":1}],"estimatedTotalHits":1}"#] {
        assert!(gather.accept(0, body.as_bytes().to_vec()).is_err(), "{body}");
    }
    let unknown = answer(&[hit(1, "a", 7, 1.0, 1.0)], 1, "{}");
    assert!(gather.accept(0, unknown).is_err());
}
