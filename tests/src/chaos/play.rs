//! Writers and readers on a cluster, in the background of whatever is done to it; what they did and saw is judged when
//! they have ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::task::JoinHandle;

use super::stage::{INDEX, Stage};
use super::{Tally, compare, passing, read, settle, write};
use crate::harness::copies::Copy;
use crate::{Client, Cluster};

const WRITERS: u64 = 4;
const READERS: u64 = 3;
/// Writers and readers of the index that passes.
const PASSING_WRITERS: u64 = 2;
const PASSING_READERS: u64 = 1;

/// A load in rounds.
#[derive(Debug)]
pub struct Play {
    pub(super) stage: Arc<Stage>,
    /// The stage of the index that passes, where there is one.
    passing: Option<Arc<Stage>>,
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
        let stage = Arc::new(Stage::new(cluster.envoys.len()));
        Ok(Self { stage, passing: None, seed, rounds: 0, actors: Vec::new() })
    }

    /// The same, and beside it an index that is deleted and created again all the time.
    ///
    /// # Errors
    /// When an index cannot be created.
    pub async fn prepare_with_passing(cluster: &Cluster, seed: u64) -> anyhow::Result<Self> {
        let play = Self::prepare(cluster, seed).await?;
        let passing = Arc::new(play.stage.passing());
        Ok(Self { passing: Some(passing), ..play })
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
        let Some(passing) = &self.passing else { return };
        let stage = || Arc::clone(passing);
        let writers = (0..PASSING_WRITERS).map(|at| tokio::spawn(write::writer(stage(), clients(), seed + 200 + at)));
        let readers = (0..PASSING_READERS).map(|at| tokio::spawn(read::reader(stage(), clients(), seed + 300 + at)));
        self.actors.extend(writers.chain(readers));
        self.actors.push(tokio::spawn(passing::undertaker(stage(), clients(), seed + 400)));
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
        if let Some(passing) = &self.passing {
            settle::tasks(passing, cluster).await?;
            passing::ensure_there(passing, &cluster.client(0)).await?;
        }
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
        if let Some(passing) = &self.passing {
            compare::round(passing, cluster, copies).await?;
            let lines: Vec<String> = passing.ledger().entries().iter().map(ToString::to_string).collect();
            std::fs::write(cluster.dir.join("ledger-passing.txt"), lines.join("\n"))?;
        }
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
