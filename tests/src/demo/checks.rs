//! A handful of searches whose answers are checked against the data itself.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::dataset::Data;
use super::print;
use crate::Client;

/// Runs the searches of this data set and prints the answers.
///
/// # Errors
/// When a check does not hold.
pub async fn run(client: &Client, data: &Data) -> anyhow::Result<()> {
    let stats = client.get(&format!("/indexes/{}/stats", data.index)).await?.json();
    ensure!(stats["numberOfDocuments"] == json!(data.documents.len()), "documents are missing or doubled: {stats}");
    one_document(client, data).await?;
    match data.index {
        "films" => films(client, data).await,
        _ => cities(client, data).await,
    }
}

async fn one_document(client: &Client, data: &Data) -> anyhow::Result<()> {
    let wanted = data.documents.get(data.documents.len() / 2).context("no documents")?;
    let got = client.get(&format!("/indexes/{}/documents/{}", data.index, wanted["id"])).await?;
    ensure!(got.json() == *wanted, "a document came back changed: {}", got.text);
    Ok(())
}

async fn search(client: &Client, data: &Data, what: &str, body: Value) -> anyhow::Result<Value> {
    let answer = client.post(&format!("/indexes/{}/search", data.index), &body).await?;
    ensure!(answer.status == 200, "{what}: {} {}", answer.status, answer.text);
    let shards = answer.header("x-miroir-shards").context("no x-miroir-shards header")?.to_owned();
    let (answered, total) = shards.split_once('/').context("x-miroir-shards")?;
    ensure!(answered == total, "{what}: only {shards} shards answered");
    let found = answer.json();
    print(&format!(
        "\n{what}  {body}\n  shards {shards}, {} ms, about {} hits",
        found["processingTimeMs"], found["estimatedTotalHits"]
    ));
    ensure!(!answer.text.contains("_miroir"), "{what}: the shard tag shows: {}", answer.text);
    Ok(found)
}

fn hits(found: &Value) -> impl Iterator<Item = &Value> {
    found["hits"].as_array().into_iter().flatten()
}

fn show(found: &Value, fields: &[&str]) {
    for hit in hits(found) {
        let values: Vec<String> = fields.iter().map(|field| hit[*field].to_string()).collect();
        print(&format!("    {}", values.join("  ")));
    }
}

async fn films(client: &Client, data: &Data) -> anyhow::Result<()> {
    let typo = search(client, data, "A typo:", json!({"q": "casablnca", "limit": 3})).await?;
    show(&typo, &["Title", "Director"]);
    ensure!(hits(&typo).any(|hit| hit["Title"] == "Casablanca"), "the typo was not forgiven");

    let is_drama = |film: &&Value| film["Major Genre"] == "Drama";
    let rating = |film: &Value| film["IMDB Rating"].as_f64().unwrap_or(f64::NEG_INFINITY);
    let filtered = search(
        client,
        data,
        "A filter, sorted:",
        json!({"filter": "\"Major Genre\" = Drama", "sort": ["IMDB Rating:desc"], "limit": 5, "facets": ["Major Genre"]}),
    )
    .await?;
    show(&filtered, &["Title", "IMDB Rating"]);
    let mut best: Vec<f64> = data.documents.iter().filter(is_drama).map(rating).collect();
    best.sort_by(|left, right| right.total_cmp(left));
    let got: Vec<f64> = hits(&filtered).map(rating).collect();
    ensure!(best.starts_with(&got) && got.len() == 5, "sorted {got:?}, the data say {:?}", best.get(..5));
    let dramas = data.documents.iter().filter(is_drama).count();
    ensure!(filtered["estimatedTotalHits"] == json!(dramas), "{} dramas of {dramas}", filtered["estimatedTotalHits"]);
    ensure!(filtered["facetDistribution"]["Major Genre"]["Drama"] == json!(dramas), "facet count is wrong");

    let facets = search(client, data, "Facets:", json!({"q": "", "facets": ["Major Genre"], "limit": 0})).await?;
    print(&format!("    {}", facets["facetDistribution"]["Major Genre"]));
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

async fn cities(client: &Client, data: &Data) -> anyhow::Result<()> {
    let typo = search(client, data, "A typo:", json!({"q": "amsterdaam", "limit": 3})).await?;
    show(&typo, &["name", "country"]);
    ensure!(hits(&typo).any(|hit| hit["name"] == "Amsterdam"), "the typo was not forgiven");

    let near = search(
        client,
        data,
        "Nearest places to the Eiffel tower:",
        json!({"sort": ["_geoPoint(48.8584, 2.2945):asc"], "limit": 5}),
    )
    .await?;
    show(&near, &["name", "country", "_geoDistance"]);
    let distances: Vec<u64> = hits(&near).filter_map(|hit| hit["_geoDistance"].as_u64()).collect();
    ensure!(distances.len() == 5 && distances.is_sorted(), "distances {distances:?}");

    let counted = search(
        client,
        data,
        "A filter with facets:",
        json!({"filter": "country = LU", "facets": ["country"], "limit": 2}),
    )
    .await?;
    show(&counted, &["name", "country"]);
    let places = data.documents.iter().filter(|city| city["country"] == "LU").count();
    ensure!(counted["facetDistribution"]["country"]["LU"] == json!(places), "facet count is wrong");
    Ok(())
}
