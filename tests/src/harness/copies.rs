//! What the nodes of a cluster hold, shard by shard, beside what control says of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use miroir_core::tag;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::wait::until;

/// Longest wait for queues to drain.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// State of a copy, as control's status has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Shard.
    pub shard: u64,
    /// Position of the node.
    pub node: usize,
    /// `inSync`, `stale`, …
    pub state: String,
}

/// Documents of one copy, by the text of their id.
pub type Documents = BTreeMap<String, Value>;

impl Cluster {
    /// Control's view of all copies.
    ///
    /// # Errors
    /// When control does not answer.
    pub async fn copies(&self) -> anyhow::Result<Vec<Copy>> {
        let answer = self.operator_client().get("/_miroir/status").await?;
        ensure!(answer.status == 200, "status: {} {}", answer.status, answer.text);
        let status = answer.json();
        let mut copies = Vec::new();
        for shard in status["shards"].as_array().context("no shards in the status")? {
            for copy in shard["copies"].as_array().into_iter().flatten() {
                let node = self.nodes.iter().position(|node| copy["node"] == node.part.id);
                copies.push(Copy {
                    shard: shard["shard"].as_u64().context("a shard without number")?,
                    node: node.with_context(|| format!("unknown node in {copy}"))?,
                    state: copy["state"].as_str().unwrap_or_default().to_owned(),
                });
            }
        }
        Ok(copies)
    }

    /// Waits until none of these nodes has open tasks.
    ///
    /// # Errors
    /// When one does not get there.
    pub async fn drained(&self, nodes: &[usize]) -> anyhow::Result<()> {
        for node in nodes {
            let client = self.node_client(*node);
            until(&format!("the queue of node {node}"), DRAIN_LIMIT, || async {
                let open = client.get("/tasks?statuses=enqueued,processing&limit=1").await.ok()?;
                (open.status == 200 && open.json()["total"] == 0).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// Documents of an index on a node, by shard.
    ///
    /// # Errors
    /// When the node does not answer, or holds a document without a tag.
    pub async fn documents_on(&self, node: usize, index: &str) -> anyhow::Result<BTreeMap<u64, Documents>> {
        let body = json!({"limit": 1_000_000, "retrieveVectors": true});
        let answer = self.node_client(node).post(&format!("/indexes/{index}/documents/fetch"), &body).await?;
        let mut shards: BTreeMap<u64, Documents> = BTreeMap::new();
        if answer.json()["code"] == "index_not_found" {
            return Ok(shards);
        }
        ensure!(answer.status == 200, "node {node}: {} {}", answer.status, answer.text);
        for document in answer.json()["results"].as_array().into_iter().flatten() {
            let tagged = document[tag::TAG_FIELD].as_str().and_then(|text| tag::decode(text, self.shards()));
            let shard = tagged.with_context(|| format!("node {node} holds {document} without a tag"))?;
            let id = &document["id"];
            let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
            shards.entry(shard.into()).or_default().insert(id, document.clone());
        }
        Ok(shards)
    }

    /// Waits until the queues of these nodes are empty; then all their in-sync copies of a shard must be equal, no
    /// node may hold a shard that is not its own, and the documents of one in-sync copy of each shard are returned.
    ///
    /// # Errors
    /// When copies differ; the message says where.
    pub async fn agreed(&self, nodes: &[usize], index: &str) -> anyhow::Result<Documents> {
        self.drained(nodes).await?;
        let copies = self.copies().await?;
        let mut held = BTreeMap::new();
        for node in nodes {
            held.insert(*node, self.documents_on(*node, index).await?);
        }
        for (node, shards) in &held {
            for shard in shards.keys() {
                let own = copies.iter().any(|copy| copy.node == *node && copy.shard == *shard);
                ensure!(own, "node {node} holds shard {shard}, which is not its own");
            }
        }
        let mut all = Documents::new();
        let mut first: BTreeMap<u64, (usize, Documents)> = BTreeMap::new();
        for copy in copies.iter().filter(|copy| copy.state == "inSync") {
            let Some(shards) = held.get(&copy.node) else { continue };
            let documents = shards.get(&copy.shard).cloned().unwrap_or_default();
            match first.get(&copy.shard) {
                None => {
                    all.extend(documents.clone());
                    first.insert(copy.shard, (copy.node, documents));
                }
                Some((other, expected)) => ensure!(
                    *expected == documents,
                    "shard {} differs between node {other} and node {}: {}",
                    copy.shard,
                    copy.node,
                    difference(expected, &documents)
                ),
            }
        }
        Ok(all)
    }
}

fn difference(left: &Documents, right: &Documents) -> String {
    let ids = left.keys().chain(right.keys());
    let differing = ids.filter(|id| left.get(*id) != right.get(*id)).take(3);
    let lines = differing.map(|id| format!("{id}: {:?} and {:?}", left.get(id), right.get(id)));
    lines.collect::<Vec<_>>().join("; ")
}
