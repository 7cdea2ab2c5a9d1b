//! Moves and repair: how long a join takes and what it copies beside the least possible, what writers feel of it, and how
//! soon a missed write is made good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::table;
use crate::harness::scene;
use crate::{Client, Cluster, Options, until};

const DOCUMENTS: u64 = 3_200;
const SHARDS: u32 = 128;
const CLIENTS: u64 = 4;
const NODES: u64 = 3;
const REPLICAS: u64 = 2;
const LIMIT: Duration = Duration::from_secs(300);

/// Runs it and prints the tables.
pub(super) async fn run(seconds: u32) -> anyhow::Result<()> {
    let options = Options { nodes: 3, replication_factor: 2, shards: SHARDS, ..Options::default() };
    let mut cluster = Cluster::start(options).await?;
    scene::fill(&cluster.client(0), DOCUMENTS).await?;
    let new = cluster.another_node().await?;
    let url = cluster.nodes[new].part.url.clone();

    let join = ["node", "add", "node-3", url.as_str()];
    let idle = moved(&cluster, &join).await?;
    let drain = moved(&cluster, &["node", "drain", "node-3"]).await?;
    let quiet = under_load(&cluster, async {
        tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
        Ok(())
    });
    let (before, ()) = quiet.await?;
    let (during, loaded) = under_load(&cluster, moved(&cluster, &join)).await?;

    let least = DOCUMENTS * REPLICAS / (NODES + 1);
    let row = |name: &str, moved: &Moved, least: u64| {
        let over = table::ratio(moved.documents as f64, least as f64);
        vec![
            name.to_owned(),
            moved.moves.to_string(),
            seconds_of(moved.flipped),
            seconds_of(moved.done),
            moved.documents.to_string(),
            over,
        ]
    };
    table::print(
        &format!("Moves of {DOCUMENTS} documents in {SHARDS} shards, RF {REPLICAS}, {NODES} nodes and one more"),
        &["what", "copies moved", "read from their new place", "old ones deleted", "documents copied", "of the least"],
        &[
            row("join, nothing else goes on", &idle, least),
            row("drain, nothing else goes on", &drain, least),
            row(&format!("join, {CLIENTS} clients write"), &loaded, least),
        ],
    );
    let row = |name: &str, mut times: Vec<Duration>| {
        let (p50, p99) = (table::quantile(&mut times, 0.5), table::quantile(&mut times, 0.99));
        vec![name.to_owned(), times.len().to_string(), table::millis(p50), table::millis(p99)]
    };
    table::print(
        &format!("One document a write, {CLIENTS} clients: until it was accepted"),
        &["when", "writes", "p50", "p99"],
        &[row("before a join", before), row("during a join", during)],
    );
    missed_write(&mut cluster).await?;
    missed_everything(&mut cluster).await
}

fn seconds_of(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

struct Moved {
    moves: u64,
    documents: u64,
    /// Until the last shard was read from its new place.
    flipped: Duration,
    /// Until the job was done.
    done: Duration,
}

async fn moved(cluster: &Cluster, change: &[&str]) -> anyhow::Result<Moved> {
    let began = Instant::now();
    let job = cluster.job(change).await?;
    until("all shards to be read from their new places", LIMIT, || async {
        let state = cluster.job_state(job).await.ok()?;
        let copies = cluster.copies().await.ok()?;
        let fills = copies.iter().any(|copy| copy.state == "dual");
        let gone = copies.iter().filter(|copy| copy.state == "retiring").count() as u64;
        let (moves, settled) = (state["moves"].as_u64()?, state["movesDone"].as_u64()?);
        (moves > 0 && !fills && settled + gone >= moves).then_some(())
    })
    .await?;
    let flipped = began.elapsed();
    let state = cluster.job_done(job).await?;
    Ok(Moved {
        moves: state["movesDone"].as_u64().context("movesDone")?,
        documents: state["copied"]["documents"].as_u64().context("copied")?,
        flipped,
        done: began.elapsed(),
    })
}

/// Latencies of writers that run as long as something else.
async fn under_load<T>(
    cluster: &Cluster,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Vec<Duration>, T)> {
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..CLIENTS).map(|writer| tokio::spawn(write(cluster.client(0), writer, Arc::clone(&stop)))).collect();
    let done = work.await;
    stop.store(true, Ordering::SeqCst);
    let mut latencies = Vec::new();
    for writer in writers {
        latencies.extend(writer.await??);
    }
    Ok((latencies, done?))
}

async fn write(client: Client, writer: u64, stop: Arc<AtomicBool>) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        // The documents that are there, over and over: so what there is to copy stays the same.
        let id = (latencies.len() as u64 * CLIENTS + writer) % DOCUMENTS;
        let sent = Instant::now();
        let answer = client.post("/indexes/docs/documents", &json!([{"id": id, "text": "written anew"}])).await?;
        ensure!(answer.status == 202, "{} {}", answer.status, answer.text);
        latencies.push(sent.elapsed());
    }
    Ok(latencies)
}

/// A node is dead for one write: how long it takes until it is read again, from its first answer on.
async fn missed_write(cluster: &mut Cluster) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for turn in 0..3u64 {
        let copies = cluster.documents_on(1, "docs").await?;
        let id = copies.into_values().find_map(|held| held.into_keys().next()).context("node 1 holds nothing")?;
        let id: u64 = id.parse()?;
        cluster.drained(&[0, 1, 2, 3]).await?;
        cluster.nodes[1].kill();
        scene::write(&cluster.client(0), &json!([{"id": id, "text": format!("missed {turn}")}])).await?;
        cluster.nodes[1].restart()?;
        cluster.node_up(1).await?;
        let began = Instant::now();
        cluster.whole(LIMIT).await?;
        let took = began.elapsed();
        let held = cluster.agreed(&[0, 1, 2, 3], "docs").await?;
        ensure!(held[&id.to_string()]["text"] == format!("missed {turn}"), "it is not there");
        rows.push(vec![seconds_of(took)]);
    }
    table::print("A node missed one write: until it is read again, from its return on", &["time"], &rows);
    Ok(())
}

/// A node is dead while every document is written anew: how long it takes until all its copies are read again, from its
/// return on.
async fn missed_everything(cluster: &mut Cluster) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for (turn, loaded) in [false, true].into_iter().enumerate() {
        cluster.nodes[1].kill();
        let text = format!("missed by all {turn}");
        scene::write(&cluster.client(0), &scene::documents(0..DOCUMENTS, &text)).await?;
        let stale = cluster.copies().await?.iter().filter(|copy| copy.state == "stale").count();
        cluster.nodes[1].restart()?;
        cluster.node_up(1).await?;
        let began = Instant::now();
        let name = if loaded {
            under_load(cluster, cluster.whole(LIMIT)).await?;
            format!("{CLIENTS} clients write")
        } else {
            cluster.whole(LIMIT).await?;
            "nothing else goes on".to_owned()
        };
        rows.push(vec![name, stale.to_string(), seconds_of(began.elapsed())]);
        cluster.agreed(&[0, 1, 2, 3], "docs").await?;
    }
    let heads = ["when", "copies repaired", "time"];
    table::print(
        "A node missed writes to all its shards: until they are read again, from its return on",
        &heads,
        &rows,
    );
    Ok(())
}
