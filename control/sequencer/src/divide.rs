//! A replacement with `skipCreation` and the batch that a node does it in (F37). The engine (1.50) does not see that a
//! document was made by another task of the same batch when it comes to such a replacement, and drops it altogether;
//! nodes batch differently, so that replicas would differ. Before the write is granted, its nodes are therefore given a
//! task that no batch takes in behind additions: a deletion by a filter that nothing matches.

use miroir_core::wire::WriteKind;

use crate::Sequencer;
use crate::api::*;
use crate::index_ops::LOOK_AGAIN;
use crate::state::{N, Op, Reach, Timer, Todo};

impl Sequencer {
    /// Whether a write that holds its locks will be done in another batch than those before it. Until then nodes are
    /// asked for a task between, and it is looked at again. Nodes out of contact are not waited for.
    pub(crate) fn is_divided(&mut self, uid: u32) -> bool {
        let Some(ticket) = self.tickets.get(&uid).filter(|ticket| ticket.skips_creation) else { return true };
        let TicketWork::Write(work) = &ticket.row.work else { return true };
        if work.kind != WriteKind::Replace || self.planted.batches_undivided {
            return true;
        }
        let placement = self.placement_of(&ticket.row);
        let places = |n: N| work.shards.iter().map(move |count| (placement, count.shard, n));
        // The write is unfinished itself, so that the floor is right below it once all earlier ones are done.
        let is_behind =
            |n: &N| places(*n).any(|(.., shard, _)| self.floor_of(*n, (placement, shard), &work.index) + 1 < uid);
        let behind = (0..self.nodes.len()).filter(|n| self.nodes[*n].reach == Reach::Up).filter(is_behind);
        let (mut ready, mut undivided) = (true, Vec::new());
        for n in behind {
            match ticket.divided.get(&n) {
                Some(None) => {}
                // What may still arrive would come behind the task between.
                None if !places(n).any(|place| self.has_loose_parts(place)) => undivided.push(n),
                None | Some(Some(_)) => ready = false,
            }
        }
        let index = work.index.clone();
        ready &= undivided.is_empty();
        undivided.into_iter().for_each(|n| self.divide(uid, n, &index));
        if !ready {
            self.at(self.now + LOOK_AGAIN, Timer::Ticket(uid));
        }
        ready
    }

    fn divide(&mut self, ticket: u32, n: N, index: &str) {
        let op = self.op(Op::Divide { ticket, node: n });
        if let Some(ticket) = self.tickets.get_mut(&ticket) {
            ticket.divided.insert(n, Some(op));
        }
        let node = &self.nodes[n];
        let action = NodeAction::DivideBatch {
            key: node.data_key(),
            index: index.to_owned(),
            metadata: self.dividing_metadata(),
        };
        let (node, timeout_ms) = (node.row.id.clone(), self.config.timing.mutate);
        self.emit(Effect::Node { op, node, action, timeout_ms });
    }

    /// A node has, or has not, enqueued the task between. One that has been asked in vain is asked again.
    pub(crate) fn divided(&mut self, uid: u32, n: N, op: OpId, result: &Result<NodeAnswer, NodeFault>) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        if ticket.divided.get(&n) != Some(&Some(op)) {
            return;
        }
        match result {
            // Without the index there is nothing to come between.
            Ok(NodeAnswer::Enqueued { .. } | NodeAnswer::Refused { status: 404, .. }) => {
                ticket.divided.insert(n, None);
                self.todo.insert(Todo::Grant(uid));
            }
            _ => drop(ticket.divided.remove(&n)),
        }
    }

    fn dividing_metadata(&self) -> String {
        format!("{}.between", self.config.cluster)
    }

    /// Whether a task of a node is one that only comes between others.
    pub(crate) fn only_divides(&self, task: &NodeTask) -> bool {
        task.task_type == "documentDeletion"
            && task.deleted.unwrap_or_default() == 0
            && task.metadata.as_deref() == Some(self.dividing_metadata().as_str())
    }
}
