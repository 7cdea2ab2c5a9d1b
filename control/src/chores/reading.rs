//! All documents of an index, each shard from one copy that is in sync, a page at a time.
//!
//! The keys of a shard are listed once; then its documents are fetched by key, whole. What is written meanwhile is seen
//! before it or after it, document by document, and no document is seen twice or missed because others came or went. A
//! page counts only where its copy has been in sync all the time: one that has left may be deleted while it is read.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use miroir_core::error::ErrorBody;
use miroir_core::hash::shard_of;
use miroir_sequencer::{CopyState, IndexRow, NodeAction, NodeAnswer};
use serde_json::value::RawValue;

use super::plain;
use crate::cluster::{Cluster, Look, Runtime};

/// Documents that are fetched at once: bounds what a node holds in memory for an answer.
const AT_ONCE: usize = 500;
/// Longest wait for a node's answer.
const READ: Duration = Duration::from_secs(120);
/// Rounds over the copies of a shard, and the pause between two.
const ROUNDS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// Whoever takes documents, as lines without what Miroir adds to them.
pub(super) trait Sink {
    /// Takes some.
    fn take(&mut self, documents: Vec<String>) -> impl Future<Output = Result<(), ErrorBody>> + Send;
}

/// Gives all documents of an index to `sink`; how many there were.
///
/// # Errors
/// A shard without a copy that can be read; the sink's.
pub(super) async fn documents(
    cluster: &Cluster,
    index: &IndexRow,
    sink: &mut (impl Sink + Send),
) -> Result<u64, ErrorBody> {
    // Without a primary key there are no documents yet.
    let Some(primary_key) = index.primary_key.as_deref() else { return Ok(0) };
    let reading = Reading { cluster, index, primary_key };
    let mut count = 0;
    for shard in 0..cluster.map().shards {
        let keys = reading.ask_a_copy(shard, |node| reading.keys(node, shard).boxed()).await?;
        for keys in keys.chunks(AT_ONCE) {
            let page = reading.ask_a_copy(shard, |node| reading.page(node, keys.to_vec()).boxed()).await?;
            let documents = page.iter().map(|document| plain::document(document, &index.settings));
            let documents: Vec<String> = documents.collect::<Result<_, _>>().map_err(|error| unread(&error))?;
            count += documents.len() as u64;
            sink.take(documents).await?;
        }
    }
    Ok(count)
}

fn unread(why: &impl std::fmt::Display) -> ErrorBody {
    ErrorBody::new("remote_bad_response", format!("A node's documents cannot be read: {why}."))
}

struct Reading<'a> {
    cluster: &'a Cluster,
    index: &'a IndexRow,
    primary_key: &'a str,
}

impl Reading<'_> {
    async fn keys(&self, node: String, shard: u32) -> Result<Vec<String>, String> {
        let (index, primary_key) = (self.index.uid.clone(), self.primary_key.to_owned());
        let action = NodeAction::ListKeys { index, primary_key, shard };
        match self.cluster.client().act(&node, action, READ).await {
            Ok(NodeAnswer::Keys(mut keys)) => {
                // What lies under the shard's tag with another one's key is no document of it.
                let shards = self.cluster.map().shards;
                keys.retain(|key| shard_of(key.as_bytes(), shards) == shard);
                Ok(keys)
            }
            other => Err(format!("{other:?}")),
        }
    }

    async fn page(&self, node: String, keys: Vec<String>) -> Result<Vec<Box<RawValue>>, String> {
        let found =
            self.cluster.client().documents(&node, &self.index.uid, self.primary_key, &keys, true, READ).await?;
        Ok(found.into_iter().map(|(_, document)| document).collect())
    }

    /// The first answer of a copy that has been in sync from before the question until after it.
    async fn ask_a_copy<'f, T>(
        &self,
        shard: u32,
        ask: impl Fn(String) -> BoxFuture<'f, Result<T, String>>,
    ) -> Result<T, ErrorBody> {
        let mut why = "no copy is in sync".to_owned();
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let Some(before) = self.cluster.look().await else { break };
            for node in in_sync(&before, self.index.placement, shard, before.map.epoch) {
                match ask(node.clone()).await {
                    Ok(answer) => {
                        let Some(after) = self.cluster.look().await else { break };
                        if in_sync(&after, self.index.placement, shard, before.map.epoch).contains(&node) {
                            return Ok(answer);
                        }
                    }
                    Err(fault) => why = format!("node {node}: {fault}"),
                }
            }
        }
        let message = format!("Shard {shard} of index `{}` cannot be read: {why}.", self.index.uid);
        Err(ErrorBody::new("remote_could_not_send_request", message))
    }
}

/// Nodes whose copy is in sync, and has been since this epoch at least.
fn in_sync(look: &Look, placement: u16, shard: u32, epoch: u64) -> Vec<String> {
    let ready = |node: &str, incarnation: u64| {
        look.nodes.iter().any(|found| found.id == node && found.phase == "ready" && found.incarnation == incarnation)
    };
    let copies = look.copies.iter().filter(|copy| (copy.placement, copy.shard) == (placement, shard));
    let good = copies
        .filter(|copy| copy.state == CopyState::InSync && copy.since <= epoch && ready(&copy.node, copy.incarnation));
    good.map(|copy| copy.node.clone()).collect()
}
