//! Disks of nodes (F9). A node that comes back with another disk starts a new incarnation: what the old disk had does
//! not count any more, save for last copies in sync. For those the old disk is remembered, with what it was to do and
//! has not done, and when it is there again it is taken back like a node that was away.

use std::collections::BTreeSet;

use miroir_core::tag;
use serde_json::json;

use crate::Sequencer;
use crate::api::*;
use crate::state::{N, Ticket, Todo};

/// Stands for the ticket of an unfinished task that an unknown disk brought with it.
const NOBODY: u32 = u32::MAX;

impl Sequencer {
    /// The node's disk is another one (F9): what it had is gone, whatever it says.
    pub(crate) fn new_incarnation(&mut self, n: N, evidence: &str) {
        for (placement, shard) in self.in_sync_on(n, self.nodes[n].row.incarnation) {
            // A last copy keeps its state: it means the old disk, and the shard is down until that is back.
            self.mark_stale(placement, shard, n, "the disk is another one");
        }
        self.forget_disk(n);
        let id = self.nodes[n].row.id.clone();
        self.alert("new_incarnation", Some(n), format!("{id} came back with another disk: {evidence}"));
        self.wake_tickets(n);
    }

    /// Shards whose copy in sync is on the disk that the node had in this incarnation.
    fn in_sync_on(&self, n: N, incarnation: u64) -> Vec<(u16, u32)> {
        let named = |shard: &ShardName| (shard.placement, shard.shard);
        let shards = self.shards_where(|copies| {
            let here = |copy: &crate::state::Copy| copy.node == n && copy.incarnation == incarnation;
            copies.iter().any(|copy| here(copy) && copy.state == CopyState::InSync)
        });
        shards.iter().map(named).collect()
    }

    /// Whatever was on the node's disk does not count any more; with last copies on it, it is remembered.
    pub(crate) fn forget_disk(&mut self, n: N) {
        self.break_syncs_to(n, "the disk is another one");
        self.retired_with_disk(n);
        self.syncs.missed.retain(|(.., node), _| *node != n);
        let incarnation = self.nodes[n].row.incarnation;
        let newest = self.newest_unseen(n);
        let is_last = !self.planted.away_disk_forgotten && !self.in_sync_on(n, incarnation).is_empty();
        let node = &mut self.nodes[n];
        let journal: Vec<JournalRow> = node.journal.drain(..).collect();
        let gone = journal.iter().map(|entry| Record::JournalGone(entry.node.clone(), entry.ticket, entry.step));
        self.out.extra.extend(gone);
        let (witness, cleared) = (std::mem::take(&mut node.row.witness), std::mem::take(&mut node.row.cleared));
        // Nobody can recognise a disk that has never shown a task; it has never had a document either.
        let remembered = is_last && witness.last.is_some();
        if remembered {
            let next = node.open.keys().next_back().map_or(0, |uid| uid + 1);
            let (floor, expected) = (node.row.floor, node.row.floor.max(next));
            let shown = false;
            let disk = AwayDisk { incarnation, floor, expected, witness, newest, shown, cleared, journal };
            node.row.away_disks.push(disk);
        }
        node.row.away_disks.iter_mut().for_each(|disk| disk.shown = false);
        node.row.incarnation += 1;
        node.row.rebuild = true;
        node.row.leftovers = true;
        node.row.floor = 0;
        (node.row.pruned, node.pruning) = (0, None);
        node.row.seen = false;
        node.open.clear();
        node.accepted.clear();
        node.parts.clear();
        node.order.clear();
        node.doubtful.clear();
        node.dropped.clear();
        node.resembles.clear();
        node.shown_again = false;
        node.others_disk = None;
        node.owes.clear();
        (node.drain, node.owed) = (0, 0);
        (node.journal_op, node.taken_for, node.row.doubted) = (None, None, false);
        self.out.nodes.insert(n);
        self.touch_map();
        if !remembered {
            self.lose_parts(n, incarnation);
        }
    }

    /// The newest task that the node's disk has accepted and not yet shown, if it can be told from others.
    fn newest_unseen(&self, n: N) -> Option<Landmark> {
        let node = &self.nodes[n];
        let (uid, ticket) = node.open.last_key_value().filter(|(uid, _)| **uid >= node.row.floor)?;
        let written = |ticket: &&Ticket| matches!(ticket.row.work, TicketWork::Write(_) | TicketWork::Page(_));
        let ticket = self.tickets.get(ticket).filter(written);
        let metadata = ticket.map(|ticket| self.metadata(ticket.row.term, ticket.row.uid));
        let enqueued_at = node.accepted.get(uid).cloned();
        let tells = enqueued_at.is_some() || metadata.is_some();
        tells.then_some(Landmark { uid: *uid, enqueued_at, metadata })
    }

    /// What a disk was to do it never will.
    fn lose_parts(&mut self, n: N, incarnation: u64) {
        let id = &self.nodes[n].row.id;
        for (uid, ticket) in &mut self.tickets {
            let on_disk = |part: &&mut PartRow| part.node == *id && part.incarnation == incarnation;
            let mut changed = false;
            for part in ticket.row.parts.iter_mut().filter(on_disk).filter(|part| part.end.is_none()) {
                part.end = Some(PartEnd::Lost);
                changed = true;
            }
            if changed {
                self.out.tickets.insert(*uid);
                self.todo.extend([Todo::Settle(*uid), Todo::Judge(*uid)]);
            }
        }
    }

    /// Forgets disks whose copies have all been given up. Returns whether there were any.
    pub(crate) fn forget_away_disks(&mut self) -> bool {
        let mut forgotten = false;
        for n in 0..self.nodes.len() {
            let disks = self.nodes[n].row.away_disks.iter().map(|disk| disk.incarnation);
            let given_up: Vec<u64> = disks.filter(|number| self.in_sync_on(n, *number).is_empty()).collect();
            for incarnation in given_up {
                self.nodes[n].row.away_disks.retain(|disk| disk.incarnation != incarnation);
                self.out.nodes.insert(n);
                self.lose_parts(n, incarnation);
                forgotten = true;
            }
        }
        forgotten
    }

    /// Takes note of what a disk shows: the last known task of one that was away, or a task that nobody here knows and
    /// that an unknown disk has still to do.
    pub(crate) fn look_for_disk(&mut self, n: N, task: &NodeTask) {
        let is_last = |witness: &Witness| {
            witness.last.as_ref().is_some_and(|(uid, at)| *uid == task.uid && *at == task.enqueued_at)
        };
        let is_unknown = self.nodes[n].row.rebuild && !self.nodes[n].row.seen;
        let other = (0..self.nodes.len()).filter(|other| is_unknown && *other != n).find(|other| {
            let row = &self.nodes[*other].row;
            is_last(&row.witness) || row.away_disks.iter().any(|disk| is_last(&disk.witness))
        });
        let node = &mut self.nodes[n];
        node.others_disk = node.others_disk.or(other);
        for disk in node.row.away_disks.iter_mut().filter(|disk| is_last(&disk.witness)) {
            disk.shown = true;
        }
        // One that has not got to its newest task is an older state of that disk.
        let is_newest = |disk: &&AwayDisk| {
            let newest = disk.newest.as_ref();
            disk.shown && newest.map_or_else(|| is_last(&disk.witness), |newest| newest.is(task))
        };
        let resembled = node.row.away_disks.iter().filter(is_newest);
        node.resembles.extend(resembled.map(|disk| disk.incarnation));
        if node.row.rebuild && !task.status.is_over() {
            node.open.entry(task.uid).or_insert(NOBODY);
        }
    }

    /// The task list has been read to its end: is it that of a disk that was away, or that of another node? Returns
    /// whether the node must be taken back from the start for that.
    pub(crate) fn recognise_disk(&mut self, n: N) -> bool {
        if let Some(other) = self.nodes[n].others_disk.take() {
            // What is there is that one's to keep: nothing is made or deleted, and the list is read again next time.
            let row = &mut self.nodes[n].row;
            (row.floor, row.witness.last) = (0, None);
            let text = format!("it has the disk of {}: give each its own", self.nodes[other].row.id);
            self.alert("wrong_disk", Some(n), text);
            self.lose(n, "it has the disk of another node");
            return true;
        }
        let node = &self.nodes[n];
        let resembles = |disk: &&AwayDisk| node.resembles.contains(&disk.incarnation);
        let is_whole = |disk: &&AwayDisk| node.row.floor >= disk.expected;
        let is_it = |disk: &&AwayDisk| disk.witness.indexes.iter().all(|index| node.shown.contains(index));
        let candidates = || node.row.away_disks.iter().filter(resembles);
        if node.row.seen && candidates().next().is_some() {
            // The one before it was empty, so that nothing has told the two apart: it is looked at from the start.
            self.new_incarnation(n, "it may be one that it had before");
        } else if let Some(incarnation) = candidates().filter(is_whole).find(is_it).map(|disk| disk.incarnation) {
            self.take_disk_back(n, incarnation);
        } else if candidates().any(|disk| is_whole(&disk)) && !node.shown_again {
            // What indexes there are, another disk may have shown just before this one.
            self.nodes[n].shown_again = true;
        } else {
            // An older state of a disk that was away: it stays that, however often it is read.
            self.nodes[n].resembles.clear();
            return false;
        }
        self.lose(n, "the disk is another one");
        true
    }

    /// From here on it is like a node that was away: the number that its incarnation had goes over to the present one.
    fn take_disk_back(&mut self, n: N, incarnation: u64) {
        let node = &mut self.nodes[n];
        let Some(at) = node.row.away_disks.iter().position(|disk| disk.incarnation == incarnation) else { return };
        let disk = node.row.away_disks.remove(at);
        let (id, present) = (node.row.id.clone(), node.row.incarnation);
        (node.row.floor, node.row.seen) = (disk.floor, true);
        (node.row.witness, node.row.cleared) = (disk.witness, disk.cleared);
        // What was done meanwhile it takes from its journal; what else there is to mend is looked at afterwards.
        (node.row.rebuild, node.row.drifted) = (false, true);
        // Whatever has been fenced since was another disk.
        node.fenced = 0;
        node.accepted.clear();
        node.resembles.clear();
        node.doubtful.clear();
        node.dropped.clear();
        self.out.extra.extend(disk.journal.iter().cloned().map(Record::Journal));
        node.journal = disk.journal.into();
        for (uid, ticket) in &mut self.tickets {
            let on_disk = |part: &&mut PartRow| part.node == id && part.incarnation == incarnation;
            for part in ticket.row.parts.iter_mut().filter(on_disk) {
                part.incarnation = present;
                self.out.tickets.insert(*uid);
                self.todo.extend([Todo::Settle(*uid), Todo::Judge(*uid)]);
                if part.end.is_none() {
                    node.parts.insert(*uid);
                    node.open.extend(part.task.map(|task| (task, *uid)));
                }
            }
        }
        for (placement, shard) in self.in_sync_on(n, incarnation) {
            let copies = self.copies[usize::from(placement)][shard as usize].iter_mut();
            let copies = copies.filter(|copy| copy.node == n && copy.incarnation == incarnation);
            copies.for_each(|copy| copy.incarnation = present);
            self.out.copies.insert((placement, shard));
        }
        self.owe_again(n);
        self.out.nodes.insert(n);
        self.touch_map();
        self.alert("disk_back", Some(n), format!("{id} has the disk again that holds its last copies"));
        self.wake_tickets(n);
    }

    /// Operations on indexes go into the journals of disks that are away as well. Returns the parts.
    pub(crate) fn plan_for_away_disks(&mut self, n: N, ticket: u32, steps: &[NodeStep]) -> Vec<PartRow> {
        let mut parts = Vec::new();
        let id = self.nodes[n].row.id.clone();
        for at in 0..self.nodes[n].row.away_disks.len() {
            for (step, request) in (0u32..).zip(steps) {
                let mut part = self.new_part(n, vec![step]);
                let disk = &mut self.nodes[n].row.away_disks[at];
                (part.incarnation, part.floor) = (disk.incarnation, disk.floor);
                parts.push(part);
                let (order, state) = (self.journal_order, JournalState::Waiting);
                let entry = JournalRow { node: id.clone(), ticket, step, order, request: request.clone(), state };
                disk.journal.push(entry);
                self.journal_order += 1;
            }
            self.out.nodes.insert(n);
        }
        parts
    }

    /// What a disk that came from elsewhere, or was away, must lose of its indexes: documents of shards of which the
    /// node has no copy. `told`: what it is told before that; what is made there is empty.
    pub(crate) fn leftover_steps(&self, n: N, told: &[NodeStep]) -> Vec<NodeStep> {
        let made: BTreeSet<&String> = told
            .iter()
            .filter(|step| step.task_type == "indexCreation")
            .filter_map(|step| step.task_index.as_ref())
            .collect();
        let mut steps = Vec::new();
        for index in self.indexes.values().filter(|index| !made.contains(&index.uid)) {
            let held = |shard: &u32| self.shard_copies(index.placement, *shard).iter().any(|copy| copy.node == n);
            let others: Vec<u32> = (0..self.config.shards).filter(|shard| !held(shard)).collect();
            // When it is done, so is all that somebody has asked of the index before: what that left can be looked for.
            let others =
                if others.is_empty() { tag::nothing() } else { tag::filter_clause(&others, self.config.shards) };
            steps.push(deletion(&index.uid, "delete", &json!({ "filter": others })));
        }
        steps
    }
}

/// A deletion of documents as an operation on an index: nothing on the node comes before it, and no copy is filled there
/// until it is done.
pub(crate) fn deletion(uid: &str, route: &str, body: &serde_json::Value) -> NodeStep {
    NodeStep {
        method: "POST".to_owned(),
        path: format!("/indexes/{uid}/documents/{route}"),
        body: Some(body.to_string()),
        task_type: "documentDeletion".to_owned(),
        task_index: Some(uid.to_owned()),
        tolerate: Vec::new(),
    }
}
