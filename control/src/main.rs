//! `miroir-control`: the control service's command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use miroir_control::config::{Config, ServeArguments};
use miroir_control::recover::{self, RecoverArguments};
use miroir_control::serve;
use miroir_control::telemetry;
use miroir_control::xds::bootstrap::Bootstrap;

/// Large settings and task lists come and go in many threads; the C library's allocator keeps most of what they took
/// (670 MB after ten settings of 100,000 stop words).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Miroir's control service: sequences writes, owns tasks, indexes, settings and keys, and pushes the shard map to
/// Envoy.
#[derive(Debug, Parser)]
#[command(name = "miroir-control", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service until SIGTERM or SIGINT.
    Serve(Box<ServeArguments>),
    /// Reads the configuration as `serve` would, and says what is wrong with it.
    CheckConfig(Box<ServeArguments>),
    /// Makes control's store from a backup (`miroirctl backup`) and from what the nodes hold: writes, tasks and changes
    /// that came after the backup are theirs to tell. To be run while no control runs, into an empty store.
    Restore {
        /// The backup.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        arguments: Box<RecoverArguments>,
    },
    /// Makes control's store from nothing but what the nodes hold. To be run while no control runs, into an empty store.
    /// The history of tasks, webhooks and secrets of embedders cannot be told from nodes: they are lost.
    Recover(Box<RecoverArguments>),
    /// Prints a bootstrap for an Envoy in front of the cluster.
    EnvoyBootstrap(BootstrapArguments),
    /// Prints the OpenAPI document of the admin API.
    Openapi,
    /// Asks a running service whether it is ready; exit code 0 if it is.
    Healthcheck {
        /// Base URL of its public API.
        #[arg(long, env = "MIROIR_HEALTHCHECK_URL", default_value = "http://127.0.0.1:7701")]
        url: String,
    },
}

#[derive(Debug, clap::Args)]
struct BootstrapArguments {
    /// Id of the Envoy, unique among Envoys.
    #[arg(long, value_name = "ID")]
    node_id: String,
    /// Path of the filter's module as this Envoy sees it.
    #[arg(long, value_name = "FILE")]
    module: String,
    /// Control's xDS listener; given once for each control where there are several.
    #[arg(long = "control", value_name = "HOST:PORT", required = true)]
    controls: Vec<String>,
    /// Where clients connect.
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:7700")]
    listen: String,
    /// Envoy's admin interface.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9901")]
    admin: String,
    /// File to write instead of the standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("miroir-control: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(arguments) => {
            let config = Config::load(&arguments)?;
            telemetry::start_logs(config.log_format, &config.log_filter)?;
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve::serve(config))?;
        }
        Command::Restore { file, arguments } => rebuild(&arguments, Some(file))?,
        Command::Recover(arguments) => rebuild(&arguments, None)?,
        Command::CheckConfig(arguments) => {
            let config = Config::load(&arguments)?;
            eprintln!(
                "{} nodes, {} shards, replication factor {}",
                config.nodes.len(),
                config.shards,
                config.replication_factor
            );
        }
        Command::EnvoyBootstrap(arguments) => {
            let bootstrap = Bootstrap {
                node_id: arguments.node_id,
                module: arguments.module,
                controls: arguments.controls,
                listen: arguments.listen,
                admin: arguments.admin,
            };
            let text = bootstrap.render()?;
            match arguments.output {
                Some(file) => {
                    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
                }
                None => std::io::stdout().write_all(text.as_bytes())?,
            }
        }
        Command::Openapi => {
            use std::io::Write;
            let document = miroir_control::admin::openapi().to_pretty_json()?;
            writeln!(std::io::stdout(), "{document}")?;
        }
        Command::Healthcheck { url } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let answer = runtime.block_on(async {
                let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
                let response = client.get(format!("{}/_miroir/ready", url.trim_end_matches('/'))).send().await?;
                anyhow::Ok((response.status(), response.text().await?))
            });
            let (status, text) = answer.with_context(|| format!("asking {url}"))?;
            if !status.is_success() {
                eprintln!("{text}");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn rebuild(arguments: &RecoverArguments, backup: Option<PathBuf>) -> anyhow::Result<()> {
    let config = Config::load(&arguments.serve)?;
    telemetry::start_logs(config.log_format, &config.log_filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(recover::run(config, arguments, backup))
}
