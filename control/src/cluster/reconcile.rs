//! Looks at a node and says what it must be told so that its indexes are as they must be.

use std::sync::Arc;
use std::time::Duration;

use miroir_sequencer::{IndexRow, NodeFault, NodeStep};

use super::Planner;
use crate::node::Client;

/// Longest wait for one answer of the node.
const READ: Duration = Duration::from_secs(5);

/// The steps for this node, or why it could not be looked at.
pub(super) async fn reconcile(
    client: &Client,
    planner: &Arc<dyn Planner>,
    node: &str,
    expected: &[IndexRow],
) -> Result<Vec<NodeStep>, String> {
    let wanted = |uid: &str| expected.iter().any(|row| row.uid == uid);
    let look = async {
        // What somebody has asked of it and it has not done yet would come after whatever is found now.
        if client.changes_indexes(node, READ).await? {
            return Ok(None);
        }
        client.found_indexes(node, wanted, READ).await.map(Some)
    };
    match look.await {
        Ok(Some(found)) => Ok(planner.reconcile(expected, &found)),
        Ok(None) => Err("the node has still to carry out changes of its indexes".to_owned()),
        Err(NodeFault::NotSent) => Err("the node cannot be reached".to_owned()),
        Err(NodeFault::Unknown) => Err("the node gave no sensible answer".to_owned()),
    }
}
