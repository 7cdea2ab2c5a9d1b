//! Merging of ranked lists into one.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::BadAnswer;
use super::hits::{Hit, HitList};
use super::hybrid::Sides;
use super::order;
use super::rank::{Key, compare, is_semantic};

/// How hits of different lists are compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Comparison {
    /// What both sides of a hybrid search weigh, by which a hit of one and a hit of the other are compared.
    pub sides: Option<Sides>,
}

impl Comparison {
    /// Compares two hits of one query with their keys; the greater one comes first.
    pub fn compare(self, (left, left_keys): (&Hit, &[Key]), (right, right_keys): (&Hit, &[Key])) -> Ordering {
        if let Some(sides) = self.sides {
            let (of_left, of_right) = (is_semantic(left_keys), is_semantic(right_keys));
            if of_left != of_right {
                let (left, right) = (sides.rank(left, left_keys, of_left), sides.rank(right, right_keys, of_right));
                return order::compare(&left, &right);
            }
        }
        compare(left_keys, right_keys)
    }
}

/// Compares two hits that rank alike: the lower number comes first, and then what has none. One engine lists them as they
/// were first written, which mostly is by a number that counts up.
pub(super) fn by_key(left: &Hit, right: &Hit) -> Ordering {
    let rank = |hit: &Hit| (hit.number.is_none(), hit.number);
    rank(right).cmp(&rank(left))
}

/// A ranked list whose hits may still have to be read.
pub(super) trait Source {
    /// The hits that have been read.
    fn list(&self) -> &HitList;

    /// Reads on until there is a hit of this rank; false where the list ends before.
    ///
    /// # Errors
    /// Where what comes next is no hit.
    fn reach(&mut self, rank: usize) -> Result<bool, BadAnswer>;
}

struct Head<'a, S> {
    source: &'a mut S,
    position: usize,
    rank: usize,
    comparison: Comparison,
}

impl<S: Source> Head<'_, S> {
    fn hit(&self) -> Option<&Hit> {
        self.source.list().get(self.rank)
    }

    fn ranked(&self) -> Option<(&Hit, &[Key])> {
        let list = self.source.list();
        list.get(self.rank).map(|hit| (hit, list.keys(hit)))
    }
}

impl<S: Source> Ord for Head<'_, S> {
    fn cmp(&self, other: &Self) -> Ordering {
        let ranks = self.ranked().zip(other.ranked());
        let order = ranks.map_or(Ordering::Equal, |(left, right)| self.comparison.compare(left, right));
        let by_key = || self.hit().zip(other.hit()).map_or(Ordering::Equal, |(left, right)| by_key(left, right));
        order.then_with(by_key).then_with(|| other.position.cmp(&self.position))
    }
}

impl<S: Source> PartialOrd for Head<'_, S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S: Source> PartialEq for Head<'_, S> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<S: Source> Eq for Head<'_, S> {}

/// The list at this position is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenList(pub usize);

/// Where a hit stands: the position of its list, and its rank there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub list: usize,
    pub rank: usize,
}

/// The hits of all lists in merged order: by their keys, then by their primary keys, then by the position of their list.
/// The order within a list is never changed, and of each list no more is read than what comes out and the one hit after it.
pub(super) struct Merged<'a, S> {
    heads: BinaryHeap<Head<'a, S>>,
}

impl<'a, S: Source> Merged<'a, S> {
    /// Starts at the first hit of each list.
    ///
    /// # Errors
    /// Where the first of a list cannot be read.
    pub fn new(lists: impl Iterator<Item = &'a mut S>, comparison: Comparison) -> Result<Self, BrokenList> {
        let mut heads = BinaryHeap::with_capacity(lists.size_hint().0);
        for (position, source) in lists.enumerate() {
            if source.reach(0).map_err(|_| BrokenList(position))? {
                heads.push(Head { source, position, rank: 0, comparison });
            }
        }
        Ok(Self { heads })
    }

    /// The next hit, and what `look` makes of it.
    ///
    /// # Errors
    /// Where the hit after it in its list cannot be read.
    pub fn next<T>(&mut self, look: impl FnOnce(&HitList, &Hit) -> T) -> Result<Option<(Place, T)>, BrokenList> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let place = Place { list: head.position, rank: head.rank };
        let Some(seen) = head.hit().map(|hit| look(head.source.list(), hit)) else { return Ok(None) };
        let rank = head.rank.saturating_add(1);
        if head.source.reach(rank).map_err(|_| BrokenList(place.list))? {
            head.rank = rank;
        } else {
            PeekMut::pop(head);
        }
        Ok(Some((place, seen)))
    }
}
