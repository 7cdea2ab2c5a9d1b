//! Invariants 5 and 16: one open ticket a shard, granted in order, ended, and never held for long.

use std::collections::BTreeMap;

use super::{Breach, Invariant};

/// A ticket that keeps others from shards of an index.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The ticket.
    pub ticket: u32,
    /// Index.
    pub index: &'a str,
    /// Shards.
    pub shards: &'a [u32],
}

/// Invariant 5: at most one granted and unresolved ticket for each shard of an index.
#[must_use]
pub fn one_open_ticket<'a>(holders: impl IntoIterator<Item = Holder<'a>>) -> Vec<Breach> {
    let mut held: BTreeMap<(&str, u32), u32> = BTreeMap::new();
    let mut broken = Vec::new();
    for Holder { ticket, index, shards } in holders {
        for shard in shards {
            if let Some(other) = held.insert((index, *shard), ticket).filter(|other| *other != ticket) {
                let text = format!("tickets {other} and {ticket} are both open on shard {shard} of {index}");
                broken.push(Breach::new(Invariant::OneTicket, text));
            }
        }
    }
    broken
}

/// Invariant 5: tickets that share a shard are granted in the order of their numbers. `newest`: the newest one that was
/// granted before, of those that share a shard with this one.
#[must_use]
pub fn granted_in_order(ticket: u32, newest: Option<u32>) -> Option<Breach> {
    let newest = newest.filter(|newest| *newest > ticket)?;
    Some(Breach::new(Invariant::OneTicket, format!("ticket {ticket} is granted after {newest}, which came later")))
}

/// Invariant 5: every ticket ends, or its shard is down. `open`: tickets and tasks that have not ended although they had
/// the time, with what is known of them.
#[must_use]
pub fn every_ticket_ends(open: &[String], down: &[u32]) -> Option<Breach> {
    let waiting = || Breach::new(Invariant::OneTicket, format!("still open: {}", open.join("; ")));
    (!open.is_empty() && down.is_empty()).then(waiting)
}

/// Invariant 16: nobody is waited for longer than this. `what`: who waits for what; times in milliseconds.
#[must_use]
pub fn wait_is_bounded(what: &str, waited_ms: u64, most_ms: u64) -> Option<Breach> {
    let long = || Breach::new(Invariant::BoundedWaits, format!("{what} took {waited_ms} ms, more than {most_ms}"));
    (waited_ms > most_ms).then(long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tickets_on_a_shard_are_told() {
        let holder = |ticket, index, shards| Holder { ticket, index, shards };
        let apart = [holder(1, "a", &[0, 1]), holder(2, "a", &[2]), holder(3, "b", &[0])];
        assert_eq!(one_open_ticket(apart), []);
        assert_eq!(one_open_ticket([holder(1, "a", &[0, 1]), holder(2, "a", &[1])]).len(), 1);
    }

    #[test]
    fn a_ticket_that_was_overtaken_is_told() {
        assert_eq!((granted_in_order(3, None), granted_in_order(3, Some(2))), (None, None));
        assert_eq!(granted_in_order(3, Some(3)), None);
        assert!(granted_in_order(3, Some(4)).is_some());
    }

    #[test]
    fn an_open_ticket_is_excused_by_a_shard_that_is_down() {
        let open = ["ticket 1".to_owned()];
        assert_eq!((every_ticket_ends(&[], &[]), every_ticket_ends(&open, &[2])), (None, None));
        assert!(every_ticket_ends(&open, &[]).is_some());
    }

    #[test]
    fn a_long_wait_is_told() {
        assert_eq!(wait_is_bounded("a lock", 5, 5), None);
        assert!(wait_is_bounded("a lock", 6, 5).is_some());
    }
}
