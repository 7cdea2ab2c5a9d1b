//! Jobs: what operators ask for, as lists of moves that are carried out one by one.

use crate::Sequencer;
use crate::api::*;

impl Sequencer {
    pub(crate) fn on_admin(&mut self, request: RequestId, command: AdminCommand) {
        let _ = command;
        let refusal = Refusal { code: "job_state", message: "this build cannot do it".to_owned(), shards: Vec::new() };
        self.emit(Effect::Admin { request, answer: Box::new(AdminAnswer::Refused(refusal)) });
    }

    pub(crate) fn on_measured(&mut self, op: OpId, _nodes: &[(NodeId, Vec<(String, Amount)>)]) {
        self.ops.remove(&op);
    }

    /// All jobs that are not forgotten, oldest first.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobView> {
        Vec::new()
    }
}
