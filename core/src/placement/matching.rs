//! The matching of shards and nodes behind [`super::rebalance`].

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use twox_hash::XxHash3_64;

use super::NodeSpec;

/// What a pass over the pairs may overlook. Later passes only complete shards that earlier ones left short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Full nodes and served zones are skipped.
    Bounded,
    /// Full nodes are taken too.
    Unbounded,
    /// Zones are overlooked as well: there are fewer than copies.
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
    zones: &'a [usize],
    shares: &'a [f64],
    copies: usize,
    capacity: Vec<f64>,
    load: Vec<u32>,
    /// Per shard all nodes with their scores, best first.
    choices: Vec<Vec<(f64, usize)>>,
    pub(super) owners: Vec<Vec<usize>>,
}

impl<'a> Matching<'a> {
    pub(super) fn new(
        nodes: &'a [NodeSpec],
        shards: u32,
        copies: usize,
        zones: &'a [usize],
        shares: &'a [f64],
    ) -> Self {
        let choices = (0..shards)
            .map(|shard| {
                let mut ranked: Vec<(f64, usize)> = nodes
                    .iter()
                    .zip(shares)
                    .enumerate()
                    .map(|(at, (node, share))| (score(&node.id, shard, *share), at))
                    .collect();
                ranked.sort_unstable_by(|left, right| {
                    let id = |at: usize| nodes.get(at).map(|node| node.id.as_str());
                    left.0.total_cmp(&right.0).then_with(|| id(left.1).cmp(&id(right.1)))
                });
                ranked
            })
            .collect();
        Self {
            nodes,
            zones,
            shares,
            copies,
            capacity: shares.iter().map(|share| share.ceil()).collect(),
            load: vec![0; nodes.len()],
            choices,
            owners: (0..shards).map(|_| Vec::with_capacity(copies)).collect(),
        }
    }

    pub(super) fn run(&mut self, pass: Pass) {
        let mut heap: BinaryHeap<Reverse<Pair>> = BinaryHeap::with_capacity(self.choices.len());
        let short: Vec<usize> = self
            .owners
            .iter()
            .enumerate()
            .filter(|(_, owners)| owners.len() < self.copies)
            .map(|(shard, _)| shard)
            .collect();
        for shard in short {
            heap.extend(self.pair(shard, 0).map(Reverse));
        }
        while let Some(Reverse(Pair { shard, choice, .. })) = heap.pop() {
            self.offer(shard, choice, pass);
            if self.owners.get(shard).is_some_and(|owners| owners.len() < self.copies) {
                heap.extend(self.pair(shard, choice.saturating_add(1)).map(Reverse));
            }
        }
    }

    fn pair(&self, shard: usize, choice: usize) -> Option<Pair> {
        let (score, _) = self.choices.get(shard)?.get(choice)?;
        Some(Pair { score: *score, shard, choice })
    }

    fn offer(&mut self, shard: usize, choice: usize, pass: Pass) {
        let Some((_, node)) = self.choices.get(shard).and_then(|choices| choices.get(choice)).copied() else { return };
        let (Some(owners), Some(load), Some(capacity)) =
            (self.owners.get_mut(shard), self.load.get_mut(node), self.capacity.get(node))
        else {
            return;
        };
        let zone = self.zones.get(node);
        let full = f64::from(*load) >= *capacity;
        let zone_served = owners.iter().any(|owner| self.zones.get(*owner) == zone);
        let skipped =
            owners.contains(&node) || (full && pass == Pass::Bounded) || (zone_served && pass != Pass::AnyZone);
        if !skipped {
            owners.push(node);
            *load = load.saturating_add(1);
        }
    }

    /// Takes over what is in place: copies on known nodes in distinct zones, at most the wanted number; then takes from
    /// every node above its capacity the copies that it ranks last.
    pub(super) fn keep(&mut self, current: &[Vec<usize>]) {
        for (shard, owners) in current.iter().enumerate() {
            for owner in owners {
                let choice =
                    self.choices.get(shard).and_then(|choices| choices.iter().position(|(_, node)| node == owner));
                let complete = self.owners.get(shard).is_none_or(|kept| kept.len() >= self.copies);
                if let Some(choice) = choice.filter(|_| !complete) {
                    self.offer(shard, choice, Pass::Unbounded);
                }
            }
        }
        for node in 0..self.load.len() {
            let mut held: Vec<(f64, usize)> = self
                .owners
                .iter()
                .enumerate()
                .filter(|(_, owners)| owners.contains(&node))
                .map(|(shard, _)| (self.score(shard, node), shard))
                .collect();
            held.sort_unstable_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
            for (_, shard) in held {
                if self.load_of(node) <= self.capacity.get(node).copied().unwrap_or_default() {
                    break;
                }
                self.remove(shard, node);
            }
        }
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
            let Some((shard, giver)) = self.best_gift(receiver, may_give) else { break };
            self.remove(shard, giver);
            if let (Some(owners), Some(load)) = (self.owners.get_mut(shard), self.load.get_mut(receiver)) {
                owners.push(receiver);
                *load = load.saturating_add(1);
            }
        }
    }

    /// The shard that `receiver` ranks first among those that another node may give without two copies in one zone.
    fn best_gift(&self, receiver: usize, may_give: &dyn Fn(&Self, usize) -> bool) -> Option<(usize, usize)> {
        let zone = self.zones.get(receiver);
        let mut best: Option<(f64, usize, usize)> = None;
        for (shard, owners) in self.owners.iter().enumerate() {
            if owners.contains(&receiver) {
                continue;
            }
            for giver in owners {
                let zone_free = owners.iter().all(|owner| owner == giver || self.zones.get(*owner) != zone);
                let rank = self.score(shard, receiver);
                let better = best.is_none_or(|(score, ..)| rank < score);
                if zone_free && better && may_give(self, *giver) {
                    best = Some((rank, shard, *giver));
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

/// Weighted rendezvous: the smaller, the better. `-ln(u) / share` with `u` uniform in (0, 1) makes the chance of being
/// first proportional to the share.
fn score(node: &str, shard: u32, share: f64) -> f64 {
    let hash = XxHash3_64::oneshot_with_seed(u64::from(shard), node.as_bytes());
    // 53 bits fit a double exactly; the half keeps the value off 0 and 1.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -uniform.ln() / share
}
