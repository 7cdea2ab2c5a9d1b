//! The demo: starts a cluster, loads real data, shows what it does, and stays up until it is told to stop.

mod arguments;
mod checks;
mod dataset;
mod load;
mod restart;
mod show;

pub use arguments::Arguments;

use std::io::Write;

use anyhow::Context;

use crate::{Cluster, Options};
use arguments::Dataset;

/// Runs the demo.
///
/// # Errors
/// When a part does not come up, or with `--once` when a check does not hold.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(id) = &arguments.restart {
        let dir = arguments.data_dir.as_deref().context("--restart needs --data-dir")?;
        return restart::part(dir, id).await;
    }
    let mut lock = None;
    if let Some(dir) = &arguments.data_dir {
        lock = Some(restart::alone(dir)?);
        restart::end_leftovers(dir)?;
    }
    let options = Options {
        nodes: arguments.nodes,
        replication_factor: arguments.replication_factor,
        shards: arguments.shards,
        master_key: Some(arguments.master_key.clone()),
        data_dir: arguments.data_dir.clone(),
        listen: Some(arguments.listen.clone()),
        workers: 2,
        ..Options::default()
    };
    say(&format!(
        "starting {} nodes, control and Envoy (replication factor {}, {} shards)",
        arguments.nodes, arguments.replication_factor, arguments.shards
    ));
    let address: std::net::SocketAddr =
        arguments.listen.parse().context("--listen takes an IP address and a port, such as 127.0.0.1:7700")?;
    std::net::TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}: choose another address with --listen"))?;
    let cluster = Cluster::start(options).await?;
    let served = tokio::select! {
        served = serve(&cluster, &arguments) => served,
        () = told_to_stop() => Ok(()),
    };
    say("stopping");
    restart::end_restarted(&cluster)?;
    drop(cluster);
    drop(lock);
    served
}

async fn serve(cluster: &Cluster, arguments: &Arguments) -> anyhow::Result<()> {
    let client = cluster.client(0);
    if !arguments.empty {
        let data = match arguments.dataset {
            Dataset::Films => dataset::films().await?,
            Dataset::Cities => dataset::cities().await?,
        };
        load::into_cluster(&client, &data).await?;
        checks::run(&client, &data).await?;
    }
    show::shards(cluster).await?;
    show::curl_lines(cluster, arguments);
    if arguments.once {
        return Ok(());
    }
    say("up until Ctrl-C");
    told_to_stop().await;
    Ok(())
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Progress goes to standard error.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "==> {text}");
}

/// Results go to standard output.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
