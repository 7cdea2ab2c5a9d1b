//! Writes that nodes have nothing to do for: an empty payload, or a fault that the engine reports in the task.

use miroir_core::error::ErrorBody;

use crate::Sequencer;
use crate::api::*;
use crate::begin::told_before;
use crate::details::write_details;
use crate::state::{Live, Todo, Waiting};

impl Sequencer {
    /// Makes the task of such a begin, and answers it. It is over at once, but where the index was made for it: then, as
    /// with any first write, when filters can read the index (F7). They are not to be waited for with the answer, since
    /// the request itself goes by the map that it came with.
    pub(crate) fn accept_foregone(&mut self, uid: u32, waiting: &Waiting, end: Foregone) {
        let Some(task) = self.new_write_task(uid) else { return };
        let told = (202, crate::details::summary(&task));
        let is_first = waiting.begin.incarnation.is_none() && self.indexes.contains_key(&waiting.begin.index);
        let epoch = if is_first { self.meta.epoch } else { 0 };
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        ticket.row.reply = Some(told.clone());
        ticket.row.task = Some(task.clone());
        ticket.row.epoch = epoch;
        ticket.row.stage = Stage::Decided;
        ticket.row.foregone = Some(end);
        ticket.live = Live::Decided;
        ticket.waiting = None;
        let followers = std::mem::take(&mut ticket.followers);
        self.out.extra.push(Record::Task(Box::new(task)));
        self.settle_key(uid);
        self.touch_ticket(uid);
        self.release(uid);
        for request in followers.into_iter().map(|follower| follower.request).chain([waiting.request]) {
            self.answer_begin(request, told_before(told.clone()));
        }
        self.emit(Effect::TaskChanged { uid, status: TaskStatus::Enqueued });
        self.todo.insert(Todo::Judge(uid));
    }

    /// Gives such a task its end, as soon as filters read by a map that has its index.
    pub(crate) fn judge_foregone(&mut self, uid: u32) {
        if !self.is_adopted(uid) {
            return self.wait_for_adoption(uid);
        }
        let now = self.now;
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        let (Some(end), TicketWork::Write(work)) = (ticket.row.foregone.clone(), &ticket.row.work) else { return };
        let Some(task) = ticket.row.task.as_mut() else { return };
        let (status, error): (_, Option<ErrorBody>) = match end {
            Foregone::Nothing => (TaskStatus::Succeeded, None),
            Foregone::Fault(error) => (TaskStatus::Failed, Some(error)),
        };
        task.status = status;
        task.details = Some(write_details(work, status, Some(0)));
        (task.error, task.started_ms, task.finished_ms) = (error, Some(now), Some(now.max(task.enqueued_ms)));
        self.out.extra.push(Record::Task(Box::new(task.clone())));
        self.emit(Effect::TaskChanged { uid, status });
        self.cancel_progress(uid);
        self.drop_ticket(uid);
    }
}
