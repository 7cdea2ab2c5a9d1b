//! Which copies are brought in sync, when, and from where; and how a sync is broken off or given up.

use std::collections::{BTreeMap, BTreeSet};

use crate::Sequencer;
use crate::api::*;
use crate::state::{Copy, Live, N, Reach, Timer, Todo};
use crate::sync::{Check, IndexRun, Missed, Place, Retire, Run, Step};

/// First and longest pause before a sync that failed is tried again, in milliseconds.
const AGAIN: (u64, u64) = (250, 30_000);
/// How often it is looked whether a sync that waits can start, in milliseconds.
const SCAN: u64 = 100;
/// Keys of a first page; later ones follow the size of the documents.
const FIRST_PAGE: usize = 200;
/// First hold of a lock for hot keys, in milliseconds.
pub(crate) const HOLD: u64 = 1_000;

impl Sequencer {
    pub(crate) fn on_sync_command(&mut self, command: SyncCommand) {
        match command {
            SyncCommand::Begin { placement, shard, to, leaving } => {
                let leaving = leaving.map(|id| self.node_at(&id));
                let (Some(to), false) = (self.node_at(&to), leaving == Some(None)) else { return };
                self.begin_sync(placement, shard, to, leaving.flatten());
            }
            SyncCommand::Cancel { placement, shard, to } => {
                if let Some(to) = self.node_at(&to) {
                    self.cancel_sync(placement, shard, to);
                }
            }
            SyncCommand::Limits(limits) => self.set_sync_limits(limits),
        }
    }

    /// Wants a copy of a shard on a node, filled from the ones that there are; `leaving` gives up its own when that is
    /// done. A sync of the same copy that is wanted already is told who leaves. False if the copy is in sync (and
    /// nobody leaves for it), or still to be deleted there, or the shard does not exist, or documents lack their tags.
    pub(crate) fn begin_sync(&mut self, placement: u16, shard: u32, to: N, leaving: Option<N>) -> bool {
        let place = (placement, shard, to);
        let copies = self.shard_copies(placement, shard);
        let known = copies.iter().find(|copy| copy.node == to).copied();
        if known.is_none() && self.awaits_tags().is_some() {
            return false;
        }
        let in_sync = known.is_some_and(|copy| self.is_good(&copy) || copy.state == CopyState::Retiring);
        if copies.is_empty() || in_sync || self.is_to_be_deleted(place) || to >= self.nodes.len() || !self.is_member(to)
        {
            return false;
        }
        let leaving = leaving.map(|n| self.nodes[n].row.id.clone());
        let row = SyncRow {
            placement,
            shard,
            to: self.nodes[to].row.id.clone(),
            leaving: leaving.clone(),
            added: known.is_none(),
            started_ms: self.now,
            documents: 0,
            bytes: 0,
            restarts: 0,
        };
        let row = self.syncs.rows.entry(place).or_insert(row);
        row.leaving = leaving;
        self.out.syncs.insert(place);
        self.todo.insert(Todo::Scan);
        true
    }

    /// Gives a sync up, at any step before the flip. A copy that it added is deleted again; one that was to be
    /// repaired stays stale. False if there is none.
    pub(crate) fn cancel_sync(&mut self, placement: u16, shard: u32, to: N) -> bool {
        let place = (placement, shard, to);
        let Some(row) = self.syncs.rows.get(&place).cloned() else { return false };
        if self.syncs.runs.contains_key(&place) {
            self.break_sync(place, "cancelled");
        }
        self.syncs.rows.remove(&place);
        self.syncs.trouble.remove(&place);
        self.out.syncs.insert(place);
        if row.added && self.shard_copies(placement, shard).iter().any(|copy| copy.node == to) {
            self.retire(place);
        }
        self.sync_ended(place, SyncEnd::Cancelled, Some(&row));
        self.todo.insert(Todo::Scan);
        true
    }

    /// Changes how fast copies may be filled.
    pub(crate) fn set_sync_limits(&mut self, limits: SyncLimits) {
        self.syncs.limits = limits;
        self.syncs.next_page = self.now;
        self.todo.insert(Todo::Scan);
        self.todo.extend(self.syncs.runs.keys().copied().map(Todo::Sync));
    }

    /// Starts what can be started.
    pub(crate) fn scan_syncs(&mut self) {
        if self.syncs.limits.paused {
            return;
        }
        let mut waiting: Vec<(usize, Place)> = Vec::new();
        for (placement, shards) in (0u16..).zip(&self.copies) {
            for (shard, copies) in (0u32..).zip(shards) {
                let good = copies.iter().filter(|copy| self.is_good(copy)).count();
                for copy in copies {
                    let place = (placement, shard, copy.node);
                    let leaves = |row: &SyncRow| {
                        let same = (row.placement, row.shard) == (placement, shard);
                        same && row.leaving.as_ref() == Some(&self.nodes[copy.node].row.id)
                    };
                    let stale = copy.state == CopyState::Stale && !self.syncs.rows.values().any(leaves);
                    let wanted = stale || self.syncs.rows.contains_key(&place);
                    if wanted && !self.syncs.runs.contains_key(&place) {
                        waiting.push((good, place));
                    }
                }
            }
        }
        let new = self.syncs.rows.iter().filter(|((placement, shard, to), _)| {
            !self.shard_copies(*placement, *shard).iter().any(|copy| copy.node == *to)
        });
        waiting.extend(new.map(|(place, _)| (usize::MAX, *place)));
        // The shards with the fewest copies first.
        waiting.sort_unstable();
        let wanted = waiting.len();
        let running = self.syncs.runs.len();
        for (_, place) in waiting {
            self.try_start(place);
        }
        // Whatever the others wait for, it is not worth a signal of its own.
        if self.syncs.runs.len() - running < wanted && self.syncs.next_scan <= self.now {
            self.syncs.next_scan = self.now + SCAN;
            self.at(self.now + SCAN, Timer::Scan);
        }
    }

    fn try_start(&mut self, place: Place) {
        let (placement, shard, to) = place;
        if let Some(trouble) = self.syncs.trouble.get(&place)
            && trouble.until > self.now
        {
            let until = trouble.until;
            return self.at(until, Timer::Scan);
        }
        let most = self.most_syncs();
        if self.syncs_on(to) >= most || !self.is_ready(place) {
            return;
        }
        let Some(from) = self.source(place).filter(|from| self.syncs_on(*from) < most) else { return };
        self.note_unfinished(place, from);
        let missed = self.syncs.missed.remove(&place);
        let id = self.nodes[to].row.id.clone();
        if !self.syncs.rows.contains_key(&place) {
            self.begin_sync(placement, shard, to, None);
        }
        let incarnation = self.nodes[to].row.incarnation;
        let Some(copies) = self.copies.get_mut(usize::from(placement)).and_then(|all| all.get_mut(shard as usize))
        else {
            return;
        };
        match copies.iter_mut().find(|copy| copy.node == to) {
            Some(copy) => (copy.state, copy.incarnation) = (CopyState::Dual, incarnation),
            None => copies.push(Copy { node: to, incarnation, state: CopyState::Dual, since: 0 }),
        }
        self.out.copies.insert((placement, shard));
        let run = self.new_run(place, from, missed.as_ref());
        self.syncs.runs.insert(place, run);
        let from = self.nodes[from].row.id.clone();
        self.alert("sync_started", Some(to), format!("shard {shard} on {id} is filled from {from}"));
        self.todo.insert(Todo::Sync(place));
    }

    fn syncs_on(&self, n: N) -> usize {
        self.syncs.runs.iter().filter(|((.., to), run)| *to == n || run.from == n).count()
    }

    fn new_run(&mut self, (placement, shard, _): Place, from: N, missed: Option<&Missed>) -> Run {
        self.syncs.next_run += 1;
        let source = &self.nodes[from].row;
        let before = self.tickets.values().filter(|ticket| {
            matches!(ticket.row.work, TicketWork::Write(_))
                && ticket.live != Live::Queued
                && self.touches_shard(ticket, placement, shard)
                && super::tickets::is_write_unfinished(ticket, source, shard)
        });
        let before: BTreeSet<u32> = before.map(|ticket| ticket.row.uid).collect();
        let check = |index: &IndexRow| match missed {
            None => Check::All,
            Some(missed) => Check::Keys(missed.keys.get(&index.uid).cloned().unwrap_or_default()),
        };
        let indexes = self.indexes.values().filter(|index| index.placement == placement);
        let mut indexes: BTreeMap<String, IndexRun> =
            indexes.map(|index| (index.uid.clone(), IndexRun::new(index.incarnation, check(index)))).collect();
        // An operation that is under way may change any document.
        for ticket in self.tickets.values().filter(|ticket| ticket.live != Live::Queued) {
            if let TicketWork::Index(work) = &ticket.row.work {
                for uid in crate::index_ops::uids_of(&work.operation) {
                    if let Some(index) = indexes.get_mut(&uid) {
                        index.whole = index.whole.max(ticket.row.uid);
                    }
                }
            }
        }
        Run {
            id: self.syncs.next_run,
            from,
            since: self.meta.next_uid,
            before,
            open: BTreeSet::new(),
            indexes,
            step: Step::Idle,
            reading: 0,
            pages: BTreeMap::new(),
            page_keys: FIRST_PAGE,
            hold: HOLD,
            fails: 0,
            pause: 0,
            confirmed: None,
            closing: false,
        }
    }

    /// Whether the node can take the copy: in contact, with its indexes as they must be, and with nothing of an earlier
    /// time left that could still be carried out there.
    fn is_ready(&mut self, (placement, shard, to): Place) -> bool {
        let node = &self.nodes[to];
        let settled = node.reach == Reach::Up && !node.row.away && !node.row.rebuild && !node.row.drifted;
        if !settled || !node.journal.is_empty() || node.fence.is_some() {
            return false;
        }
        if self.is_to_be_deleted((placement, shard, to)) {
            return false;
        }
        let (mut ready, mut loose) = (true, None);
        for uid in &node.parts {
            let Some(ticket) = self.tickets.get(uid) else { continue };
            let whole = matches!(&ticket.row.work, TicketWork::Index(_) | TicketWork::Reconcile(_));
            // What the node is to do in its other shards does not count: there may always be some of that.
            let here = |part: &&PartRow| {
                whole || (part.shards.contains(&shard) && self.touches_shard(ticket, placement, shard))
            };
            for part in ticket.row.parts.iter().filter(|part| part.is_open_on(&node.row)).filter(here) {
                ready = false;
                if part.task.is_none() && matches!(ticket.live, Live::Decided | Live::Over) {
                    loose = loose.max(Some(part.generation));
                }
            }
        }
        if let Some(generation) = loose {
            self.request_fence(to, generation);
        }
        ready
    }

    /// Whether documents of an earlier copy are still to be deleted there (F23).
    fn is_to_be_deleted(&self, place: Place) -> bool {
        self.syncs.retires.contains_key(&place) && !self.planted.deletion_forgotten
    }

    /// A copy to read: in sync, on a node in contact.
    pub(crate) fn source(&self, (placement, shard, to): Place) -> Option<N> {
        let copies = self.shard_copies(placement, shard).iter();
        let usable = copies.filter(|copy| copy.node != to && self.is_good(copy));
        let usable = usable.map(|copy| copy.node).filter(|n| self.nodes[*n].reach == Reach::Up);
        let load = |n: &N| self.syncs.runs.values().filter(|run| run.from == *n).count();
        usable.min_by_key(|n| (self.nodes[*n].row.away, load(n), *n))
    }

    /// Breaks a sync off: its copy leaves the write sets and is stale; it starts over when it can.
    pub(crate) fn break_sync(&mut self, place: Place, why: &str) {
        let Some(run) = self.syncs.runs.remove(&place) else { return };
        let (placement, shard, to) = place;
        self.drop_page_in_hand(run.step);
        // Tasks that waited for it need not any more.
        self.todo.extend(run.open.into_iter().map(Todo::Judge));
        self.syncs.missed.remove(&place);
        self.set_copy(place, CopyState::Stale);
        let trouble = self.syncs.trouble.entry(place).or_default();
        trouble.times += 1;
        let pause = (AGAIN.0 << trouble.times.min(8)).min(AGAIN.1);
        (trouble.until, trouble.why) = (self.now + pause, why.to_owned());
        let until = trouble.until;
        if let Some(row) = self.syncs.rows.get_mut(&place) {
            row.restarts += 1;
            self.out.syncs.insert(place);
        }
        let id = self.nodes[to].row.id.clone();
        self.alert("sync_restarted", Some(to), format!("shard {shard} of placement {placement} on {id}: {why}"));
        self.at(until, Timer::Scan);
        self.todo.insert(Todo::Scan);
    }

    /// Whether a copy is about to flip.
    pub(crate) fn is_closing(&self, place: Place) -> bool {
        self.syncs.runs.get(&place).is_some_and(|run| run.closing)
    }

    pub(crate) fn set_copy(&mut self, (placement, shard, node): Place, state: CopyState) {
        let copies = self.copies.get_mut(usize::from(placement)).and_then(|all| all.get_mut(shard as usize));
        if let Some(copy) = copies.and_then(|copies| copies.iter_mut().find(|copy| copy.node == node)) {
            copy.state = state;
            self.out.copies.insert((placement, shard));
        }
    }

    /// Contact with a node is lost, or its disk is another one: what was written to it starts over.
    pub(crate) fn break_syncs_to(&mut self, n: N, why: &str) {
        let places: Vec<Place> = self.syncs.runs.keys().filter(|(.., to)| *to == n).copied().collect();
        for place in places {
            self.break_sync(place, why);
        }
        // Those that read from it look for another source.
        let reading = self.syncs.runs.iter().filter(|(_, run)| run.from == n).map(|(place, _)| *place);
        self.todo.extend(reading.map(Todo::Sync));
    }

    /// Rows of an earlier term.
    pub(crate) fn take_syncs_back(&mut self, rows: Vec<SyncRow>, retires: Vec<RetireRow>, vms: Vec<VmRow>) {
        for row in rows {
            if let Some(to) = self.node_at(&row.to) {
                self.syncs.rows.insert((row.placement, row.shard, to), row);
            }
        }
        for row in retires {
            if let Some(n) = self.node_at(&row.node) {
                let place = (row.placement, row.shard, n);
                let since_ms = if row.since_ms == 0 { self.now } else { row.since_ms };
                let row = RetireRow { since_ms, ..row };
                let retire = Retire { row, done: BTreeSet::new(), ticket: None, counting: None, retry: 0, look: 0 };
                self.syncs.retires.insert(place, retire);
            }
        }
        for row in vms {
            let seen = super::SeenVm { envoy: row.envoy, epoch: 0, heard: row.heard_ms, stored: row.heard_ms };
            self.syncs.vms.insert(row.vm, seen);
        }
        self.todo.insert(Todo::Scan);
        self.todo.extend(self.syncs.retires.keys().copied().map(Todo::Retire));
    }

    /// What an operator wants to see of syncs, by placement, shard and node.
    #[must_use]
    pub fn syncs(&self) -> Vec<SyncStatus> {
        let status = |(place, row): (&Place, &SyncRow)| {
            let run = self.syncs.runs.get(place);
            let phase = run.map_or("waiting", |run| match &run.step {
                _ if run.closing => "closing",
                Step::Page(_) | Step::Reading(_, super::Reading::Fetch { .. }) => "copying",
                _ => "comparing",
            });
            let note = self.syncs.trouble.get(place).map(|trouble| trouble.why.clone()).unwrap_or_default();
            SyncStatus { row: row.clone(), from: run.map(|run| self.nodes[run.from].row.id.clone()), phase, note }
        };
        self.syncs.rows.iter().map(status).collect()
    }

    /// What is being deleted, or will be.
    #[must_use]
    pub fn retirements(&self) -> Vec<RetireRow> {
        self.syncs.retires.values().map(|retire| retire.row.clone()).collect()
    }
}
