//! Measurements of the whole. Machines are noisy: what counts are ratios of things measured in one run.

mod fanout;
mod history;
mod ingest;
mod moves;
mod nodes;
mod payloads;
mod processes;
mod small_writes;
mod split;
pub mod table;
mod upstream;
mod wrk;

use clap::ValueEnum;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// Fan-out to three fixed upstreams beside plain proxying of one answer.
    Fanout,
    /// Splitting, tagging and hashing documents: wasm beside native, and beside reading raw values.
    Split,
    /// Searches on real nodes, beside the slowest of the nodes asked directly.
    Nodes,
    /// Large payloads: resident memory of Envoy and control.
    Payloads,
    /// Ingest until searchable, beside one node.
    Ingest,
    /// One document a write, 32 clients, beside one node.
    SmallWrites,
    /// A join and a drain, with what writers feel of it; and the repair of one missed write.
    Moves,
    /// Memory and answers of control with a million tasks and a thousand indexes.
    History,
}

/// Measures Miroir on this machine.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "cargo xtask bench")]
pub struct Arguments {
    /// What to measure; everything where nothing is named.
    #[arg(value_enum)]
    pub only: Vec<Measurement>,
    /// Seconds of each load, in several turns where loads are compared.
    #[arg(long, default_value_t = 5)]
    pub seconds: u32,
}

/// Runs the measurements and prints their tables.
///
/// # Errors
/// When a part does not come up or answers wrongly.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let wanted = |measurement| arguments.only.is_empty() || arguments.only.contains(&measurement);
    if wanted(Measurement::Fanout) {
        fanout::run(arguments.seconds).await?;
    }
    if wanted(Measurement::Split) {
        split::run().await?;
    }
    if wanted(Measurement::Nodes) {
        nodes::run().await?;
    }
    if wanted(Measurement::Payloads) {
        payloads::run().await?;
    }
    if wanted(Measurement::Ingest) {
        ingest::run().await?;
    }
    if wanted(Measurement::SmallWrites) {
        small_writes::run(arguments.seconds).await?;
    }
    if wanted(Measurement::Moves) {
        moves::run(arguments.seconds).await?;
    }
    if wanted(Measurement::History) {
        history::run().await?;
    }
    Ok(())
}
