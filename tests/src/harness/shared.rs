//! What several controls share: a Redis, which keeps on disk what it has acknowledged.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::cluster::{Cluster, part, text};
use super::parts::on_path;
use super::process::Process;
use super::wait::until;

/// How long a silent leader stays the leader in tests.
pub const LEASE: Duration = Duration::from_secs(2);

/// Starts a Redis and waits until it takes connections.
pub(super) async fn redis(dir: &Path, port: u16) -> anyhow::Result<Process> {
    let program =
        on_path("redis-server").context("several controls need redis-server (Debian's package of that name)")?;
    let port = port.to_string();
    let mut command = vec![text(&program)];
    command.extend(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"].map(str::to_owned));
    command.extend(["--appendonly", "yes", "--appendfsync", "always", "--dir"].map(str::to_owned));
    command.push(text(dir));
    let address = format!("127.0.0.1:{port}");
    let process = Process::start(part(dir, "redis".to_owned(), format!("redis://{address}"), command))?;
    until("redis-server", Duration::from_secs(30), || async { tokio::net::TcpStream::connect(&address).await.ok() })
        .await?;
    Ok(process)
}

/// The store's lines of control's configuration.
pub(super) fn store(dir: &Path, redis: Option<&Process>) -> String {
    match redis {
        Some(redis) => format!("redis_url = {:?}\nlease_ms = {}\n", redis.part.url, LEASE.as_millis()),
        None => format!("path = {:?}\n", text(&dir.join("control.sqlite"))),
    }
}

impl Cluster {
    /// The control that leads: ready while all others stand by.
    ///
    /// # Errors
    /// When none gets ready, or a second one says that it leads too.
    pub async fn leader(&mut self) -> anyhow::Result<usize> {
        let urls: Vec<String> = self.controls().map(|control| control.part.url.clone()).collect();
        let ready = until("a control that leads", Duration::from_secs(60), || {
            let asked = futures::future::join_all(urls.iter().map(|url| reqwest::get(format!("{url}/_miroir/ready"))));
            async {
                let answers = asked.await;
                let ready = |answer: &Result<reqwest::Response, _>| answer.as_ref().is_ok_and(|it| it.status() == 200);
                let ready: Vec<usize> = (0..).zip(&answers).filter(|(_, it)| ready(it)).map(|(at, _)| at).collect();
                (!ready.is_empty()).then_some(ready)
            }
        })
        .await?;
        ensure!(ready.len() == 1, "controls {ready:?} all lead");
        Ok(ready[0])
    }

    /// Asks this control from now on when the state of the cluster is wanted.
    pub fn look_at(&mut self, control: usize) {
        if let Some(internal) = self.internals.get(control) {
            self.internal.clone_from(internal);
        }
    }

    /// All controls.
    pub fn controls(&mut self) -> impl Iterator<Item = &mut Process> {
        std::iter::once(&mut self.control).chain(&mut self.standbys)
    }
}
