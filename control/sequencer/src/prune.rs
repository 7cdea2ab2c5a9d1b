//! Nodes' lists of tasks are kept short by control itself (F14): far from the length at which the engine deletes on its
//! own, and only below what has been read and resolved, so that no evidence is lost.

use crate::Sequencer;
use crate::api::*;
use crate::state::{N, Op, Reach, Timer};

/// Most tasks deleted at once.
const AT_ONCE: u32 = 1_000;
/// Pause between two deletions on a node, and after one that did not work, in milliseconds.
const PAUSE: (u64, u64) = (1_000, 60_000);

impl Sequencer {
    /// Deletes the oldest tasks of a node, if it has many and nothing rests on these any more.
    pub(crate) fn prune_tasks(&mut self, n: N) {
        let kept = self.config.node_tasks;
        let node = &self.nodes[n];
        let row = &node.row;
        if node.pruning.is_some() || node.reach != Reach::Up || node.fence.is_some() || !row.seen || row.rebuild {
            return;
        }
        let from = row.pruned;
        let below = from + (kept / 10).clamp(1, AT_ONCE);
        let least = if self.planted.prunes_unresolved { below } else { below.saturating_add(kept) };
        if row.floor < least {
            return;
        }
        if node.next_prune > self.now {
            let at = node.next_prune;
            return self.at(at, Timer::Node(n));
        }
        if below > self.resolved(n) && !self.planted.prunes_unresolved {
            let at = self.now + PAUSE.0;
            self.nodes[n].next_prune = at;
            return self.at(at, Timer::Node(n));
        }
        let key = node.keys.as_ref().and_then(|keys| keys.admin.clone());
        let id = row.id.clone();
        let op = self.op(Op::Prune(n, below));
        self.nodes[n].pruning = Some(op);
        let action = NodeAction::DeleteTasks { key, from, below };
        self.emit(Effect::Node { op, node: id, action, timeout_ms: self.config.timing.mutate });
    }

    /// Nothing rests on tasks below this uid. How a part ended is not kept while others of its ticket are open: a new
    /// leader asks again.
    fn resolved(&self, n: N) -> u32 {
        let node = &self.nodes[n];
        let parts = self.tickets.values().flat_map(|ticket| &ticket.row.parts).filter(|part| part.is_on(&node.row));
        let tasks = parts.filter_map(|part| part.task).chain(node.open.keys().copied());
        // The last one read stays in any case: by it the disk is known.
        tasks.min().unwrap_or(u32::MAX).min(node.row.floor.saturating_sub(1))
    }

    pub(crate) fn pruned(&mut self, n: N, op: OpId, below: u32, result: &Result<NodeAnswer, NodeFault>) {
        let node = &mut self.nodes[n];
        if node.pruning.take_if(|asked| *asked == op).is_none() {
            return;
        }
        let done = matches!(result, Ok(NodeAnswer::Enqueued { .. }));
        if done {
            node.row.pruned = below;
            self.out.nodes.insert(n);
        }
        let at = self.now + if done { PAUSE.0 } else { PAUSE.1 };
        self.nodes[n].next_prune = at;
        self.at(at, Timer::Node(n));
    }
}
