//! Searches on real nodes through Miroir, beside the nodes asked directly in parallel.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use super::table;
use crate::{Client, Cluster, Options};

const ROUNDS: usize = 300;
const DOCUMENTS: usize = 6_000;

/// Runs it and prints the table.
pub(super) async fn run() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options { replication_factor: 1, shards: 128, ..Options::default() }).await?;
    let client = cluster.client(0);
    fill(&client).await?;
    let nodes: Vec<Client> = (0..cluster.nodes.len()).map(|node| cluster.node_client(node)).collect();
    let mut rows = Vec::new();
    for (what, body) in [
        ("one word", json!({"q": "river"})),
        ("two words, filter", json!({"q": "green mountain", "filter": "rank > 100"})),
        ("facets", json!({"q": "stone", "facets": ["colour"]})),
        ("sort", json!({"sort": ["rank:desc"], "limit": 50})),
    ] {
        let (mut direct, mut through) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            direct.push(slowest(&nodes, &body).await?);
            through.push(one(&client, &body).await?);
        }
        let (own, ours) = (table::quantile(&mut direct, 0.5), table::quantile(&mut through, 0.5));
        rows.push(vec![
            what.to_owned(),
            table::millis(own),
            table::millis(ours),
            table::ratio(ours.as_secs_f64(), own.as_secs_f64()),
            format!(
                "{} / {}",
                table::millis(table::quantile(&mut direct, 0.99)),
                table::millis(table::quantile(&mut through, 0.99))
            ),
        ]);
    }
    table::print(
        "Searches on 3 nodes, one connection: the slowest node asked directly, and Miroir",
        &["query", "slowest node p50", "Miroir p50", "ratio", "p99 node / Miroir"],
        &rows,
    );
    Ok(())
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

async fn one(client: &Client, body: &Value) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let answer = client.post("/indexes/docs/search", body).await?;
    ensure!(answer.status == 200, "{}", answer.text);
    Ok(began.elapsed())
}

async fn slowest(nodes: &[Client], body: &Value) -> anyhow::Result<Duration> {
    let all = futures::future::try_join_all(nodes.iter().map(|node| one(node, body))).await?;
    Ok(all.into_iter().max().unwrap_or_default())
}
