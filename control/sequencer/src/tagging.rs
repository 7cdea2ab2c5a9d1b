//! Documents without their shard's tag, as a Meilisearch has them that was there before the cluster. As long as one node
//! holds everything, nobody needs the tags: it is asked for all that it has. They are written meanwhile, page by page, and
//! no other node gets a copy before none is missing.
//!
//! A page is an update of documents by their keys, each with its tag and nothing else, that makes no document
//! (`skipCreation`). Nothing that is written before it or after it comes to anything else by that, in whatever order: the
//! tag follows from the key, other fields stay, and a document that was deleted is not made again. So pages need no lock
//! and no ticket, may be late or twice, and are found again by nobody: what is left to do, the node itself tells.

use crate::Sequencer;
use crate::api::*;
use crate::state::{N, Op, Reach, Timer, Todo};

/// First size of a page, and the bounds within which it follows the time that a page takes.
const PAGE: (u32, u32, u32) = (500, 100, 10_000);
/// A page that takes less than the first grows, one that takes more than the second shrinks, in milliseconds.
const TAKES: (u64, u64) = (500, 3_000);
/// Longest wait for the end of a page, in milliseconds.
const PATIENCE: u64 = 120_000;
/// Pause after a page that came to nothing, in milliseconds.
const AGAIN: u64 = 1_000;

/// How far it is. Nothing is stored but that there is something to do.
#[derive(Debug, Default)]
pub(crate) struct Tagging {
    asked: Option<(OpId, u64)>,
    /// The index that was found complete last in this pass; the count of changes of indexes when the pass began.
    complete: Option<String>,
    changes: Option<u64>,
    page: u32,
    next: u64,
    tagged: u64,
    left: Option<(String, u64)>,
    trouble: Option<String>,
}

/// How far the tagging of documents is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaggingView {
    /// Documents that were tagged since this leader began.
    pub tagged: u64,
    /// The index that is being tagged.
    pub index: Option<String>,
    /// Its documents without a tag; none while that is not known.
    pub left: Option<u64>,
    /// Why it does not get on.
    pub trouble: Option<String>,
}

impl Sequencer {
    /// How far it is; none where every document has its tag.
    #[must_use]
    pub fn tagging(&self) -> Option<TaggingView> {
        self.sole_holder().filter(|_| self.meta.untagged)?;
        let Tagging { tagged, left, trouble, .. } = &self.tagging;
        let (index, left) = left.clone().unzip();
        Some(TaggingView { tagged: *tagged, index, left, trouble: trouble.clone() })
    }

    /// Why no other node may get a copy yet, if that is so.
    pub(crate) fn awaits_tags(&self) -> Option<String> {
        let view = self.tagging()?;
        let trouble = view.trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        Some(match (view.index, view.left) {
            (Some(index), Some(left)) => {
                format!("documents get their shard's tag first: {left} of index {index} have none{trouble}")
            }
            _ => format!("it is being looked whether all documents have their shard's tag{trouble}"),
        })
    }

    /// The node of which all copies are. Nothing on it is anybody else's to answer for.
    fn sole_holder(&self) -> Option<N> {
        let mut shards = self.copies.iter().flatten();
        let n = shards.clone().next()?.first()?.node;
        shards.all(|copies| matches!(copies.as_slice(), [copy] if copy.node == n)).then_some(n)
    }

    /// Asks for the next page, if it may.
    pub(crate) fn drive_tagging(&mut self) {
        if !self.meta.untagged || self.tagging.asked.is_some() {
            return;
        }
        let Some(n) = self.sole_holder() else { return };
        let node = &self.nodes[n];
        let told = !node.row.drifted && !node.row.rebuild && node.journal.is_empty() && node.fence.is_none();
        if node.reach != Reach::Up || !told || (self.config.fencing && node.keys.is_none()) {
            return;
        }
        if self.tagging.next > self.now {
            return self.at(self.tagging.next, Timer::Tags);
        }
        let changes = *self.tagging.changes.get_or_insert(self.syncs.index_changes);
        let last = self.tagging.complete.clone();
        let mut behind = self.indexes.values().filter(|row| last.as_ref().is_none_or(|last| row.uid > *last));
        let next = behind.find_map(|row| {
            let key = row.primary_key.clone().filter(|_| !row.provisional)?;
            Some((row.uid.clone(), key))
        });
        let Some((index, primary_key)) = next else {
            // Names may have changed places behind its back.
            (self.tagging.complete, self.tagging.changes) = (None, None);
            if changes == self.syncs.index_changes {
                self.all_tagged(n);
            } else {
                self.todo.insert(Todo::Tags);
            }
            return;
        };
        let limit = if self.tagging.page == 0 { PAGE.0 } else { self.tagging.page };
        let (key, metadata) = (node.data_key(), self.tagging_metadata());
        let id = node.row.id.clone();
        let op = self.op(Op::Tag { node: n, index: index.clone() });
        self.tagging.asked = Some((op, self.now));
        let action = NodeAction::TagPage { key, index, primary_key, limit, metadata };
        self.emit(Effect::Node { op, node: id, action, timeout_ms: PATIENCE });
    }

    /// A page is done, or there was nothing to do.
    pub(crate) fn page_tagged(&mut self, n: N, index: String, op: OpId, result: &Result<NodeAnswer, NodeFault>) {
        let Some((_, since)) = self.tagging.asked.take_if(|(asked, _)| *asked == op) else { return };
        let took = self.now.saturating_sub(since);
        let tagging = &mut self.tagging;
        match result {
            Ok(NodeAnswer::Tagged { documents: 0, left: 0 }) => {
                (tagging.complete, tagging.left, tagging.trouble) = (Some(index), None, None);
            }
            Ok(NodeAnswer::Tagged { documents, left }) => {
                tagging.tagged += documents;
                (tagging.left, tagging.trouble) = (Some((index, *left)), None);
                let page = if tagging.page == 0 { PAGE.0 } else { tagging.page };
                tagging.page = match took {
                    took if took < TAKES.0 => (page * 2).min(PAGE.2),
                    took if took > TAKES.1 => (page / 2).max(PAGE.1),
                    _ => page,
                };
                // As much time as it has taken is for others.
                let rate = self.meta.throttle.documents_per_second.filter(|rate| *rate > 0);
                let pause = rate.map_or(0, |rate| documents * 1_000 / rate).max(took);
                tagging.next = self.now + pause;
            }
            other => {
                let why = match other {
                    Ok(NodeAnswer::Refused { error: Some(error), .. }) => error.message.clone(),
                    Ok(_) | Err(_) => format!("{} did not end a page in time", self.nodes[n].row.id),
                };
                tagging.trouble = Some(why);
                tagging.next = self.now + AGAIN;
            }
        }
        self.todo.insert(Todo::Tags);
    }

    fn all_tagged(&mut self, n: N) {
        self.meta.untagged = false;
        self.out.meta = true;
        let text = format!("all documents have their shard's tag; {} got it", self.tagging.tagged);
        self.alert("documents_tagged", Some(n), text);
        self.todo.insert(Todo::Jobs);
    }

    fn tagging_metadata(&self) -> String {
        format!("{}.tags", self.config.cluster)
    }

    /// Whether a task of a node only gives documents their tag.
    pub(crate) fn only_tags(&self, task: &NodeTask) -> bool {
        task.task_type == "documentAdditionOrUpdate"
            && task.metadata.as_deref() == Some(self.tagging_metadata().as_str())
    }
}
