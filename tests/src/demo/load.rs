//! Loading the data as any client would.

use std::cell::Cell;

use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value, json};

use super::dataset::Data;
use super::progress::while_waiting;
use super::say;
use crate::Client;

/// Documents in one request.
const BATCH: usize = 5_000;

/// Creates the index and loads the documents, unless the index is there already: what is in it is its owner's, who may
/// have changed it. True when it was loaded.
///
/// # Errors
/// When a task fails.
pub async fn into_cluster(client: &Client, data: &Data) -> anyhow::Result<bool> {
    let (index, total) = (data.index, data.documents.len());
    let there = client.get(&format!("/indexes/{index}")).await?;
    if there.status == 200 {
        let held = held(client, index).await?;
        say(&format!("index {index} is there already: kept with its {held} documents (the data set has {total})"));
        return Ok(false);
    }
    ensure!(there.status == 404, "index {index}: {} {}", there.status, there.text);
    say(&format!("creating index {index} and loading {total} documents"));
    client.succeeded(&client.post("/indexes", &json!({"uid": index, "primaryKey": "id"})).await?).await?;
    let settings = client.json(Method::PATCH, &format!("/indexes/{index}/settings"), &data.settings).await?;
    client.succeeded(&settings).await?;

    let accepted = Cell::new(0);
    let sending = async {
        let mut tasks = Vec::new();
        for batch in data.documents.chunks(BATCH) {
            let answer = client.post(&format!("/indexes/{index}/documents"), &Value::from(batch.to_vec())).await?;
            ensure!(answer.status == 202, "loading: {} {}", answer.status, answer.text);
            tasks.push(answer);
            accepted.set(accepted.get() + batch.len());
        }
        anyhow::Ok(tasks)
    };
    let tasks =
        while_waiting(sending, async || Some(format!("{} of {total} documents accepted", accepted.get()))).await?;

    say("waiting until everything is searchable");
    let indexing = async {
        let mut seen = 0;
        for task in &tasks {
            while let Err(late) = client.succeeded(task).await {
                // A slow machine may take longer than one task is waited for, but it gets on.
                let now = held(client, index).await?;
                ensure!(now > seen, late);
                seen = now;
            }
        }
        Ok(())
    };
    let searchable = async || Some(format!("{} of {total} documents searchable", held(client, index).await.ok()?));
    while_waiting(indexing, searchable).await?;
    Ok(true)
}

/// Documents in the index.
pub(super) async fn held(client: &Client, index: &str) -> anyhow::Result<u64> {
    let answer = client.get(&format!("/indexes/{index}/stats")).await?;
    let held = answer.json()["numberOfDocuments"].as_u64();
    held.ok_or_else(|| anyhow::anyhow!("stats of {index}: {} {}", answer.status, answer.text))
}
