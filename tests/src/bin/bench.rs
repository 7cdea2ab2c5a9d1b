//! `cargo xtask bench`: measurements of the whole, as tables with ratios from one run.

use clap::Parser;
use miroir_e2e::bench::{self, Arguments};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    bench::run(&Arguments::parse()).await
}
