//! `cargo xtask demo`: a cluster on this machine, with real data, and what it answers.

use std::process::ExitCode;

use clap::Parser;
use miroir_e2e::demo::{self, Arguments};

#[tokio::main]
async fn main() -> ExitCode {
    demo::run(Arguments::parse()).await.unwrap_or_else(|error| {
        // Whoever tries it out wants the reason, and no trace of where in the demo it came up.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
