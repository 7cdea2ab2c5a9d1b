//! The demo: starts a cluster, loads real data, shows what it does, and stays up until it is told to stop.

mod arguments;
mod checks;
pub mod dataset;
mod examples;
pub mod load;
mod progress;
mod restart;
mod shape;
mod show;
mod stop;

pub use arguments::Arguments;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use crate::{Cluster, Options};
use arguments::Dataset;
use progress::while_waiting;
use shape::Shape;
use stop::Stop;

/// Runs the demo. Its exit code is 0 when it did what it was asked for, and that of the signal when one came before.
///
/// # Errors
/// When a part does not come up, or with `--once` when a check does not hold.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Some(id) = &arguments.restart {
        let dir = arguments.data_dir.as_deref().context("--restart needs --data-dir")?;
        return restart::part(dir, id).await.map(|()| ExitCode::SUCCESS);
    }
    let mut stop = Stop::listen()?;
    let _alone = arguments.data_dir.as_deref().map(restart::alone).transpose()?;
    let mut cluster = None;
    // What is being started is ended when this is left half-done: parts are killed, then the directory is removed.
    let shown = tokio::select! {
        biased;
        told = stop.told() => Err(told),
        shown = start_and_show(&arguments, &mut cluster) => match shown {
            Ok(()) => Ok(()),
            Err(fault) => match stop.behind_a_fault().await {
                Some(told) => Err(told),
                None => {
                    let _ = end(cluster).await;
                    return Err(fault);
                }
            },
        },
    };
    let code = match shown {
        Err(told) => told.code(),
        Ok(()) if arguments.once => ExitCode::SUCCESS,
        Ok(()) => {
            say("up until Ctrl-C");
            stop.told().await;
            ExitCode::SUCCESS
        }
    };
    say("stopping");
    end(cluster).await.map(|()| code)
}

async fn end(cluster: Option<Cluster>) -> anyhow::Result<()> {
    match &cluster {
        Some(cluster) => restart::end_restarted(cluster).await,
        None => Ok(()),
    }
}

async fn start_and_show(arguments: &Arguments, cluster: &mut Option<Cluster>) -> anyhow::Result<()> {
    let cluster = cluster.insert(start(arguments).await?);
    if !arguments.empty {
        let data = match arguments.dataset {
            Dataset::Films => dataset::films().await?,
            Dataset::Cities => dataset::cities().await?,
        };
        if load::into_cluster(&cluster.client(0), &data).await? {
            checks::loaded(cluster, &data).await?;
        } else {
            checks::kept(cluster, &data, arguments.once).await?;
        }
    }
    show::shards(cluster).await?;
    show::curl_lines(cluster, arguments);
    Ok(())
}

async fn start(arguments: &Arguments) -> anyhow::Result<Cluster> {
    let mut kept = None;
    if let Some(dir) = &arguments.data_dir {
        restart::end_leftovers(dir).await?;
        kept = Shape::kept(dir)?;
    }
    let shape = kept.unwrap_or_else(|| Shape::wanted(arguments));
    let options = Options {
        nodes: shape.nodes,
        replication_factor: shape.replication_factor,
        shards: shape.shards,
        master_key: Some(arguments.master_key.clone()),
        data_dir: arguments.data_dir.clone(),
        listen: Some(arguments.listen.clone()),
        workers: 2,
        ..Options::default()
    };
    match (&kept, &arguments.data_dir) {
        (Some(_), Some(dir)) => say(&format!("starting the cluster that is kept in {}", dir.display())),
        _ => say(&format!("starting a new cluster: control, Envoy, {shape}")),
    }
    let address: std::net::SocketAddr =
        arguments.listen.parse().context("--listen takes an IP address and a port, such as 127.0.0.1:7700")?;
    std::net::TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}: choose another address with --listen"))?;
    let began = Instant::now();
    let starting = async || Some(format!("not all parts answer yet, {} s", began.elapsed().as_secs()));
    let cluster = while_waiting(Cluster::start(options), starting).await?;
    if kept.is_some() {
        let running = Shape::running(&cluster).await?;
        say(&format!("the kept cluster has {running}"));
        for sentence in running.ignored(arguments) {
            say(&sentence);
        }
    }
    Ok(cluster)
}

/// Progress goes to standard error.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "==> {text}");
}

/// Results go to standard output.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
