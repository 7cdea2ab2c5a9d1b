//! Operations on whole indexes: tickets on all shards of the indexes that they name, sent by the leader alone (F13).
//! This file takes them from arrival to the nodes; [`crate::index_ends`] judges them.

use serde_json::{Value, json};

use miroir_core::error::ErrorBody;

use crate::Sequencer;
use crate::api::*;
use crate::grant::index_not_found;
use crate::state::{Live, Op, Reach, Timer, Todo};
use crate::swap::names_of;

/// How often an operation looks whether what it waits for has come (empty queues, adoption), in milliseconds.
pub(crate) const LOOK_AGAIN: u64 = 20;

impl Sequencer {
    /// Queues an operation; without `request` it is the creation that goes ahead of a first write.
    pub(crate) fn on_index_operation(
        &mut self,
        request: Option<RequestId>,
        operation: IndexOperation,
        custom_metadata: Option<String>,
    ) {
        let uid = self.next_uid();
        let uids = uids_of(&operation);
        let all: Vec<u32> = (0..self.config.shards).collect();
        let task = TaskRow {
            uid,
            index: match &operation {
                IndexOperation::Swap { .. } => None,
                _ => uids.first().cloned(),
            },
            indexes: uids.clone(),
            task_type: task_type(&operation).to_owned(),
            status: TaskStatus::Enqueued,
            canceled_by: None,
            details: Some(details_of(&operation)),
            error: None,
            custom_metadata,
            enqueued_ms: self.now,
            started_ms: None,
            finished_ms: None,
        };
        let silent = request.is_none();
        let work = IndexWork { operation, plan: None, before: Vec::new(), silent, moved: false };
        let mut ticket = self.new_ticket(uid, TicketWork::Index(Box::new(work)));
        ticket.row.task = Some(task.clone());
        ticket.locks = uids.into_iter().map(|uid| (uid, all.clone())).collect();
        if self.locks.enter(uid, &ticket.locks) {
            self.todo.insert(Todo::Grant(uid));
        }
        self.tickets.insert(uid, ticket);
        self.touch_ticket(uid);
        if let Some(request) = request {
            self.out.extra.push(Record::Task(Box::new(task.clone())));
            self.emit(Effect::Accepted { request, task: Box::new(task) });
        }
    }

    /// Whether the creation of an index is on its way.
    pub(crate) fn is_creating(&self, uid: &str) -> bool {
        self.tickets.values().any(|ticket| match &ticket.row.work {
            TicketWork::Index(work) => {
                matches!(ticket.live, Live::Queued | Live::Granted)
                    && matches!(&work.operation, IndexOperation::Create { uid: creating, .. } if creating == uid)
            }
            _ => false,
        })
    }

    /// The locks are held: what does it mean now?
    pub(crate) fn start_index_ticket(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Index(work) = &ticket.row.work else { return };
        if !ticket.ops.is_empty() {
            return;
        }
        let (operation, silent) = (work.operation.clone(), work.silent);
        let exists = |uid: &String| self.indexes.contains_key(uid);
        let refusal = match &operation {
            IndexOperation::Create { uid: index, .. } if exists(index) => {
                if silent {
                    return self.conclude_index(uid, TaskStatus::Succeeded, None);
                }
                Some(ErrorBody::new("index_already_exists", format!("Index `{index}` already exists.")))
            }
            IndexOperation::Update { uid: index, .. }
            | IndexOperation::Delete { uid: index }
            | IndexOperation::Compact { uid: index }
                if !exists(index) =>
            {
                Some(index_not_found(index))
            }
            IndexOperation::Settings { uid: index, may_create: false, .. } if !exists(index) => {
                Some(index_not_found(index))
            }
            IndexOperation::Update { new_uid: Some(new), uid: index, .. } if new != index && exists(new) => {
                Some(ErrorBody::new("index_already_exists", format!("Index `{new}` already exists.")))
            }
            IndexOperation::Swap { swaps } => self.swap_refusal(swaps),
            _ => None,
        };
        if let Some(error) = refusal {
            return self.conclude_index(uid, TaskStatus::Failed, Some(error));
        }
        let swaps = operation.swaps();
        if !swaps.is_empty() && !self.is_ready_to_swap(uid, &swaps) {
            return self.at(self.now + LOOK_AGAIN, Timer::Ticket(uid));
        }
        // Another primary key is taken by an empty index only, and whether it is empty shows once the nodes have
        // carried out what came before.
        if self.changes_key(&operation) && self.has_open_work(uid, &uids_of(&operation)) {
            return self.at(self.now + LOOK_AGAIN, Timer::Ticket(uid));
        }
        let current = uids_of(&operation).first().and_then(|uid| self.indexes.get(uid)).cloned().map(Box::new);
        let op = self.op(Op::Plan(uid));
        if let Some(ticket) = self.tickets.get_mut(&uid) {
            ticket.ops.insert(op);
        }
        self.emit(Effect::Plan { op, operation, current });
    }

    /// Whether the operation gives an index another primary key than it has.
    fn changes_key(&self, operation: &IndexOperation) -> bool {
        let IndexOperation::Update { uid, primary_key: Some(wanted), .. } = operation else { return false };
        self.indexes.get(uid).and_then(|row| row.primary_key.as_ref()).is_some_and(|known| known != wanted)
    }

    /// Whether nodes still carry out tasks of other tickets on these indexes.
    pub(crate) fn has_open_work(&self, uid: u32, indexes: &[String]) -> bool {
        self.tickets.values().any(|other| match &other.row.work {
            TicketWork::Write(work) => indexes.contains(&work.index) && other.live == Live::Decided && !other.adopting,
            TicketWork::Index(work) => {
                other.row.uid != uid
                    && other.live == Live::Decided
                    && uids_of(&work.operation).iter().any(|index| indexes.contains(index))
            }
            TicketWork::Cancel(_) | TicketWork::Page(_) | TicketWork::Reconcile(_) => false,
        })
    }

    /// The caller has said what it means: into every journal it goes.
    pub(crate) fn on_planned(&mut self, op: OpId, plan: Result<IndexPlan, ErrorBody>) {
        let Some(Op::Plan(uid)) = self.ops.remove(&op) else { return };
        let plan = match plan {
            Ok(plan) => plan,
            Err(error) => return self.conclude_index(uid, TaskStatus::Failed, Some(error)),
        };
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Index(work) = &ticket.row.work else { return };
        let uids = uids_of(&work.operation);
        let before: Vec<IndexRow> = uids.iter().filter_map(|uid| self.indexes.get(uid)).cloned().collect();
        let mut parts = Vec::new();
        for n in 0..self.nodes.len() {
            parts.extend(self.plan_for_away_disks(n, uid, &plan.steps));
            if self.nodes[n].row.rebuild || !self.is_member(n) {
                continue;
            }
            for (step, request) in (0u32..).zip(&plan.steps) {
                parts.push(self.new_part(n, vec![step]));
                let node = self.nodes[n].row.id.clone();
                let (order, request, state) = (self.journal_order, request.clone(), JournalState::Waiting);
                let entry = JournalRow { node, ticket: uid, step, order, request, state };
                self.journal_order += 1;
                self.out.extra.push(Record::Journal(entry.clone()));
                self.nodes[n].journal.push_back(entry);
            }
            self.nodes[n].parts.insert(uid);
            self.todo.insert(Todo::Node(n));
        }
        let now = self.now;
        self.sync_index_granted(uid, &uids);
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        ticket.ops.remove(&op);
        ticket.row.parts = parts;
        ticket.row.stage = Stage::Granted;
        ticket.live = Live::Granted;
        let silent = matches!(&ticket.row.work, TicketWork::Index(work) if work.silent);
        if let Some(task) = ticket.row.task.as_mut() {
            task.status = TaskStatus::Processing;
            task.started_ms = Some(now);
            if !silent {
                self.out.extra.push(Record::Task(Box::new(task.clone())));
                self.out.effects.push(Effect::TaskChanged { uid, status: TaskStatus::Processing });
            }
        }
        if let TicketWork::Index(work) = &mut ticket.row.work {
            (work.plan, work.before) = (Some(plan), before);
        }
        self.touch_ticket(uid);
        self.todo.insert(Todo::Judge(uid));
    }

    /// Whether every node in contact has taken all steps, and some node has.
    pub(crate) fn is_sent(&self, uid: u32) -> bool {
        let waits = |node: &crate::state::Node| node.journal.iter().any(|entry| entry.ticket == uid);
        let up = |node: &&crate::state::Node| !matches!(node.reach, Reach::Down(_)) && !node.row.rebuild;
        let nodes: Vec<_> = self.nodes.iter().filter(up).collect();
        // A node that is being taken back takes it before it takes part in anything.
        let returning = |node: &&&crate::state::Node| node.reach != Reach::Up && !node.starting;
        let mut present = nodes.iter().filter(|node| !returning(node)).peekable();
        present.peek().is_some() && present.all(|node| !waits(node))
    }
}

/// Index uids of an operation.
pub(crate) fn uids_of(operation: &IndexOperation) -> Vec<String> {
    match operation {
        IndexOperation::Create { uid, .. }
        | IndexOperation::Update { uid, .. }
        | IndexOperation::Delete { uid }
        | IndexOperation::Compact { uid }
        | IndexOperation::Settings { uid, .. } => {
            let new = operation.swaps().into_iter().map(|swap| swap.indexes.1);
            [uid.clone()].into_iter().chain(new).collect()
        }
        IndexOperation::Swap { swaps } => names_of(swaps),
    }
}

fn task_type(operation: &IndexOperation) -> &'static str {
    match operation {
        IndexOperation::Create { .. } => "indexCreation",
        IndexOperation::Update { .. } => "indexUpdate",
        IndexOperation::Delete { .. } => "indexDeletion",
        IndexOperation::Compact { .. } => "indexCompaction",
        IndexOperation::Swap { .. } => "indexSwap",
        IndexOperation::Settings { .. } => "settingsUpdate",
    }
}

fn details_of(operation: &IndexOperation) -> Value {
    match operation {
        IndexOperation::Update { uid, primary_key, new_uid: Some(new) } => {
            json!({ "primaryKey": primary_key, "oldIndexUid": uid, "newIndexUid": new })
        }
        IndexOperation::Create { primary_key, .. } | IndexOperation::Update { primary_key, .. } => {
            json!({ "primaryKey": primary_key })
        }
        IndexOperation::Delete { .. } => json!({ "deletedDocuments": null }),
        // Sizes are those of a node's own files.
        IndexOperation::Compact { .. } => json!({}),
        IndexOperation::Swap { swaps } => json!({ "swaps": swaps }),
        IndexOperation::Settings { details, .. } => details.clone(),
    }
}
