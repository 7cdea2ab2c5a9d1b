//! AUDIT: every task that a node lists must be an expected part, once, before its ticket's outcome was settled (F3).
//! Anything else deviates from the other replicas and makes the node's copies stale.

use miroir_core::invariants::is_overtaken;
use miroir_core::wire::WriteKind;

use crate::Sequencer;
use crate::api::*;
use crate::state::{N, Todo};

/// Task types by which documents change.
const DOCUMENTS: [&str; 3] = ["documentAdditionOrUpdate", "documentDeletion", "documentEdition"];
/// Task types by which indexes change.
pub const INDEX_TASKS: [&str; 5] = ["indexCreation", "indexUpdate", "indexDeletion", "indexSwap", "settingsUpdate"];

impl Sequencer {
    /// Takes one page of a node's list. Returns whether a known task ended.
    pub(crate) fn audit(&mut self, n: N, tasks: &[NodeTask], open: &[NodeTask]) -> bool {
        self.see_numbers(n, tasks);
        for task in tasks {
            if task.uid >= self.nodes[n].row.floor {
                self.look_for_disk(n, task);
                self.audit_new(n, task);
            }
        }
        // Ends come after: what a task reports may rest on a later one (F11).
        for task in tasks.iter().chain(open).filter(|task| task.task_type == "indexDeletion") {
            if let (TaskStatus::Succeeded, Some(index)) = (task.status, &task.index) {
                self.nodes[n].dropped.insert(index.clone(), task.uid);
            }
        }
        let mut ended = false;
        for task in tasks.iter().chain(open) {
            ended |= self.see_status(n, task);
        }
        let node = &mut self.nodes[n];
        let (first, before) = (node.open.keys().next().copied(), node.row.cleared.len());
        node.row.cleared.retain(|_, clear| first.is_some_and(|first| *clear > first));
        node.dropped.retain(|_, deletion| first.is_some_and(|first| *deletion > first));
        if node.row.cleared.len() < before {
            self.out.nodes.insert(n);
        }
        ended
    }

    fn audit_new(&mut self, n: N, task: &NodeTask) {
        let row = &mut self.nodes[n].row;
        let hole = row.seen && task.uid != row.floor;
        let audited = row.seen && !row.rebuild;
        row.floor = task.uid + 1;
        row.witness.last = Some((task.uid, task.enqueued_at.clone()));
        self.nodes[n].accepted.remove(&task.uid);
        self.out.nodes.insert(n);
        if hole && audited {
            self.deviates(n, "audit_lost", "tasks have been deleted before they were seen");
        }
        let kind = task.task_type.as_str();
        self.see_upgrade(n, kind);
        if kind == "indexDeletion"
            && let Some(index) = &task.index
        {
            self.nodes[n].row.cleared.insert(index.clone(), task.uid);
            self.nodes[n].order.remove(index);
        }
        if self.only_divides(task) || self.only_tags(task) {
            return;
        }
        if DOCUMENTS.contains(&kind) {
            if !self.claim(n, task) && !self.claim_step(n, task) && audited {
                let text = format!("task {} ({kind}, {:?}) is nobody's", task.uid, task.metadata);
                self.deviates(n, "audit_foreign", &text);
            }
        } else if INDEX_TASKS.contains(&kind) && !self.claim_step(n, task) && audited {
            self.deviates(n, "audit_foreign", &format!("task {} ({kind}) is nobody's", task.uid));
            // Its indexes are looked at and put right before any document is repaired.
            if !self.planted.audit_off {
                self.mend_indexes(n);
            }
        }
    }

    /// The task of a document write: finds its part. False if there is none.
    fn claim(&mut self, n: N, task: &NodeTask) -> bool {
        self.check_claimed(n, task);
        let Some((term, uid)) = task.metadata.as_deref().and_then(|text| self.parse_metadata(text)) else {
            return false;
        };
        let incarnation = self.nodes[n].row.incarnation;
        let id = self.nodes[n].row.id.clone();
        let Some(ticket) = self.tickets.get_mut(&uid).filter(|ticket| ticket.row.term == term) else { return false };
        let (index, clears) = match &ticket.row.work {
            TicketWork::Write(work) => (work.index.clone(), work.kind == WriteKind::DeleteAll),
            TicketWork::Page(work) => (work.index.clone(), false),
            _ => return false,
        };
        let part = ticket.row.parts.iter_mut().find(|part| part.node == id && part.incarnation == incarnation);
        let Some(part) = part else { return false };
        let shards = part.shards.clone();
        if clears {
            self.nodes[n].row.cleared.insert(index.clone(), task.uid);
        }
        match (part.task, &part.end) {
            (Some(known), _) if known == task.uid => {
                self.nodes[n].open.insert(task.uid, uid);
            }
            (Some(_), _) => self.part_deviates(n, uid, "audit_repeated", "the same write twice"),
            (None, None) => {
                part.task = Some(task.uid);
                self.nodes[n].open.insert(task.uid, uid);
                self.touch_ticket(uid);
                self.todo.insert(Todo::Settle(uid));
                self.todo.insert(Todo::Judge(uid));
            }
            (None, Some(_)) => self.part_deviates(n, uid, "audit_late", "a write that had been given up"),
        }
        let overtaken = self.overtaken(n, uid, &index, &shards);
        if !overtaken.is_empty() {
            self.report_disorder(n, uid, &overtaken);
            self.shards_deviate(n, uid, &overtaken, "audit_order", "a later write to the same shard came before it");
        }
        true
    }

    /// A node has enqueued a ticket. Returns the shards in which it had enqueued a later one before.
    pub(crate) fn overtaken(&mut self, n: N, uid: u32, index: &str, shards: &[u32]) -> Vec<u32> {
        let count = self.config.shards as usize;
        let order = self.nodes[n].order.entry(index.to_owned()).or_insert_with(|| vec![0; count]);
        let mut overtaken = Vec::new();
        for shard in shards {
            let Some(newest) = order.get_mut(*shard as usize) else { continue };
            if newest.checked_sub(1).is_some_and(|newest| is_overtaken(newest, uid)) {
                overtaken.push(*shard);
            }
            *newest = (*newest).max(uid.saturating_add(1));
        }
        overtaken
    }

    /// A filter may have named this uid for a part; if the task is another one, that part was never enqueued.
    fn check_claimed(&mut self, n: N, task: &NodeTask) {
        let Some(uid) = self.nodes[n].open.get(&task.uid).copied() else { return };
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let expected = self.metadata(ticket.row.term, uid);
        if matches!(ticket.row.work, TicketWork::Write(_) | TicketWork::Page(_))
            && task.metadata.as_deref() != Some(expected.as_str())
        {
            self.nodes[n].open.remove(&task.uid);
            let claimed = task.uid;
            self.end_parts(uid, n, |part| (part.task == Some(claimed)).then_some(PartEnd::Lost));
        }
    }

    /// A part that should not be there: its shards on that node deviate.
    fn part_deviates(&mut self, n: N, uid: u32, kind: &'static str, why: &str) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let id = &self.nodes[n].row.id;
        let shards = ticket.row.parts.iter().filter(|part| part.node == *id).flat_map(|part| part.shards.clone());
        let shards: Vec<u32> = shards.collect();
        self.shards_deviate(n, uid, &shards, kind, why);
    }

    fn shards_deviate(&mut self, n: N, uid: u32, shards: &[u32], kind: &'static str, why: &str) {
        if self.planted.audit_off {
            return;
        }
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let placement = self.placement_of(&ticket.row);
        self.alert(kind, Some(n), format!("ticket {uid}: {why}"));
        for shard in shards {
            if !self.shard_copies(placement, *shard).iter().any(|copy| copy.node == n) {
                // Its copy has been deleted: nobody looks for what is left there now.
                self.nodes[n].row.leftovers = true;
                self.mend_indexes(n);
            }
            self.mark_stale(placement, *shard, n, why);
        }
    }

    fn deviates(&mut self, n: N, kind: &'static str, why: &str) {
        if self.planted.audit_off {
            return;
        }
        self.alert(kind, Some(n), why.to_owned());
        self.mark_all_stale(n, why);
        // Whoever it was may have touched indexes, or left documents of shards of which the node has no copy.
        (self.nodes[n].row.drifted, self.nodes[n].row.leftovers) = (true, true);
    }

    /// The state of a known task. Returns whether it ended.
    fn see_status(&mut self, n: N, task: &NodeTask) -> bool {
        let Some(uid) = self.nodes[n].open.get(&task.uid).copied() else { return false };
        if !task.status.is_over() {
            if task.status == TaskStatus::Processing {
                self.see_start(uid, task);
            }
            return false;
        }
        if self.is_doubtful(n, uid, task) {
            return false;
        }
        self.nodes[n].open.remove(&task.uid);
        let end = match task.status {
            TaskStatus::Canceled => PartEnd::Canceled,
            TaskStatus::Failed => PartEnd::Failed { error: task.error.clone() },
            _ => PartEnd::Succeeded { indexed: task.indexed, deleted: task.deleted },
        };
        self.see_times(uid, task);
        let end = self.checked_end(n, uid, task, end);
        self.end_parts(uid, n, |part| (part.task == Some(task.uid)).then(|| end.clone()));
        true
    }

    /// A success that reports nothing was absorbed by a later clear or by the deletion of its index, or did nothing. Either
    /// may have come while the list was being read: only a read that starts later tells.
    fn is_doubtful(&mut self, n: N, uid: u32, task: &NodeTask) -> bool {
        let adds = task.task_type == DOCUMENTS[0];
        let nothing = match task.indexed {
            None => true,
            Some(count) => count == 0 && self.may_be_dropped(n, uid),
        };
        if !adds || task.status != TaskStatus::Succeeded || !nothing || self.is_nothing_absorbed(n, uid, task) {
            return false;
        }
        let node = &mut self.nodes[n];
        let stamp = node.reading.map_or(0, |reading| reading.stamp);
        let since = *node.doubtful.entry(task.uid).or_insert(stamp);
        if since < stamp {
            node.doubtful.remove(&task.uid);
        }
        since >= stamp
    }

    /// `cluster.term.uid`, of this cluster.
    pub(crate) fn parse_metadata(&self, text: &str) -> Option<(u64, u32)> {
        let mut fields = text.strip_prefix(self.config.cluster.as_str())?.strip_prefix('.')?.splitn(2, '.');
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    }

    /// What a ticket's requests carry as `customMetadata`.
    pub(crate) fn metadata(&self, term: u64, uid: u32) -> String {
        format!("{}.{term}.{uid}", self.config.cluster)
    }
}
