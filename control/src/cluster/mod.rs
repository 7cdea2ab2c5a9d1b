//! How the HTTP layers talk to the running cluster. [`Runtime`] is what they see; the actor that drives the sequencer
//! implements it, and tests of the HTTP layers implement it with a few maps. [`Planner`] is what the actor asks the
//! settings model in turn, when an index operation's turn has come.
//!
//! Reads of state (`map`, `index`, `keys`, …) are snapshots of memory and never wait. Whatever changes state returns
//! a future that ends when the change is durable.

mod actor;
mod clock;
mod closing;
mod errand;
mod executor;
mod ground;
mod handle;
mod identity;
mod members;
mod model;
mod note;
mod open;
mod planning;
mod reconcile;
mod shared;
mod sizes;
mod start;
mod waiters;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use miroir_core::error::ErrorBody;
use miroir_core::shardmap::ShardMap;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) use actor::Look;
pub(crate) use clock::wall_ms;
pub(crate) use closing::{closing, not_begun};
pub use handle::Cluster;
pub(crate) use identity::Identity;
pub(crate) use members::Members;
pub use miroir_sequencer::{IndexOperation, IndexPlan, IndexRow, IndexSwap, NodeStep, TaskRow, TaskStatus};
pub use model::{FoundIndex, KeyRecord, NodeAnswer, NodeFault, NodeRequest, NodeView, Secrets, TaskSummary};
pub(crate) use note::{Member, Note};
pub(crate) use start::open_store;
pub use start::{Running, start};

/// The running cluster, shared by all handlers.
pub type Handle = Arc<dyn Runtime>;

/// Indexes by uid, as all finished operations left them.
pub type Indexes = BTreeMap<String, Arc<IndexRow>>;

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

    /// All indexes.
    fn indexes(&self) -> Arc<Indexes>;

    /// Whether a task of this index is enqueued or processing (`isIndexing` of its stats).
    fn is_indexing(&self, uid: &str) -> bool;

    /// Queues an operation on whole indexes: it takes a ticket on all shards of the named indexes, is planned when its
    /// turn comes ([`Planner::plan`]), sent to every node in order, and is one task. Returns once the task is durable,
    /// with status `enqueued`. Authorisation and everything that the engine refuses by HTTP is the caller's to check.
    ///
    /// # Errors
    /// 503 while the cluster cannot order writes.
    fn submit(&self, operation: IndexOperation) -> BoxFuture<'static, Result<TaskSummary, ErrorBody>>;

    /// Sends a request to one node with the master key: reads only (mutations of indexes go through
    /// [`Runtime::submit`], keys through [`Runtime::put_key`]) and node-wide switches such as
    /// `PATCH /experimental-features`. Five seconds at most.
    ///
    /// # Errors
    /// [`NodeFault`] when there is no whole answer. A 4xx or 5xx of the node is an answer.
    fn node_request(&self, node: &str, request: NodeRequest) -> BoxFuture<'static, Result<NodeAnswer, NodeFault>>;

    /// Sends a request to every node at once; answers by node id, in the order of the map.
    fn every_node(&self, request: NodeRequest) -> BoxFuture<'static, Vec<(String, Result<NodeAnswer, NodeFault>)>>;

    /// API keys, in order of creation.
    fn keys(&self) -> Arc<Vec<KeyRecord>>;

    /// Stores a key (new, or its new version), then brings it to every node that can be reached; the others get it
    /// when they come back. Nodes learn `uid, name, description, actions, indexes, expiresAt` of the record.
    ///
    /// # Errors
    /// The store failed.
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

    /// An index.
    fn index(&self, uid: &str) -> Option<Arc<IndexRow>> {
        self.indexes().get(uid).cloned()
    }
}

/// What index operations mean on the nodes. The settings model implements it (`crate::settings`); all other parts
/// treat settings as opaque JSON. Pure: no I/O, quick, deterministic.
pub trait Planner: Send + Sync + 'static {
    /// Turns an operation into requests for every node and the index's state afterwards. Locks are held: this is
    /// *the* moment at which the operation happens, so state is read here and not when the client asked.
    /// An [`IndexOperation::Update`] finds no primary key in `current` where the index holds no document: it may have
    /// any then. [`IndexOperation::Create`] also stands for the creation by a first write or settings change.
    ///
    /// # Errors
    /// The error with which the task fails (`index_not_found`, `index_already_exists`, …).
    fn plan(
        &self,
        operation: &IndexOperation,
        current: Option<&IndexRow>,
        indexes: &Indexes,
    ) -> Result<IndexPlan, ErrorBody>;

    /// Whether a node's `GET /indexes/{uid}/settings` answer is what the node must have for this index.
    fn agrees(&self, expected: &IndexRow, node_settings: &serde_json::Value) -> bool;

    /// Requests, in order, after which a node that has these indexes has exactly the expected ones, with their settings
    /// and primary keys; none where it has them already.
    fn reconcile(&self, expected: &[IndexRow], found: &[FoundIndex]) -> Vec<NodeStep>;
}
