//! How many syncs go on at once, and whose turn it is to ask a node or to fill its queue.

use crate::Sequencer;
use crate::state::{N, Timer};
use crate::sync::{Place, Reading, Run, Step};

/// How soon a sync looks again whether it is its turn, in milliseconds.
const TURN: u64 = 20;

impl Sequencer {
    /// Whether as many syncs read from a node as may.
    pub(super) fn is_being_read(&self, n: N) -> bool {
        let reads = |(place, run): (&Place, &Run)| match &run.step {
            Step::Reading(_, Reading::To { .. }) => place.2 == n,
            Step::Reading(..) => run.from == n,
            _ => false,
        };
        self.syncs.runs.iter().filter(|run| reads(*run)).count() >= self.syncs.limits.per_node.max(1)
    }

    /// Whether pages of all syncs fill the queue of a node.
    pub(super) fn is_queue_full(&self, n: N) -> bool {
        let runs = self.syncs.runs.iter().filter(|((.., to), _)| *to == n);
        let (mut pages, mut bytes) = (0, 0);
        for sent in runs.flat_map(|(_, run)| run.pages.values()) {
            (pages, bytes) = (pages + 1, bytes + sent.bytes);
        }
        self.syncs.limits.is_full(pages, bytes)
    }

    /// Keys that all syncs together still have to write.
    pub(super) fn keys_to_write(&self) -> usize {
        self.syncs.runs.values().map(Run::keys).sum()
    }

    /// Most syncs that read from or write to one node at a time.
    pub(crate) fn most_syncs(&self) -> usize {
        self.syncs.limits.syncs(self.keys_to_write())
    }

    /// Others are at it: looks again soon.
    pub(super) fn in_turn(&mut self, place: Place) {
        self.at(self.now + TURN, Timer::Sync(place));
    }
}
