//! Numbers of tickets and terms, which are given once (F16). The store knows the newest; but one that was restored from
//! an older backup, or lost its last rows in a failover, does not. The nodes do: tasks carry ticket and term, and write
//! keys the term. So nothing is numbered before the nodes within reach have been looked at, and what they show counts.

use crate::Sequencer;
use crate::api::*;
use crate::state::N;

impl Sequencer {
    /// Whether what needs a number can be taken up: every node has been read, or has been found out of reach.
    pub(crate) fn is_open(&self) -> bool {
        let longest = self.config.timing.quiet + self.config.timing.probe;
        self.started_ms + longest <= self.now || !self.nodes.iter().any(|node| node.starting)
    }

    /// What came too early is taken up as soon as it can be. Returns whether there was anything.
    pub(crate) fn take_up_early(&mut self) -> bool {
        if self.early.is_empty() || !self.is_open() {
            return false;
        }
        for (arrived, event) in std::mem::take(&mut self.early) {
            self.on_numbered(arrived, event);
        }
        true
    }

    /// What a node's tasks say of the numbers that have been given.
    pub(crate) fn see_numbers(&mut self, n: N, tasks: &[NodeTask]) {
        let numbers = tasks.iter().filter_map(|task| self.parse_metadata(task.metadata.as_deref()?));
        let (term, next) =
            numbers.fold((0, 0), |(term, next): (u64, u32), (of, uid)| (term.max(of), next.max(uid.saturating_add(1))));
        let known = next <= self.meta.next_uid && term <= self.meta.term;
        if known || self.planted.numbers_from_store {
            return;
        }
        let text = format!("its tasks are of tickets up to {next} and of term {term}, which the store does not know");
        self.alert("store_behind", Some(n), text);
        self.meta.next_uid = self.meta.next_uid.max(next);
        self.see_term(term);
    }

    /// A term that somebody has led; a later one than the store knows ends this one.
    pub(crate) fn see_term(&mut self, term: u64) {
        self.out.meta = true;
        if term >= self.meta.term {
            self.meta.term = term + 1;
        }
    }

    /// A node has keys of a later generation or term. This leader has the store, so it is the store that is behind.
    pub(crate) fn keys_outdated(&mut self, n: N, generation: u64, term: u64) {
        let text = format!("it has keys of generation {generation} and term {term}, which the store does not know");
        self.alert("store_behind", Some(n), text);
        let row = &mut self.nodes[n].row;
        row.generation = row.generation.max(generation);
        if term > self.meta.term {
            self.see_term(term);
        }
        self.start_fence(n);
    }
}
