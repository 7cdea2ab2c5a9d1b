//! Records the answers of the real engine into `tests/scenarios`, or compares an engine with them.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use miroir_e2e::scenario::{self, Against, MASTER_KEY};
use miroir_e2e::{Cluster, Engine, Options, Single};

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Ask the real engine, and write its answers down.
    Record,
    /// Compare the engine (the stand-in where there is no other) with the files.
    Check,
    /// Compare the stand-in with the files.
    CheckStandin,
    /// Compare a cluster with the files.
    CheckCluster,
}

/// Scenarios: requests with the answers of the real engine.
#[derive(Parser)]
struct Arguments {
    /// What to do.
    #[arg(value_enum)]
    what: What,
    /// Only scenarios with one of these names.
    only: Vec<String>,
    /// Copies of each shard of the cluster.
    #[arg(long, default_value_t = 2)]
    replication_factor: u8,
    /// Where the cluster keeps its data and logs; temporary where none is named.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let engine = match arguments.what {
        What::CheckStandin => Engine::standin()?,
        What::Record | What::Check | What::CheckCluster => Engine::find()?,
    };
    let recording = matches!(arguments.what, What::Record);
    ensure!(!(recording && engine.standin), "answers are recorded from a real engine only: set MEILISEARCH_BIN");
    let (mut cluster, mut single) = (None, None);
    let (client, against) = match arguments.what {
        What::CheckCluster => {
            let (replication_factor, data_dir) = (arguments.replication_factor, arguments.data_dir.clone());
            let master_key = Some(MASTER_KEY.to_owned());
            let options = Options { replication_factor, data_dir, master_key, ..Options::default() };
            let client = cluster.insert(Cluster::start(options).await?).client(0);
            (client, Against::cluster(&engine))
        }
        _ => {
            let client = single.insert(Single::start(&engine, Some(MASTER_KEY)).await?).client();
            (client, if engine.standin { Against::Standin } else { Against::Engine })
        }
    };
    let mut differences = Vec::new();
    for mut scenario in scenario::load()? {
        if !arguments.only.is_empty() && !arguments.only.contains(&scenario.name) {
            continue;
        }
        if recording {
            scenario::record(&mut scenario, &client).await.with_context(|| scenario.name.clone())?;
        } else {
            differences.extend(scenario::check(&scenario, &client, against).await);
        }
    }
    ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}
