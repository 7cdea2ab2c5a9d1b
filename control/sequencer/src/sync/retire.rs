//! RETIRE (F6): a copy that left the map is still written until every VM is known to read by a later one; only then are
//! its documents deleted, under the shard's lock (F23), and counted.

use std::collections::BTreeSet;

use crate::Sequencer;
use crate::api::*;
use crate::state::{Op, Reach, Timer, Todo};
use crate::sync::{Place, Retire, SeenVm};

/// How often the time of a VM's last heartbeat is stored, in milliseconds.
const VM_STORED: u64 = 600_000;
/// How often it is looked whether a retiring copy can go, in milliseconds.
const LOOK: u64 = 500;

/// An index in one of its lives: a name that is swapped or created again means other documents.
fn life(index: &IndexRow) -> (String, u64) {
    (index.uid.clone(), index.incarnation)
}

impl Sequencer {
    /// Takes a copy out of the map; it is deleted when nobody can read it any more. The caller sees to it that enough
    /// others are in sync.
    pub(crate) fn retire(&mut self, place: Place) {
        let (placement, shard, n) = place;
        if self.syncs.runs.contains_key(&place) {
            self.break_sync(place, "the copy is given up");
        }
        if self.syncs.rows.remove(&place).is_some() {
            self.out.syncs.insert(place);
        }
        self.set_copy(place, CopyState::Retiring);
        self.watched.plan(placement, shard);
        self.syncs.missed.remove(&place);
        let epoch = self.touch_map();
        // Who still reads it must not be told of writes that it may miss.
        self.unread.insert((placement, shard), epoch);
        let row = RetireRow {
            placement,
            shard,
            node: self.nodes[n].row.id.clone(),
            epoch,
            since_ms: self.now,
            adopted_ms: None,
            deleting: false,
            forced: false,
        };
        let retire = Retire { row, done: BTreeSet::new(), ticket: None, counting: None, retry: 0, look: 0 };
        self.syncs.retires.insert(place, retire);
        self.out.retires.insert(place);
        self.todo.insert(Todo::Retire(place));
    }

    /// [`AdminCommand::ForceDeletion`]: does not wait for VMs that have not been heard for a while (an operator knows
    /// that they are gone).
    pub(crate) fn force_retirements(&mut self) -> AdminAnswer {
        let mut forced = 0;
        for (place, retire) in self.syncs.retires.iter_mut().filter(|(_, retire)| !retire.row.deleting) {
            retire.row.forced = true;
            self.out.retires.insert(*place);
            self.todo.insert(Todo::Retire(*place));
            forced += 1;
        }
        let silent = self.syncs.vms.values().filter(|vm| vm.heard + self.config.timing.vm_silent <= self.now).count();
        let message = match forced {
            0 => "no copy waits for filters before it is deleted".to_owned(),
            _ => format!("{forced} copies that leave wait no longer for {silent} silent filter workers"),
        };
        AdminAnswer::Done { message }
    }

    /// A VM told which maps it still reads by.
    pub(crate) fn vm_heard(&mut self, vm: &str, epoch: u64, envoy: Option<&String>) {
        let now = self.now;
        let new = SeenVm { envoy: None, epoch: 0, heard: now, stored: 0 };
        let seen = self.syncs.vms.entry(vm.to_owned()).or_insert(new);
        (seen.epoch, seen.heard, seen.envoy) = (epoch, now, envoy.cloned());
        if seen.stored == 0 || seen.stored + VM_STORED <= now {
            seen.stored = now;
            self.out.extra.push(Record::Vm(VmRow { vm: vm.to_owned(), heard_ms: now, envoy: seen.envoy.clone() }));
        }
    }

    /// A VM has read its last. Short of a long time nothing else than its own word tells that: one that is silent may be
    /// stopped or cut off, and go on reading by the map that it has.
    pub(crate) fn vm_gone(&mut self, vm: &str) {
        if self.syncs.vms.remove(vm).is_some() {
            self.out.extra.push(Record::VmGone(vm.to_owned()));
        }
    }

    /// Forgets VMs that have been silent for so long that they cannot read any more.
    pub(crate) fn sweep_vms(&mut self) {
        let (now, grace) = (self.now, self.config.timing.vm_grace);
        let gone = self.syncs.vms.iter().filter(|(_, vm)| vm.heard + grace <= now).map(|(id, _)| id.clone());
        for vm in gone.collect::<Vec<_>>() {
            self.vm_gone(&vm);
        }
    }

    fn all_adopted(&self, row: &RetireRow) -> bool {
        if self.planted.deletes_before_adoption {
            return true;
        }
        let silent = self.config.timing.vm_silent;
        // Those that started while nobody listened have spoken when as much time has passed.
        let known = self.started_ms + silent <= self.now;
        known && self.oldest_epoch(row.forced).is_none_or(|epoch| epoch >= row.epoch)
    }

    /// How long a copy is kept once every VM is known to read by a later map. A heartbeat tells the oldest map that a
    /// request still works with, so nobody who is known reads the copy any more; who has adopted an older map just
    /// before and was not heard yet speaks up within the time after which a VM counts as silent. Those that an operator
    /// has written off may still be in the middle of a request.
    fn last_readers(&self, row: &RetireRow) -> u64 {
        let timing = &self.config.timing;
        match row.forced {
            _ if self.planted.deletes_before_adoption => 0,
            true => timing.longest_read.max(timing.vm_silent),
            false => timing.vm_silent,
        }
    }

    /// Goes on with a retirement as far as it can.
    pub(crate) fn drive_retire(&mut self, place: Place) {
        let (placement, shard, n) = place;
        let Some(retire) = self.syncs.retires.get(&place) else { return };
        let mut row = retire.row.clone();
        if !row.deleting {
            let adopted = self.all_adopted(&row);
            row.adopted_ms = row.adopted_ms.filter(|_| adopted).or(adopted.then_some(self.now));
            let wait = self.last_readers(&row);
            let ready = row.adopted_ms.is_some_and(|since| since + wait <= self.now);
            row.deleting = ready;
            if row != retire.row {
                self.put_retire(place, row);
            }
            if !ready {
                return self.look_later(place);
            }
            self.drop_copy(place);
        }
        let node = &self.nodes[n];
        if node.row.rebuild {
            // The disk that had it is gone.
            return self.retired(place);
        }
        if node.reach != Reach::Up || !self.is_writable(n) || self.has_loose_parts(place) {
            return self.look_later(place);
        }
        let Some(retire) = self.syncs.retires.get(&place) else { return };
        if retire.ticket.is_some() || retire.counting.is_some() {
            return;
        }
        if retire.retry > self.now {
            let at = retire.retry;
            return self.at(at, Timer::Retire(place));
        }
        let mut left =
            self.indexes.values().filter(|row| row.placement == placement && !retire.done.contains(&life(row)));
        let Some(index) = left.next() else { return self.retired(place) };
        let work = PageWork {
            placement,
            shard,
            index: index.uid.clone(),
            incarnation: index.incarnation,
            node: node.row.id.clone(),
            documents: 0,
        };
        let uid = self.new_page_ticket(work);
        if let Some(retire) = self.syncs.retires.get_mut(&place) {
            retire.ticket = Some(uid);
        }
    }

    fn look_later(&mut self, place: Place) {
        let now = self.now;
        if let Some(retire) = self.syncs.retires.get_mut(&place).filter(|retire| retire.look <= now) {
            retire.look = now + LOOK;
            self.at(now + LOOK, Timer::Retire(place));
        }
    }

    fn put_retire(&mut self, place: Place, row: RetireRow) {
        if let Some(retire) = self.syncs.retires.get_mut(&place) {
            retire.row = row;
            self.out.retires.insert(place);
        }
    }

    /// Takes a copy out of all write sets.
    fn drop_copy(&mut self, (placement, shard, n): Place) {
        let copies = self.copies.get_mut(usize::from(placement)).and_then(|all| all.get_mut(shard as usize));
        let Some(copies) = copies else { return };
        let before = copies.len();
        copies.retain(|copy| copy.node != n);
        if copies.len() < before {
            let node = self.nodes[n].row.id.clone();
            self.out.extra.push(Record::CopyGone(placement, shard, node));
            self.out.copies.insert((placement, shard));
        }
    }

    /// Whether a write, a page or a deletion of an earlier time may still arrive at the node. Those that hold their locks
    /// are waited for in the line of locks. What the node has among its tasks it does before a deletion that comes later;
    /// to wait until there is none would be to wait for as long as there are writes.
    pub(crate) fn has_loose_parts(&self, (placement, shard, n): Place) -> bool {
        let node = &self.nodes[n];
        let may_come = |part: &PartRow| part.is_open_on(&node.row) && part.task.is_none();
        let loose = node.parts.iter().filter_map(|uid| self.tickets.get(uid)).filter(|ticket| {
            ticket.locks.is_empty()
                && self.touches_shard(ticket, placement, shard)
                && ticket.row.parts.iter().any(may_come)
        });
        loose.count() > 0
    }

    /// The lock for a deletion is held.
    pub(crate) fn grant_deletion(&mut self, place: Place, uid: u32) {
        let (_, shard, n) = place;
        let Some(TicketWork::Page(work)) = self.tickets.get(&uid).map(|ticket| &ticket.row.work) else { return };
        let index = work.index.clone();
        // A write that held the lock until now may have been sent there once more.
        if !self.is_writable(n) || !self.indexes.contains_key(&index) || self.has_loose_parts(place) {
            self.drop_ticket(uid);
            return self.retire_later(place, 200);
        }
        let key = self.nodes[n].data_key();
        let metadata = self.metadata(self.meta.term, uid);
        let action = NodeAction::DeleteShard { key, index, shard, metadata };
        self.send_ticket(uid, n, shard, 0, action, place);
    }

    fn retire_later(&mut self, place: Place, pause: u64) {
        let at = self.now + pause;
        if let Some(retire) = self.syncs.retires.get_mut(&place) {
            (retire.ticket, retire.counting, retire.retry) = (None, None, at);
            self.at(at, Timer::Retire(place));
        }
    }

    /// A deletion's outcome is not known, or it did not happen: it is sent again when the node's tasks tell.
    pub(crate) fn deletion_unknown(&mut self, place: Place, uid: u32) {
        if self.syncs.retires.get(&place).is_some_and(|retire| retire.ticket == Some(uid)) {
            self.retire_later(place, 1_000);
        }
    }

    /// A deletion has ended: what is left is counted.
    pub(crate) fn deletion_ended(&mut self, place: Place, uid: u32, index: &str, done: bool) {
        let Some(retire) = self.syncs.retires.get(&place).filter(|retire| retire.ticket == Some(uid)) else { return };
        if !done {
            return self.retire_later(place, 1_000);
        }
        let node = retire.row.node.clone();
        // What the name means now: when it means another index by the time of the answer, nothing has been shown of it.
        let Some(counted) = self.indexes.get(index).map(life) else { return self.retire_later(place, 0) };
        let op = self.op(Op::Count(place));
        if let Some(retire) = self.syncs.retires.get_mut(&place) {
            retire.ticket = None;
            retire.counting = Some((op, counted));
        }
        let action = NodeAction::CountShard { index: index.to_owned(), shard: place.1 };
        self.emit(Effect::Node { op, node, action, timeout_ms: self.config.timing.mutate });
    }

    pub(crate) fn counted_shard(&mut self, place: Place, op: OpId, result: &Result<NodeAnswer, NodeFault>) {
        let Some(retire) = self.syncs.retires.get_mut(&place) else { return };
        let Some((_, counted)) = retire.counting.take_if(|(asked, _)| *asked == op) else { return };
        match result {
            Ok(NodeAnswer::Count(0)) => drop(retire.done.insert(counted)),
            // Without the index there are no documents.
            Ok(NodeAnswer::Refused { status: 404, .. }) => drop(retire.done.insert(counted)),
            _ => return self.retire_later(place, 1_000),
        }
        self.todo.insert(Todo::Retire(place));
    }

    fn retired(&mut self, place: Place) {
        self.drop_copy(place);
        self.syncs.retires.remove(&place);
        self.out.retires.insert(place);
        let (placement, shard, n) = place;
        let id = self.nodes[n].row.id.clone();
        self.alert("copy_deleted", Some(n), format!("shard {shard} of placement {placement} on {id} is deleted"));
        self.sync_ended(place, SyncEnd::Deleted, None);
        self.todo.insert(Todo::Scan);
    }

    /// The disk with the copies that were being deleted is gone.
    pub(crate) fn retired_with_disk(&mut self, n: crate::state::N) {
        let places: Vec<Place> = self.syncs.retires.keys().filter(|(.., node)| *node == n).copied().collect();
        for place in places {
            self.retired(place);
        }
    }
}
