//! From the first byte sent until everything is searchable, beside one node.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{nodes, table};
use crate::{Client, Cluster, Options};

const DOCUMENTS: usize = 40_000;
const BATCH: usize = 5_000;

/// Runs it and prints the table.
pub(super) async fn run() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options { replication_factor: 1, shards: 128, ..Options::default() }).await?;
    // The node is asked directly, for an index that Miroir does not know: one engine on the same machine.
    let alone = Cluster::start(Options { nodes: 1, replication_factor: 1, envoys: 0, ..Options::default() }).await?;
    let one = ingest(&alone.node_client(0)).await?;
    drop(alone);
    let three = ingest(&cluster.client(0)).await?;
    table::print(
        &format!("Ingest of {DOCUMENTS} documents in batches of {BATCH}, until searchable"),
        &["where", "time", "ratio to one node"],
        &[
            vec!["one node".into(), format!("{:.2} s", one.as_secs_f64()), "1.00".into()],
            vec![
                "Miroir, 3 nodes, RF 1".into(),
                format!("{:.2} s", three.as_secs_f64()),
                table::ratio(three.as_secs_f64(), one.as_secs_f64()),
            ],
        ],
    );
    Ok(())
}

async fn ingest(client: &Client) -> anyhow::Result<Duration> {
    client.succeeded(&client.post("/indexes", &json!({"uid": "docs", "primaryKey": "id"})).await?).await?;
    let documents = nodes::documents(DOCUMENTS);
    let began = Instant::now();
    let mut tasks = Vec::new();
    for batch in documents.chunks(BATCH) {
        tasks.push(client.post("/indexes/docs/documents", &Value::from(batch.to_vec())).await?);
    }
    for task in &tasks {
        client.succeeded(task).await?;
    }
    Ok(began.elapsed())
}
