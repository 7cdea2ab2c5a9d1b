//! `miroir-standin`: a stand-in for a Meilisearch node, for machines that have no engine and for planting faults.
//!
//! It answers as Meilisearch 1.50 does where Miroir's tests look, keeps what it acknowledged over a `kill -9`, and is
//! held to the real engine by the recorded scenarios in `tests/scenarios`. It never decides what is right.

mod answer;
mod api;
mod apply;
mod auth;
mod batch;
mod clock;
mod drift;
mod fault;
mod filter;
mod index;
mod journal;
mod keys;
mod node;
mod payload;
mod query;
mod settings;
mod shape;
mod task;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Parser;
use tokio::net::TcpListener;

/// A stand-in for a Meilisearch node. Takes the engine's options as far as tests use them.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// Address to listen on.
    #[arg(long, env = "MEILI_HTTP_ADDR", default_value = "localhost:7700")]
    http_addr: String,
    /// Master key; without one, everything is allowed.
    #[arg(long, env = "MEILI_MASTER_KEY")]
    master_key: Option<String>,
    /// Directory for all data.
    #[arg(long, env = "MEILI_DB_PATH", default_value = "data.ms")]
    db_path: PathBuf,
    /// Taken and ignored.
    #[arg(long)]
    no_analytics: bool,
    /// Taken and ignored: `development` or `production`.
    #[arg(long, env = "MEILI_ENV", default_value = "development")]
    env: String,
    /// Taken and ignored.
    #[arg(long)]
    log_level: Option<String>,
    /// Taken and ignored.
    #[arg(long)]
    http_payload_size_limit: Option<String>,
    /// Taken and ignored.
    #[arg(long)]
    max_indexing_memory: Option<String>,
    /// Taken and ignored.
    #[arg(long)]
    max_indexing_threads: Option<String>,
    /// Taken and ignored: dumps are accepted, and nothing is written.
    #[arg(long)]
    dump_dir: Option<PathBuf>,
    /// Taken and ignored: snapshots are accepted, and nothing is written.
    #[arg(long)]
    snapshot_dir: Option<PathBuf>,
    /// The version that it says it is of.
    #[arg(long, default_value = node::USUAL_VERSION)]
    engine_version: String,
    /// Takes over a directory that another version has written.
    #[arg(long, env = "MEILI_UPGRADE_DB")]
    upgrade_db: bool,
}

/// Drops `--experimental-…` options with their values: the stand-in has none.
fn without_experimental(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        if argument.starts_with("--experimental-") {
            if !argument.contains('=') {
                arguments.next_if(|next| !next.starts_with("--"));
            }
        } else {
            kept.push(argument);
        }
    }
    kept
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse_from(without_experimental(std::env::args()));
    let node = node::Node::open(&options.db_path, options.master_key.clone(), options.engine_version)?;
    if node.is_of_another_version() {
        ensure!(options.upgrade_db, "the data are of another version: start with --upgrade-db");
        node.take_over()?;
    }
    let listener = TcpListener::bind(&options.http_addr)
        .await
        .with_context(|| format!("cannot listen on {}", options.http_addr))?;
    tokio::spawn(Arc::clone(&node).run());
    axum::serve(listener, api::router(node)).await.context("server stopped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experimental_options_are_dropped() {
        let arguments = ["x", "--experimental-a", "any", "--db-path", "d", "--experimental-b", "--env=production"];
        let kept = without_experimental(arguments.into_iter().map(str::to_owned));
        assert_eq!(kept, ["x", "--db-path", "d", "--env=production"]);
    }
}
