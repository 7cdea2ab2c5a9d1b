//! `simulate`: what a change of nodes or copies would move, by the same placement that control uses. No cluster is
//! asked.

mod input;
mod model;

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Form;
use crate::exit::Failure;
use crate::output;
use crate::parse;

/// Arguments of `simulate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The cluster as it is: the output of `miroirctl shards --output json`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "node", "shards", "from_rf"])]
    pub map: Option<PathBuf>,
    /// The cluster as it is: so many nodes of one size.
    #[arg(long, value_name = "N", conflicts_with = "node")]
    pub nodes: Option<u16>,
    /// The cluster as it is: its nodes, ID[,weight=W][,zone=Z] each.
    #[arg(long, value_name = "NODE")]
    pub node: Vec<String>,
    /// Number of shards.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub shards: u32,
    /// Copies of each shard as they are (with `--map`, the map's).
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub from_rf: u8,
    /// Nodes that come: a number of them, or ID[,weight=W][,zone=Z].
    #[arg(long, value_name = "NODE")]
    pub add: Vec<String>,
    /// Nodes that go, by id.
    #[arg(long, value_name = "ID")]
    pub remove: Vec<String>,
    /// Copies of each shard afterwards.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub rf: Option<u8>,
    /// Documents in the cluster, each counted once.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub documents: u64,
    /// Their size, each counted once (20GB).
    #[arg(long, value_name = "SIZE", value_parser = parse::bytes, default_value = "0")]
    pub bytes: u64,
}

/// Computes and prints.
pub fn run(arguments: &Arguments, form: Form) -> Result<(), Failure> {
    let change = input::read(arguments)?;
    let outcome = model::outcome(&change)?;
    let json = json!({
        "before": outcome.before,
        "after": outcome.after,
        "copiesMade": outcome.made,
        "copiesDropped": outcome.dropped,
        "copiesLeast": outcome.least,
        "documentsMoved": outcome.share(arguments.documents, outcome.made),
        "bytesMoved": outcome.share(arguments.bytes, outcome.made),
        "nodes": outcome.nodes,
    });
    output::data(form, &json, || model::text(&outcome, arguments.documents, arguments.bytes))
}
