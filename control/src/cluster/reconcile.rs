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
    // What somebody has asked of it and it has not done yet would come after whatever is found now.
    match client.changes_indexes(node, READ).await {
        Ok(false) => {}
        Ok(true) => return Err("the node has still to carry out changes of its indexes".to_owned()),
        Err(fault) => return Err(words(&fault).to_owned()),
    }
    let wanted = |uid: &str| expected.iter().any(|row| row.uid == uid);
    match client.found_indexes(node, wanted, READ).await {
        Ok(found) => Ok(planner.reconcile(expected, &found)),
        Err(fault) => Err(words(&fault).to_owned()),
    }
}

fn words(fault: &NodeFault) -> &'static str {
    match fault {
        NodeFault::NotSent => "the node cannot be reached",
        NodeFault::Unknown => "the node gave no sensible answer",
    }
}
