//! How operations on indexes end: applied to the rows once every node in contact has them in its queue, judged by
//! comparing nodes, verified by reading back.

use std::collections::BTreeMap;

use serde_json::json;

use miroir_core::error::{ErrorBody, ErrorType};

use crate::Sequencer;
use crate::api::*;
use crate::index_ops::uids_of;
use crate::outcome::first_error;
use crate::state::{Live, N, Op};

impl Sequencer {
    pub(crate) fn judge_index(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Index(work) = &ticket.row.work else { return };
        let swap = !work.operation.swaps().is_empty();
        match ticket.live {
            Live::Granted if self.is_sent(uid) => {
                self.mark_decided(uid);
                if !swap {
                    self.apply(uid);
                    self.release(uid);
                }
                self.judge_sent(uid);
            }
            Live::Decided if ticket.ops.is_empty() => self.judge_sent(uid),
            Live::Over => {
                self.judge_returned(uid);
                self.forget(uid);
            }
            _ => {}
        }
    }

    fn mark_decided(&mut self, uid: u32) {
        if let Some(ticket) = self.tickets.get_mut(&uid) {
            ticket.live = Live::Decided;
            ticket.row.stage = Stage::Decided;
            self.touch_ticket(uid);
        }
    }

    /// Nodes whose steps have all ended, with whether all went well; none for one in contact that is not done.
    fn ends(&self, uid: u32) -> Option<BTreeMap<N, bool>> {
        let ticket = self.tickets.get(&uid)?;
        let TicketWork::Index(work) = &ticket.row.work else { return None };
        let plan = work.plan.as_ref()?;
        let mut ends = BTreeMap::new();
        for part in &ticket.row.parts {
            let Some(n) = self.node_at(&part.node) else { continue };
            let row = &self.nodes[n].row;
            if row.incarnation != part.incarnation || row.rebuild {
                continue;
            }
            let tolerated = |error: &Option<ErrorBody>| {
                let step = part.shards.first().and_then(|step| plan.steps.get(*step as usize));
                error.as_ref().is_some_and(|error| step.is_some_and(|step| step.tolerate.contains(&error.code)))
            };
            let good = match &part.end {
                Some(PartEnd::Succeeded { .. }) => true,
                Some(PartEnd::Failed { error }) => tolerated(error),
                Some(_) => false,
                None if row.away => continue,
                None => return None,
            };
            *ends.entry(n).or_insert(true) &= good;
        }
        Some(ends)
    }

    fn judge_sent(&mut self, uid: u32) {
        let Some(ends) = self.ends(uid).filter(|ends| !ends.is_empty()) else { return };
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Index(work) = &ticket.row.work else { return };
        let (operation, moved) = (work.operation.clone(), work.moved);
        let good: Vec<N> = ends.iter().filter(|(_, good)| **good).map(|(n, _)| *n).collect();
        if good.is_empty() {
            let canceled = ticket.row.parts.iter().any(|part| part.end == Some(PartEnd::Canceled));
            let error = (!canceled).then(|| first_error(&ticket.row, "The operation failed on every node."));
            self.revert(uid);
            let status = if canceled { TaskStatus::Canceled } else { TaskStatus::Failed };
            return self.conclude_index(uid, status, error);
        }
        if let Some(error) = self.documents_object(uid, &operation, &ends) {
            self.revert(uid);
            good.iter().for_each(|n| self.mend_indexes(*n));
            return self.conclude_index(uid, TaskStatus::Failed, Some(error));
        }
        for (n, _) in ends.iter().filter(|(_, good)| !**good) {
            for index in uids_of(&operation) {
                self.exclude(&index, *n, &format!("did not do what another node did of task {uid}"));
            }
        }
        let swap = !operation.swaps().is_empty();
        if swap && !moved {
            self.apply(uid);
            self.release(uid);
            if let Some(ticket) = self.tickets.get_mut(&uid) {
                // So far they had to know that it was coming.
                ticket.row.epoch = 0;
            }
        }
        // Filters must know the index as it is now, and that a node that is away is not read for it any more (F7).
        let epoch = self.meta.epoch;
        if let Some(ticket) = self.tickets.get_mut(&uid).filter(|ticket| ticket.row.epoch == 0) {
            ticket.row.epoch = epoch;
        }
        if !self.is_adopted(uid) {
            return self.wait_for_adoption(uid);
        }
        let verified = self.tickets.get(&uid).is_some_and(|ticket| ticket.verified);
        if swap || verified || !self.verify(uid, &operation, &good) {
            self.conclude_index(uid, TaskStatus::Succeeded, None);
        }
    }

    /// Settings can be at odds with documents (an embedder with a document without vectors). One engine refuses them for
    /// all; here the nodes that hold none of those documents do not, and have to give the settings back.
    fn documents_object(&self, uid: u32, operation: &IndexOperation, ends: &BTreeMap<N, bool>) -> Option<ErrorBody> {
        let ticket = self.tickets.get(&uid).filter(|_| matches!(operation, IndexOperation::Settings { .. }))?;
        let objects =
            |error: &&ErrorBody| error.error_type == ErrorType::InvalidRequest && error.code != "index_not_found";
        let refused = ticket
            .row
            .parts
            .iter()
            .filter(|part| self.node_at(&part.node).is_some_and(|n| ends.get(&n) == Some(&false)));
        let mut errors = refused.filter_map(|part| match &part.end {
            Some(PartEnd::Failed { error }) => error.as_ref().filter(objects),
            _ => None,
        });
        let mut error = errors.next()?.clone();
        error.message = miroir_core::search::scrub_message(&error.message);
        Some(error)
    }

    /// A node that was away when the operation ended has taken it now: it must have done the same.
    fn judge_returned(&mut self, uid: u32) {
        let Some(ends) = self.ends(uid) else { return };
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Index(work) = &ticket.row.work else { return };
        let succeeded = ticket.row.task.as_ref().is_some_and(|task| task.status == TaskStatus::Succeeded);
        let uids = uids_of(&work.operation);
        let settings = matches!(work.operation, IndexOperation::Settings { .. });
        for (n, good) in ends.iter().filter(|(_, good)| **good != succeeded) {
            if *good && settings {
                self.mend_indexes(*n);
                continue;
            }
            for index in &uids {
                if self.indexes.contains_key(index) {
                    self.exclude(index, *n, &format!("did not do what other nodes did of task {uid}"));
                }
            }
        }
    }

    /// Asks for a read-back; false if a later operation on the index makes it void.
    fn verify(&mut self, uid: u32, operation: &IndexOperation, nodes: &[N]) -> bool {
        let uids = uids_of(operation);
        let Some(index) = uids.first().cloned() else { return false };
        let later = self.tickets.values().any(|other| match &other.row.work {
            TicketWork::Index(work) => {
                other.row.uid > uid
                    && !matches!(other.live, Live::Queued | Live::Over)
                    && uids_of(&work.operation).contains(&index)
            }
            _ => false,
        });
        if later {
            return false;
        }
        let op = self.op(Op::Verify(uid));
        let expected = self.indexes.get(&index).cloned().map(Box::new);
        let nodes = nodes.iter().map(|n| self.nodes[*n].row.id.clone()).collect();
        if let Some(ticket) = self.tickets.get_mut(&uid) {
            ticket.ops.insert(op);
        }
        self.emit(Effect::Verify { op, expected, index, nodes });
        true
    }

    pub(crate) fn on_verified(&mut self, op: OpId, differing: &[NodeId]) {
        let Some(Op::Verify(uid)) = self.ops.remove(&op) else { return };
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        ticket.ops.remove(&op);
        ticket.verified = true;
        let TicketWork::Index(work) = &ticket.row.work else { return };
        let uids = uids_of(&work.operation);
        // What a later operation has changed meanwhile is that one's to verify.
        let later = self.tickets.values().any(|other| match &other.row.work {
            TicketWork::Index(work) => {
                other.row.uid > uid
                    && other.live != Live::Queued
                    && uids_of(&work.operation).iter().any(|index| uids.contains(index))
            }
            _ => false,
        });
        for n in differing.iter().filter_map(|id| self.node_at(id)).filter(|_| !later).collect::<Vec<_>>() {
            for index in &uids {
                self.exclude(index, n, "differs from what it must be");
            }
        }
        self.conclude_index(uid, TaskStatus::Succeeded, None);
    }

    /// Changes the rows: from here on tickets and filters see the operation's result.
    fn apply(&mut self, uid: u32) {
        let now = self.now;
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Index(work) = &ticket.row.work else { return };
        let (operation, plan) = (work.operation.clone(), work.plan.clone());
        let (settings, view) = plan.map_or((None, None), |plan| (plan.settings, plan.view));
        match &operation {
            IndexOperation::Create { uid: index, primary_key } => {
                let row = new_row(index, u64::from(uid), primary_key.clone(), settings, view, now);
                self.indexes.insert(index.clone(), row);
            }
            IndexOperation::Settings { uid: index, .. } | IndexOperation::Update { uid: index, .. } => {
                let row = self.indexes.entry(index.clone());
                let row = row.or_insert_with(|| new_row(index, u64::from(uid), None, None, None, now));
                if let IndexOperation::Update { primary_key: Some(key), .. } = &operation {
                    (row.primary_key, row.provisional) = (Some(key.clone()), false);
                }
                row.settings = settings.unwrap_or_else(|| row.settings.clone());
                row.view = view.unwrap_or_else(|| row.view.clone());
                row.updated_ms = now;
            }
            IndexOperation::Delete { uid: index } => {
                self.indexes.remove(index);
                self.key_users.remove(index);
            }
            IndexOperation::Swap { .. } | IndexOperation::Compact { .. } => {}
        }
        let swaps = operation.swaps();
        if !swaps.is_empty() {
            self.swap_rows(uid, &swaps);
            if let Some(TicketWork::Index(work)) = self.tickets.get_mut(&uid).map(|ticket| &mut ticket.row.work) {
                work.moved = true;
            }
            self.touch_ticket(uid);
        }
        self.syncs.index_changes += 1;
        self.match_all_indexes();
        let stays = !matches!(operation, IndexOperation::Create { .. } | IndexOperation::Delete { .. });
        if !stays || !swaps.is_empty() {
            self.forget_missed(&uids_of(&operation));
        }
        for index in uids_of(&operation) {
            self.out.indexes.insert(index.clone());
            self.readmit_parked(&index);
        }
        self.touch_map();
    }

    /// Gives the task its final state and lets go of what the ticket still holds.
    pub(crate) fn conclude_index(&mut self, uid: u32, status: TaskStatus, error: Option<ErrorBody>) {
        let now = self.now;
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Index(work) = &ticket.row.work else { return };
        let (operation, silent) = (work.operation.clone(), work.silent);
        let planned = work.plan.as_ref().and_then(|plan| plan.details.clone());
        let deleted = matches!(operation, IndexOperation::Delete { .. })
            .then(|| json!({ "deletedDocuments": self.dropped(uid) }));
        if !operation.swaps().is_empty() {
            for index in uids_of(&operation) {
                self.set_swapping(&index, false);
            }
        }
        let canceler = self.canceler(uid);
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        if let Some(task) = ticket.row.task.as_mut() {
            task.status = status;
            task.error = error;
            task.canceled_by = canceler.filter(|_| status == TaskStatus::Canceled);
            task.details = planned.or(deleted).or_else(|| task.details.take());
            task.started_ms = task.started_ms.or(Some(now));
            task.finished_ms = Some(now.max(task.started_ms.unwrap_or(now)));
            if !silent {
                self.out.extra.push(Record::Task(Box::new(task.clone())));
            }
        }
        if !silent {
            self.emit(Effect::TaskChanged { uid, status });
        }
        self.release(uid);
        self.cancel_progress(uid);
        self.over(uid);
    }

    /// Documents that went with an index, counted once each.
    fn dropped(&self, uid: u32) -> u64 {
        let Some(ticket) = self.tickets.get(&uid) else { return 0 };
        let mut held: Vec<(N, Vec<u32>, u64)> = Vec::new();
        for part in &ticket.row.parts {
            let (Some(PartEnd::Succeeded { deleted, .. }), Some(n)) = (&part.end, self.node_at(&part.node)) else {
                continue;
            };
            let holds = |shard: &u32| self.shard_copies(0, *shard).iter().any(|copy| copy.node == n);
            held.push((n, (0..self.config.shards).filter(holds).collect(), deleted.unwrap_or(0)));
        }
        let parts: Vec<(N, &[u32], u64)> =
            held.iter().map(|(n, shards, deleted)| (*n, shards.as_slice(), *deleted)).collect();
        Self::deleted_once(&parts, self.config.shards as usize)
    }
}

fn new_row(
    uid: &str,
    incarnation: u64,
    primary_key: Option<String>,
    settings: Option<serde_json::Value>,
    view: Option<miroir_core::shardmap::SearchView>,
    now: u64,
) -> IndexRow {
    IndexRow {
        uid: uid.to_owned(),
        incarnation,
        placement: 0,
        primary_key,
        provisional: false,
        swapping: false,
        settings: settings.unwrap_or(serde_json::Value::Null),
        view: view.unwrap_or_default(),
        created_ms: now,
        updated_ms: now,
    }
}
