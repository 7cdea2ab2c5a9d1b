//! How the HTTP layers talk to the running cluster. [`Runtime`] is what they see; the actor that drives the sequencer
//! implements it, and tests of the HTTP layers implement it with a few maps.
//!
//! Reads of state (`map`, `index`, `keys`, …) are snapshots of memory and never wait. Whatever changes state returns
//! a future that ends when the change is durable.

mod model;

use std::sync::Arc;

use futures::future::BoxFuture;
use miroir_core::error::ErrorBody;
use miroir_core::shardmap::ShardMap;
use tokio::sync::watch;
use uuid::Uuid;

pub use model::{
    IndexChange, IndexOperation, IndexState, KeyRecord, NodeAnswer, NodeFault, NodeRequest, NodeView, Projection,
    ReadBack, Secrets, TaskSummary,
};

/// The running cluster, shared by all handlers.
pub type Handle = Arc<dyn Runtime>;

/// Makes an operation from the indexes as they will be once everything submitted earlier is done. Runs inside the
/// actor, so that two clients cannot build on the same state: it must be quick and must not block. An error means
/// that the client is answered with it and that no task exists.
pub type Prepare = Box<dyn FnOnce(&Projection) -> Result<IndexOperation, ErrorBody> + Send>;

/// What the HTTP layers may ask of the cluster.
pub trait Runtime: Send + Sync + 'static {
    /// The newest shard map.
    fn map(&self) -> Arc<ShardMap>;

    /// Follows the shard map.
    fn map_changes(&self) -> watch::Receiver<Arc<ShardMap>>;

    /// Master key and what else is secret.
    fn secrets(&self) -> &Secrets;

    /// All nodes in the order of the map, with their health as control sees it.
    fn nodes(&self) -> Vec<NodeView>;

    /// An index as all finished operations left it.
    fn index(&self, uid: &str) -> Option<Arc<IndexState>>;

    /// All indexes, ordered by uid.
    fn indexes(&self) -> Vec<Arc<IndexState>>;

    /// Whether a task of this index is enqueued or processing (`isIndexing` of its stats).
    fn is_indexing(&self, uid: &str) -> bool;

    /// Queues an operation on whole indexes: it takes a ticket on all shards of the named indexes, is sent to every
    /// node in order, and is one task. Returns once the task is durable, with status `enqueued`.
    ///
    /// # Errors
    /// What `prepare` refused, or 503 while the cluster cannot order writes.
    fn submit(&self, prepare: Prepare) -> BoxFuture<'static, Result<TaskSummary, ErrorBody>>;

    /// Sends a request to one node with the admin key of its generation (reads, mostly: mutations of indexes go
    /// through [`Runtime::submit`]). Five seconds at most.
    ///
    /// # Errors
    /// [`NodeFault`] when there is no whole answer. A 4xx or 5xx of the node is an answer.
    fn node_request(&self, node: &str, request: NodeRequest) -> BoxFuture<'static, Result<NodeAnswer, NodeFault>>;

    /// Sends a request to every node at once; answers by node id, in the order of the map.
    fn every_node(&self, request: NodeRequest) -> BoxFuture<'static, Vec<(String, Result<NodeAnswer, NodeFault>)>>;

    /// API keys by uid.
    fn keys(&self) -> Arc<Vec<KeyRecord>>;

    /// Stores a key (new, or its new version), then brings it to every node that can be reached; the others get it
    /// when they come back. Nodes learn `uid, name, description, actions, indexes, expiresAt` of the record.
    ///
    /// # Errors
    /// The store failed, or no node took the key: nothing has changed then.
    fn put_key(&self, key: KeyRecord) -> BoxFuture<'static, Result<(), ErrorBody>>;

    /// Forgets a key here, then on every node that can be reached; the others forget it when they come back.
    ///
    /// # Errors
    /// The store failed.
    fn delete_key(&self, uid: Uuid) -> BoxFuture<'static, Result<(), ErrorBody>>;

    /// A durable JSON value by name (`experimental-features`, …), for state that is no business of the sequencer.
    fn value(&self, name: &str) -> Option<serde_json::Value>;

    /// Stores such a value.
    ///
    /// # Errors
    /// The store failed.
    fn put_value(&self, name: &str, value: serde_json::Value) -> BoxFuture<'static, Result<(), ErrorBody>>;
}
