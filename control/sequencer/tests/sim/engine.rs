//! A model of one Meilisearch node: keys, an asynchronous task queue in order, documents, and a disk that survives a
//! kill, or does not.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::hash;
use miroir_core::invariants::Document;
use miroir_sequencer::{NodeTask, TaskStatus};

use crate::batch::{Batch, Batching};

/// The field that edits change.
pub const EDITED: &str = "e";

/// The tag of a document that has none.
pub const UNTAGGED: u32 = u32::MAX;

/// What a task does.
#[derive(Clone, Debug)]
pub enum Work {
    Add {
        index: String,
        replace: bool,
        /// `skipCreation`: what is not there stays away, and counts all the same (M9).
        skips: bool,
        documents: Vec<(String, u32, Document)>,
    },
    Remove {
        index: String,
        ids: Vec<String>,
    },
    /// Takes the documents of these shards away that have a field; without one, all of them.
    RemoveShards {
        index: String,
        shards: BTreeSet<u32>,
        having: Option<String>,
    },
    Clear {
        index: String,
    },
    /// Puts `text` behind the field `e` of every document of these shards; fails where it finds the document `fatal`.
    Edit {
        index: String,
        shards: BTreeSet<u32>,
        text: String,
        fatal: Option<String>,
    },
    Create {
        index: String,
    },
    Drop {
        index: String,
    },
    Settings {
        index: String,
        value: String,
    },
    Swap {
        left: String,
        right: String,
    },
    Nothing,
}

impl Work {
    /// Shards of the documents that it names or edits; none where it names none.
    pub fn shards(&self, count: u32) -> BTreeSet<u32> {
        match self {
            Self::Add { documents, .. } => documents.iter().map(|(_, shard, _)| *shard).collect(),
            Self::Remove { ids, .. } => ids.iter().map(|id| hash::shard_of(id.as_bytes(), count)).collect(),
            Self::Edit { shards, .. } => shards.clone(),
            _ => BTreeSet::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Task {
    pub view: NodeTask,
    pub work: Work,
    /// Fails with this code when its turn comes (injected).
    pub fault: Option<&'static str>,
    /// Succeeds without doing anything (M5).
    pub hollow: bool,
    /// Deleted from the list.
    pub gone: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Index {
    pub documents: BTreeMap<String, (u32, Document)>,
    pub settings: String,
    pub created: String,
}

/// What lies on the disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub tasks: Vec<Task>,
    pub indexes: BTreeMap<String, Index>,
    /// Live key generations.
    pub keys: BTreeSet<u64>,
    /// Term of the leader that made them.
    pub term: u64,
    /// Changes with every new or restored disk: which history this is.
    pub history: u64,
}

#[derive(Debug, Default)]
pub struct Engine {
    pub id: String,
    pub disk: Disk,
    pub up: bool,
    pub stopped: bool,
    pub shards: u32,
}

impl Engine {
    pub fn key(&self, generation: u64) -> String {
        format!("key-{generation}")
    }

    pub fn authorised(&self, fencing: bool, key: Option<&str>) -> bool {
        let generation = key.and_then(|key| key.strip_prefix("key-")).and_then(|text| text.parse().ok());
        !fencing || generation.is_some_and(|generation: u64| self.disk.keys.contains(&generation))
    }

    /// Creates the keys of a generation and deletes those of lower ones, unless this request is itself out of date.
    pub fn fence(&mut self, generation: u64, term: u64) -> Result<(), (u64, u64)> {
        let newest = self.disk.keys.last().copied().unwrap_or(0);
        if newest > generation || self.disk.term > term {
            return Err((newest, self.disk.term));
        }
        self.disk.keys = BTreeSet::from([generation]);
        self.disk.term = term;
        Ok(())
    }

    pub fn enqueue(
        &mut self,
        work: Work,
        index: Option<String>,
        task_type: &str,
        metadata: Option<String>,
        now: u64,
    ) -> u32 {
        let uid = self.disk.tasks.len() as u32;
        let view = NodeTask {
            uid,
            index,
            status: TaskStatus::Enqueued,
            task_type: task_type.to_owned(),
            metadata,
            indexed: None,
            deleted: None,
            error: None,
            enqueued_at: format!("{}/{}:{now}:{uid}", self.id, self.disk.history),
            started_ms: None,
            finished_ms: None,
        };
        self.disk.tasks.push(Task { view, work, fault: None, hollow: false, gone: false });
        uid
    }

    /// What the node answers to whoever made the task.
    pub fn accepted(&self, uid: u32) -> miroir_sequencer::NodeAnswer {
        let task = self.disk.tasks.iter().find(|task| task.view.uid == uid).expect("a task that was just enqueued");
        miroir_sequencer::NodeAnswer::Enqueued { uid, enqueued_at: task.view.enqueued_at.clone() }
    }

    /// Runs the first unfinished task with those that go together with it. True if there was one.
    pub fn process(&mut self, now: u64, batching: Batching) -> bool {
        let Some(at) = self.disk.tasks.iter().position(|task| !task.view.status.is_over()) else { return false };
        let Some((clear, index)) = self.absorbing(at) else {
            self.process_together(at, now, batching);
            return true;
        };
        // One batch: additions that are cleared at its end are never looked at, and report nothing; where the index goes,
        // they report that they indexed none.
        let mut batch = Batch::default();
        let reported = matches!(self.disk.tasks[clear].work, Work::Drop { .. }).then_some(0);
        for at in at..=clear {
            let task = &self.disk.tasks[at];
            if !task.view.status.is_over() && task.view.index.as_deref() == Some(index.as_str()) {
                let absorbed = matches!(task.work, Work::Add { .. }).then_some(reported);
                self.end(at, now, absorbed, &mut batch);
            }
        }
        true
    }

    /// Ends a task; one that was absorbed reports this many documents.
    pub fn end(&mut self, at: usize, now: u64, absorbed: Option<Option<u64>>, batch: &mut Batch) {
        let task = self.disk.tasks[at].clone();
        let (status, error, indexed, deleted) = match absorbed {
            Some(indexed) => (TaskStatus::Succeeded, None, indexed, None),
            None => self.run(&task, batch),
        };
        let view = &mut self.disk.tasks[at].view;
        view.status = status;
        view.error = error.map(|code| miroir_core::error::ErrorBody::new(code, code));
        (view.indexed, view.deleted) = (indexed, deleted);
        (view.started_ms, view.finished_ms) = (Some(now), Some(now));
    }

    /// The clear or the deletion of its index that waits behind an addition, and no edit before it.
    fn absorbing(&self, at: usize) -> Option<(usize, String)> {
        let Work::Add { index, .. } = &self.disk.tasks[at].work else { return None };
        let behind = self.disk.tasks.iter().enumerate().skip(at + 1);
        let mut open = behind.filter(|(_, task)| !task.view.status.is_over() && task.fault.is_none());
        let found = open.find(|(_, task)| match &task.work {
            Work::Clear { index: other } | Work::Drop { index: other } | Work::Edit { index: other, .. } => {
                other == index
            }
            _ => false,
        });
        let found = found.filter(|(_, task)| !matches!(task.work, Work::Edit { .. }));
        found.map(|(clear, _)| (clear, index.clone()))
    }

    fn run(&mut self, task: &Task, batch: &mut Batch) -> (TaskStatus, Option<&'static str>, Option<u64>, Option<u64>) {
        let done = |indexed, deleted| (TaskStatus::Succeeded, None, indexed, deleted);
        let failed = |code| (TaskStatus::Failed, Some(code), Some(0), Some(0));
        if let Some(code) = task.fault {
            return failed(code);
        }
        if task.hollow {
            return done(Some(0), Some(0));
        }
        match &task.work {
            Work::Add { index, replace, skips, documents } => {
                let Some(found) = self.disk.indexes.get_mut(index) else { return failed("index_not_found") };
                let mut distinct = BTreeSet::new();
                for (id, shard, fields) in documents {
                    distinct.insert(id.clone());
                    let there = found.documents.contains_key(id);
                    if *skips && there && *replace && batch.drops(id) {
                        found.documents.remove(id);
                        continue;
                    }
                    if *skips && !there {
                        continue;
                    }
                    batch.makes(id, there);
                    let entry = found.documents.entry(id.clone()).or_insert_with(|| (*shard, Document::new()));
                    entry.0 = *shard;
                    if *replace {
                        entry.1 = fields.clone();
                    } else {
                        entry.1.extend(fields.clone());
                    }
                }
                done(Some(distinct.len() as u64), None)
            }
            Work::Remove { index, ids } => {
                let Some(found) = self.disk.indexes.get_mut(index) else { return failed("index_not_found") };
                let gone = ids.iter().filter(|id| found.documents.remove(*id).is_some()).count();
                // Beside additions the engine counts what is named, be it there or not.
                let named = ids.iter().collect::<BTreeSet<_>>().len();
                done(None, Some(if batch.adds { named } else { gone } as u64))
            }
            Work::RemoveShards { index, shards, having } => {
                let Some(found) = self.disk.indexes.get_mut(index) else { return failed("index_not_found") };
                let before = found.documents.len();
                let meant = |document: &Document| having.as_ref().is_none_or(|field| document.contains_key(field));
                found.documents.retain(|_, (shard, document)| !shards.contains(shard) || !meant(document));
                done(None, Some((before - found.documents.len()) as u64))
            }
            Work::Clear { index } => {
                let Some(found) = self.disk.indexes.get_mut(index) else { return failed("index_not_found") };
                let gone = std::mem::take(&mut found.documents).len();
                done(None, Some(gone as u64))
            }
            Work::Edit { index, shards, text, fatal } => {
                let Some(found) = self.disk.indexes.get_mut(index) else { return failed("index_not_found") };
                let mut edited: Vec<(&String, &mut Document)> = found
                    .documents
                    .iter_mut()
                    .filter(|(_, (shard, _))| shards.contains(shard))
                    .map(|(key, (_, document))| (key, document))
                    .collect();
                if edited.iter().any(|(key, _)| fatal.as_ref() == Some(*key)) {
                    return failed("bad_request");
                }
                for (_, document) in &mut edited {
                    document.entry(EDITED.to_owned()).or_default().push_str(text);
                }
                done(None, Some(edited.len() as u64))
            }
            Work::Create { index } => {
                if self.disk.indexes.contains_key(index) {
                    return failed("index_already_exists");
                }
                let created = task.view.enqueued_at.clone();
                self.disk.indexes.insert(index.clone(), Index { created, ..Index::default() });
                done(None, None)
            }
            Work::Drop { index } => match self.disk.indexes.remove(index) {
                Some(gone) => done(None, Some(gone.documents.len() as u64)),
                None => failed("index_not_found"),
            },
            Work::Settings { index, value } => {
                let Some(found) = self.disk.indexes.get_mut(index) else { return failed("index_not_found") };
                found.settings = value.clone();
                done(None, None)
            }
            Work::Swap { left, right } => {
                let (Some(a), Some(b)) = (self.disk.indexes.remove(left), self.disk.indexes.remove(right)) else {
                    return failed("index_not_found");
                };
                self.disk.indexes.insert(left.clone(), b);
                self.disk.indexes.insert(right.clone(), a);
                done(None, None)
            }
            Work::Nothing => done(None, None),
        }
    }

    /// Deletes finished tasks from the list.
    pub fn delete_tasks(&mut self, from: u32, below: u32, now: u64) -> u32 {
        for task in self.disk.tasks.iter_mut().filter(|task| (from..below).contains(&task.view.uid)) {
            task.gone |= task.view.status.is_over();
        }
        self.enqueue(Work::Nothing, None, "taskDeletion", None, now)
    }

    pub fn cancel(&mut self, uids: &[u32], now: u64) -> u32 {
        for uid in uids {
            if let Some(task) = self.disk.tasks.get_mut(*uid as usize).filter(|task| !task.view.status.is_over()) {
                task.view.status = TaskStatus::Canceled;
            }
        }
        self.enqueue(Work::Nothing, None, "taskCancelation", None, now)
    }
}
