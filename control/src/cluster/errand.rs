//! One action of the sequencer on a node. Before one that cannot be undone, the store is asked who leads: a leader that
//! was stopped for a while and replaced must not delete what it does not own any more (F15). The write keys keep it out
//! as soon as the node has been fenced; this keeps it out before.

use std::time::Duration;

use miroir_sequencer::{NodeAction, NodeAnswer, NodeFault};

use crate::node::Client;
use crate::store::Store;

/// Whether an action takes documents away that no other action of this leader brings back.
fn destroys(action: &NodeAction) -> bool {
    match action {
        NodeAction::DeleteShard { .. } | NodeAction::DeleteKeys { .. } | NodeAction::DeleteTasks { .. } => true,
        NodeAction::Request { step, .. } => {
            matches!(step.task_type.as_str(), "indexDeletion" | "documentDeletion" | "indexSwap")
        }
        NodeAction::ReadTasks { .. }
        | NodeAction::Inspect
        | NodeAction::Fence { .. }
        | NodeAction::Cancel { .. }
        | NodeAction::ListKeys { .. }
        | NodeAction::Digests { .. }
        | NodeAction::ListOutsiders { .. }
        | NodeAction::FetchPage { .. }
        | NodeAction::PutPage { .. }
        | NodeAction::DivideBatch { .. }
        | NodeAction::TagPage { .. }
        | NodeAction::CountShard { .. } => false,
    }
}

/// Carries it out.
pub(super) async fn carry_out(
    store: &Store,
    client: &Client,
    node: &str,
    action: NodeAction,
    timeout: Duration,
) -> Result<NodeAnswer, NodeFault> {
    if destroys(&action) && !store.is_led().await {
        return Err(NodeFault::NotSent);
    }
    client.act(node, action, timeout).await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::cluster::Secrets;
    use crate::config::Node;
    use crate::store::Lease;
    use crate::store::tests::testing::Server;

    const TIMEOUT: Duration = Duration::from_millis(200);

    fn deletion() -> NodeAction {
        NodeAction::DeleteShard { key: None, index: "a".to_owned(), shard: 3, metadata: String::new() }
    }

    #[tokio::test]
    async fn a_leader_that_was_replaced_deletes_nothing() {
        let server = Server::start();
        let location = server.location("errand");
        let lease = Lease::wait_for(&location, "first").await.unwrap();
        let (store, _) = Store::open_shared(&location, lease).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let client = Client::new(&Secrets::default(), "c0ffee00", 8, Default::default());
        client.set_nodes(&[Node { id: "n".to_owned(), url, weight: 1.0, zone: None, tls_ca: None }]);
        let heard = async || tokio::time::timeout(TIMEOUT, listener.accept()).await.is_ok();

        let (said, reached) = tokio::join!(carry_out(&store, &client, "n", deletion(), TIMEOUT), heard());
        assert_eq!((said, reached), (Err(NodeFault::Unknown), true), "the node gives no answer");
        server.drop_lease("errand").await;
        let (said, reached) = tokio::join!(carry_out(&store, &client, "n", deletion(), TIMEOUT), heard());
        assert_eq!((said, reached), (Err(NodeFault::NotSent), false));
        let (_, reached) = tokio::join!(carry_out(&store, &client, "n", NodeAction::Inspect, TIMEOUT), heard());
        assert!(reached, "what changes nothing is done all the same");
    }
}
