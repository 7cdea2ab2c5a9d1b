//! Reads: searches, documents, and multi-search over the nodes that hold the shards. Control is never asked.
//!
//! The shell calls [`early`] when it has the request's headers, reads the body if that gives nothing, then calls
//! [`decide`], and drives the machine that it gets.

mod classify;
mod cover;
mod dispatch;
mod leg;
mod machine;
mod one_node;
mod plan;
mod reply;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::rc::Rc;
use std::sync::Arc;

use crate::call::{Headers, Reply};
use crate::health::SharedHealth;
use crate::route::{Matched, ReadOp, Serve};
use crate::shardmap::{CompiledMap, MapIndex, NodeIndex};

pub use machine::ReadMachine;
pub use reply::shard_ranges;

/// Longest time that a query waits for the end of a swap of indexes (F27).
pub const PARK_MS: u64 = 2_000;

/// A client's request, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadRequest {
    /// Path with query string, as sent.
    pub path: String,
    /// All headers without pseudo headers; lower-case names.
    pub headers: Headers,
    /// Whole body, decoded; empty for GET.
    pub body: Vec<u8>,
    /// The cluster's own key to read documents with, where control has given this worker one.
    pub reader_key: Option<Rc<str>>,
}

/// What is done with a read.
#[derive(Debug)]
pub enum Decision {
    /// Drive this machine.
    Machine(Box<ReadMachine>),
    /// Let Envoy pass the request on to this cluster (control: the index is not in this map, which may be behind).
    /// Only [`early`] says this, so the body has not been touched.
    Forward(String),
    /// Answer with this.
    Reply(Reply),
    /// The index is being swapped: ask [`early`] again with the next map, or with [`waited`] after [`PARK_MS`]. Only
    /// [`early`] says this.
    Park,
}

/// What can be told before the body is there; none where the body has to be read and [`decide`] be asked. A rule that
/// is no read gives none too. `unreachable` are the nodes that control has lost contact with: `GET /health` heeds them.
#[must_use]
pub fn early(map: &CompiledMap, matched: &Matched, unreachable: &[String]) -> Option<Decision> {
    let Serve::Read(operation) = matched.rule.serve else { return None };
    match operation {
        ReadOp::Health => Some(Decision::Reply(health_reply(map, unreachable))),
        ReadOp::MultiSearch => None,
        ReadOp::Search
        | ReadOp::FacetSearch
        | ReadOp::Similar
        | ReadOp::Fields
        | ReadOp::Documents
        | ReadOp::Document => match index_of(map, matched) {
            None => Some(Decision::Forward(map.map.control_cluster.clone())),
            Some((_, index)) if index.swapping => Some(Decision::Park),
            Some(_) => None,
        },
    }
}

/// The answer to a request that was parked and whose index is still being swapped.
#[must_use]
pub fn waited() -> Reply {
    reply::unavailable("The index is being swapped; try again.")
}

/// Makes the machine for a read.
#[must_use]
pub fn decide(map: &Arc<CompiledMap>, health: &SharedHealth, matched: &Matched, request: ReadRequest) -> Decision {
    if let Some(decision) = early(map, matched, &[]) {
        return decision;
    }
    ReadMachine::decide(plan::plan, map, health, matched, request)
}

fn index_of<'a>(map: &'a CompiledMap, matched: &Matched) -> Option<(&'a str, &'a MapIndex)> {
    map.map.indexes.get_key_value(matched.index()?).map(|(uid, index)| (uid.as_str(), index))
}

/// `available` as long as every shard of every placement has a copy that may be read, on a node that is there.
fn health_reply(map: &CompiledMap, unreachable: &[String]) -> Reply {
    let is_there =
        |node: &NodeIndex| map.map.nodes.get(usize::from(*node)).is_some_and(|node| !unreachable.contains(&node.id));
    let placements = (0u16..).zip(&map.map.placements);
    let whole = placements
        .map(|(position, _)| position)
        .all(|placement| (0..map.map.shards).all(|shard| map.readable(placement, shard).iter().any(is_there)));
    let (status, body) = if whole { (200, r#"{"status":"available"}"#) } else { (503, r#"{"status":"unavailable"}"#) };
    Reply { status, headers: vec![reply::json_header()], body: body.as_bytes().to_vec() }
}
