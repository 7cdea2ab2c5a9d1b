//! From one table of owners to another, copy by copy.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::NodeSpec;

/// One step: a copy of a shard is made on one node, given up by another, or both. A copy that is given up stays until
/// the new one is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    /// Shard.
    pub shard: usize,
    /// Position of the node that gets a copy; none where one only goes.
    pub to: Option<usize>,
    /// Position of the node whose copy goes; none where one only comes.
    pub leaving: Option<usize>,
}

/// The moves that lead from `current` to `desired`, in an order in which every single one leaves the cluster no worse:
/// new copies go to the emptiest receivers first, and copies that go without another one coming go last.
#[derive(Clone, Debug)]
pub struct Moves {
    /// Moves with a receiver, by receiver.
    waiting: BTreeMap<usize, VecDeque<Move>>,
    /// Receivers by fill (in millionths of their weight's part) and position.
    order: BinaryHeap<Reverse<(u64, usize)>>,
    load: Vec<u64>,
    weights: Vec<f64>,
    /// Copies that only go.
    leaving: VecDeque<Move>,
    left: usize,
}

/// Compares two tables of owners (positions in `nodes`).
#[must_use]
pub fn moves(nodes: &[NodeSpec], current: &[Vec<usize>], desired: &[Vec<usize>]) -> Moves {
    let mut load = vec![0u64; nodes.len()];
    for owner in current.iter().flatten() {
        if let Some(load) = load.get_mut(*owner) {
            *load = load.saturating_add(1);
        }
    }
    let mut waiting: BTreeMap<usize, VecDeque<Move>> = BTreeMap::new();
    let mut leaving = VecDeque::new();
    let mut left = 0usize;
    for (shard, wanted) in desired.iter().enumerate() {
        let held = current.get(shard).map(Vec::as_slice).unwrap_or_default();
        for step in pairs(nodes, shard, held, wanted) {
            left = left.saturating_add(1);
            match step.to {
                Some(to) => waiting.entry(to).or_default().push_back(step),
                None => leaving.push_back(step),
            }
        }
    }
    let weights = nodes.iter().map(|node| node.weight).collect();
    let mut moves = Moves { waiting, order: BinaryHeap::new(), load, weights, leaving, left };
    let receivers: Vec<usize> = moves.waiting.keys().copied().collect();
    for receiver in receivers {
        moves.order.push(Reverse((moves.fill(receiver), receiver)));
    }
    moves
}

/// What changes for one shard: a copy that comes takes the place of one that goes, if there is one, in its own zone if
/// it can, so that the shard's zones are no fewer in between.
fn pairs(nodes: &[NodeSpec], shard: usize, held: &[usize], wanted: &[usize]) -> Vec<Move> {
    let mut going: Vec<usize> = held.iter().copied().filter(|node| !wanted.contains(node)).collect();
    let mut coming: Vec<usize> = wanted.iter().copied().filter(|node| !held.contains(node)).collect();
    let zone = |node: usize| nodes.get(node).and_then(|node| node.zone.as_deref());
    let mut steps = Vec::new();
    coming.retain(|to| {
        let same = going.iter().position(|from| zone(*from).is_some() && zone(*from) == zone(*to));
        same.map(|at| steps.push(Move { shard, to: Some(*to), leaving: Some(going.remove(at)) })).is_none()
    });
    for to in coming {
        let from = if going.is_empty() { None } else { Some(going.remove(0)) };
        steps.push(Move { shard, to: Some(to), leaving: from });
    }
    steps.extend(going.into_iter().map(|from| Move { shard, to: None, leaving: Some(from) }));
    steps
}

impl Moves {
    fn fill(&self, node: usize) -> u64 {
        let (load, weight) = (self.load.get(node).copied().unwrap_or_default(), self.weights.get(node).copied());
        (load as f64 * 1e6 / weight.unwrap_or(1.0).max(f64::MIN_POSITIVE)) as u64
    }

    fn shift(&mut self, step: Move) {
        if let Some(load) = step.to.and_then(|to| self.load.get_mut(to)) {
            *load = load.saturating_add(1);
        }
        if let Some(load) = step.leaving.and_then(|from| self.load.get_mut(from)) {
            *load = load.saturating_sub(1);
        }
    }
}

impl Iterator for Moves {
    type Item = Move;

    fn next(&mut self) -> Option<Move> {
        while let Some(Reverse((fill, receiver))) = self.order.pop() {
            let now = self.fill(receiver);
            if now != fill {
                // It has given something up since it was put here.
                self.order.push(Reverse((now, receiver)));
                continue;
            }
            let Some(queue) = self.waiting.get_mut(&receiver) else { continue };
            let Some(step) = queue.pop_front() else { continue };
            let more = !queue.is_empty();
            self.shift(step);
            if more {
                self.order.push(Reverse((self.fill(receiver), receiver)));
            }
            self.left = self.left.saturating_sub(1);
            return Some(step);
        }
        let step = self.leaving.pop_front()?;
        self.shift(step);
        self.left = self.left.saturating_sub(1);
        Some(step)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Moves {}
