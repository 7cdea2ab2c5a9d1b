//! Four payloads of 100 MB at once: what Envoy and control hold in memory.

use std::io::Write;

use anyhow::ensure;
use reqwest::Method;
use serde_json::json;

use super::{processes, table};
use crate::{Cluster, Engine, Options};

const PAYLOAD_BYTES: usize = 100_000_000;
const AT_ONCE: usize = 4;

/// Runs it and prints the table.
pub(super) async fn run() -> anyhow::Result<()> {
    // Large documents, few of them: what is measured is the way to the nodes, not the nodes.
    let engine = Engine::find()?;
    let cluster = Cluster::start(Options { replication_factor: 1, engine: Some(engine), ..Options::default() }).await?;
    let client = cluster.client(0);
    client.succeeded(&client.post("/indexes", &json!({"uid": "large", "primaryKey": "id"})).await?).await?;
    let settings = json!({"searchableAttributes": ["title"]});
    client.succeeded(&client.json(Method::PATCH, "/indexes/large/settings", &settings).await?).await?;
    let uploads = (0..AT_ONCE).map(|turn| {
        let client = client.clone();
        async move {
            let request = client
                .request(Method::POST, "/indexes/large/documents")
                .header("content-type", "application/x-ndjson")
                .timeout(std::time::Duration::from_secs(300))
                .body(payload(turn));
            client.send(request).await
        }
    });
    let began = std::time::Instant::now();
    let answers = futures::future::try_join_all(uploads).await?;
    let took = began.elapsed();
    for answer in &answers {
        ensure!(answer.status == 202, "{} {}", answer.status, answer.text);
    }
    let row = |what: &str, pid| {
        let (now, peak) = processes::resident(pid);
        vec![what.to_owned(), format!("{} MB", now / 1_000_000), format!("{} MB", peak / 1_000_000)]
    };
    table::print(
        &format!("{AT_ONCE} payloads of 100 MB at once, accepted after {:.1} s", took.as_secs_f64()),
        &["process", "resident after", "peak"],
        &[row("Envoy", cluster.envoys[0].part.pid), row("control", cluster.control.part.pid)],
    );
    Ok(())
}

fn payload(turn: usize) -> Vec<u8> {
    let filler = "x".repeat(9_900);
    let mut body = Vec::with_capacity(PAYLOAD_BYTES + 20_000);
    let mut id = turn * 1_000_000;
    while body.len() < PAYLOAD_BYTES - 10_000 {
        let _ = writeln!(body, r#"{{"id":{id},"title":"document {id}","filler":"{filler}"}}"#);
        id += 1;
    }
    body
}
