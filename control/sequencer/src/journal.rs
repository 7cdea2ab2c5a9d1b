//! Index operations reach nodes through a journal per node: in order, one at a time, each with a durable note before it
//! is sent, and never sent again before a fence has shown that it is not there (F13). A node that was away takes what it
//! missed from the same journal before it takes part in writes again.

use crate::Sequencer;
use crate::api::*;
use crate::state::{Join, N, Op, Reach, Todo};

impl Sequencer {
    /// Sends the first entry of a node's journal, if it can be sent.
    pub(crate) fn pump_journal(&mut self, n: N) {
        let timeout_ms = self.config.timing.mutate;
        let node = &mut self.nodes[n];
        let in_contact = matches!(node.reach, Reach::Up | Reach::Joining(Join::Replay));
        let Some(keys) = node.keys.as_ref().filter(|_| in_contact && node.fence.is_none() && node.journal_op.is_none())
        else {
            return;
        };
        let key = keys.admin.clone();
        let newest = node.open.keys().next_back().map_or(0, |uid| uid + 1);
        let floor = node.row.floor.max(newest);
        let id = node.row.id.clone();
        let Some(entry) = node.journal.front_mut() else { return };
        if entry.state != JournalState::Waiting {
            // Sent before, outcome unknown: only a fence can tell (`journal_after_fence`).
            let above = node.live;
            return self.request_fence(n, above);
        }
        entry.state = JournalState::Sent { floor };
        let (step, ticket, position) = (entry.request.clone(), entry.ticket, entry.step);
        self.out.extra.push(Record::Journal(entry.clone()));
        // From now on its creation time may change; the next inspection learns it anew.
        let uids = match self.tickets.get(&ticket).map(|ticket| &ticket.row.work) {
            Some(TicketWork::Index(work)) => crate::index_ops::uids_of(&work.operation),
            _ => step.task_index.iter().cloned().collect(),
        };
        self.nodes[n].row.witness.indexes.retain(|(uid, _)| !uids.contains(uid));
        self.out.nodes.insert(n);
        let op = self.op(Op::Step { node: n, ticket, step: position });
        self.nodes[n].journal_op = Some(op);
        self.emit(Effect::Node { op, node: id, action: NodeAction::Request { key, step }, timeout_ms });
    }

    pub(crate) fn step_answered(
        &mut self,
        n: N,
        op: OpId,
        ticket: u32,
        step: u32,
        result: Result<NodeAnswer, NodeFault>,
    ) {
        if let Some((_, task)) = self.nodes[n].taken_for.take_if(|(asked, _)| *asked == op) {
            let confirmed = matches!(&result, Ok(NodeAnswer::Enqueued { uid, .. }) if *uid == task);
            return self.end_doubt(n, confirmed);
        }
        if self.nodes[n].journal_op != Some(op) {
            return;
        }
        self.nodes[n].journal_op = None;
        let first = self.nodes[n].journal.front();
        if first.is_none_or(|entry| entry.ticket != ticket || entry.step != step) {
            // The task list told first.
            self.todo.insert(Todo::Node(n));
            return;
        }
        match result {
            Ok(NodeAnswer::Enqueued { uid, enqueued_at }) => {
                self.nodes[n].accepted.insert(uid, enqueued_at);
                self.step_taken(n, uid);
            }
            Ok(NodeAnswer::Refused { status, error })
                if (400..500).contains(&status) && status != 401 && status != 403 =>
            {
                self.step_over(n, None, Some(PartEnd::Failed { error }));
            }
            Ok(NodeAnswer::Refused { status, .. }) if status == 401 || status == 403 => {
                // Its key was refused, so it did nothing; a new one is needed.
                self.set_waiting(n);
                let above = self.nodes[n].live;
                if self.nodes[n].reach == Reach::Up {
                    self.request_fence(n, above);
                } else {
                    self.lose(n, "it has lost the keys that it was just given");
                }
            }
            Err(NodeFault::NotSent) => {
                self.set_waiting(n);
                self.lose(n, "an index operation could not be sent");
            }
            _ if self.planted.blind_resend => self.set_waiting(n),
            _ => {
                let above = self.nodes[n].live;
                if self.nodes[n].reach == Reach::Up {
                    self.request_fence(n, above);
                } else {
                    self.lose(n, "the outcome of an index operation is unknown");
                }
            }
        }
        self.todo.insert(Todo::Node(n));
    }

    fn set_waiting(&mut self, n: N) {
        if let Some(entry) = self.nodes[n].journal.front_mut() {
            entry.state = JournalState::Waiting;
            self.out.extra.push(Record::Journal(entry.clone()));
        }
    }

    /// The first entry is in the node's queue.
    fn step_taken(&mut self, n: N, task: u32) {
        self.step_over(n, Some(task), None);
        self.expect_news(n);
    }

    /// The first entry is done with.
    fn step_over(&mut self, n: N, task: Option<u32>, end: Option<PartEnd>) {
        let Some(entry) = self.nodes[n].journal.pop_front() else { return };
        self.out.extra.push(Record::JournalGone(entry.node.clone(), entry.ticket, entry.step));
        let row = &self.nodes[n].row;
        let is_part = |part: &&mut PartRow| part.is_on(row) && part.shards == [entry.step];
        let Some(ticket) = self.tickets.get_mut(&entry.ticket) else { return };
        if let Some(part) = ticket.row.parts.iter_mut().find(is_part) {
            part.task = task;
            part.end = end;
        }
        if let Some(task) = task {
            self.nodes[n].open.insert(task, entry.ticket);
        }
        self.touch_ticket(entry.ticket);
        self.todo.insert(Todo::Judge(entry.ticket));
    }

    /// An index task in a node's list: is it the first entry of the journal? False if it is nobody's.
    pub(crate) fn claim_step(&mut self, n: N, task: &NodeTask) -> bool {
        if self.nodes[n].open.contains_key(&task.uid) {
            return true;
        }
        let first = self.nodes[n].journal.front();
        let is_it = first.is_some_and(|entry| match entry.state {
            JournalState::Sent { floor } => {
                task.uid >= floor && entry.request.task_type == task.task_type && entry.request.task_index == task.index
            }
            JournalState::Waiting => false,
        });
        if is_it {
            let asked = self.nodes[n].journal_op.take();
            self.step_over(n, Some(task.uid), None);
            self.todo.insert(Todo::Node(n));
            self.taken_for(n, asked, task.uid);
        }
        is_it
    }

    /// A task was taken for a step by its type and its index alone. Somebody else may have made it, with another
    /// content, and the step never came: unless the answer to the step (`asked`) names it, the node is looked at.
    fn taken_for(&mut self, n: N, asked: Option<OpId>, task: u32) {
        if self.planted.likeness_trusted {
            return;
        }
        self.nodes[n].row.doubted = true;
        self.out.nodes.insert(n);
        match asked {
            Some(op) => self.nodes[n].taken_for = Some((op, task)),
            None => self.end_doubt(n, false),
        }
    }

    /// No answer is awaited any more that could tell whether a task was ours.
    pub(crate) fn end_doubt(&mut self, n: N, confirmed: bool) {
        let doubted = std::mem::replace(&mut self.nodes[n].row.doubted, false);
        self.out.nodes.insert(n);
        if doubted && !confirmed {
            self.mend_indexes(n);
        }
    }

    /// After a fence, what the tasks did not show was not enqueued, and can be sent.
    pub(crate) fn journal_after_fence(&mut self, n: N) {
        self.nodes[n].journal_op = None;
        if self.nodes[n].journal.front().is_some_and(|entry| entry.state != JournalState::Waiting) {
            self.set_waiting(n);
        }
    }
}
