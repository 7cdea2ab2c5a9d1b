//! Tasks that a model node does together, and what the engine (1.50) makes of documents in one batch.
//!
//! It goes by documents: a replacement takes the place of all that the batch has for a document so far, and one with
//! `skipCreation` is then dropped if the document was not there before the batch, although another task of it has just
//! made it. Where the batch first deletes a document that was there, and makes it again, it depends on how the batch is
//! divided among threads.

use std::collections::BTreeSet;

use crate::engine::{Engine, Work};

/// How a node puts tasks together when it takes the next.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Most tasks done together.
    pub most: usize,
    /// The batch is divided so that what it deletes is missing for what it adds afterwards.
    pub divided: bool,
}

/// What the tasks of one batch have in common.
#[derive(Debug, Default)]
pub struct Batch {
    /// There are additions in it.
    pub adds: bool,
    divided: bool,
    /// Documents that were there before.
    before: BTreeSet<String>,
    /// Documents that it has made itself.
    made: BTreeSet<String>,
}

impl Batch {
    /// A document is written that is there already, or is not.
    pub fn makes(&mut self, id: &str, there: bool) {
        if !there {
            self.made.insert(id.to_owned());
        }
    }

    /// Whether a replacement with `skipCreation` of a document that is there leaves nothing of it.
    pub fn drops(&self, id: &str) -> bool {
        self.made.contains(id) && (self.divided || !self.before.contains(id))
    }
}

impl Engine {
    /// Does a task, and those behind it that are done in one batch with it.
    pub fn process_together(&mut self, first: usize, now: u64, batching: Batching) {
        let uids = self.together(first, batching.most);
        let works = || uids.iter().map(|at| &self.disk.tasks[*at]);
        let adds = works().any(|task| matches!(task.work, Work::Add { .. }));
        // A fault of this kind is that of the whole batch (M6).
        let fault = works().find_map(|task| task.fault);
        let index = self.disk.tasks[first].view.index.as_ref().and_then(|index| self.disk.indexes.get(index));
        let before = index.filter(|_| uids.len() > 1).map(|index| index.documents.keys().cloned().collect());
        let before = before.unwrap_or_default();
        let mut batch = Batch { adds, divided: batching.divided, before, made: BTreeSet::new() };
        for at in uids {
            self.disk.tasks[at].fault = fault;
            self.end(at, now, None, &mut batch);
        }
    }

    /// Open tasks of the same index that join the first one: up to something that is not about documents, and no
    /// deletion by filter behind additions.
    fn together(&self, first: usize, most: usize) -> Vec<usize> {
        let mut chosen = vec![first];
        let joins = |work: &Work| matches!(work, Work::Add { .. } | Work::Remove { .. } | Work::RemoveShards { .. });
        let tasks = &self.disk.tasks;
        if !joins(&tasks[first].work) {
            return chosen;
        }
        let index = &tasks[first].view.index;
        let mut adds = matches!(tasks[first].work, Work::Add { .. });
        for (at, task) in tasks.iter().enumerate().skip(first + 1).filter(|(_, task)| !task.view.status.is_over()) {
            let swaps = |name: &String| Some(name) == index.as_ref();
            let ends = match &task.work {
                Work::Swap { left, right } => swaps(left) || swaps(right),
                Work::RemoveShards { .. } if adds => task.view.index == *index,
                work => task.view.index == *index && !joins(work),
            };
            if ends || chosen.len() >= most {
                break;
            }
            if task.view.index == *index {
                adds |= matches!(task.work, Work::Add { .. });
                chosen.push(at);
            }
        }
        chosen
    }
}
