//! Invariant 3: on a disk, the tickets of a shard are enqueued once each and in order; a copy that broke it is stale.

use std::collections::BTreeMap;

use super::{Breach, Invariant};

/// Whether a ticket comes after a later one of the same shard.
#[must_use]
pub fn is_overtaken(newest: u32, ticket: u32) -> bool {
    newest > ticket
}

/// A ticket that is out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disorder {
    /// The shard.
    pub shard: u32,
    /// The ticket's place among those that the node has enqueued.
    pub position: usize,
    /// In words.
    pub breach: Breach,
}

/// Invariant 3, first half: the order. `enqueued`: (ticket, shards) in the order of the node's task uids.
#[must_use]
pub fn in_ticket_order(node: &str, enqueued: &[(u32, Vec<u32>)]) -> Vec<Disorder> {
    let mut last: BTreeMap<u32, u32> = BTreeMap::new();
    let mut broken = Vec::new();
    for (position, (ticket, shards)) in enqueued.iter().enumerate() {
        for shard in shards {
            if let Some(before) = last.insert(*shard, *ticket)
                && (before == *ticket || is_overtaken(before, *ticket))
            {
                broken.push(Disorder { shard: *shard, position, breach: breach(node, *shard, before, *ticket) });
            }
        }
    }
    broken
}

/// Invariant 3, second half: nobody trusts a copy whose order is broken. `trusted`: whether the node's copy of that shard
/// is read, although others could be, and although it has not been compared with them since.
#[must_use]
pub fn disorder_is_stale(disorder: Vec<Disorder>, trusted: impl Fn(&Disorder) -> bool) -> Vec<Breach> {
    disorder.into_iter().filter(|disorder| trusted(disorder)).map(|disorder| disorder.breach).collect()
}

fn breach(node: &str, shard: u32, before: u32, ticket: u32) -> Breach {
    Breach::new(Invariant::TicketOrder, format!("{node}, shard {shard}: ticket {ticket} after {before}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_judged_by_shard() {
        assert!(in_ticket_order("n", &[(1, vec![0]), (3, vec![1]), (2, vec![0])]).is_empty());
        assert_eq!(in_ticket_order("n", &[(2, vec![0, 1]), (1, vec![1])]).len(), 1);
        assert_eq!(in_ticket_order("n", &[(1, vec![0]), (1, vec![0])]).len(), 1);
    }

    #[test]
    fn disorder_on_a_copy_that_nobody_trusts_is_none() {
        let disorder = in_ticket_order("n", &[(2, vec![0, 1]), (1, vec![0, 1])]);
        assert_eq!(disorder_is_stale(disorder.clone(), |_| false), []);
        let left = disorder_is_stale(disorder, |disorder| (disorder.shard, disorder.position) == (1, 1));
        assert_eq!(left, [breach("n", 1, 2, 1)]);
    }
}
