//! `cargo xtask chaos`: kills, stops and restarts under load, and a comparison of everything afterwards.

use clap::Parser;
use miroir_e2e::chaos::{self, Arguments};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    chaos::run(&Arguments::parse()).await
}
