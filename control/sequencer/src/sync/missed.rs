//! What a stale copy is known to have missed: then only that is compared when it is repaired. Kept in memory; after a
//! restart of control the whole shard is compared.

use std::collections::{BTreeMap, BTreeSet};

use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, N, Ticket, Todo};
use crate::sync::Place;

/// More keys than this are not worth remembering.
const MOST: usize = 2_000;

/// What a copy missed, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) keys: BTreeMap<String, BTreeSet<String>>,
    count: usize,
}

impl Missed {
    /// False if that is too much to remember.
    fn add(&mut self, index: &str, keys: impl Iterator<Item = String>) -> bool {
        let known = self.keys.entry(index.to_owned()).or_default();
        for key in keys {
            self.count += usize::from(known.insert(key));
        }
        self.count <= MOST
    }
}

impl Sequencer {
    /// Marks a copy stale for what it did not do of one ticket. Returns whether it is stale now.
    pub(crate) fn mark_stale_for(&mut self, uid: u32, placement: u16, shard: u32, node: N, why: &str) -> bool {
        let was_good =
            self.shard_copies(placement, shard).iter().any(|copy| copy.node == node && copy.state == CopyState::InSync);
        if !self.mark_stale(placement, shard, node, why) {
            return false;
        }
        let place = (placement, shard, node);
        if was_good {
            self.remember_missed(place);
        }
        self.note_missed(place, uid);
        true
    }

    /// Marks a copy stale for documents in which it differs, by index: nothing else of it is repaired.
    pub(crate) fn mark_drifted(&mut self, place: Place, keys: &BTreeMap<String, BTreeSet<String>>, why: &str) {
        let (placement, shard, node) = place;
        if !self.mark_stale(placement, shard, node, why) {
            return;
        }
        self.remember_missed(place);
        let Some(missed) = self.syncs.missed.get_mut(&place) else { return };
        if !keys.iter().all(|(index, keys)| missed.add(index, keys.iter().cloned())) {
            self.syncs.missed.remove(&place);
        }
    }

    /// What a copy has under these keys are not their documents: they are repaired, and nothing else of it.
    pub(crate) fn mend_keys(&mut self, place: Place, uid: &str, keys: BTreeSet<String>, why: &str) {
        if let Some(run) = self.syncs.runs.get_mut(&place) {
            if let Some(index) = run.indexes.get_mut(uid) {
                keys.into_iter().for_each(|key| index.check.add(key));
            }
            self.todo.insert(Todo::Sync(place));
        } else if let Some(missed) = self.syncs.missed.get_mut(&place) {
            if !missed.add(uid, keys.into_iter()) {
                self.syncs.missed.remove(&place);
            }
        } else {
            self.mark_drifted(place, &[(uid.to_owned(), keys)].into(), why);
        }
    }

    /// From now on it is remembered what a copy misses that was in sync up to now.
    fn remember_missed(&mut self, place: Place) {
        let (placement, shard, node) = place;
        // Whatever it has not yet done for certain it may still fail to do, and nobody compares it any more.
        let row = &self.nodes[node].row;
        let doubtful: Vec<u32> = self
            .tickets
            .values()
            .filter(|ticket| self.touches_shard(ticket, placement, shard) && is_doubtful(ticket, row, shard))
            .map(|ticket| ticket.row.uid)
            .collect();
        self.syncs.missed.insert(place, Missed::default());
        for ticket in doubtful {
            self.note_missed(place, ticket);
        }
    }

    /// Whether a ticket writes documents of a shard of this placement.
    pub(crate) fn touches_shard(&self, ticket: &Ticket, placement: u16, shard: u32) -> bool {
        match &ticket.row.work {
            TicketWork::Write(work) => {
                self.placement_of(&ticket.row) == placement && work.shards.iter().any(|count| count.shard == shard)
            }
            TicketWork::Page(work) => work.placement == placement && work.shard == shard,
            _ => false,
        }
    }

    /// A stale copy does not get this ticket.
    pub(crate) fn note_missed(&mut self, place: Place, uid: u32) {
        let Some(missed) = self.syncs.missed.get_mut(&place) else { return };
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let keys = match (&ticket.row.work, &ticket.keys) {
            (TicketWork::Write(work), Some(keys)) => {
                let shards = self.config.shards;
                let here = move |key: &&String| miroir_core::hash::shard_of(key.as_bytes(), shards) == place.1;
                Some((&work.index, keys.iter().filter(here).cloned()))
            }
            _ => None,
        };
        if keys.is_none_or(|(index, keys)| !missed.add(index, keys)) {
            self.syncs.missed.remove(&place);
        }
    }

    /// The copies that count have not done a ticket: those that do not may have.
    pub(crate) fn stale_copies_differ(&mut self, uid: u32, placement: u16, shard: u32) {
        let copies = (placement, shard, 0)..=(placement, shard, N::MAX);
        let known: Vec<Place> = self.syncs.missed.range(copies).map(|(place, _)| *place).collect();
        known.into_iter().for_each(|place| self.note_missed(place, uid));
    }

    /// The same for what the copy that is to be read has not finished: it may yet fail there.
    pub(crate) fn note_unfinished(&mut self, place: Place, from: N) {
        let (placement, shard, _) = place;
        let row = &self.nodes[from].row;
        let unfinished: Vec<u32> = self
            .tickets
            .values()
            .filter(|ticket| self.touches_shard(ticket, placement, shard))
            .filter(|ticket| super::tickets::is_write_unfinished(ticket, row, shard))
            .map(|ticket| ticket.row.uid)
            .collect();
        unfinished.into_iter().for_each(|uid| self.note_missed(place, uid));
    }

    /// An index was created again, swapped or deleted: what was known of it means something else now.
    pub(crate) fn forget_missed(&mut self, uids: &[String]) {
        self.syncs.missed.retain(|_, missed| uids.iter().all(|uid| !missed.keys.contains_key(uid)));
    }
}

/// Whether a node may not have done what the others did of a ticket: it has not ended well there, or it has not been
/// compared yet.
fn is_doubtful(ticket: &Ticket, node: &NodeRow, shard: u32) -> bool {
    let part = ticket.row.parts.iter().find(|part| part.is_on(node) && part.shards.contains(&shard));
    match part {
        Some(part) => ticket.live != Live::Over || !matches!(part.end, Some(PartEnd::Succeeded { .. })),
        None => !matches!(ticket.live, Live::Over | Live::Queued),
    }
}
