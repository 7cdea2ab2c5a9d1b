//! How fault tests begin: a cluster with short timings, and an index with documents.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::cluster::{Cluster, Options};
use super::engine::Engine;
use super::wait::until;

/// Longest wait until a write is taken again after something broke.
const RECOVERY_LIMIT: Duration = Duration::from_secs(45);

/// Timings that let tests see deadlines pass. The defaults are ten times as long.
pub const QUICK: &str = "[timing]\nquiet_ms = 300\ndeadline_ms = 3000\nsoft_ms = 600\nslack_ms = 500\n";

/// A VM counts as silent soon: copies that have moved are deleted after that time.
const SOON_SILENT: &str = "vm_silent_ms = 4000\n";

/// Two Envoys in front of this many nodes of the engine that is there, with timings that let moves end soon.
///
/// # Errors
/// When it does not come up.
pub async fn moving(nodes: usize, replication_factor: u8) -> anyhow::Result<Cluster> {
    let control_settings = format!("{QUICK}{SOON_SILENT}");
    Cluster::start(Options { nodes, replication_factor, envoys: 2, control_settings, ..Options::default() }).await
}

/// Two Envoys in front of three nodes that are stand-ins, so that faults can be planted in them.
///
/// # Errors
/// When it does not come up.
pub async fn faulty(replication_factor: u8) -> anyhow::Result<Cluster> {
    let engine = Some(Engine::standin()?);
    let control_settings = QUICK.to_owned();
    Cluster::start(Options { replication_factor, envoys: 2, engine, control_settings, ..Options::default() }).await
}

/// Two Envoys in front of three nodes of the engine that is there.
///
/// # Errors
/// When it does not come up.
pub async fn sound(replication_factor: u8) -> anyhow::Result<Cluster> {
    let control_settings = QUICK.to_owned();
    Cluster::start(Options { replication_factor, envoys: 2, control_settings, ..Options::default() }).await
}

/// Creates the index `docs` with documents of ids `0..count`, and waits until they are there.
///
/// # Errors
/// When it cannot be created.
pub async fn fill(client: &Client, count: u64) -> anyhow::Result<()> {
    client.succeeded(&client.post("/indexes", &json!({"uid": "docs", "primaryKey": "id"})).await?).await?;
    let documents: Vec<Value> = (0..count).map(|id| json!({"id": id, "text": format!("first {id}")})).collect();
    client.succeeded(&client.post("/indexes/docs/documents", &Value::from(documents)).await?).await?;
    Ok(())
}

/// Documents with these ids and this text.
#[must_use]
pub fn documents(ids: Range<u64>, text: &str) -> Value {
    ids.map(|id| json!({"id": id, "text": text})).collect()
}

/// Waits until the task of this answer has succeeded; its uid.
///
/// # Errors
/// When it does not.
pub async fn done(client: &Client, answer: &Answer) -> anyhow::Result<u64> {
    client.succeeded(answer).await?;
    answer.json()["taskUid"].as_u64().context("an answer without task")
}

/// Writes documents again and again until the write is answered 202 and its task has succeeded; the answer.
///
/// # Errors
/// When that does not come in time, or the task fails.
pub async fn write(client: &Client, documents: &Value) -> anyhow::Result<Answer> {
    let answer = until("a write to be taken", RECOVERY_LIMIT, || async {
        let answer = client.post("/indexes/docs/documents", documents).await.ok()?;
        (answer.status == 202).then_some(answer)
    })
    .await?;
    client.succeeded(&answer).await?;
    Ok(answer)
}

/// The number of documents that a complete search counts.
///
/// # Errors
/// When the answer is not complete.
pub async fn count(client: &Client) -> anyhow::Result<u64> {
    let answer = client.post("/indexes/docs/search", &json!({"page": 1, "hitsPerPage": 1})).await?;
    ensure!(answer.status == 200, "search: {} {}", answer.status, answer.text);
    let shards = answer.header("x-miroir-shards").context("no x-miroir-shards")?;
    let (answered, total) = shards.split_once('/').context("x-miroir-shards")?;
    ensure!(answered == total, "an incomplete answer: {shards}");
    answer.json()["totalHits"].as_u64().context("no totalHits")
}
