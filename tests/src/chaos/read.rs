//! Readers: they ask in several ways, and note what they saw; it is judged once the fate of all writes is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use miroir_core::invariants;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::history::{Fault, History, judge};
use super::ledger::Key;
use super::stage::{Asked, GROUPS, Seen, Stage};
use super::tally;
use super::write::{REST, kind};
use crate::{Answer, Client};

/// Reads through these clients, one of each Envoy, until the curtain falls.
pub async fn reader(stage: Arc<Stage>, clients: Vec<Client>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    while !stage.over() {
        let envoy = random.random_range(0..clients.len());
        let (client, since) = (&clients[envoy], stage.since(envoy));
        let key = random.random_range(0..stage.keys);
        let index = stage.index;
        let (name, asked, answer) = match random.random_range(0..10) {
            0..6 if stage.passes() => ("search", Asked::All, search(client, index, &json!({"limit": 1000})).await),
            0..4 => ("search", Asked::All, search(client, index, &json!({"limit": 1000, "sort": ["id:asc"]})).await),
            4..6 => {
                let group = key % GROUPS;
                let query = json!({"limit": 1000, "sort": ["id:asc"], "filter": format!("g = g{group}")});
                ("filtered search", Asked::Group(group), search(client, index, &query).await)
            }
            6 => {
                let query = json!({"limit": 1000});
                let path = format!("/indexes/{index}/documents/fetch");
                ("documents", Asked::All, client.post(&path, &query).await)
            }
            _ => ("document", Asked::One(key), client.get(&format!("/indexes/{index}/documents/{key}")).await),
        };
        let until = stage.now();
        tally::count(&mut stage.tally().reads, if stage.passes() { "of the passing index" } else { name });
        let by = format!("{name} of {index} through envoy-{envoy}");
        let found = match answer {
            Err(error) => Err(format!("no answer ({})", kind(&error))),
            Ok(answer) => found(&stage, &answer, asked, &by),
        };
        match found {
            Ok(found) => stage.seen().push(Seen { since, until, asked, found, by }),
            Err(words) => {
                tally::count(&mut stage.tally().errors, format!("{name} of {index}: {words}"));
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn search(client: &Client, index: &str, query: &Value) -> anyhow::Result<Answer> {
    client.post(&format!("/indexes/{index}/search"), query).await
}

/// The documents of an answer, in its order. What is wrong with the answer in itself is noted.
fn found(stage: &Stage, answer: &Answer, asked: Asked, by: &str) -> Result<Vec<(Key, Arc<super::Document>)>, String> {
    let body = answer.json();
    let code = body["code"].as_str().unwrap_or("no code");
    if let Asked::One(_) = asked {
        return match (answer.status, code) {
            (200, _) => Ok(stage.document(&body).into_iter().collect()),
            (404, "document_not_found") => Ok(Vec::new()),
            (status, code) => Err(format!("{status} {code}")),
        };
    }
    if answer.status != 200 {
        return Err(format!("{} {code}", answer.status));
    }
    let shards = answer.header("x-miroir-shards").unwrap_or("none");
    let counts = shards.split_once('/').and_then(|(some, all)| Some((some.parse().ok()?, all.parse().ok()?)));
    let (answered, all): (u64, u64) = counts.unwrap_or((0, 1));
    if answered != all {
        stage.tally().fault(Fault::Lost, format!("{by}: 200 with x-miroir-shards {shards}"));
    }
    let sorted = body["hits"].is_array();
    let hits = body[if sorted { "hits" } else { "results" }].as_array().cloned().unwrap_or_default();
    let found: Vec<_> = hits.iter().filter_map(|hit| stage.document(hit)).collect();
    let keys: Vec<Key> = found.iter().map(|(key, _)| *key).collect();
    if sorted && !stage.passes() && !keys.is_sorted() {
        stage.tally().fault(Fault::Misordered, format!("{by}: ids {keys:?}"));
    }
    if let Some(breach) = invariants::documents_once(all, answered, &keys) {
        stage.tally().fault(Fault::Doubled, format!("{by}: {}", breach.text));
    }
    let total = body[if sorted { "estimatedTotalHits" } else { "total" }].as_u64().unwrap_or(u64::MAX);
    let counted = invariants::total_fits(all, answered, keys.len(), total);
    if let Some(breach) = counted.or_else(|| invariants::total_fits(all, answered, hits.len(), total)) {
        stage.tally().fault(Fault::Miscounted, format!("{by}: {}", breach.text));
    }
    Ok(found)
}

/// What is wrong with what readers saw, by document: the fault, in words, and the document.
#[must_use]
pub fn judged(
    seen: &[Seen],
    histories: &BTreeMap<Key, History>,
    refused: &BTreeSet<String>,
) -> (usize, Vec<(Fault, String, Key)>) {
    let mut faults = Vec::new();
    let mut count = 0;
    for seen in seen {
        let found: BTreeMap<Key, &super::Document> =
            seen.found.iter().map(|(key, held)| (*key, held.as_ref())).collect();
        for (key, history) in histories.iter().filter(|(key, _)| seen.asked.covers(**key)) {
            count += 1;
            let there = found.get(key).copied();
            let allowed = history.between(seen.since, seen.until);
            let place = format!("document {key} of {}, from {} to {} us,", seen.by, seen.since, seen.until);
            let wrong = judge(invariants::read_shows_successes, &allowed, there, &place);
            faults.extend(wrong.map(|(fault, words)| (fault, words, *key)));
            let breach = invariants::refused_stays_away(refused, there, &place);
            faults.extend(breach.map(|breach| (Fault::Refused, breach.text, *key)));
        }
        let unknown = found.keys().filter(|key| !histories.contains_key(key) || !seen.asked.covers(**key));
        for key in unknown {
            faults.push((Fault::Resurrected, format!("{}: document {key} was never written there", seen.by), *key));
        }
    }
    (count, faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::history::Step;
    use miroir_core::invariants::Change;

    #[test]
    fn what_is_missing_and_what_nobody_asked_for_is_found() {
        let held: super::super::Document = [("v".to_owned(), "w1".to_owned())].into();
        let step = Step { ticket: 1, change: Change::Replace(held.clone()), succeeded: true, began: 1, known: Some(2) };
        let histories = BTreeMap::from([(8, History::new(None, vec![step]))]);
        let seen = |asked, found: Vec<Key>| {
            let found = found.into_iter().map(|key| (key, Arc::new(held.clone()))).collect();
            Seen { since: 5, until: 6, asked, found, by: String::new() }
        };
        let refused = BTreeSet::from(["w1".to_owned()]);
        let found = judged(&[seen(Asked::All, vec![8])], &histories, &refused).1;
        assert_eq!(found.first().map(|(fault, ..)| *fault), Some(Fault::Refused));
        let faults = |seen: Seen| {
            judged(&[seen], &histories, &BTreeSet::new()).1.into_iter().map(|(fault, ..)| fault).collect::<Vec<_>>()
        };
        assert_eq!(faults(seen(Asked::All, vec![8])), []);
        assert_eq!(faults(seen(Asked::All, vec![])), [Fault::Lost]);
        assert_eq!(faults(seen(Asked::Group(0), vec![])), [Fault::Lost]);
        assert_eq!(faults(seen(Asked::Group(1), vec![])), []);
        assert_eq!(faults(seen(Asked::Group(1), vec![8])), [Fault::Resurrected]);
        assert_eq!(faults(seen(Asked::All, vec![8, 9])), [Fault::Resurrected]);
    }
}
