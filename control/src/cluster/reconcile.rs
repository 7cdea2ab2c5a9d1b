//! Looks at a node and says what it must be told so that its indexes are as they must be.

use std::sync::Arc;
use std::time::Duration;

use miroir_sequencer::{IndexRow, Look, NodeFault};

use super::Planner;
use crate::node::Client;

/// Longest wait for one answer of the node.
const READ: Duration = Duration::from_secs(5);

/// What was found there and comes of it, or why the node could not be looked at.
pub(super) async fn reconcile(
    client: &Client,
    planner: &Arc<dyn Planner>,
    node: &str,
    expected: &[IndexRow],
) -> Result<Look, String> {
    let wanted = |uid: &str| expected.iter().any(|row| row.uid == uid);
    let look = async {
        if client.changes_indexes(node, READ).await? {
            return Ok(Look { changing: true, steps: Vec::new() });
        }
        let found = client.found_indexes(node, wanted, READ).await?;
        Ok(Look { changing: false, steps: planner.reconcile(expected, &found) })
    };
    look.await.map_err(|fault| match fault {
        NodeFault::NotSent => "the node cannot be reached".to_owned(),
        NodeFault::Unknown => "the node gave no sensible answer".to_owned(),
    })
}
