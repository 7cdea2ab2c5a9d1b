//! Cancelation of tasks, and tasks that the shell carries out itself.

use serde_json::json;

use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, N, Op, Reach};

impl Sequencer {
    /// A cancelation is a task of its own: what has not been sent is canceled here, the rest by the nodes, and what
    /// came of it is OUTCOME's to say (F12).
    pub(crate) fn on_cancel(&mut self, request: RequestId, tasks: Vec<u32>, original_filter: String) {
        let uid = self.next_uid();
        let work = CancelWork { targets: tasks.clone(), original_filter, canceled: 0 };
        let mut ticket = self.new_ticket(uid, TicketWork::Cancel(work));
        ticket.live = Live::Granted;
        ticket.row.stage = Stage::Granted;
        let task = TaskRow {
            uid,
            index: None,
            indexes: Vec::new(),
            task_type: "taskCancelation".to_owned(),
            status: TaskStatus::Enqueued,
            canceled_by: None,
            details: cancel_details(&ticket.row),
            error: None,
            custom_metadata: None,
            enqueued_ms: self.now,
            started_ms: None,
            finished_ms: None,
        };
        ticket.row.task = Some(task.clone());
        self.tickets.insert(uid, ticket);
        self.cancelations.insert(uid);
        self.touch_ticket(uid);
        self.out.extra.push(Record::Task(Box::new(task.clone())));
        self.emit(Effect::Accepted { request, task: Box::new(task) });
        for target in tasks {
            self.cancel_target(uid, target);
        }
        self.finish_cancelation(uid);
    }

    fn cancel_target(&mut self, by: u32, target: u32) {
        let Some(ticket) = self.tickets.get_mut(&target) else { return };
        if ticket.row.task.as_ref().is_none_or(|task| task.status.is_over()) {
            return;
        }
        ticket.row.canceler = Some(by);
        let queued = ticket.live == Live::Queued && ticket.row.stage == Stage::Queued && ticket.ops.is_empty();
        let can_be_stopped = can_be_stopped(&ticket.row.work);
        self.touch_ticket(target);
        if queued {
            self.conclude_index(target, TaskStatus::Canceled, None);
        } else if can_be_stopped {
            let ops = self.send_cancels(target, by);
            if let Some(cancelation) = self.tickets.get_mut(&by) {
                cancelation.ops.extend(ops);
            }
        }
    }

    /// Asks nodes to cancel the parts of a ticket that are still open.
    pub(crate) fn cancel_parts(&mut self, uid: u32) {
        drop(self.send_cancels(uid, uid));
    }

    fn send_cancels(&mut self, target: u32, by: u32) -> Vec<OpId> {
        let Some(ticket) = self.tickets.get(&target) else { return Vec::new() };
        let here = |part: &PartRow| {
            let n = self.node_at(&part.node)?;
            let node = &self.nodes[n];
            Some((n, part.task?)).filter(|_| part.is_open_on(&node.row) && node.reach == Reach::Up)
        };
        let open: Vec<(N, u32)> = ticket.row.parts.iter().filter_map(here).collect();
        let mut ops = Vec::new();
        for (n, task) in open {
            let op = self.op(Op::Cancel(by));
            ops.push(op);
            let key = self.nodes[n].keys.as_ref().and_then(|keys| keys.admin.clone());
            let node = self.nodes[n].row.id.clone();
            let action = NodeAction::Cancel { key, uids: vec![task] };
            self.emit(Effect::Node { op, node, action, timeout_ms: self.config.timing.mutate });
            self.expect_news(n);
        }
        ops
    }

    pub(crate) fn cancel_answered(&mut self, ticket: u32, op: OpId) {
        if let Some(cancelation) = self.tickets.get_mut(&ticket) {
            cancelation.ops.remove(&op);
            self.finish_cancelation(ticket);
        }
    }

    /// A task has its final state: cancelations that were aimed at it may be over.
    pub(crate) fn cancel_progress(&mut self, target: u32) {
        let Some(ticket) = self.tickets.get(&target) else { return };
        let Some(by) = ticket.row.canceler else { return };
        let canceled = ticket.row.task.as_ref().is_some_and(|task| task.status == TaskStatus::Canceled);
        if let Some(TicketWork::Cancel(work)) = self.tickets.get_mut(&by).map(|ticket| &mut ticket.row.work) {
            work.canceled += u64::from(canceled);
            self.touch_ticket(by);
        }
        // Several may have been aimed at it, and the last one counts it.
        for uid in self.cancelations.clone() {
            self.finish_cancelation(uid);
        }
    }

    pub(crate) fn finish_cancelation(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Cancel(work) = &ticket.row.work else { return };
        let open = |target: &u32| {
            let task = self.tickets.get(target).and_then(|ticket| ticket.row.task.as_ref());
            task.is_some_and(|task| !task.status.is_over())
        };
        if !ticket.ops.is_empty() || work.targets.iter().any(open) {
            return;
        }
        let (details, now) = (cancel_details(&ticket.row), self.now);
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        if let Some(task) = ticket.row.task.as_mut() {
            task.status = TaskStatus::Succeeded;
            task.details = details;
            (task.started_ms, task.finished_ms) = (Some(now), Some(now));
            self.out.extra.push(Record::Task(Box::new(task.clone())));
        }
        self.cancelations.remove(&uid);
        self.emit(Effect::TaskChanged { uid, status: TaskStatus::Succeeded });
        self.drop_ticket(uid);
    }

    /// Uid of the cancelation that was aimed at a ticket.
    pub(crate) fn canceler(&self, uid: u32) -> Option<u32> {
        self.tickets.get(&uid)?.row.canceler
    }

    /// A task that the shell carries out.
    pub(crate) fn on_recorded(&mut self, request: RequestId, mut task: TaskRow, known: bool) {
        if !known {
            task.uid = self.next_uid();
        }
        for time in
            [Some(&mut task.enqueued_ms), task.started_ms.as_mut(), task.finished_ms.as_mut()].into_iter().flatten()
        {
            if *time == 0 {
                *time = self.now;
            }
        }
        self.out.extra.push(Record::Task(Box::new(task.clone())));
        self.emit(Effect::TaskChanged { uid: task.uid, status: task.status });
        self.emit(Effect::Accepted { request, task: Box::new(task) });
    }
}

/// Whether nodes may be asked not to do what they have been told. Whatever came after the making, deletion, renaming or
/// swap of an index rests on it, and each of these takes a node no time.
fn can_be_stopped(work: &TicketWork) -> bool {
    match work {
        TicketWork::Index(work) => {
            matches!(work.operation, IndexOperation::Settings { .. } | IndexOperation::Compact { .. })
        }
        _ => true,
    }
}

fn cancel_details(row: &TicketRow) -> Option<serde_json::Value> {
    let TicketWork::Cancel(work) = &row.work else { return None };
    Some(json!({
        "matchedTasks": work.targets.len(),
        "canceledTasks": work.canceled,
        "originalFilter": work.original_filter,
    }))
}
