//! The first step of a write, handed over from its stream's callback to the root's.
//!
//! A write has to hear of its calls' ends also when its client has left, and the SDK tells them to the context whose
//! callback made the call. So the root is asked for a callback by a shared queue of the worker's own; once begun, all
//! that a write does comes from the root's callbacks. The timer begins what no ring has, within its period.

use super::Vm;
use crate::host::Host;

/// Writes that wait for the root's callback, and how it is asked for.
#[derive(Default)]
pub(super) struct Handover {
    waiting: Vec<u32>,
    /// The worker's queue. Made by its first write: Envoy keeps queues, and makes a VM for each configuration only to
    /// try it.
    bell: Option<u32>,
    /// A callback has been asked for and has not come.
    rung: bool,
}

impl<H: Host> Vm<H> {
    /// Has the root begin this job.
    pub(super) fn hand_over(&mut self, job: u32) {
        self.handover.waiting.push(job);
        if self.handover.rung {
            return;
        }
        if self.handover.bell.is_none() {
            self.hang_bell();
        }
        self.handover.rung = self.handover.bell.is_some_and(|bell| self.host.ring(bell));
    }

    fn hang_bell(&mut self) {
        self.host.enter(self.root);
        self.handover.bell = self.host.register_queue(&self.id);
    }

    /// There is a new root: the bell is to ring there.
    pub(super) fn move_bell(&mut self) {
        if self.handover.bell.is_some() {
            self.hang_bell();
        }
    }

    /// The bell has rung.
    pub fn on_queue_ready(&mut self, root: u32, queue: u32) {
        self.called(super::Caller::Root(root));
        self.host.empty_queue(queue);
        self.begin_waiting();
    }

    /// Begins the jobs that wait for a callback of a root.
    pub(super) fn begin_waiting(&mut self) {
        self.handover.rung = false;
        for job in std::mem::take(&mut self.handover.waiting) {
            self.begin(job);
        }
    }
}
