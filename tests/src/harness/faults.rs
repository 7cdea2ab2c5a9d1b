//! Faults planted in stand-in nodes, by their own API.

use anyhow::ensure;
use serde_json::Value;

use super::cluster::Cluster;

impl Cluster {
    /// Replaces the faults of a node, which must be a stand-in; `{}` ends them all. Fields: `hang`, `delayMs`,
    /// `answerDelayMs`, `refuse`, `path`, `writes`, `failTasks`, `failCode`, `holdQueue`.
    ///
    /// # Errors
    /// When the node does not take them.
    pub async fn plant(&self, node: usize, faults: Value) -> anyhow::Result<()> {
        let answer = self.node_client(node).post("/_standin/faults", &faults).await?;
        ensure!(answer.status == 200, "faults are not taken: {} {}", answer.status, answer.text);
        Ok(())
    }

    /// Changes what lies on the disk of a node, which must be a stand-in, and no task tells of it. Fields: `index`, `put`
    /// (whole documents, as they are stored), `delete` (ids), `settings`.
    ///
    /// # Errors
    /// When the node does not take it.
    pub async fn drift(&self, node: usize, drift: Value) -> anyhow::Result<()> {
        let answer = self.node_client(node).post("/_standin/drift", &drift).await?;
        ensure!(answer.status == 200, "drift is not taken: {} {}", answer.status, answer.text);
        Ok(())
    }

    /// Plants the same faults in all nodes.
    ///
    /// # Errors
    /// When a node does not take them.
    pub async fn plant_everywhere(&self, faults: &Value) -> anyhow::Result<()> {
        for node in 0..self.nodes.len() {
            self.plant(node, faults.clone()).await?;
        }
        Ok(())
    }
}
