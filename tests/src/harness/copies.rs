//! What the nodes of a cluster hold, shard by shard, beside what control says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use miroir_core::{invariants, tag};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::wait::until;

/// Longest wait for queues to drain.
const DRAIN_LIMIT: Duration = Duration::from_secs(180);

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
        let answer = self.operator_client().get("/_miroir/shards").await?;
        ensure!(answer.status == 200, "shards: {} {}", answer.status, answer.text);
        let layout = answer.json();
        let mut copies = Vec::new();
        for shard in layout["shards"].as_array().context("no shards in the layout")? {
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

    /// Waits until all copies are in sync.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn whole(&self, limit: Duration) -> anyhow::Result<()> {
        until("all copies to be in sync", limit, || async {
            self.copies().await.ok()?.iter().all(|copy| copy.state == "inSync").then_some(())
        })
        .await
    }

    /// Waits until every Envoy that runs uses control's newest map.
    ///
    /// # Errors
    /// When one does not get there.
    pub async fn adopted(&mut self) -> anyhow::Result<()> {
        let epoch = self.operator_client().get("/_miroir/status").await?.json()["epoch"].as_u64();
        for envoy in 0..self.envoys.len() {
            if !self.envoys[envoy].runs() {
                continue;
            }
            let client = self.client(envoy);
            until(&format!("envoy {envoy} to adopt epoch {epoch:?}"), DRAIN_LIMIT, || async {
                let own = client.get("/_miroir/filter").await.ok()?.json()["epoch"].as_u64();
                (own >= epoch).then_some(())
            })
            .await?;
        }
        Ok(())
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
        compare(&copies, &held)
    }
}

/// Holds in-sync copies against each other; the documents of one of each shard.
fn compare(copies: &[Copy], held: &BTreeMap<usize, BTreeMap<u64, Documents>>) -> anyhow::Result<Documents> {
    for (node, shards) in held {
        let documents = shards.iter().filter_map(|(shard, held)| Some((u32::try_from(*shard).ok()?, held)));
        let documents = documents.flat_map(|(shard, held)| held.keys().map(move |id| (id.as_str(), shard)));
        let owned = |shard: u32| copies.iter().any(|copy| copy.node == *node && copy.shard == u64::from(shard));
        let orphaned = invariants::nothing_is_orphaned(&format!("node {node}"), documents, owned);
        ensure!(orphaned.is_none(), "{orphaned:?}");
    }
    let (mut all, none) = (Documents::new(), Documents::new());
    let shards: BTreeSet<u64> = copies.iter().map(|copy| copy.shard).collect();
    for shard in shards {
        let good = copies.iter().filter(|copy| copy.shard == shard && copy.state == "inSync");
        let asked = good.filter_map(|copy| Some((format!("node {}", copy.node), held.get(&copy.node)?)));
        let contents: Vec<(String, &Documents)> =
            asked.map(|(node, shards)| (node, shards.get(&shard).unwrap_or(&none))).collect();
        let named: Vec<(&str, &Documents)> = contents.iter().map(|(node, held)| (node.as_str(), *held)).collect();
        let differing = invariants::replicas_agree(u32::try_from(shard)?, &named);
        ensure!(differing.is_empty(), "{differing:?}");
        all.extend(named.first().map(|(_, held)| (*held).clone()).unwrap_or_default());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(states: [&str; 2]) -> Vec<Copy> {
        let copy = |(node, state): (usize, &str)| Copy { shard: 3, node, state: state.to_owned() };
        states.into_iter().enumerate().map(copy).collect()
    }

    fn held(texts: [&str; 2]) -> BTreeMap<usize, BTreeMap<u64, Documents>> {
        let shard = |text: &str| BTreeMap::from([(3, Documents::from([("1".to_owned(), json!({"t": text}))]))]);
        texts.into_iter().map(shard).enumerate().collect()
    }

    #[test]
    fn in_sync_copies_that_differ_are_told() {
        assert_eq!(compare(&copies(["inSync", "inSync"]), &held(["a", "a"])).unwrap().len(), 1);
        let told = compare(&copies(["inSync", "inSync"]), &held(["a", "b"])).unwrap_err().to_string();
        assert!(told.contains("shard 3: node 0 and node 1 differ"), "{told}");
        let mut lacks = held(["a", "a"]);
        lacks.get_mut(&1).unwrap().clear();
        assert!(compare(&copies(["inSync", "inSync"]), &lacks).is_err());
    }

    #[test]
    fn a_stale_copy_may_differ_and_a_foreign_one_may_not_be_there() {
        assert_eq!(compare(&copies(["stale", "inSync"]), &held(["a", "b"])).unwrap()["1"]["t"], "b");
        assert!(compare(&copies(["inSync", "inSync"])[..1], &held(["a", "a"])).is_err());
    }
}
