//! `cargo xtask fidelity`: the answers of a cluster beside those of one node.

use clap::Parser;
use miroir_e2e::fidelity::{self, Arguments};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    fidelity::run(&Arguments::parse()).await
}
