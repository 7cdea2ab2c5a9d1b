//! Records the answers of the real engine into `tests/scenarios`, or compares an engine with them.

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use miroir_e2e::scenario::{self, Against, MASTER_KEY};
use miroir_e2e::{Engine, Single};

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Ask the real engine, and write its answers down.
    Record,
    /// Compare the engine (the stand-in where there is no other) with the files.
    Check,
    /// Compare the stand-in with the files.
    CheckStandin,
}

/// Scenarios: requests with the answers of the real engine.
#[derive(Parser)]
struct Arguments {
    /// What to do.
    #[arg(value_enum)]
    what: What,
    /// Only scenarios with one of these names.
    only: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let engine = match arguments.what {
        What::CheckStandin => Engine::standin()?,
        What::Record | What::Check => Engine::find()?,
    };
    let recording = matches!(arguments.what, What::Record);
    ensure!(!(recording && engine.standin), "answers are recorded from a real engine only: set MEILISEARCH_BIN");
    let against = if engine.standin { Against::Standin } else { Against::Engine };
    let server = Single::start(&engine, Some(MASTER_KEY)).await?;
    let client = server.client();
    let mut differences = Vec::new();
    for mut scenario in scenario::load()? {
        if !arguments.only.is_empty() && !arguments.only.contains(&scenario.name) {
            continue;
        }
        if recording {
            scenario::record(&mut scenario, &client).await.with_context(|| scenario.name.clone())?;
        } else {
            differences.extend(scenario::check(&scenario, &client, against).await?);
        }
    }
    ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}
