//! Failure domains: which copies of a shard may be where.

use super::NodeSpec;

/// The zone of each node, by number.
pub(super) struct Zones {
    of: Vec<usize>,
    count: usize,
    most: usize,
}

impl Zones {
    /// Numbers the zones in order of name; a node without zone is a zone of its own.
    pub(super) fn new(nodes: &[NodeSpec], copies: usize) -> Self {
        let name = |node: &NodeSpec| match &node.zone {
            Some(zone) => (true, zone.clone()),
            None => (false, node.id.clone()),
        };
        let names: Vec<(bool, String)> = nodes.iter().map(name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let of: Vec<usize> = names.iter().map(|name| sorted.binary_search(name).unwrap_or_default()).collect();
        let mut sizes = vec![0usize; sorted.len()];
        for zone in &of {
            if let Some(size) = sizes.get_mut(*zone) {
                *size = size.saturating_add(1);
            }
        }
        let carried = |most: usize| sizes.iter().map(|size| *size.min(&most)).sum::<usize>();
        let most = (1..copies).find(|most| carried(*most) >= copies).unwrap_or(copies);
        Self { of, count: sorted.len(), most }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Copies of one shard that a zone has at most: as few as the zones can carry.
    pub(super) fn most(&self) -> usize {
        self.most
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
        let empty_zones = self.count.saturating_sub(self.served(owners));
        here < self.most && copies.saturating_sub(held) > empty_zones
    }

    /// How many copies are in this node's zone.
    pub(super) fn copies_beside(&self, owners: &[usize], node: usize) -> usize {
        self.copies_in(owners.iter().copied(), self.of.get(node))
    }

    /// Whether copies share a zone that must not: it has more than its part, or they stand where zones without any need
    /// them.
    pub(super) fn are_crowded(&self, owners: &[usize], copies: usize) -> bool {
        let fullest = owners.iter().map(|owner| self.copies_beside(owners, *owner)).max().unwrap_or_default();
        let empty_zones = self.count.saturating_sub(self.served(owners.iter().copied()));
        fullest > self.most || (fullest > 1 && copies.saturating_sub(owners.len()) < empty_zones)
    }
}
