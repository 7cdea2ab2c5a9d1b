//! OUTCOME: replicas are judged by comparing them (F10, F11, F12), and the global task by what the replicas in sync
//! did (invariant 10).

use std::collections::BTreeSet;

use miroir_core::error::ErrorBody;
use miroir_core::wire::WriteKind;

use crate::Sequencer;
use crate::api::*;
use crate::details::write_details;
use crate::state::{Live, N, Ticket, Timer, Todo};

const LOST: &str = "The write was lost on every replica in sync.";

/// Where a shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pending,
    Applied,
    NotApplied,
}

impl Sequencer {
    /// An end as the node tells it, checked against the counts (F11): a task that "succeeded" with fewer documents
    /// than it was sent did not. Nothing at all is reported where a later clear or deletion absorbed it.
    pub(crate) fn checked_end(&self, n: N, uid: u32, task: &NodeTask, end: PartEnd) -> PartEnd {
        let PartEnd::Succeeded { indexed, .. } = end else { return end };
        let Some(ticket) = self.tickets.get(&uid) else { return end };
        if let TicketWork::Page(work) = &ticket.row.work {
            let short = work.documents > 0 && indexed != Some(work.documents) && !self.is_absorbed(n, uid, task.uid);
            return if short && !self.planted.count_check_off { PartEnd::Failed { error: None } } else { end };
        }
        let TicketWork::Write(work) = &ticket.row.work else { return end };
        if !matches!(work.kind, WriteKind::Replace | WriteKind::Update) || self.planted.count_check_off {
            return end;
        }
        let node = &self.nodes[n];
        let part = ticket.row.parts.iter().find(|part| part.is_on(&node.row) && part.task == Some(task.uid));
        let Some(part) = part else { return end };
        let counts = work.shards.iter().filter(|count| part.shards.contains(&count.shard));
        let expected: u64 = counts.map(|count| u64::from(count.keys)).sum();
        match indexed {
            Some(indexed) if indexed == expected => end,
            _ if self.is_nothing_absorbed(n, uid, task) => end,
            _ => PartEnd::Failed { error: None },
        }
    }

    /// Whether a later clear or deletion of the index took a task's work away.
    pub(crate) fn is_absorbed(&self, n: N, uid: u32, task: u32) -> bool {
        let clear = self.index_written(uid).and_then(|index| self.nodes[n].row.cleared.get(index));
        clear.is_some_and(|clear| *clear > task)
    }

    /// Whether a task that reports nothing may do so. The engine (1.50) says null of what a clear absorbed, and 0 of what
    /// the deletion of its index did: so does a task that did nothing, but once the index is gone that is the same.
    pub(crate) fn is_nothing_absorbed(&self, n: N, uid: u32, task: &NodeTask) -> bool {
        let dropped = || self.index_written(uid).and_then(|index| self.nodes[n].dropped.get(index));
        match task.indexed {
            None => self.is_absorbed(n, uid, task.uid),
            Some(0) => dropped().is_some_and(|deletion| *deletion > task.uid),
            Some(_) => false,
        }
    }

    /// Whether the index of a write is being changed, or has just lost its documents on the node: it may be deleted there.
    pub(crate) fn may_be_dropped(&self, n: N, uid: u32) -> bool {
        let Some(index) = self.index_written(uid) else { return false };
        let changes = |ticket: &Ticket| match &ticket.row.work {
            TicketWork::Index(work) => crate::index_ops::uids_of(&work.operation).iter().any(|uid| uid == index),
            _ => false,
        };
        self.nodes[n].row.cleared.contains_key(index) || self.tickets.values().any(changes)
    }

    fn index_written(&self, uid: u32) -> Option<&String> {
        match self.tickets.get(&uid).map(|ticket| &ticket.row.work)? {
            TicketWork::Write(work) => Some(&work.index),
            TicketWork::Page(work) => Some(&work.index),
            _ => None,
        }
    }

    /// A node works on it: so does the cluster, from then on.
    pub(crate) fn see_start(&mut self, uid: u32, node_task: &NodeTask) {
        let waits = |ticket: &Ticket| {
            let task = ticket.row.task.as_ref();
            ticket.live == Live::Decided && task.is_some_and(|task| task.status == TaskStatus::Enqueued)
        };
        if !self.tickets.get(&uid).is_some_and(waits) {
            return;
        }
        self.see_times(uid, node_task);
        let now = self.now;
        let Some(task) = self.tickets.get_mut(&uid).and_then(|ticket| ticket.row.task.as_mut()) else { return };
        task.status = TaskStatus::Processing;
        task.started_ms.get_or_insert(now);
        self.out.extra.push(Record::Task(Box::new(task.clone())));
        self.touch_ticket(uid);
        self.emit(Effect::TaskChanged { uid, status: TaskStatus::Processing });
    }

    /// The first and the last sign of work on it.
    pub(crate) fn see_times(&mut self, uid: u32, node_task: &NodeTask) {
        let now = self.now;
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        let Some(task) = ticket.row.task.as_mut().filter(|task| !task.status.is_over()) else { return };
        let clamp = |time: u64| time.clamp(task.enqueued_ms, now.max(task.enqueued_ms));
        let started = node_task.started_ms.map(clamp);
        task.started_ms = [task.started_ms, started].into_iter().flatten().min();
        task.finished_ms = [task.finished_ms, node_task.finished_ms.map(clamp)].into_iter().flatten().max();
    }

    /// Looks whether a ticket's end is known.
    pub(crate) fn judge(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        match ticket.row.work {
            TicketWork::Index(_) => return self.judge_index(uid),
            TicketWork::Page(_) => return self.judge_page(uid),
            TicketWork::Reconcile(_) => return self.judge_reconcile(uid),
            TicketWork::Cancel(_) => return,
            TicketWork::Write(_) => {}
        }
        if ticket.live == Live::Over {
            self.compare(uid);
            return self.forget(uid);
        }
        if ticket.live != Live::Decided {
            return;
        }
        if ticket.adopting {
            // A part that comes late still counts for its replica.
            self.compare(uid);
            return;
        }
        if ticket.row.foregone.is_some() {
            return self.judge_foregone(uid);
        }
        let verdicts = self.compare(uid);
        if verdicts.contains(&Verdict::Pending) {
            return;
        }
        let Some(ticket) = self.tickets.get(&uid) else { return };
        if ticket.refused {
            self.key_user_ended(uid, verdicts.contains(&Verdict::Applied));
            return self.over(uid);
        }
        let all = verdicts.iter().all(|verdict| *verdict == Verdict::Applied);
        if all && !self.is_adopted(uid) {
            // The documents are there, and with them their key: while VMs adopt the map, the index may get another name.
            self.key_user_ended(uid, true);
            return self.wait_for_adoption(uid);
        }
        self.conclude(uid, all, verdicts.contains(&Verdict::Applied));
    }

    /// Compares the replicas of every shard, and makes those stale that did not do what another one did.
    fn compare(&mut self, uid: u32) -> Vec<Verdict> {
        let Some(ticket) = self.tickets.get(&uid) else { return Vec::new() };
        let TicketWork::Write(work) = &ticket.row.work else { return Vec::new() };
        let shards: Vec<u32> = work.shards.iter().map(|count| count.shard).collect();
        let placement = self.placement_of(&ticket.row);
        let late = ticket.first_end.is_some_and(|first| first + self.config.timing.lag <= self.now);
        shards.into_iter().map(|shard| self.compare_shard(uid, placement, shard, late)).collect()
    }

    fn compare_shard(&mut self, uid: u32, placement: u16, shard: u32, late: bool) -> Verdict {
        let Some(ticket) = self.tickets.get(&uid) else { return Verdict::NotApplied };
        let over = ticket.live == Live::Over;
        let (mut applied, mut deviating, mut pending, mut away) = (false, Vec::new(), Vec::new(), Vec::new());
        let copies = self.shard_copies(placement, shard);
        for copy in copies {
            let node = &self.nodes[copy.node];
            let row = &node.row;
            let on_disk = |part: &&PartRow| part.node == row.id && part.incarnation == copy.incarnation;
            let part = ticket.row.parts.iter().filter(on_disk).find(|part| part.shards.contains(&shard));
            let Some(part) = part else { continue };
            if self.is_closing((placement, shard, copy.node)) && part.end.is_none() {
                // It is about to be read: whoever is told of this write must find it there.
                pending.push(copy.node);
            }
            let disk_away = self.is_away_with_disk(copy);
            if !self.is_good(copy) && !disk_away {
                continue;
            }
            match &part.end {
                Some(PartEnd::Succeeded { .. }) => applied = true,
                Some(PartEnd::Failed { error: Some(_) }) if self.planted.outcome_by_error_code => {}
                Some(PartEnd::Canceled) if self.planted.canceled_uncompared => {}
                Some(_) => deviating.push(copy.node),
                None if disk_away => away.push((copy.node, part.task)),
                None if row.away
                    && !node.closing
                    && !self.is_waited_for_while_away((placement, shard), copies, copy) =>
                {
                    away.push((copy.node, part.task));
                }
                None => pending.push(copy.node),
            }
        }
        if applied {
            if late {
                deviating.append(&mut pending);
            }
            for n in deviating {
                let why = format!("did not do what another replica did of ticket {uid}");
                self.mark_stale_for(uid, placement, shard, n, &why);
            }
            // Whoever reads a copy that has not got this write must have learned not to: also where the copy was
            // given up by an earlier ticket.
            let absent = away.into_iter().map(|(n, task)| self.owe(n, placement, shard, task)).max().unwrap_or(0);
            let unread = self.unread.get(&(placement, shard)).copied().unwrap_or(0);
            self.needs_epoch(uid, absent.max(unread));
            // One that is away will be compared when it is back; the task does not wait for it.
            return if pending.is_empty() { Verdict::Applied } else { Verdict::Pending };
        }
        if !pending.is_empty() {
            return Verdict::Pending;
        }
        if deviating.is_empty() {
            // All good copies of it are away, or none took part (they joined later or the shard was given up).
            return if away.is_empty() { Verdict::NotApplied } else { Verdict::Pending };
        }
        let told = ticket.row.task.as_ref().is_some_and(|task| task.status == TaskStatus::Succeeded);
        self.stale_copies_differ(uid, placement, shard);
        if over && told {
            // Another replica had done it when the task was reported, and is gone with its disk since.
            let n = deviating.first().copied();
            self.alert(
                "last_copy_damaged",
                n,
                format!("ticket {uid} is lost in shard {shard}: no replica has it any more"),
            );
        }
        if !over {
            // It failed wherever it can be seen: that is the outcome, and who may still do it deviates.
            for (n, _) in away {
                self.mark_stale(placement, shard, n, &format!("may yet do what failed elsewhere of ticket {uid}"));
            }
        }
        Verdict::NotApplied
    }

    fn needs_epoch(&mut self, uid: u32, epoch: u64) {
        if let Some(ticket) = self.tickets.get_mut(&uid)
            && ticket.row.epoch < epoch
        {
            ticket.row.epoch = epoch;
            self.touch_ticket(uid);
        }
    }

    /// Whether every live VM reads by a map that knows what this task needs known (F7).
    pub(crate) fn is_adopted(&self, uid: u32) -> bool {
        let Some(ticket) = self.tickets.get(&uid) else { return true };
        if ticket.row.epoch == 0 || self.planted.adoption_ignored {
            return true;
        }
        let silent = self.config.timing.vm_silent;
        // A later leader knows no VM yet: those alive have spoken when as much time has passed.
        let known = self.meta.term <= 1 || self.started_ms + silent <= self.now;
        let live = self.vms.values().filter(|vm| vm.heard + silent > self.now);
        known && live.into_iter().all(|vm| vm.epoch >= ticket.row.epoch)
    }

    /// Looks at a ticket again when the live VMs have adopted what it needs known.
    pub(crate) fn wait_for_adoption(&mut self, uid: u32) {
        self.adopting.insert(uid);
        if let Some(ticket) = self.tickets.get_mut(&uid) {
            ticket.adopting = true;
        }
        self.at(self.now + self.config.timing.vm_silent / 4, Timer::Adoption);
    }

    pub(crate) fn check_adoption(&mut self) {
        let silent = self.config.timing.vm_silent;
        self.vms.retain(|_, vm| vm.heard + 6 * silent > self.now);
        let adopted: Vec<u32> = self.adopting.iter().copied().filter(|uid| self.is_adopted(*uid)).collect();
        for uid in adopted {
            self.adopting.remove(&uid);
            if let Some(ticket) = self.tickets.get_mut(&uid) {
                // Judged anew: the replica that had done it may have lost its disk meanwhile.
                ticket.adopting = false;
                self.todo.insert(Todo::Judge(uid));
                self.todo.insert(Todo::Grant(uid));
            }
        }
        if !self.adopting.is_empty() {
            self.at(self.now + silent / 4, Timer::Adoption);
        }
    }

    /// Gives the task its final state.
    fn conclude(&mut self, uid: u32, all: bool, any: bool) {
        let now = self.now;
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Write(work) = &ticket.row.work else { return };
        let canceled = !any && ticket.row.parts.iter().any(|part| part.end == Some(PartEnd::Canceled));
        let status = match (all, canceled) {
            (true, _) => TaskStatus::Succeeded,
            (false, true) => TaskStatus::Canceled,
            (false, false) => TaskStatus::Failed,
        };
        let details = write_details(work, status, self.counted(uid, all));
        let mut error = (status == TaskStatus::Failed).then(|| first_error(&ticket.row, LOST));
        let index = self.indexes.get(&work.index);
        if let Some(error) = error.as_mut().filter(|_| index.is_some_and(|index| index.view.tag_rule_first)) {
            error.message = miroir_core::search::renumber_rules(&error.message);
        }
        let canceled_by = if canceled { self.canceler(uid) } else { None };
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        if let Some(task) = ticket.row.task.as_mut() {
            task.status = status;
            task.error = error;
            task.canceled_by = canceled_by;
            task.details = Some(details);
            task.finished_ms = Some(task.finished_ms.unwrap_or(now).max(task.enqueued_ms));
            task.started_ms = task.started_ms.or(task.finished_ms);
            self.out.extra.push(Record::Task(Box::new(task.clone())));
        }
        self.key_user_ended(uid, any);
        self.emit(Effect::TaskChanged { uid, status });
        self.cancel_progress(uid);
        self.over(uid);
    }

    /// Documents that it indexed or deleted; none where the engine says null.
    fn counted(&self, uid: u32, all: bool) -> Option<u64> {
        let ticket = self.tickets.get(&uid)?;
        let TicketWork::Write(work) = &ticket.row.work else { return None };
        // What a copy got by being repaired has no task of its own.
        let counted = ticket.row.parts.iter().filter(|part| part.task.is_some());
        let ended = counted.filter_map(|part| match &part.end {
            Some(PartEnd::Succeeded { indexed, deleted }) => Some((part, *indexed, *deleted)),
            _ => None,
        });
        match work.kind {
            WriteKind::Replace | WriteKind::Update => {
                let indexed: Vec<Option<u64>> = ended.map(|(_, indexed, _)| indexed).collect();
                let sum = work.shards.iter().map(|count| u64::from(count.keys)).sum();
                match all {
                    true if indexed.contains(&None) => None,
                    true if !indexed.contains(&Some(0)) => Some(sum),
                    _ => Some(0),
                }
            }
            _ => {
                let parts: Vec<(N, &[u32], u64)> = ended
                    .filter_map(|(part, _, deleted)| {
                        Some((self.node_at(&part.node)?, part.shards.as_slice(), deleted.unwrap_or(0)))
                    })
                    .collect();
                // Where it failed in some shards, the others are what is counted.
                let covered: BTreeSet<u32> = parts.iter().flat_map(|(_, shards, _)| shards.iter().copied()).collect();
                Some(Self::deleted_once(&parts, covered.len()))
            }
        }
    }

    /// A write of an index with a provisional key has ended (F31).
    pub(crate) fn key_user_ended(&mut self, uid: u32, applied: bool) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Write(work) = &ticket.row.work else { return };
        let index = work.index.clone();
        let adds = matches!(work.kind, WriteKind::Replace | WriteKind::Update);
        let settles = self.indexes.get_mut(&index).filter(|row| {
            row.provisional
                && row.incarnation == work.incarnation
                && applied
                && adds
                && row.primary_key == work.primary_key
        });
        if let Some(row) = settles {
            row.provisional = false;
            self.out.indexes.insert(index.clone());
            self.key_users.remove(&index);
            self.touch_map();
            self.readmit_parked(&index);
        }
        self.leave_key(&index, uid);
    }

    /// The last open write of a provisional key is gone without success: the key is free again.
    pub(crate) fn leave_key(&mut self, index: &str, uid: u32) {
        let Some(users) = self.key_users.get_mut(index) else { return };
        users.remove(&uid);
        if !users.is_empty() {
            return;
        }
        self.key_users.remove(index);
        if let Some(row) = self.indexes.get_mut(index).filter(|row| row.provisional) {
            (row.primary_key, row.provisional) = (None, false);
            self.out.indexes.insert(index.to_owned());
        }
        self.readmit_parked(index);
    }
}

/// The error of a task: the first that a node reported, in words that do not name what only nodes know of.
pub(crate) fn first_error(row: &TicketRow, unclear: &str) -> ErrorBody {
    let mut errors = row.parts.iter().filter_map(|part| match &part.end {
        Some(PartEnd::Failed { error }) => error.clone(),
        _ => None,
    });
    let mut error = errors.next().unwrap_or_else(|| ErrorBody::new("internal", unclear));
    error.message = miroir_core::search::scrub_message(&error.message);
    error
}
