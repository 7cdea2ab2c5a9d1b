//! Comparing two answers: hits may change places only where they rank alike on the one node.

use std::collections::HashMap;

use anyhow::ensure;
use serde_json::{Map, Value, json};

use super::ask::{Aspect, Difference, Verdict, unless_same};
use crate::Client;

/// Fields of an answer that no two answers share.
const OF_THE_MOMENT: [&str; 2] = ["processingTimeMs", "requestUid"];

/// Scores differ by no more than this when they are the same.
const SAME_SCORE: f64 = 1e-6;

/// Answers that must be the same altogether.
pub(super) fn whole(aspect: Aspect, left: &Value, right: &Value) -> Verdict {
    let steady = |answer: &Value| {
        let mut answer = answer.clone();
        if let Some(fields) = answer.as_object_mut() {
            fields.retain(|name, _| !OF_THE_MOMENT.contains(&name.as_str()));
        }
        answer
    };
    let difference = unless_same(aspect, &steady(left), &steady(right));
    Verdict { identical: difference.is_none(), differences: difference.into_iter().collect() }
}

/// Answers of a search that the node can be asked again for how these hits rank.
pub(super) async fn search(
    one: &Client,
    path: &str,
    body: &Value,
    left: &Value,
    right: &Value,
) -> anyhow::Result<Verdict> {
    let (expected, found) = (ids(left), ids(right));
    let mut verdict = around_hits(left, right);
    verdict.identical = expected == found;
    if !verdict.identical {
        let ranks = ranks(one, path, body, &expected, &found).await?;
        let rank = |id: Option<&Value>| id.and_then(|id| ranks.get(&id.to_string()));
        let length = expected.len().max(found.len());
        let wrong = (0..length).find(|at| rank(expected.get(*at)) != rank(found.get(*at)));
        let doubled = (1..found.len()).find(|at| found[..*at].contains(&found[*at]));
        if let Some(at) = wrong.or(doubled) {
            let shown = |id: Option<&Value>| format!("{id:?} {:?}", rank(id));
            let detail = format!("hit {at}: {} and {}", shown(expected.get(at)), shown(found.get(at)));
            verdict.differences.push(Difference { aspect: Aspect::Order, detail, class: None });
        }
    }
    verdict.differences.extend(in_hits(left, right));
    Ok(verdict)
}

/// Answers whose hits tell their rank by a score alone.
pub(super) fn by_score(left: &Value, right: &Value) -> Verdict {
    let mut verdict = around_hits(left, right);
    verdict.identical = ids(left) == ids(right);
    let (expected, found) = (scores(left), scores(right));
    let wrong = (0..expected.len().max(found.len())).find(|at| match (expected.get(*at), found.get(*at)) {
        (Some(left), Some(right)) => (left - right).abs() > SAME_SCORE,
        _ => true,
    });
    if let Some(at) = wrong {
        let detail = format!("hit {at}: {:?} and {:?}", expected.get(at), found.get(at));
        verdict.differences.push(Difference { aspect: Aspect::Order, detail, class: None });
    }
    verdict.differences.extend(in_hits(left, right));
    verdict
}

fn hits(answer: &Value) -> &[Value] {
    answer["hits"].as_array().map_or(&[], Vec::as_slice)
}

fn ids(answer: &Value) -> Vec<Value> {
    hits(answer).iter().map(|hit| hit["id"].clone()).collect()
}

fn scores(answer: &Value) -> Vec<f64> {
    let score = |hit: &Value| hit["_federation"]["weightedRankingScore"].as_f64().or(hit["_rankingScore"].as_f64());
    hits(answer).iter().map(|hit| score(hit).unwrap_or(f64::NAN)).collect()
}

/// How the node ranks these documents for this search: by what its ranking rules say of them.
async fn ranks(
    one: &Client,
    path: &str,
    body: &Value,
    expected: &[Value],
    found: &[Value],
) -> anyhow::Result<HashMap<String, String>> {
    let mut wanted: Vec<&Value> = expected.iter().chain(found).collect();
    wanted.sort_by_key(|id| id.to_string());
    wanted.dedup();
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        const KEPT: [&str; 5] = ["q", "sort", "filter", "matchingStrategy", "attributesToSearchOn"];
        fields.retain(|name, _| KEPT.contains(&name.as_str()));
        let only = json!(format!("id IN [{}]", wanted.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ")));
        let filter = match fields.remove("filter") {
            Some(Value::Array(mut all)) => {
                all.push(only);
                Value::Array(all)
            }
            Some(Value::String(filter)) => json!([filter, only]),
            _ => only,
        };
        fields.insert("filter".to_owned(), filter);
        fields.insert("limit".to_owned(), json!(wanted.len()));
        fields.insert("attributesToRetrieve".to_owned(), json!(["id"]));
        fields.insert("showRankingScoreDetails".to_owned(), json!(true));
    }
    let answer = one.post(path, &body).await?;
    ensure!(answer.status == 200, "{body}: {}", answer.text);
    let rank = |hit: &Value| (hit["id"].to_string(), hit["_rankingScoreDetails"].to_string());
    Ok(hits(&answer.json()).iter().map(rank).collect())
}

fn around_hits(left: &Value, right: &Value) -> Verdict {
    let parts = |answer: &Value| {
        let (mut totals, mut facets) = (Map::new(), Map::new());
        for (name, value) in answer.as_object().into_iter().flatten() {
            if name.starts_with("facet") {
                facets.insert(name.clone(), value.clone());
            } else if name != "hits" && !OF_THE_MOMENT.contains(&name.as_str()) {
                totals.insert(name.clone(), value.clone());
            }
        }
        (Value::Object(totals), Value::Object(facets))
    };
    let ((totals, facets), (other_totals, other_facets)) = (parts(left), parts(right));
    let differences =
        [unless_same(Aspect::Totals, &totals, &other_totals), unless_same(Aspect::Facets, &facets, &other_facets)];
    Verdict { identical: true, differences: differences.into_iter().flatten().collect() }
}

/// The first difference in the content of hits that both have, and the first in their scores.
fn in_hits(left: &Value, right: &Value) -> Vec<Difference> {
    let others: HashMap<String, &Value> = hits(right).iter().map(|hit| (hit["id"].to_string(), hit)).collect();
    let pairs: Vec<_> =
        hits(left).iter().filter_map(|hit| others.get(&hit["id"].to_string()).map(|other| (hit, *other))).collect();
    let is_score = |name: &str| name.starts_with("_rankingScore") || name == "_federation";
    let part = |hit: &Value, scores: bool| {
        let mut hit = hit.clone();
        if let Some(fields) = hit.as_object_mut() {
            fields.retain(|name, _| is_score(name) == scores);
        }
        hit
    };
    let first = |aspect, scores| {
        pairs.iter().find_map(|(hit, other)| unless_same(aspect, &part(hit, scores), &part(other, scores)))
    };
    [first(Aspect::Content, false), first(Aspect::Scores, true)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(hits: Value, total: u64) -> Value {
        json!({"hits": hits, "estimatedTotalHits": total, "processingTimeMs": 1})
    }

    fn aspects(verdict: &Verdict) -> Vec<Aspect> {
        verdict.differences.iter().map(|difference| difference.aspect).collect()
    }

    #[test]
    fn hits_of_one_score_may_change_places() {
        let hit = |id: u64, score: f64| json!({"id": id, "_rankingScore": score});
        let left = answer(json!([hit(1, 0.9), hit(2, 0.5), hit(3, 0.5)]), 3);
        let right = answer(json!([hit(1, 0.9), hit(3, 0.5), hit(2, 0.5)]), 3);
        let verdict = by_score(&left, &right);
        assert!(!verdict.identical && verdict.differences.is_empty(), "{verdict:?}");
        let wrong = answer(json!([hit(2, 0.5), hit(1, 0.9), hit(3, 0.5)]), 3);
        assert_eq!(aspects(&by_score(&left, &wrong)), [Aspect::Order]);
        let short = answer(json!([hit(1, 0.9), hit(2, 0.5)]), 3);
        assert_eq!(aspects(&by_score(&left, &short)), [Aspect::Order]);
    }

    #[test]
    fn totals_facets_content_and_scores_are_told_apart() {
        let left = json!({"hits": [{"id": 1, "a": 1, "_rankingScore": 1.0}], "estimatedTotalHits": 1,
                          "facetDistribution": {"g": {"a": 1}}});
        let right = json!({"hits": [{"id": 1, "a": 2, "_rankingScore": 0.5}], "estimatedTotalHits": 2,
                           "facetDistribution": {"g": {"a": 2}}});
        let mut found = aspects(&by_score(&left, &right));
        found.sort();
        assert_eq!(found, [Aspect::Order, Aspect::Totals, Aspect::Facets, Aspect::Content, Aspect::Scores]);
    }
}
