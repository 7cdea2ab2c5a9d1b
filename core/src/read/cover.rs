//! Who is asked for which shards: first by the cover that the query's hash picks, then, for shards whose node failed
//! or is suspect, on other copies. The order of preference: healthy nodes, suspect ones, and at last, once more, nodes
//! whose connection broke once, since that may have been a race with a closing connection, and nodes that the proxy
//! holds back, since the last copy is worth a try past its checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::classify::Trouble;
use super::dispatch::Dispatch;
use crate::health::Admission;
use crate::shardmap::{CompiledMap, Cover, CoverPart, NodeIndex};

/// Shards that a query still needs, and what it knows about the nodes.
pub(super) struct Wanted<'a> {
    pub(super) shards: &'a [u32],
    pub(super) placement: u16,
    /// Nodes not to be read for this index.
    pub(super) unreadable: &'a [NodeIndex],
    /// What went wrong with this query.
    pub(super) troubles: &'a [(NodeIndex, Trouble)],
}

impl Wanted<'_> {
    /// The query's own cover, with parts of unfit nodes given to others.
    pub(super) fn first(&self, dispatch: &mut Dispatch<'_>, query_hash: u64) -> Cover {
        let map = dispatch.map;
        let Some(cover) = map.cover(self.placement, query_hash) else {
            return Cover { parts: Vec::new(), missing: self.shards.to_vec() };
        };
        let all = usize::try_from(map.map.shards).is_ok_and(|count| count == self.shards.len());
        let mut fit = Cover::default();
        let mut left: Vec<u32> = cover.missing.iter().copied().filter(|shard| self.wants(*shard)).collect();
        for part in &cover.parts {
            // The usual case keeps the cover's own clause: it is built once a map, not once a query.
            let part = if all { Arc::clone(part) } else { Arc::new(self.narrowed(part, map)) };
            if part.shards.is_empty() {
                continue;
            }
            let unfit = self.unreadable.contains(&part.node) || self.has_failed(part.node);
            if unfit || dispatch.admit(part.node) == Admission::Suspect {
                left.extend_from_slice(&part.shards);
            } else {
                fit.parts.push(part);
            }
        }
        if left.is_empty() {
            return fit;
        }
        left.sort_unstable();
        let others = Wanted { shards: &left, ..*self }.repair(dispatch);
        self.join(map, fit, others)
    }

    /// The wanted shards on other copies than those that failed.
    pub(super) fn repair(&self, dispatch: &Dispatch<'_>) -> Cover {
        let map = dispatch.map;
        let failed = |node: NodeIndex| self.unreadable.contains(&node) || self.has_failed(node);
        let healthy = map.repair(self.placement, self.shards, &|node| failed(node) || dispatch.is_suspect(node));
        if healthy.missing.is_empty() {
            return healthy;
        }
        let suspect = map.repair(self.placement, &healthy.missing, &failed);
        let mut cover = self.join(map, Cover { missing: Vec::new(), ..healthy }, suspect);
        if cover.missing.is_empty() {
            return cover;
        }
        let missing = std::mem::take(&mut cover.missing);
        let twice = |node: NodeIndex| self.unreadable.contains(&node) || !self.may_be_asked_twice(dispatch, node);
        self.join(map, cover, map.repair(self.placement, &missing, &twice))
    }

    /// Whether every wanted shard could be read from another node than this.
    pub(super) fn has_alternative(&self, dispatch: &Dispatch<'_>, node: NodeIndex) -> bool {
        let usable = |other: &NodeIndex| {
            *other != node
                && !self.unreadable.contains(other)
                && !self.has_failed(*other)
                && !dispatch.is_suspect(*other)
        };
        self.shards.iter().all(|shard| dispatch.map.readable(self.placement, *shard).iter().any(usable))
    }

    /// What is wanted of a part.
    fn narrowed(&self, part: &CoverPart, map: &CompiledMap) -> CoverPart {
        let shards: Vec<u32> = part.shards.iter().copied().filter(|shard| self.wants(*shard)).collect();
        map.part(self.placement, part.node, shards)
    }

    /// One part a node out of two covers of different shards.
    fn join(&self, map: &CompiledMap, left: Cover, right: Cover) -> Cover {
        let mut missing = left.missing;
        missing.extend(right.missing);
        missing.sort_unstable();
        let mut parts: BTreeMap<NodeIndex, Arc<CoverPart>> =
            left.parts.into_iter().map(|part| (part.node, part)).collect();
        for part in right.parts {
            let joined = match parts.remove(&part.node) {
                Some(there) => {
                    let mut shards = there.shards.clone();
                    shards.extend_from_slice(&part.shards);
                    shards.sort_unstable();
                    Arc::new(map.part(self.placement, part.node, shards))
                }
                None => part,
            };
            parts.insert(joined.node, joined);
        }
        Cover { parts: parts.into_values().collect(), missing }
    }

    fn wants(&self, shard: u32) -> bool {
        self.shards.binary_search(&shard).is_ok()
    }

    fn has_failed(&self, node: NodeIndex) -> bool {
        self.troubles.iter().any(|(failed, _)| *failed == node)
    }

    fn may_be_asked_twice(&self, dispatch: &Dispatch<'_>, node: NodeIndex) -> bool {
        let mut troubles = self.troubles.iter().filter(|(failed, _)| *failed == node).map(|(_, trouble)| trouble);
        match troubles.next() {
            Some(Trouble::Broken) => troubles.next().is_none(),
            Some(Trouble::HeldBack) => {
                troubles.all(|trouble| *trouble == Trouble::HeldBack) && dispatch.may_go_past_checks(node)
            }
            _ => false,
        }
    }
}
