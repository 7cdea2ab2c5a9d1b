//! Searches and writes that go on while something is broken.

use std::time::Duration;

use super::cluster::Cluster;
use super::load::{self, Load, Written};
use super::wait::until;
use super::watch::{self, Search};

/// Searches of each Envoy and writes that a fault lasts for, at least.
const SEARCHES: usize = 60;
const WRITES: usize = 12;
/// Longest wait for them.
const LIMIT: Duration = Duration::from_secs(90);

/// A watcher at each of two Envoys, and a writer.
#[derive(Debug)]
pub struct Traffic {
    watchers: Vec<Load<Vec<Search>>>,
    writer: Load<Written>,
}

impl Traffic {
    /// Searches the documents `0..documents` of `docs`, watching a node, and writes to `written` from an id on.
    #[must_use]
    pub fn start(cluster: &Cluster, watched: usize, documents: u64, first: u64) -> Self {
        let watchers = (0..2).map(|envoy| watch::watcher(cluster, envoy, watched, "docs", documents)).collect();
        Self { watchers, writer: load::writer(cluster.client(1), "written", first) }
    }

    /// Waits until many more searches of each watcher and writes have ended.
    ///
    /// # Errors
    /// When they do not go on.
    pub async fn goes_on(&self) -> anyhow::Result<()> {
        let searches: Vec<usize> = self.watchers.iter().map(|watcher| watcher.turns() + SEARCHES).collect();
        let writes = self.writer.turns() + WRITES;
        until("searches and writes to go on", LIMIT, || async {
            let searched = self.watchers.iter().zip(&searches).all(|(watcher, wanted)| watcher.turns() >= *wanted);
            (searched && self.writer.turns() >= writes).then_some(())
        })
        .await
    }

    /// Ends it; what was seen through each Envoy, and what was written.
    ///
    /// # Errors
    /// When a part of it failed by itself.
    pub async fn end(self) -> anyhow::Result<(Vec<Vec<Search>>, Written)> {
        let mut searches = Vec::new();
        for watcher in self.watchers {
            searches.push(watcher.finish().await?);
        }
        Ok((searches, self.writer.finish().await?))
    }
}
