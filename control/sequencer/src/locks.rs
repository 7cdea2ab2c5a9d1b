//! One FIFO over all tickets, as a queue per (index, shard): a ticket stands in all its queues from its arrival, and
//! holds its locks when it is first in every one of them. So no earlier unfinished ticket that shares a shard is
//! overtaken, nobody holds half of its locks, and disjoint tickets run in parallel (F32).

use std::collections::{BTreeMap, VecDeque};

/// The shards that a ticket locks, by index.
pub(crate) type Wanted = Vec<(String, Vec<u32>)>;

#[derive(Debug, Default)]
pub(crate) struct Locks {
    queues: BTreeMap<String, BTreeMap<u32, VecDeque<u32>>>,
    /// Queues in which a ticket is not first; no entry for one that holds its locks or has none.
    behind: BTreeMap<u32, usize>,
}

impl Locks {
    /// Puts a ticket last into its queues; true if it is first in all of them.
    pub(crate) fn enter(&mut self, ticket: u32, wanted: &Wanted) -> bool {
        let mut behind = 0;
        for (index, shards) in wanted {
            let queues = self.queues.entry(index.clone()).or_default();
            for shard in shards {
                let queue = queues.entry(*shard).or_default();
                behind += usize::from(!queue.is_empty());
                queue.push_back(ticket);
            }
        }
        if behind > 0 {
            self.behind.insert(ticket, behind);
        }
        behind == 0
    }

    /// True if the ticket is first in all its queues.
    pub(crate) fn holds(&self, ticket: u32) -> bool {
        !self.behind.contains_key(&ticket)
    }

    /// Takes a ticket out, whether it held its locks or waited; returns those that hold theirs now.
    pub(crate) fn leave(&mut self, ticket: u32, wanted: &Wanted) -> Vec<u32> {
        let mut ready = Vec::new();
        self.behind.remove(&ticket);
        for (index, shards) in wanted {
            let Some(queues) = self.queues.get_mut(index) else { continue };
            for shard in shards {
                let Some(queue) = queues.get_mut(shard) else { continue };
                let was_first = queue.front() == Some(&ticket);
                queue.retain(|waiting| *waiting != ticket);
                match queue.front() {
                    None => drop(queues.remove(shard)),
                    Some(next) if was_first => {
                        if let Some(count) = self.behind.get_mut(next) {
                            *count -= 1;
                            if *count == 0 {
                                self.behind.remove(next);
                                ready.push(*next);
                            }
                        }
                    }
                    Some(_) => {}
                }
            }
            if queues.is_empty() {
                self.queues.remove(index);
            }
        }
        ready
    }

    /// Whether no ticket stands in any queue of an index.
    #[cfg(test)]
    fn is_idle(&self, index: &str) -> bool {
        !self.queues.contains_key(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(shards: &[u32]) -> Wanted {
        vec![("i".into(), shards.to_vec())]
    }

    #[test]
    fn tickets_that_share_a_shard_wait_in_order_and_others_do_not() {
        let mut locks = Locks::default();
        assert!(locks.enter(1, &on(&[0, 1])));
        assert!(!locks.enter(2, &on(&[1, 2])));
        assert!(!locks.enter(3, &on(&[2])), "3 must not overtake 2");
        assert!(locks.enter(4, &on(&[3])));
        assert_eq!(locks.leave(1, &on(&[0, 1])), [2]);
        assert_eq!(locks.leave(2, &on(&[1, 2])), [3]);
        assert!(locks.holds(3));
    }

    #[test]
    fn one_that_gives_up_while_waiting_lets_the_next_pass() {
        let mut locks = Locks::default();
        assert!(locks.enter(1, &on(&[0])));
        assert!(!locks.enter(2, &on(&[0, 1])));
        assert!(!locks.enter(3, &on(&[1])));
        assert_eq!(locks.leave(2, &on(&[0, 1])), [3]);
        assert!(locks.leave(1, &on(&[0])).is_empty());
        locks.leave(3, &on(&[1]));
        assert!(locks.is_idle("i"));
    }
}
