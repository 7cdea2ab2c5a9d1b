//! State that handlers read without asking the actor. Only the executor writes it, after the disk has it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use miroir_core::shardmap::ShardMap;
use miroir_sequencer::{NodeStatus, Record, TaskRow};
use serde_json::Value;
use tokio::sync::watch;

use super::members::{Members, after};
use super::open::OpenTasks;
use super::{Indexes, KeyRecord, Note};

/// A value that is replaced as a whole.
#[derive(Debug, Default)]
pub(crate) struct Slot<T>(RwLock<Arc<T>>);

impl<T> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) map: watch::Sender<Arc<ShardMap>>,
    pub(crate) members: watch::Sender<Members>,
    pub(crate) nodes: Slot<Vec<NodeStatus>>,
    pub(crate) indexes: Slot<Indexes>,
    pub(crate) keys: Slot<Vec<KeyRecord>>,
    pub(crate) values: Slot<BTreeMap<String, Value>>,
    pub(crate) open: OpenTasks,
}

impl Shared {
    pub(crate) fn new(map: Arc<ShardMap>, members: Members, indexes: Indexes, keys: Vec<KeyRecord>) -> Self {
        Self {
            map: watch::Sender::new(map),
            members: watch::Sender::new(members),
            nodes: Slot::default(),
            indexes: Slot::new(indexes),
            keys: Slot::new(keys),
            values: Slot::default(),
            open: OpenTasks::default(),
        }
    }

    /// Takes over what has become durable. True where members have changed.
    pub(crate) fn adopt(&self, records: &[Record]) -> bool {
        let mut indexes: Option<Indexes> = None;
        let mut members: Option<Members> = None;
        for record in records {
            match record {
                Record::Index(row) => {
                    let indexes = indexes.get_or_insert_with(|| self.indexes.get().as_ref().clone());
                    indexes.insert(row.uid.clone(), Arc::new(row.clone()));
                }
                Record::IndexGone(uid) => {
                    indexes.get_or_insert_with(|| self.indexes.get().as_ref().clone()).remove(uid);
                }
                Record::Task(task) => self.note(task),
                Record::Node(row) => {
                    let known = members.clone().unwrap_or_else(|| self.members.borrow().clone());
                    members = after(&known, row).or(members);
                }
                _ => {}
            }
        }
        let moved = members.is_some();
        if let Some(members) = members {
            self.members.send_replace(members);
        }
        if let Some(indexes) = indexes {
            self.indexes.set(indexes);
        }
        moved
    }

    /// What nodes are told to keep.
    pub(crate) fn left_on_nodes(&self) -> Note {
        Note::new(&self.map.borrow(), &self.members.borrow(), &self.indexes.get())
    }

    /// Keeps the list of open tasks.
    pub(crate) fn note(&self, task: &TaskRow) {
        self.open.note(task);
    }

    pub(crate) fn open_tasks(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn is_indexing(&self, uid: &str) -> bool {
        self.open.is_about(uid)
    }
}
