//! Merging of ranked lists into one.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::hits::{Hit, HitList};
use super::rank::{compare, is_semantic};

/// How hits of different lists are compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Comparison {
    /// Share of the semantic side in a hybrid search: a hit of one side and a hit of the other are compared by their
    /// weighted scores, as the engine does it.
    pub semantic_ratio: Option<f64>,
}

impl Comparison {
    fn weighted(self, ratio: f64, head: &Head<'_>) -> f64 {
        let score = head.hit.score.map_or(0.0, |(_, score)| score);
        if is_semantic(head.keys()) { score * ratio } else { score * (1.0 - ratio) }
    }

    fn compare(self, left: &Head<'_>, right: &Head<'_>) -> Ordering {
        match self.semantic_ratio {
            Some(ratio) if is_semantic(left.keys()) != is_semantic(right.keys()) => {
                self.weighted(ratio, left).total_cmp(&self.weighted(ratio, right))
            }
            _ => compare(left.keys(), right.keys()),
        }
    }
}

struct Head<'a> {
    list: &'a HitList,
    hit: &'a Hit,
    position: usize,
    rank: usize,
    comparison: Comparison,
}

impl<'a> Head<'a> {
    fn keys(&self) -> &'a [super::rank::Key] {
        self.list.keys(self.hit)
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.comparison.compare(self, other).then_with(|| other.position.cmp(&self.position))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}

/// The hits of all lists in merged order: by their keys, then by the position of their list. The order within a list is
/// never changed.
pub(super) struct Merged<'a> {
    heads: BinaryHeap<Head<'a>>,
}

impl<'a> Merged<'a> {
    /// Starts at the first hit of each list.
    pub fn new(lists: impl Iterator<Item = &'a HitList>, comparison: Comparison) -> Self {
        let head = |(position, list): (usize, &'a HitList)| {
            Some(Head { list, hit: list.get(0)?, position, rank: 0, comparison })
        };
        Self { heads: lists.enumerate().filter_map(head).collect() }
    }
}

impl<'a> Iterator for Merged<'a> {
    /// Position of the list, and the hit.
    type Item = (usize, &'a HitList, &'a Hit);

    fn next(&mut self) -> Option<Self::Item> {
        let mut head = self.heads.peek_mut()?;
        let found = (head.position, head.list, head.hit);
        let rank = head.rank.saturating_add(1);
        match head.list.get(rank) {
            Some(hit) => {
                head.rank = rank;
                head.hit = hit;
            }
            None => {
                std::collections::binary_heap::PeekMut::pop(head);
            }
        }
        Some(found)
    }
}
