//! The matching of shards and nodes behind [`super::rebalance`].

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::NodeSpec;
use super::ranking::{Ranking, score};
use super::share::bounds;
use super::zones::Zones;

/// What a pass over the pairs may overlook. Later passes only complete shards that earlier ones left short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Full nodes are skipped, and zones that have a copy.
    Spread,
    /// Full nodes and served zones are skipped.
    Bounded,
    /// Full nodes are taken too.
    Unbounded,
    /// Zones are overlooked as well: those that have room have no node left.
    AnyZone,
}

/// A pair on the heap: the best (lowest) score first, ties by shard, then by node id.
struct Pair {
    score: f64,
    shard: usize,
    choice: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.shard.cmp(&other.shard)).then(self.choice.cmp(&other.choice))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

pub(super) struct Matching<'a> {
    nodes: &'a [NodeSpec],
    zones: &'a Zones,
    shares: &'a [f64],
    copies: usize,
    /// Shares, rounded down and up.
    bounds: Vec<(f64, f64)>,
    load: Vec<u32>,
    ranking: Ranking<'a>,
    pub(super) owners: Vec<Vec<usize>>,
}

impl<'a> Matching<'a> {
    /// `nodes` in order of id.
    pub(super) fn new(nodes: &'a [NodeSpec], shards: u32, copies: usize, zones: &'a Zones, shares: &'a [f64]) -> Self {
        Self {
            nodes,
            zones,
            shares,
            copies,
            bounds: shares.iter().copied().map(bounds).collect(),
            load: vec![0; nodes.len()],
            ranking: Ranking::new(nodes, shares, shards),
            owners: (0..shards).map(|_| Vec::with_capacity(copies)).collect(),
        }
    }

    pub(super) fn run(&mut self, pass: Pass) {
        let wanted = if pass == Pass::Spread { self.copies.min(self.zones.count()) } else { self.copies };
        let mut heap: BinaryHeap<Reverse<Pair>> = BinaryHeap::new();
        let short: Vec<usize> = (0..self.owners.len()).filter(|shard| self.is_short(*shard, wanted)).collect();
        for shard in short {
            heap.extend(self.pair(shard, 0).map(Reverse));
        }
        while let Some(Reverse(Pair { shard, choice, .. })) = heap.pop() {
            if let Some((_, node)) = self.ranking.choice(shard, choice) {
                self.offer(shard, node, pass);
            }
            if self.is_short(shard, wanted) {
                heap.extend(self.pair(shard, choice.saturating_add(1)).map(Reverse));
            }
        }
    }

    fn is_short(&self, shard: usize, wanted: usize) -> bool {
        self.owners.get(shard).is_some_and(|owners| owners.len() < wanted)
    }

    fn pair(&mut self, shard: usize, choice: usize) -> Option<Pair> {
        let (score, _) = self.ranking.choice(shard, choice)?;
        Some(Pair { score, shard, choice })
    }

    fn offer(&mut self, shard: usize, node: usize, pass: Pass) {
        let (Some(owners), Some(load), Some((_, most))) =
            (self.owners.get_mut(shard), self.load.get_mut(node), self.bounds.get(node))
        else {
            return;
        };
        let full = f64::from(*load) >= *most;
        let skipped = owners.contains(&node)
            || (full && matches!(pass, Pass::Spread | Pass::Bounded))
            || (pass == Pass::Spread && self.zones.copies_beside(owners, node) > 0)
            || (pass != Pass::AnyZone && !self.zones.may_add(owners, node, self.copies));
        if !skipped {
            owners.push(node);
            *load = load.saturating_add(1);
        }
    }

    /// Takes over what is in place on known nodes; then drops what is more than wanted, or than zones allow.
    pub(super) fn keep(&mut self, current: &[Vec<usize>]) {
        for (shard, owners) in current.iter().enumerate() {
            for owner in owners {
                self.offer(shard, *owner, Pass::AnyZone);
            }
        }
        for shard in 0..self.owners.len() {
            while let Some(node) = self.most_dispensable(shard) {
                self.remove(shard, node);
            }
        }
    }

    /// The copy of a shard with too many that can best be done without: one in the zone that has most of them, on the
    /// node that is fullest.
    fn most_dispensable(&self, shard: usize) -> Option<usize> {
        let owners = self.owners.get(shard)?;
        if owners.len() <= self.copies && !self.zones.are_crowded(owners, self.copies) {
            return None;
        }
        let beside = |node: usize| self.zones.copies_beside(owners, node);
        owners.iter().copied().max_by(|left, right| {
            let order = beside(*left).cmp(&beside(*right));
            order.then(self.fill(*left).total_cmp(&self.fill(*right))).then(right.cmp(left))
        })
    }

    pub(super) fn count(&self) -> usize {
        self.load.len()
    }

    /// Holds more than its share, rounded up.
    pub(super) fn is_over(&self, node: usize) -> bool {
        self.load_of(node) > self.bounds(node).1
    }

    /// Holds less than its share, rounded up.
    pub(super) fn has_room(&self, node: usize) -> bool {
        self.load_of(node) < self.bounds(node).1
    }

    /// Holds less than its share, rounded down.
    pub(super) fn lacks(&self, node: usize) -> bool {
        self.load_of(node) < self.bounds(node).0
    }

    /// Holds more than its share, rounded down: one copy less would leave no hole.
    pub(super) fn can_spare(&self, node: usize) -> bool {
        self.load_of(node) > self.bounds(node).0
    }

    fn bounds(&self, node: usize) -> (f64, f64) {
        self.bounds.get(node).copied().unwrap_or_default()
    }

    /// Whether zones allow a shard's copy to go from one node to another that has none.
    pub(super) fn may_give(&self, shard: usize, from: usize, to: usize) -> bool {
        self.owners.get(shard).is_some_and(|owners| {
            owners.contains(&from) && !owners.contains(&to) && self.zones.may_swap(owners, from, to, self.copies)
        })
    }

    pub(super) fn shift(&mut self, shard: usize, from: usize, to: usize) {
        self.remove(shard, from);
        if let (Some(owners), Some(load)) = (self.owners.get_mut(shard), self.load.get_mut(to)) {
            owners.push(to);
            *load = load.saturating_add(1);
        }
    }

    /// How full a node is, against its share.
    pub(super) fn fill(&self, node: usize) -> f64 {
        self.load_of(node) / self.shares.get(node).copied().unwrap_or_default().max(f64::MIN_POSITIVE)
    }

    pub(super) fn score(&self, shard: usize, node: usize) -> f64 {
        match (self.nodes.get(node), self.shares.get(node), u32::try_from(shard)) {
            (Some(spec), Some(share), Ok(shard)) => score(&spec.id, shard, *share),
            _ => f64::INFINITY,
        }
    }

    fn load_of(&self, node: usize) -> f64 {
        self.load.get(node).copied().map_or(0.0, f64::from)
    }

    fn remove(&mut self, shard: usize, node: usize) {
        if let (Some(owners), Some(load)) = (self.owners.get_mut(shard), self.load.get_mut(node)) {
            owners.retain(|owner| *owner != node);
            *load = load.saturating_sub(1);
        }
    }
}
