//! The order of things: a queue of events in simulated time, and a network that delays, loses and cuts.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::random::Random;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Control,
    Node(usize),
    Vm(usize),
}

/// An entry of the queue; ties fall by a random number, so that what happens "at once" happens in any order.
struct Entry<E> {
    at: u64,
    tie: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.tie) == (other.at, other.tie)
    }
}
impl<E> Eq for Entry<E> {}
impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.tie).cmp(&(other.at, other.tie))
    }
}

pub struct Network<E> {
    queue: BinaryHeap<Reverse<Entry<E>>>,
    pub now: u64,
    pub random: Random,
    /// Pairs that do not hear each other.
    pub cuts: BTreeSet<(Party, Party)>,
    /// Messages lost, of 1000.
    pub drop: u64,
    /// Messages very late, of 1000.
    pub slow: u64,
}

impl<E> Network<E> {
    pub fn new(random: Random, now: u64) -> Self {
        Self { queue: BinaryHeap::new(), now, random, cuts: BTreeSet::new(), drop: 0, slow: 0 }
    }

    pub fn at(&mut self, at: u64, event: E) {
        let tie = self.random.next();
        self.queue.push(Reverse(Entry { at: at.max(self.now), tie, event }));
    }

    pub fn after(&mut self, delay: u64, event: E) {
        self.at(self.now + delay, event);
    }

    pub fn pop(&mut self) -> Option<E> {
        let Reverse(entry) = self.queue.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }

    pub fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(entry)| entry.at)
    }

    pub fn is_cut(&self, a: Party, b: Party) -> bool {
        self.cuts.contains(&(a.min(b), a.max(b)))
    }

    /// Sends a message, perhaps in vain.
    pub fn send(&mut self, from: Party, to: Party, event: E) {
        if self.is_cut(from, to) || self.random.chance(self.drop) {
            return;
        }
        let delay =
            if self.random.chance(self.slow) { self.random.between(200, 45_000) } else { self.random.between(1, 6) };
        self.after(delay, event);
    }
}
