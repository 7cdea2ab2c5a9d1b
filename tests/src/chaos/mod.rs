//! Chaos on real processes: writers keep a ledger of every write, readers hold what they see against it, and meanwhile
//! nodes, Envoys and control are killed, stopped and started again, and nodes join and are drained. After each round the
//! ledger and all replicas are compared, document by document.

mod compare;
mod harm;
pub mod history;
pub mod ledger;
mod members;
mod passing;
pub mod plan;
pub mod play;
mod read;
mod settle;
mod stage;
pub mod tally;
mod write;

pub use history::Fault;
pub use miroir_core::invariants::Document;
pub use play::Play;
pub use tally::Tally;

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use serde_json::json;

use crate::bench::table;
use crate::harness::scene::QUICK;
use crate::{Cluster, Options};
use stage::INDEX;

/// An Envoy that was killed keeps no copy from being deleted for longer than it could have been stopped: searches are cut
/// short accordingly.
const SILENT: &str =
    "vm_silent_ms = 4000\nvm_grace_ms = 14000\n\n[limits]\nread_timeout_ms = 2000\nrequest_timeout_ms = 6000\n";

/// All replicas are compared with each other all the time.
const SCRUB: &str = "\n[scrub]\ninterval_ms = 5000\n";

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
    /// Nodes that hold shards at least.
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// Nodes beside them, which join and are drained in turn with the others.
    #[arg(long, default_value_t = 1)]
    pub spares: usize,
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
        control_settings: format!("{QUICK}{SILENT}{SCRUB}"),
        data_dir: arguments.data_dir.clone(),
        ..Options::default()
    };
    let Options { nodes, replication_factor, .. } = options;
    let shape = plan::Shape { nodes: nodes + arguments.spares, envoys: 2, replication_factor, wipes: arguments.wipes };
    let mut cluster = Cluster::start(options).await?;
    for _ in 0..arguments.spares {
        cluster.another_node().await?;
    }
    let desk = members::Desk::new(&cluster, nodes);
    let mut play = Play::prepare_with_passing(&cluster, seed).await?;
    let (began, mut broken_for) = (Instant::now(), 0);
    for round in 0.. {
        let length = arguments.round.min(arguments.seconds.saturating_sub(broken_for));
        if length == 0 {
            break;
        }
        play.begin(&cluster);
        let plan = plan::round(seed, round, shape, length * 1000);
        let turns = if arguments.spares > 0 { plan::turns(seed, round, length * 1000) } else { Vec::new() };
        let operator = tokio::spawn(members::operator(Arc::clone(&play.stage), desk.clone(), turns));
        harm::carry_out(&play.stage, &mut cluster, &plan).await?;
        operator.await?;
        broken_for += length;
        let mut copies = play.settle(&mut cluster).await?;
        if arguments.spares > 0 {
            members::rest(&play.stage, &mut cluster, &desk).await?;
            copies = play.healed(&mut cluster).await?;
        }
        if arguments.tamper && broken_for >= arguments.seconds {
            tamper(&cluster).await?;
        }
        play.compare(&cluster, &copies).await?;
        let tally = play.tally();
        say(&format!(
            "round {round} after {:.0} s: {} harms, {} jobs, {} writes, {} reads, faults {:?}",
            began.elapsed().as_secs_f32(),
            tally.harms.values().sum::<usize>(),
            tally.jobs.values().sum::<usize>(),
            tally.writes.values().sum::<usize>(),
            tally.reads.values().sum::<usize>(),
            tally.faults
        ));
        if !tally.faults.is_empty() {
            break;
        }
    }
    Ok(play.tally())
}

/// Deletes the first document that is there on all nodes that hold it, behind control's back.
async fn tamper(cluster: &Cluster) -> anyhow::Result<()> {
    let hits = cluster.client(0).post(&format!("/indexes/{INDEX}/search"), &json!({"limit": 1})).await?.json();
    let path = format!("/indexes/{INDEX}/documents/{}", hits["hits"][0]["id"]);
    ensure!(hits["hits"][0]["id"].is_u64(), "nothing is there to tamper with");
    for node in 0..cluster.nodes.len() {
        let client = cluster.node_client(node);
        let task = client.ended(&client.delete(&path).await?).await?;
        // One that has never been a member has no index.
        ensure!(task["status"] == "succeeded" || task["error"]["code"] == "index_not_found", "{task}");
    }
    Ok(())
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "==> {text}");
}
