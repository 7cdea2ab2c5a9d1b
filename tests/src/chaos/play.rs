//! Writers and readers on a cluster, in the background of whatever is done to it; what they did and saw is judged when
//! they have ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::task::JoinHandle;

use super::stage::{INDEX, Stage};
use super::{Tally, compare, read, settle, write};
use crate::harness::copies::Copy;
use crate::{Client, Cluster};

const WRITERS: u64 = 4;
const READERS: u64 = 3;

/// A load in rounds.
#[derive(Debug)]
pub struct Play {
    pub(super) stage: Arc<Stage>,
    seed: u64,
    rounds: u64,
    actors: Vec<JoinHandle<()>>,
}

impl Play {
    /// Creates the index that is written and read. A seed repeats what is written.
    ///
    /// # Errors
    /// When the index cannot be created.
    pub async fn prepare(cluster: &Cluster, seed: u64) -> anyhow::Result<Self> {
        prepare(&cluster.client(0)).await?;
        Ok(Self { stage: Arc::new(Stage::new(cluster.envoys.len())), seed, rounds: 0, actors: Vec::new() })
    }

    /// Writers and readers begin, through every Envoy.
    pub fn begin(&mut self, cluster: &Cluster) {
        let clients = || (0..cluster.envoys.len()).map(|envoy| cluster.client(envoy)).collect::<Vec<_>>();
        let seed = self.seed.wrapping_add(self.rounds * 1000);
        self.rounds += 1;
        let stage = || Arc::clone(&self.stage);
        let writers = (0..WRITERS).map(|at| tokio::spawn(write::writer(stage(), clients(), seed + at)));
        let readers = (0..READERS).map(|at| tokio::spawn(read::reader(stage(), clients(), seed + 100 + at)));
        self.actors = writers.chain(readers).collect();
    }

    /// Writers and readers end, and the fate of every write is found out; the copies, once they are whole again.
    ///
    /// # Errors
    /// When a part of the cluster does not come up or cannot be asked.
    pub async fn settle(&mut self, cluster: &mut Cluster) -> anyhow::Result<Vec<Copy>> {
        self.stage.curtain.store(true, Ordering::SeqCst);
        for actor in self.actors.drain(..) {
            actor.await?;
        }
        self.stage.curtain.store(false, Ordering::SeqCst);
        settle::tasks(&self.stage, cluster).await?;
        self.healed(cluster).await
    }

    /// Waits until all copies are in sync; the copies.
    ///
    /// # Errors
    /// When control cannot be asked.
    pub async fn healed(&self, cluster: &mut Cluster) -> anyhow::Result<Vec<Copy>> {
        settle::healed(&self.stage, cluster).await
    }

    /// Holds what readers saw and what every replica has against the ledger.
    ///
    /// # Errors
    /// When a node cannot be asked.
    pub async fn compare(&self, cluster: &Cluster, copies: &[Copy]) -> anyhow::Result<()> {
        compare::round(&self.stage, cluster, copies).await?;
        let lines: Vec<String> = self.stage.ledger().entries().iter().map(ToString::to_string).collect();
        Ok(std::fs::write(cluster.dir.join("ledger.txt"), lines.join("\n"))?)
    }

    /// Ends a round: [`Play::settle`] and [`Play::compare`].
    ///
    /// # Errors
    /// Theirs.
    pub async fn end(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        let copies = self.settle(cluster).await?;
        self.compare(cluster, &copies).await
    }

    /// What has happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.stage.tally().clone()
    }
}

/// The index, with what readers filter and sort by.
async fn prepare(client: &Client) -> anyhow::Result<()> {
    client.succeeded(&client.post("/indexes", &json!({"uid": INDEX, "primaryKey": "id"})).await?).await?;
    let settings = json!({"filterableAttributes": ["g"], "sortableAttributes": ["id"]});
    let path = format!("/indexes/{INDEX}/settings");
    client.succeeded(&client.json(reqwest::Method::PATCH, &path, &settings).await?).await?;
    let features = json!({"editDocumentsByFunction": true});
    let answer = client.json(reqwest::Method::PATCH, "/experimental-features", &features).await?;
    anyhow::ensure!(answer.status == 200, "edits by function: {} {}", answer.status, answer.text);
    Ok(())
}
