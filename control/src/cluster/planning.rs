//! The moment at which an index operation is planned: what the planner is shown of the cluster.

use std::sync::Arc;
use std::time::Duration;

use miroir_core::error::ErrorBody;
use miroir_core::shardmap::{CompiledMap, ShardMap};
use miroir_sequencer::{IndexOperation, IndexPlan, IndexRow, NodeStatus};

use super::{Indexes, Planner};
use crate::node::Client;
use crate::stats::count_over;

/// Longest wait for one node's count.
const COUNT: Duration = Duration::from_secs(5);

/// State as it was when the operation's turn came.
pub(super) struct Planning {
    pub(super) map: Arc<ShardMap>,
    pub(super) nodes: Arc<Vec<NodeStatus>>,
    pub(super) indexes: Arc<Indexes>,
    pub(super) planner: Arc<dyn Planner>,
    pub(super) client: Client,
}

impl Planning {
    /// Plans. The sequencer holds the locks, and for a change of the primary key it has waited until nodes have
    /// nothing more to do on the index, so that the documents they count now are all that there are.
    pub(super) async fn plan(
        &self,
        operation: &IndexOperation,
        current: Option<&IndexRow>,
    ) -> Result<IndexPlan, ErrorBody> {
        if let IndexOperation::Update { uid, primary_key: Some(wanted), .. } = operation
            && let Some(row) = current
            && row.primary_key.as_ref().is_some_and(|known| known != wanted)
            && self.count(uid).await? == 0
        {
            let free = IndexRow { primary_key: None, ..row.clone() };
            return self.planner.plan(operation, Some(&free), &self.indexes);
        }
        self.planner.plan(operation, current, &self.indexes)
    }

    async fn count(&self, uid: &str) -> Result<u64, ErrorBody> {
        let map = CompiledMap::new(self.map.as_ref().clone());
        let ready: Vec<String> =
            self.nodes.iter().filter(|node| node.phase == "ready").map(|node| node.id.clone()).collect();
        count_over(&map, &ready, uid, |node, request| {
            let (client, node) = (self.client.clone(), node.to_owned());
            async move { client.call(&node, &request, COUNT).await }
        })
        .await
    }
}
