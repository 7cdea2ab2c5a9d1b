//! One document a write, many clients, beside one node.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use super::table;
use crate::{Client, Cluster, Options};

const CLIENTS: usize = 32;

struct Figures {
    rate: f64,
    p50: Duration,
    p99: Duration,
}

/// Runs it and prints the table.
pub(super) async fn run(seconds: u32) -> anyhow::Result<()> {
    let alone = Cluster::start(Options { nodes: 1, replication_factor: 1, envoys: 0, ..Options::default() }).await?;
    let one = load(&alone.node_client(0), seconds).await?;
    drop(alone);
    let mut rows = vec![row("one node", &one, &one)];
    for replication_factor in [1, 2] {
        let cluster = Cluster::start(Options { replication_factor, shards: 128, ..Options::default() }).await?;
        let figures = load(&cluster.client(0), seconds).await?;
        rows.push(row(&format!("Miroir, 3 nodes, RF {replication_factor}"), &figures, &one));
    }
    table::print(
        &format!("One document a write, {CLIENTS} clients, accepted (202)"),
        &["where", "writes/s", "ratio", "p50", "p99"],
        &rows,
    );
    Ok(())
}

fn row(what: &str, figures: &Figures, base: &Figures) -> Vec<String> {
    vec![
        what.to_owned(),
        format!("{:.0}", figures.rate),
        table::ratio(figures.rate, base.rate),
        table::millis(figures.p50),
        table::millis(figures.p99),
    ]
}

async fn load(client: &Client, seconds: u32) -> anyhow::Result<Figures> {
    client.succeeded(&client.post("/indexes", &json!({"uid": "small", "primaryKey": "id"})).await?).await?;
    let end = Instant::now() + Duration::from_secs(u64::from(seconds));
    let began = Instant::now();
    let writers = (0..CLIENTS).map(|writer| {
        let client = client.clone();
        async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let sent = Instant::now();
                let document = json!([{"id": format!("{writer}-{}", latencies.len()), "text": "a small document"}]);
                let answer = client.post("/indexes/small/documents", &document).await?;
                ensure!(answer.status == 202, "{} {}", answer.status, answer.text);
                latencies.push(sent.elapsed());
            }
            Ok(latencies)
        }
    });
    let mut latencies: Vec<Duration> = futures::future::try_join_all(writers).await?.concat();
    #[allow(clippy::cast_precision_loss)]
    let rate = latencies.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Figures { rate, p50: table::quantile(&mut latencies, 0.5), p99: table::quantile(&mut latencies, 0.99) })
}
