//! `cargo xtask demo`: a cluster on this machine, with real data, and what it answers.

use clap::Parser;
use miroir_e2e::demo::{self, Arguments};

#[tokio::main]
async fn main() -> anyhow::Result<std::process::ExitCode> {
    demo::run(Arguments::parse()).await
}
