//! `cargo xtask`: set-up, demo, tests and measurements of Miroir. Every command says what it installs, keeps what it
//! fetches under `target/tools`, and can be repeated.

mod gate;
mod generated;
mod shell;
mod tools;

use clap::{Parser, Subcommand};

use crate::shell::{cargo, step};

#[derive(Parser)]
#[command(about = "Set-up, demo, tests and measurements of Miroir")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything that must hold: format, lints, unit, property, wasm and end-to-end tests, generated files.
    Test(gate::Options),
    /// Start a cluster on this machine with real data, and show what it does. `--help` lists the options.
    #[command(disable_help_flag = true)]
    Demo {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure, and print tables with ratios from one run.
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print how even placements are, and what joins and leaves move against the least that must.
    Placement,
    /// Kill, stop and start parts of a cluster under load, and check that nothing is lost. `--help` lists the options.
    #[command(disable_help_flag = true)]
    Chaos {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Ask one node and a cluster the same generated queries, and print how many answers are the same. `--help` lists
    /// the options.
    #[command(disable_help_flag = true)]
    Fidelity {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Search films by InstantSearch in a headless Chromium, against a cluster, and check what the page shows.
    Browser(gate::Browser),
    /// Build the filter to `target/wasm/miroir_filter.wasm`.
    Wasm,
    /// Fetch what builds and tests need, and nothing else.
    Setup,
    /// Write the generated files, or with `--check` fail when one is stale.
    Generate {
        /// Compare only.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Test(options) => gate::run(&options),
        Command::Demo { arguments } => gate::run_binary("demo", &arguments),
        Command::Bench { arguments } => gate::run_binary("bench", &arguments),
        Command::Placement => step(
            "placement",
            cargo().args([
                "run",
                "--release",
                "--quiet",
                "--locked",
                "--package",
                "miroir-core",
                "--example",
                "placement",
            ]),
        ),
        Command::Chaos { arguments } => gate::run_binary("chaos", &arguments),
        Command::Fidelity { arguments } => gate::run_binary("fidelity", &arguments),
        Command::Browser(options) => gate::browser(&options),
        Command::Wasm => tools::wasm::build_filter().map(drop),
        Command::Setup => tools::everything(),
        Command::Generate { check } => generated::all(check),
    }
}
