//! Searches on real nodes through Miroir, beside the nodes asked directly in parallel.

use std::time::{Duration, Instant};

use anyhow::ensure;
use miroir_core::tag;
use serde_json::{Value, json};

use super::table;
use crate::demo::{dataset, load};
use crate::{Client, Cluster, Options};

const ROUNDS: usize = 300;
const DOCUMENTS: usize = 6_000;

/// Runs it and prints a table for a small index and one for a larger.
pub(super) async fn run() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options { replication_factor: 1, shards: 128, ..Options::default() }).await?;
    let client = cluster.client(0);
    fill(&client).await?;
    let generated = [
        ("one word", json!({"q": "river"})),
        ("two words, filter", json!({"q": "green mountain", "filter": "rank > 100"})),
        ("facets", json!({"q": "stone", "facets": ["colour"]})),
        ("sort", json!({"sort": ["rank:desc"], "limit": 50})),
    ];
    compare(&cluster, "docs", DOCUMENTS, &generated).await?;
    let cities = dataset::cities().await?;
    load::into_cluster(&client, &cities).await?;
    let places = [
        ("one word", json!({"q": "san"})),
        ("two words, one misspelt", json!({"q": "santa criz"})),
        ("facets", json!({"q": "new", "facets": ["country"]})),
        ("facets, filter", json!({"q": "", "facets": ["country"], "filter": "country != US"})),
        ("nearest", json!({"sort": ["_geoPoint(48.85, 2.35):asc"], "limit": 50})),
    ];
    compare(&cluster, cities.index, cities.documents.len(), &places).await
}

async fn compare(cluster: &Cluster, index: &str, documents: usize, queries: &[(&str, Value)]) -> anyhow::Result<()> {
    let client = cluster.client(0);
    let nodes: Vec<Client> = (0..cluster.nodes.len()).map(|node| cluster.node_client(node)).collect();
    let shards = shards(cluster).await?;
    let path = format!("/indexes/{index}/search");
    let mut rows = Vec::new();
    for (what, body) in queries {
        let plain = vec![body.clone(); nodes.len()];
        let asked: Vec<Value> = shards.iter().map(|shards| as_asked(body, shards, cluster.shards())).collect();
        let (mut direct, mut rewritten, mut through) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            direct.push(slowest(&nodes, &path, &plain).await?);
            rewritten.push(slowest(&nodes, &path, &asked).await?);
            through.push(one(&client, &path, body).await?);
        }
        let [own, theirs, ours] = [&mut direct, &mut rewritten, &mut through].map(|times| table::quantile(times, 0.5));
        let ratio = |time: Duration| table::ratio(time.as_secs_f64(), own.as_secs_f64());
        rows.push(vec![
            (*what).to_owned(),
            table::millis(own),
            ratio(theirs),
            ratio(ours),
            format!(
                "{} / {}",
                table::millis(table::quantile(&mut direct, 0.99)),
                table::millis(table::quantile(&mut through, 0.99))
            ),
        ]);
    }
    table::print(
        &format!(
            "Searches in {documents} documents on {} nodes, one connection, beside the slowest node asked directly: the \
             same nodes asked for their shards with details of scores, and Miroir",
            nodes.len()
        ),
        &["query", "slowest node p50", "asked as by Miroir", "Miroir", "p99 node / Miroir"],
        &rows,
    );
    Ok(())
}

/// Shards of each node.
async fn shards(cluster: &Cluster) -> anyhow::Result<Vec<Vec<u32>>> {
    let mut shards = vec![Vec::new(); cluster.nodes.len()];
    for copy in cluster.copies().await? {
        shards[copy.node].push(u32::try_from(copy.shard)?);
    }
    Ok(shards)
}

/// A search with what Miroir adds to it that costs a node time.
fn as_asked(body: &Value, shards: &[u32], count: u32) -> Value {
    let mut asked = body.clone();
    let clause = Value::from(tag::filter_clause(shards, count));
    asked["filter"] = match body.get("filter") {
        Some(filter) => json!([clause, filter]),
        None => clause,
    };
    asked["showRankingScoreDetails"] = json!(true);
    asked
}

/// Loads generated documents into an index `docs`.
pub(super) async fn fill(client: &Client) -> anyhow::Result<()> {
    client.succeeded(&client.post("/indexes", &json!({"uid": "docs", "primaryKey": "id"})).await?).await?;
    let settings = json!({"filterableAttributes": ["rank", "colour"], "sortableAttributes": ["rank"]});
    client.succeeded(&client.json(reqwest::Method::PATCH, "/indexes/docs/settings", &settings).await?).await?;
    client.succeeded(&client.post("/indexes/docs/documents", &Value::from(documents(DOCUMENTS))).await?).await?;
    Ok(())
}

/// Documents of a few words each, the same every time.
pub(super) fn documents(count: usize) -> Vec<Value> {
    const WORDS: [&str; 12] = [
        "river", "mountain", "green", "stone", "cloud", "harbour", "winter", "garden", "silver", "bridge", "valley",
        "lantern",
    ];
    (0..count)
        .map(|id| {
            let word = |turn: usize| WORDS[(id.wrapping_mul(31).wrapping_add(turn * (id % 7 + 1))) % WORDS.len()];
            let text: Vec<&str> = (0..30).map(word).collect();
            json!({"id": id, "title": format!("{} {}", word(1), word(5)), "text": text.join(" "), "rank": id % 1000,
                   "colour": (["red", "blue", "grey"][id % 3])})
        })
        .collect()
}

async fn one(client: &Client, path: &str, body: &Value) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let answer = client.post(path, body).await?;
    ensure!(answer.status == 200, "{}", answer.text);
    Ok(began.elapsed())
}

async fn slowest(nodes: &[Client], path: &str, bodies: &[Value]) -> anyhow::Result<Duration> {
    let all = futures::future::try_join_all(nodes.iter().zip(bodies).map(|(node, body)| one(node, path, body))).await?;
    Ok(all.into_iter().max().unwrap_or_default())
}
