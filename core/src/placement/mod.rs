//! Which nodes hold which shard: weighted rendezvous hashing with bounded load and zones, as a pure function.
//!
//! Wanted properties, each proved by a test of its name:
//! - deterministic: the same nodes in any order give the same owners;
//! - balanced: every node holds its weighted share, rounded down or up;
//! - weight-respecting: a node of twice the weight holds about twice the shards;
//! - minimal movement on join and on leave: at most 1.2 × what must move, or two copies more;
//! - replicas on distinct nodes, and in distinct zones where there are enough zones;
//! - every single move leaves the cluster no worse, so that a cancel is always safe.
//!
//! Every pair of shard and node has a score from a hash and the node's share. What is in place stays; copies that are
//! missing are placed best pair first over the whole cluster, where a pair is skipped when the shard has its copies, the
//! node is full, or the zone has its part. Then nodes above their share give to those below theirs, by way of others
//! where zones forbid the straight way. A placement computed from nothing at every change would move more than it must:
//! with few shards a node, random loads differ by far more than the bound, and a full node's overflow lands elsewhere
//! after each change. Hence changes start from the table that is in force.

mod evening;
mod matching;
mod moves;
mod ranking;
mod share;
mod zones;

use evening::Evening;
use matching::{Matching, Pass};
pub use moves::{Move, Moves, moves};
use zones::Zones;

/// A node as placement sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    /// Stable id: the only thing that enters the hash.
    pub id: String,
    /// Relative size, above 0.
    pub weight: f64,
    /// Failure domain; nodes without one are domains of their own.
    pub zone: Option<String>,
}

/// Why no placement exists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Fewer nodes than copies wanted.
    #[error("replication factor {replication_factor} needs as many nodes, there are {nodes}")]
    TooFewNodes {
        /// Copies wanted.
        replication_factor: u8,
        /// Nodes given.
        nodes: usize,
    },
    /// A weight that is not a number above 0.
    #[error("node {node} has weight {weight}, which is not a number above 0")]
    BadWeight {
        /// Node id.
        node: String,
        /// The weight, as text.
        weight: String,
    },
    /// Two nodes of one id.
    #[error("node id {0} is given twice")]
    RepeatedId(String),
}

/// Assigns `replication_factor` nodes to each of `shards` shards from nothing; the answer holds positions in `nodes`,
/// preferred first.
///
/// # Errors
/// [`PlacementError`] when the nodes cannot carry the wanted copies.
pub fn place(nodes: &[NodeSpec], shards: u32, replication_factor: u8) -> Result<Vec<Vec<usize>>, PlacementError> {
    rebalance(nodes, shards, replication_factor, &[])
}

/// Like [`place`], starting from the owners in force (positions in `nodes`; unknown ones are taken as gone), so that
/// only what must move does.
///
/// # Errors
/// [`PlacementError`] when the nodes cannot carry the wanted copies.
pub fn rebalance(
    nodes: &[NodeSpec],
    shards: u32,
    replication_factor: u8,
    current: &[Vec<usize>],
) -> Result<Vec<Vec<usize>>, PlacementError> {
    check(nodes, replication_factor)?;
    // In order of id, so that the order in which nodes are given never matters.
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|at| nodes.get(*at).map(|node| node.id.as_str()));
    let sorted: Vec<NodeSpec> = order.iter().filter_map(|at| nodes.get(*at).cloned()).collect();
    let mut place_of = vec![None; nodes.len()];
    for (place, at) in order.iter().enumerate() {
        if let Some(slot) = place_of.get_mut(*at) {
            *slot = Some(place);
        }
    }
    let in_force: Vec<Vec<usize>> = current
        .iter()
        .map(|owners| owners.iter().filter_map(|owner| place_of.get(*owner).copied().flatten()).collect())
        .collect();
    let zones = Zones::new(&sorted, usize::from(replication_factor));
    let shares = share::shares(&sorted, &zones, f64::from(shards), f64::from(replication_factor));
    let mut matching = Matching::new(&sorted, shards, usize::from(replication_factor), &zones, &shares);
    matching.keep(&in_force);
    matching.run(Pass::Spread);
    matching.run(Pass::Bounded);
    matching.run(Pass::Unbounded);
    matching.run(Pass::AnyZone);
    Evening::new(&mut matching, &in_force).run();
    let given = |owners: &Vec<usize>| owners.iter().filter_map(|at| order.get(*at).copied()).collect();
    Ok(matching.owners.iter().map(given).collect())
}

fn check(nodes: &[NodeSpec], replication_factor: u8) -> Result<(), PlacementError> {
    if nodes.len() < usize::from(replication_factor) {
        return Err(PlacementError::TooFewNodes { replication_factor, nodes: nodes.len() });
    }
    let mut ids: Vec<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
    ids.sort_unstable();
    if let Some([id, _]) = ids.array_windows().find(|[left, right]| left == right) {
        return Err(PlacementError::RepeatedId((*id).to_owned()));
    }
    match nodes.iter().find(|node| !(node.weight.is_finite() && node.weight > 0.0)) {
        Some(node) => Err(PlacementError::BadWeight { node: node.id.clone(), weight: node.weight.to_string() }),
        None => Ok(()),
    }
}

/// How many copies each node should hold (positions in `nodes`): by weight, but no node more than one copy of each
/// shard, and no zone more than its part. They add up to `shards × replication_factor`.
///
/// # Errors
/// [`PlacementError`] when the nodes cannot carry the wanted copies.
pub fn shares(nodes: &[NodeSpec], shards: u32, replication_factor: u8) -> Result<Vec<f64>, PlacementError> {
    check(nodes, replication_factor)?;
    let zones = Zones::new(nodes, usize::from(replication_factor));
    Ok(share::shares(nodes, &zones, f64::from(shards), f64::from(replication_factor)))
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
