//! What must hold of the answers: for data that this run has loaded, what the data themselves say; for data that were
//! kept, which their owner may have changed, what holds for any.
//!
//! Hits that rank exactly alike come in any order, and a page may end among them: no check asks for one of those.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::dataset::Data;
use super::examples::{self, AMSTERDAM, CASABLANCA, Typo, hits};
use super::load::held;
use super::print;
use crate::{Answer, Client, Cluster, until};

/// Longest wait for counts to agree: nodes may still have tasks of an earlier run to do.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// Runs the searches of this data set, prints the answers, and compares them with the data just loaded.
///
/// # Errors
/// When a check does not hold.
pub async fn loaded(cluster: &Cluster, data: &Data) -> anyhow::Result<()> {
    let client = cluster.client(0);
    let held = held(&client, data.index).await?;
    ensure!(held == data.documents.len() as u64, "documents are missing or doubled: {held} are there");
    one_document(&client, data).await?;
    let mut answers = Vec::new();
    for example in examples::of(data) {
        let answer = examples::show(cluster, data.index, &example).await?;
        answers.push(complete(&answer).context(example.what)?);
    }
    match (data.index, answers.as_slice()) {
        ("films", [typo, filtered, facets]) => {
            forgiven(&client, data, &CASABLANCA, typo).await?;
            films(data, filtered, facets)
        }
        (_, [typo, near, counted]) => {
            forgiven(&client, data, &AMSTERDAM, typo).await?;
            cities(data, near, counted)
        }
        _ => anyhow::bail!("not three searches"),
    }
}

/// Runs the searches of this data set on an index that was kept, and prints the answers; with `check`, what holds for
/// any data must.
///
/// # Errors
/// When there is no answer, or a check does not hold.
pub async fn kept(cluster: &Cluster, data: &Data, check: bool) -> anyhow::Result<()> {
    for example in examples::of(data) {
        examples::show(cluster, data.index, &example).await?;
    }
    if !check {
        return Ok(());
    }
    let client = cluster.client(0);
    complete(&client.post(&format!("/indexes/{}/search", data.index), &json!({})).await?)?;
    let last = Cell::new((None, None));
    let counted = until("two requests to count the same", SETTLE_LIMIT, async || {
        last.set(totals(&client, data.index).await);
        let (stats, documents) = last.get();
        stats.filter(|_| stats == documents)
    })
    .await
    .with_context(|| format!("stats and documents count {:?}", last.get()))?;
    print(&format!("\nChecked: all shards answer, and stats and documents both count {counted}."));
    Ok(())
}

/// The number of documents by two requests that are answered in different ways.
async fn totals(client: &Client, index: &str) -> (Option<u64>, Option<u64>) {
    let page = client.get(&format!("/indexes/{index}/documents?limit=1")).await;
    (held(client, index).await.ok(), page.ok().and_then(|page| page.json()["total"].as_u64()))
}

async fn one_document(client: &Client, data: &Data) -> anyhow::Result<()> {
    let wanted = data.documents.get(data.documents.len() / 2).context("no documents")?;
    let got = client.get(&format!("/indexes/{}/documents/{}", data.index, wanted["id"])).await?;
    ensure!(got.json() == *wanted, "a document came back changed: {}", got.text);
    Ok(())
}

/// The body of an answer behind which all shards stand.
fn complete(answer: &Answer) -> anyhow::Result<Value> {
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text);
    let shards = answer.header("x-miroir-shards").context("no x-miroir-shards header")?;
    let (answered, total) = shards.split_once('/').context("x-miroir-shards")?;
    ensure!(answered == total, "only {shards} shards answered");
    ensure!(!answer.text.contains("_miroir"), "the shard tag shows: {}", answer.text);
    Ok(answer.json())
}

/// The best hits have the word that was meant, and every document that has it is among all hits.
async fn forgiven(client: &Client, data: &Data, typo: &Typo, shown: &Value) -> anyhow::Result<()> {
    let body = json!({"q": typo.typed, "limit": 1000, "attributesToRetrieve": ["id"]});
    let all = complete(&client.post(&format!("/indexes/{}/search", data.index), &body).await?)?;
    best_have_the_word(&data.documents, typo, shown)?;
    all_are_found(&data.documents, typo, &all)
}

/// Ids of the documents that have the word that was meant.
fn meant(documents: &[Value], typo: &Typo) -> BTreeSet<u64> {
    let has = |document: &&Value| {
        let text = document[typo.field].as_str().unwrap_or_default();
        text.split(|letter: char| !letter.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case(typo.meant))
    };
    documents.iter().filter(has).filter_map(id).collect()
}

fn id(document: &Value) -> Option<u64> {
    document["id"].as_u64()
}

fn best_have_the_word(documents: &[Value], typo: &Typo, found: &Value) -> anyhow::Result<()> {
    let meant = meant(documents, typo);
    let best: Vec<&Value> = hits(found).take(meant.len()).collect();
    ensure!(!best.is_empty(), "the typo was not forgiven: {} finds nothing", typo.typed);
    let other = best.iter().find(|hit| !id(hit).is_some_and(|id| meant.contains(&id)));
    ensure!(other.is_none(), "the typo was not forgiven: {} finds {other:?}", typo.typed);
    Ok(())
}

fn all_are_found(documents: &[Value], typo: &Typo, found: &Value) -> anyhow::Result<()> {
    let found: BTreeSet<u64> = hits(found).filter_map(id).collect();
    let missed: Vec<u64> = meant(documents, typo).difference(&found).copied().collect();
    ensure!(missed.is_empty(), "{} does not find the documents {missed:?}", typo.typed);
    Ok(())
}

fn films(data: &Data, filtered: &Value, facets: &Value) -> anyhow::Result<()> {
    let is_drama = |film: &&Value| film["Major Genre"] == "Drama";
    let rating = |film: &Value| film["IMDB Rating"].as_f64().unwrap_or(f64::NEG_INFINITY);
    let mut best: Vec<f64> = data.documents.iter().filter(is_drama).map(rating).collect();
    best.sort_by(|left, right| right.total_cmp(left));
    let got: Vec<f64> = hits(filtered).map(rating).collect();
    ensure!(best.starts_with(&got) && got.len() == 5, "sorted {got:?}, the data say {:?}", best.get(..5));
    let dramas = data.documents.iter().filter(is_drama).count();
    ensure!(filtered["estimatedTotalHits"] == json!(dramas), "{} dramas of {dramas}", filtered["estimatedTotalHits"]);
    ensure!(filtered["facetDistribution"]["Major Genre"]["Drama"] == json!(dramas), "facet count is wrong");

    let genres = data.documents.iter().filter(|film| film["Major Genre"].is_string()).count();
    let counted: u64 = facets["facetDistribution"]["Major Genre"]
        .as_object()
        .into_iter()
        .flat_map(|counts| counts.values())
        .filter_map(Value::as_u64)
        .sum();
    ensure!(usize::try_from(counted)? == genres, "facets count {counted} films, the data {genres}");
    Ok(())
}

fn cities(data: &Data, near: &Value, counted: &Value) -> anyhow::Result<()> {
    let distances: Vec<u64> = hits(near).filter_map(|hit| hit["_geoDistance"].as_u64()).collect();
    ensure!(distances.len() == 5 && distances.is_sorted(), "distances {distances:?}");
    let places = data.documents.iter().filter(|city| city["country"] == "LU").count();
    ensure!(counted["facetDistribution"]["country"]["LU"] == json!(places), "facet count is wrong");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Vec<Value> {
        let names = ["Amsterdam", "Rotterdam", "Amsterdam-Zuid", "New Amsterdam", "Imsterberg", "AMSTERDAM"];
        names.iter().enumerate().map(|(id, name)| json!({"id": id, "name": name})).collect()
    }

    fn found(ids: &[u64]) -> Value {
        json!({"hits": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()})
    }

    #[test]
    fn a_typo_is_forgiven_whichever_of_equal_hits_come_first() {
        for best in [[0, 2, 5], [5, 3, 2], [2, 5, 0]] {
            best_have_the_word(&places(), &AMSTERDAM, &found(&best)).unwrap();
        }
        // More hits than documents with the word: what comes after those may be anything.
        best_have_the_word(&places(), &AMSTERDAM, &found(&[0, 2, 3, 5, 4])).unwrap();
        for wrong in [&[][..], &[4], &[0, 1, 2], &[0, 4, 2, 3]] {
            best_have_the_word(&places(), &AMSTERDAM, &found(wrong)).unwrap_err();
        }
    }

    #[test]
    fn a_lost_document_is_missed() {
        all_are_found(&places(), &AMSTERDAM, &found(&[4, 5, 3, 2, 0])).unwrap();
        let missed = all_are_found(&places(), &AMSTERDAM, &found(&[4, 5, 2, 0])).unwrap_err();
        assert!(missed.to_string().contains("[3]"), "{missed}");
    }

    fn answer(status: u16, shards: &str, text: &str) -> Answer {
        let headers = [("x-miroir-shards".parse().unwrap(), shards.parse().unwrap())].into_iter().collect();
        Answer { status, headers, text: text.to_owned() }
    }

    #[test]
    fn an_answer_is_complete_when_all_shards_stand_behind_it() {
        assert_eq!(complete(&answer(200, "16/16", r#"{"hits":[]}"#)).unwrap(), json!({"hits": []}));
        for (status, shards, text) in [(200, "15/16", "{}"), (503, "16/16", "{}"), (200, "1/1", r#"{"_miroir":1}"#)] {
            complete(&answer(status, shards, text)).unwrap_err();
        }
    }
}
