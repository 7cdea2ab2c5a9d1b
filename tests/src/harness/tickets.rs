//! How far writes are, between their ticket and the decision.

use anyhow::Context;

use super::client::Client;
use super::cluster::Cluster;

async fn tasks(client: &Client) -> anyhow::Result<u64> {
    client.get("/tasks?limit=1").await?.json()["total"].as_u64().context("no total of tasks")
}

impl Cluster {
    /// How many tasks there are: a write becomes one when it is decided, and not when it gets its ticket.
    ///
    /// # Errors
    /// When control does not answer.
    pub async fn decided(&self) -> anyhow::Result<u64> {
        tasks(&self.control_client()).await
    }

    /// How many tasks the nodes have been given: each part of a write that has reached its node is one.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn enqueued(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for node in 0..self.nodes.len() {
            sum += tasks(&self.node_client(node)).await?;
        }
        Ok(sum)
    }
}
