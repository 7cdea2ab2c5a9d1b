//! Chaos on real processes: writers keep a ledger of every write, readers hold what they see against it, and meanwhile
//! nodes, Envoys and control are killed, stopped and started again. After each round the ledger and all replicas are
//! compared, document by document.

mod compare;
mod harm;
pub mod history;
pub mod ledger;
pub mod plan;
mod read;
mod settle;
mod stage;
pub mod tally;
mod write;

pub use history::Fault;
pub use miroir_sequencer::invariants::Document;
pub use tally::Tally;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::ensure;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::bench::table;
use crate::harness::scene::QUICK;
use crate::{Client, Cluster, Options};
use stage::{INDEX, Stage};

/// Breaks a cluster while it is written and read, and checks that nothing is lost.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "cargo xtask chaos")]
pub struct Arguments {
    /// How long things are broken, without the comparisons.
    #[arg(long, default_value_t = 120)]
    pub seconds: u64,
    /// What is broken when, and what is written: a seed repeats it. Drawn where none is given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Nodes.
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// Copies of each shard.
    #[arg(long, default_value_t = 2)]
    pub replication_factor: u8,
    /// Shards.
    #[arg(long, default_value_t = 16)]
    pub shards: u32,
    /// Length of a round, after which everything is compared.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub round: u64,
    /// Keep data, logs and the ledger here.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<std::path::PathBuf>,
    /// Empty disks too, where no document is lost by that.
    #[arg(long)]
    pub wipes: bool,
    /// Delete a document on the nodes themselves before the last comparison: the run must fail.
    #[arg(long)]
    pub tamper: bool,
}

const WRITERS: u64 = 4;
const READERS: u64 = 3;

/// Runs, prints, and fails when anything was wrong.
///
/// # Errors
/// When something was lost, doubled, resurrected or otherwise wrong, or the cluster does not come up again.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let seed = arguments.seed.unwrap_or_else(rand::random);
    say(&format!("seed {seed}"));
    let tally = chaos(arguments, seed).await?;
    table::print(&format!("chaos, seed {seed}"), &["what", "how many"], &tally.rows());
    for finding in &tally.findings {
        say(finding);
    }
    ensure!(tally.faults.is_empty(), "{:?}: run again with --seed {seed}", tally.faults);
    Ok(())
}

/// Runs; what happened.
///
/// # Errors
/// When the cluster does not come up, at first or again.
pub async fn chaos(arguments: &Arguments, seed: u64) -> anyhow::Result<Tally> {
    let options = Options {
        nodes: arguments.nodes,
        replication_factor: arguments.replication_factor,
        shards: arguments.shards,
        envoys: 2,
        control_settings: QUICK.to_owned(),
        data_dir: arguments.data_dir.clone(),
        ..Options::default()
    };
    let Options { nodes, replication_factor, .. } = options;
    let shape = plan::Shape { nodes, envoys: 2, replication_factor, wipes: arguments.wipes };
    let mut cluster = Cluster::start(options).await?;
    let stage = Arc::new(Stage::new(2));
    prepare(&cluster.client(0)).await?;
    let (began, mut broken_for) = (Instant::now(), 0);
    for round in 0.. {
        let length = arguments.round.min(arguments.seconds.saturating_sub(broken_for));
        if length == 0 {
            break;
        }
        let actors = actors(&stage, &cluster, seed.wrapping_add(round * 1000));
        let plan = plan::round(seed, round, shape, length * 1000);
        harm::carry_out(&stage, &mut cluster, &plan).await?;
        stage.curtain.store(true, Ordering::SeqCst);
        for actor in actors {
            actor.await?;
        }
        stage.curtain.store(false, Ordering::SeqCst);
        broken_for += length;
        settle::tasks(&stage, &mut cluster).await?;
        let copies = settle::healed(&stage, &mut cluster).await?;
        if arguments.tamper && broken_for >= arguments.seconds {
            tamper(&cluster).await?;
        }
        compare::round(&stage, &cluster, &copies).await?;
        write_ledger(&stage, &cluster)?;
        let tally = stage.tally();
        say(&format!(
            "round {round} after {:.0} s: {} harms, {} writes, {} reads, faults {:?}",
            began.elapsed().as_secs_f32(),
            tally.harms.values().sum::<usize>(),
            tally.writes.values().sum::<usize>(),
            tally.reads.values().sum::<usize>(),
            tally.faults
        ));
        if !tally.faults.is_empty() {
            break;
        }
    }
    let tally = stage.tally().clone();
    Ok(tally)
}

/// The index, with what readers filter and sort by.
async fn prepare(client: &Client) -> anyhow::Result<()> {
    client.succeeded(&client.post("/indexes", &json!({"uid": INDEX, "primaryKey": "id"})).await?).await?;
    let settings = json!({"filterableAttributes": ["g"], "sortableAttributes": ["id"]});
    let path = format!("/indexes/{INDEX}/settings");
    client.succeeded(&client.json(reqwest::Method::PATCH, &path, &settings).await?).await?;
    Ok(())
}

fn actors(stage: &Arc<Stage>, cluster: &Cluster, seed: u64) -> Vec<JoinHandle<()>> {
    let clients = || (0..cluster.envoys.len()).map(|envoy| cluster.client(envoy)).collect::<Vec<_>>();
    let writers = (0..WRITERS).map(|at| tokio::spawn(write::writer(Arc::clone(stage), clients(), seed + at)));
    let readers = (0..READERS).map(|at| tokio::spawn(read::reader(Arc::clone(stage), clients(), seed + 100 + at)));
    writers.chain(readers).collect()
}

/// Deletes the first document that is there on all nodes that hold it, behind control's back.
async fn tamper(cluster: &Cluster) -> anyhow::Result<()> {
    let hits = cluster.client(0).post(&format!("/indexes/{INDEX}/search"), &json!({"limit": 1})).await?.json();
    let path = format!("/indexes/{INDEX}/documents/{}", hits["hits"][0]["id"]);
    ensure!(hits["hits"][0]["id"].is_u64(), "nothing is there to tamper with");
    for node in 0..cluster.nodes.len() {
        let client = cluster.node_client(node);
        client.succeeded(&client.delete(&path).await?).await?;
    }
    Ok(())
}

/// Writes the ledger beside the logs.
fn write_ledger(stage: &Stage, cluster: &Cluster) -> anyhow::Result<()> {
    let lines: Vec<String> = stage.ledger().entries().iter().map(ToString::to_string).collect();
    Ok(std::fs::write(cluster.dir.join("ledger.txt"), lines.join("\n"))?)
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "==> {text}");
}
