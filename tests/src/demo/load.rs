//! Loading the data as any client would.

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Value, json};

use super::dataset::Data;
use super::say;
use crate::Client;

/// Documents in one request.
const BATCH: usize = 5_000;

/// Creates the index and loads the documents, unless they are there already.
///
/// # Errors
/// When a task fails.
pub async fn into_cluster(client: &Client, data: &Data) -> anyhow::Result<()> {
    let index = data.index;
    let there = client.get(&format!("/indexes/{index}/stats")).await?.json();
    if there["numberOfDocuments"].as_u64() == u64::try_from(data.documents.len()).ok() {
        say(&format!("index {index} is already loaded"));
        return Ok(());
    }
    say(&format!("creating index {index} and loading {} documents", data.documents.len()));
    if client.get(&format!("/indexes/{index}")).await?.status == 404 {
        client.succeeded(&client.post("/indexes", &json!({"uid": index, "primaryKey": "id"})).await?).await?;
    }
    let settings = client.json(Method::PATCH, &format!("/indexes/{index}/settings"), &data.settings).await?;
    client.succeeded(&settings).await?;
    let bar = ProgressBar::new(u64::try_from(data.documents.len())?);
    bar.set_style(ProgressStyle::with_template("    {wide_bar} {pos}/{len} documents accepted, {elapsed}")?);
    let mut tasks = Vec::new();
    for batch in data.documents.chunks(BATCH) {
        let documents = Value::from(batch.to_vec());
        tasks.push(client.post(&format!("/indexes/{index}/documents"), &documents).await?);
        bar.inc(u64::try_from(batch.len())?);
    }
    bar.finish_and_clear();
    say("waiting until everything is searchable");
    for task in &tasks {
        client.succeeded(task).await?;
    }
    Ok(())
}
