//! The matching of shards and nodes behind [`super::rebalance`].

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::NodeSpec;
use super::ranking::{Ranking, score};
use super::zones::Zones;

/// What a pass over the pairs may overlook. Later passes only complete shards that earlier ones left short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
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
    capacity: Vec<f64>,
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
            capacity: shares.iter().map(|share| share.ceil()).collect(),
            load: vec![0; nodes.len()],
            ranking: Ranking::new(nodes, shares, shards),
            owners: (0..shards).map(|_| Vec::with_capacity(copies)).collect(),
        }
    }

    pub(super) fn run(&mut self, pass: Pass) {
        let mut heap: BinaryHeap<Reverse<Pair>> = BinaryHeap::new();
        let short: Vec<usize> = (0..self.owners.len()).filter(|shard| self.is_short(*shard)).collect();
        for shard in short {
            heap.extend(self.pair(shard, 0).map(Reverse));
        }
        while let Some(Reverse(Pair { shard, choice, .. })) = heap.pop() {
            if let Some((_, node)) = self.ranking.choice(shard, choice) {
                self.offer(shard, node, pass);
            }
            if self.is_short(shard) {
                heap.extend(self.pair(shard, choice.saturating_add(1)).map(Reverse));
            }
        }
    }

    fn is_short(&self, shard: usize) -> bool {
        self.owners.get(shard).is_some_and(|owners| owners.len() < self.copies)
    }

    fn pair(&mut self, shard: usize, choice: usize) -> Option<Pair> {
        let (score, _) = self.ranking.choice(shard, choice)?;
        Some(Pair { score, shard, choice })
    }

    fn offer(&mut self, shard: usize, node: usize, pass: Pass) {
        let (Some(owners), Some(load), Some(capacity)) =
            (self.owners.get_mut(shard), self.load.get_mut(node), self.capacity.get(node))
        else {
            return;
        };
        let full = f64::from(*load) >= *capacity;
        let skipped = owners.contains(&node)
            || (full && pass == Pass::Bounded)
            || (pass != Pass::AnyZone && !self.zones.may_add(owners, node, self.copies));
        if !skipped {
            owners.push(node);
            *load = load.saturating_add(1);
        }
    }

    /// Takes over what is in place: copies on known nodes in zones that have room; then drops what is more than wanted,
    /// from the fullest nodes; then takes from every node above its capacity the copies that it ranks last.
    pub(super) fn keep(&mut self, current: &[Vec<usize>]) {
        let mut surplus = Vec::new();
        for (shard, owners) in current.iter().enumerate() {
            // More copies than wanted are judged by zones below: any of them may be the one that stays.
            let pass = if owners.len() > self.copies { Pass::AnyZone } else { Pass::Unbounded };
            for owner in owners {
                self.offer(shard, *owner, pass);
            }
            if self.owners.get(shard).is_some_and(|kept| kept.len() > self.copies) {
                surplus.push(shard);
            }
        }
        for shard in surplus {
            while let Some(node) = self.most_dispensable(shard) {
                self.remove(shard, node);
            }
        }
        let mut held: Vec<Vec<(f64, usize)>> = vec![Vec::new(); self.load.len()];
        for (shard, owners) in self.owners.iter().enumerate() {
            for node in owners {
                let over = self.load_of(*node) > self.capacity.get(*node).copied().unwrap_or_default();
                if let Some(held) = held.get_mut(*node).filter(|_| over) {
                    held.push((self.score(shard, *node), shard));
                }
            }
        }
        for (node, mut held) in held.into_iter().enumerate() {
            held.sort_unstable_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
            for (_, shard) in held {
                if self.load_of(node) <= self.capacity.get(node).copied().unwrap_or_default() {
                    break;
                }
                self.remove(shard, node);
            }
        }
    }

    /// The copy of a shard with too many that can best be done without: one in a zone that has another, on the node
    /// that is fullest.
    fn most_dispensable(&self, shard: usize) -> Option<usize> {
        let owners = self.owners.get(shard).filter(|owners| owners.len() > self.copies)?;
        let fill = |node: usize| {
            self.load_of(node) / self.shares.get(node).copied().unwrap_or_default().max(f64::MIN_POSITIVE)
        };
        owners.iter().copied().max_by(|left, right| {
            let spare = |node: usize| self.zones.spread_without(owners, node);
            spare(*left).cmp(&spare(*right)).then(fill(*left).total_cmp(&fill(*right))).then(right.cmp(left))
        })
    }

    /// Takes from nodes above their capacity what others have room for, and brings nodes that are a whole copy below
    /// their share up to it. Every step makes the cluster more even.
    pub(super) fn level(&mut self) {
        for receiver in 0..self.load.len() {
            let room = self.capacity.get(receiver).copied().unwrap_or_default();
            self.fill_up(receiver, room, &|matching, giver| {
                matching.load_of(giver) > matching.capacity.get(giver).copied().unwrap_or_default()
            });
        }
        for receiver in 0..self.load.len() {
            let floor = self.shares.get(receiver).copied().unwrap_or_default().floor();
            // A giver at or below its share would only move the hole.
            self.fill_up(receiver, floor, &|matching, giver| {
                matching.load_of(giver) > matching.shares.get(giver).copied().unwrap_or_default()
            });
        }
    }

    fn fill_up(&mut self, receiver: usize, target: f64, may_give: &dyn Fn(&Self, usize) -> bool) {
        while self.load_of(receiver) < target {
            let givers: Vec<bool> = (0..self.load.len()).map(|giver| may_give(self, giver)).collect();
            if !givers.contains(&true) {
                break;
            }
            let Some((shard, giver)) = self.best_gift(receiver, &givers) else { break };
            self.remove(shard, giver);
            if let (Some(owners), Some(load)) = (self.owners.get_mut(shard), self.load.get_mut(receiver)) {
                owners.push(receiver);
                *load = load.saturating_add(1);
            }
        }
    }

    /// The shard that `receiver` ranks first among those that a giver may give without a loss in zones.
    fn best_gift(&self, receiver: usize, givers: &[bool]) -> Option<(usize, usize)> {
        let mut best: Option<(f64, usize, usize)> = None;
        for (shard, owners) in self.owners.iter().enumerate() {
            if owners.contains(&receiver) {
                continue;
            }
            for giver in owners.iter().filter(|giver| givers.get(**giver) == Some(&true)) {
                if self.zones.may_swap(owners, *giver, receiver, self.copies) {
                    let rank = self.score(shard, receiver);
                    if best.is_none_or(|(score, ..)| rank < score) {
                        best = Some((rank, shard, *giver));
                    }
                }
            }
        }
        best.map(|(_, shard, giver)| (shard, giver))
    }

    fn score(&self, shard: usize, node: usize) -> f64 {
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
