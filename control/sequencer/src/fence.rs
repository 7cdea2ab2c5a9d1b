//! FENCE: no request with an older key can be enqueued by the node afterwards (F1, F2, F15). Replace the keys, wait
//! until what was authorised before has been enqueued, read the tasks.

use crate::Sequencer;
use crate::api::*;
use crate::state::{Fence, FenceStage, Join, Keys, N, Op, Reach, Timer, Todo};

pub(crate) const FAILED: &str = "its keys could not be replaced";

impl Sequencer {
    /// Wants a fence above a key generation; starts it, if none is under way.
    pub(crate) fn request_fence(&mut self, n: N, above: u64) {
        let node = &mut self.nodes[n];
        node.fence_wanted = node.fence_wanted.max(above + 1);
        if node.fence.is_none() && node.reach == Reach::Up {
            self.start_fence(n);
        }
    }

    /// Starts a fence to a new generation. The number is durable before the node hears of it.
    pub(crate) fn start_fence(&mut self, n: N) {
        let node = &mut self.nodes[n];
        if !self.planted.keys_inherited || node.live > 0 || node.row.generation == 0 {
            node.row.generation += 1;
        }
        let generation = node.row.generation;
        self.out.nodes.insert(n);
        if !self.config.fencing {
            // Without a master key there are no keys: generations only count how often the node was waited for.
            self.keys_replaced(n, generation, Keys::default());
            return;
        }
        let op = self.op(Op::Keys(n));
        self.nodes[n].fence = Some(Fence { generation, stage: FenceStage::Keys(op) });
        let (node, timeout_ms) = (self.nodes[n].row.id.clone(), self.config.timing.mutate);
        self.emit(Effect::Node {
            op,
            node,
            action: NodeAction::Fence { generation, term: self.meta.term },
            timeout_ms,
        });
    }

    pub(crate) fn keys_replaced(&mut self, n: N, generation: u64, keys: Keys) {
        let quiet = if self.planted.no_quiet { 0 } else { self.config.timing.quiet };
        let until = self.now + quiet;
        let node = &mut self.nodes[n];
        node.keys = Some(keys);
        node.live = generation;
        node.fence = Some(Fence { generation, stage: FenceStage::Quiet(until) });
        self.at(until, Timer::Node(n));
        self.todo.insert(Todo::Node(n));
        self.wake_tickets(n);
    }

    /// Goes on with a fence under way, if it can.
    pub(crate) fn step_fence(&mut self, n: N) {
        let Some(fence) = self.nodes[n].fence else {
            let node = &self.nodes[n];
            if node.reach == Reach::Up && node.fenced < node.fence_wanted {
                self.start_fence(n);
            }
            return;
        };
        match fence.stage {
            FenceStage::Keys(_) => {}
            FenceStage::Quiet(until) if until <= self.now => {
                let stamp = self.want_read(n);
                self.nodes[n].fence = Some(Fence { stage: FenceStage::Read(stamp), ..fence });
            }
            FenceStage::Quiet(_) => {}
            FenceStage::Read(stamp) if self.nodes[n].read_done >= stamp => {
                self.nodes[n].fence = None;
                self.nodes[n].fenced = fence.generation;
                self.fence_ended(n);
            }
            FenceStage::Read(_) => {}
        }
    }

    fn fence_ended(&mut self, n: N) {
        self.journal_after_fence(n);
        if self.nodes[n].reach == Reach::Joining(Join::Fence) {
            self.fenced_in_join(n);
        }
        self.wake_tickets(n);
        self.todo.insert(Todo::Node(n));
    }
}
