//! What clients' tickets mean for copies that are being filled: which keys they touch, which they make equal, and what
//! has to be looked at again. Also: how far a node is with the tickets of a shard.

use miroir_core::wire::WriteKind;

use crate::Sequencer;
use crate::api::*;
use crate::settle::Known;
use crate::state::{Live, N, Ticket, Todo};
use crate::sync::{Check, IndexRun, Place};

/// What a ticket turned out to mean for a dual copy.
enum Meaning {
    /// Not known yet.
    Open,
    /// Both copies did it.
    Same,
    /// Only a comparison can tell.
    Doubtful,
    /// The dual copy may or may not have it, and its node cannot say.
    Unknown,
}

impl Sequencer {
    /// The highest ticket such that this node has finished it and all lower ones that concern a shard of an index.
    pub(crate) fn floor_of(&self, n: N, place: (u16, u32), index: &str) -> u32 {
        let node = &self.nodes[n].row;
        let open = self.tickets.values().filter(|ticket| self.is_unfinished(ticket, node, place, index));
        let lowest = open.map(|ticket| ticket.row.uid).min();
        lowest.unwrap_or(self.meta.next_uid).saturating_sub(1)
    }

    fn is_unfinished(&self, ticket: &Ticket, node: &NodeRow, (placement, shard): (u16, u32), index: &str) -> bool {
        match &ticket.row.work {
            TicketWork::Write(work) => {
                work.index == index
                    && work.shards.iter().any(|count| count.shard == shard)
                    && is_write_unfinished(ticket, node, shard)
            }
            TicketWork::Page(work) => {
                let here = work.index == index && work.placement == placement && work.shard == shard;
                here && work.node == node.id && ticket.row.parts.iter().all(|part| part.end.is_none())
            }
            TicketWork::Index(work) => {
                crate::index_ops::uids_of(&work.operation).iter().any(|uid| uid == index)
                    && match ticket.live {
                        Live::Over | Live::Decided => {
                            let swap = !work.moved && !work.operation.swaps().is_empty();
                            swap && ticket.live == Live::Decided
                                || ticket.row.parts.iter().any(|part| part.is_open_on(node))
                        }
                        _ => true,
                    }
            }
            TicketWork::Reconcile(_) | TicketWork::Cancel(_) => false,
        }
    }

    /// A write has been granted: copies that are being filled take note of what it touches, stale ones of what they
    /// miss.
    pub(crate) fn sync_granted(&mut self, uid: u32) {
        self.scrub_granted(uid);
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Write(work) = &ticket.row.work else { return };
        let placement = self.placement_of(&ticket.row);
        let shards: Vec<u32> = work.shards.iter().map(|count| count.shard).collect();
        if self.syncs.missed.is_empty() && self.syncs.runs.is_empty() {
            return;
        }
        for shard in shards {
            let copies = (placement, shard, 0)..=(placement, shard, N::MAX);
            let missing: Vec<Place> = self.syncs.missed.range(copies.clone()).map(|(place, _)| *place).collect();
            for place in missing {
                self.note_missed(place, uid);
            }
            let running: Vec<Place> = self.syncs.runs.range(copies).map(|(place, _)| *place).collect();
            for place in running {
                self.touch(place, uid);
            }
        }
    }

    fn touch(&mut self, place: Place, uid: u32) {
        let shards = self.config.shards;
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Write(work) = &ticket.row.work else { return };
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        run.open.insert(uid);
        let incarnation = work.incarnation;
        let index = run.indexes.entry(work.index.clone()).or_insert_with(|| IndexRun::new(incarnation, Check::none()));
        index.touch(ticket, place.1, shards);
    }

    /// An operation on whole indexes has been granted.
    pub(crate) fn sync_index_granted(&mut self, uid: u32, uids: &[String]) {
        self.match_all_indexes();
        self.scrub_index_granted(uid, uids);
        if self.planted.lives_confused {
            return;
        }
        for run in self.syncs.runs.values_mut() {
            for index in uids {
                if let Some(index) = run.indexes.get_mut(index) {
                    index.whole = uid;
                }
            }
        }
    }

    /// Something became known of a ticket.
    pub(crate) fn sync_ticket(&mut self, uid: u32) {
        if self.syncs.runs.is_empty() {
            return;
        }
        let concerned: Vec<Place> = self
            .syncs
            .runs
            .iter()
            .filter(|(_, run)| run.open.contains(&uid) || run.before.contains(&uid))
            .map(|(place, _)| *place)
            .collect();
        for place in concerned {
            self.sync_ticket_at(place, uid);
        }
    }

    fn sync_ticket_at(&mut self, place: Place, uid: u32) {
        self.todo.insert(Todo::Sync(place));
        let Some(run) = self.syncs.runs.get(&place) else { return };
        if !run.open.contains(&uid) {
            return;
        }
        match self.meaning(place, run.from, uid) {
            Meaning::Open => {}
            Meaning::Unknown => self.break_sync(place, &format!("the outcome of ticket {uid} is unknown")),
            Meaning::Same => self.touch_settled(place, uid, true),
            Meaning::Doubtful => self.touch_settled(place, uid, false),
        }
    }

    fn meaning(&self, (_, shard, to): Place, from: N, uid: u32) -> Meaning {
        let Some(ticket) = self.tickets.get(&uid) else { return Meaning::Doubtful };
        if matches!(ticket.live, Live::Queued | Live::Granted | Live::Settling { .. }) {
            return Meaning::Open;
        }
        let of = |n: N| {
            let node = &self.nodes[n].row;
            ticket.row.parts.iter().find(|part| part.is_on(node) && part.shards.contains(&shard))
        };
        let (ours, theirs) = (of(to), of(from));
        if let Some(part) = ours.filter(|part| part.end.is_none()) {
            return match self.known(part) {
                Known::Away | Known::Open => Meaning::Unknown,
                _ => Meaning::Open,
            };
        }
        let done = |part: &PartRow| matches!(part.end, Some(PartEnd::Succeeded { .. }));
        match theirs {
            Some(part) if part.end.is_none() => Meaning::Open,
            Some(part) if done(part) && ours.is_some_and(done) => Meaning::Same,
            _ => Meaning::Doubtful,
        }
    }

    fn touch_settled(&mut self, place: Place, uid: u32, same: bool) {
        let shards = self.config.shards;
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Write(work) = &ticket.row.work else { return };
        let overwrites = match work.kind {
            WriteKind::Replace => !ticket.skips_creation,
            WriteKind::DeleteOne | WriteKind::DeleteBatch => true,
            WriteKind::Update if self.planted.update_makes_clean => true,
            WriteKind::Update | WriteKind::DeleteByFilter | WriteKind::DeleteAll | WriteKind::Edit => false,
        };
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        run.open.remove(&uid);
        let Some(index) = run.indexes.get_mut(&work.index) else { return };
        let Some(keys) = &ticket.keys else {
            if !same {
                index.check = Check::All;
                // Whatever was known to be equal may not be so any more.
                index.touched.values_mut().for_each(|touch| touch.clean = false);
            }
            return;
        };
        for key in keys.iter().filter(|key| miroir_core::hash::shard_of(key.as_bytes(), shards) == place.1) {
            let touch = index.touched.entry(key.clone()).or_default();
            touch.clean = same && (touch.clean || overwrites);
            if !same {
                index.check.add(key.clone());
            }
        }
    }

    /// A ticket is about to be forgotten.
    pub(crate) fn sync_forgets(&mut self, uid: u32) {
        self.sync_ticket(uid);
        for (place, run) in &mut self.syncs.runs {
            if run.open.remove(&uid) | run.before.remove(&uid) {
                self.todo.insert(Todo::Sync(*place));
            }
        }
    }

    /// Whether a part is on copies that do not count: nobody but their filling waits for it (F35).
    pub(crate) fn is_only_filled(&self, placement: u16, part: &PartRow) -> bool {
        let Some(n) = self.node_at(&part.node) else { return false };
        let filled = |shard: &u32| {
            let copies = self.shard_copies(placement, *shard);
            let copy = copies.iter().find(|copy| copy.node == n);
            copy.is_none_or(|copy| matches!(copy.state, CopyState::Dual | CopyState::Retiring))
        };
        !self.syncs.is_idle() && part.shards.iter().all(filled)
    }
}

/// A write that a node may still carry out, or whose failure there has not been compared with the others yet.
pub(crate) fn is_write_unfinished(ticket: &Ticket, node: &NodeRow, shard: u32) -> bool {
    match ticket.live {
        Live::Queued | Live::Granted | Live::Settling { .. } => true,
        Live::Decided | Live::Over => {
            let part = ticket.row.parts.iter().find(|part| part.is_on(node) && part.shards.contains(&shard));
            part.is_some_and(|part| match part.end {
                None => true,
                Some(PartEnd::Succeeded { .. }) => false,
                Some(_) => ticket.live == Live::Decided && !ticket.adopting,
            })
        }
    }
}

impl crate::sync::Syncs {
    fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.retires.is_empty()
    }
}
