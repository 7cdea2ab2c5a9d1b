//! Failure domains: which copies of a shard may be where.

use super::NodeSpec;

/// The zone of each node, by number.
pub(super) struct Zones {
    of: Vec<usize>,
    count: usize,
}

impl Zones {
    /// Numbers the zones in order of name; a node without zone is a zone of its own.
    pub(super) fn new(nodes: &[NodeSpec]) -> Self {
        let name = |node: &NodeSpec| match &node.zone {
            Some(zone) => (true, zone.clone()),
            None => (false, node.id.clone()),
        };
        let names: Vec<(bool, String)> = nodes.iter().map(name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let of = names.iter().map(|name| sorted.binary_search(name).unwrap_or_default()).collect();
        Self { of, count: sorted.len() }
    }

    /// Zone numbers by node.
    pub(super) fn numbers(&self) -> &[usize] {
        &self.of
    }

    fn copies_in(&self, owners: impl Iterator<Item = usize>, zone: Option<&usize>) -> usize {
        owners.filter(|owner| self.of.get(*owner) == zone).count()
    }

    fn served(&self, owners: impl Iterator<Item = usize>) -> usize {
        let mut zones: Vec<usize> = owners.filter_map(|owner| self.of.get(owner).copied()).collect();
        zones.sort_unstable();
        zones.dedup();
        zones.len()
    }

    /// Whether a shard of `copies` copies may get one more here: in a zone without one; or, where there are fewer zones
    /// than copies, in one below its part while enough copies are left for the zones without.
    pub(super) fn may_add(&self, owners: &[usize], node: usize, copies: usize) -> bool {
        self.has_room(owners.iter().copied(), owners.len(), node, copies)
    }

    /// The same once `giver` has given its copy up.
    pub(super) fn may_swap(&self, owners: &[usize], giver: usize, node: usize, copies: usize) -> bool {
        let left = || owners.iter().copied().filter(move |owner| *owner != giver);
        self.has_room(left(), owners.len().saturating_sub(1), node, copies)
    }

    fn has_room(&self, owners: impl Iterator<Item = usize> + Clone, held: usize, node: usize, copies: usize) -> bool {
        let here = self.copies_in(owners.clone(), self.of.get(node));
        if here == 0 {
            return true;
        }
        let most = copies.div_ceil(self.count.max(1));
        let empty_zones = self.count.saturating_sub(self.served(owners));
        here < most && copies.saturating_sub(held) > empty_zones
    }

    /// How many zones have a copy when this node has given its own up.
    pub(super) fn spread_without(&self, owners: &[usize], node: usize) -> usize {
        self.served(owners.iter().copied().filter(|owner| *owner != node))
    }
}
