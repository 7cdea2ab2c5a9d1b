//! What a backup tells; nothing, where there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use miroir_admin::backup::{self, Entry, Fault};
use miroir_sequencer::{MemberState, NodeRow, Snapshot, TaskRow};
use serde_json::Value;

use crate::cluster::{Identity, KeyRecord};

/// What is known before any node is asked.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) identity: Option<Identity>,
    pub(super) snapshot: Snapshot,
    pub(super) keys: Option<Vec<KeyRecord>>,
    /// Other named values.
    pub(super) values: BTreeMap<String, Value>,
    /// Tasks that had not ended.
    pub(super) open: BTreeSet<u32>,
    /// Uid of the newest task.
    pub(super) newest: Option<u32>,
}

impl Known {
    /// Reads a backup, and makes sure that it is whole.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut known = Self::default();
        let mut take = |entry| match entry {
            Entry::Row { kind, row } => {
                known.snapshot.add(&kind, &row.to_string())?;
                Ok(())
            }
            Entry::Value { name, value } => {
                known.values.insert(name, value);
                Ok(())
            }
            Entry::Task(task) => {
                let task: TaskRow = serde_json::from_value(task)?;
                known.newest = known.newest.max(Some(task.uid));
                if !task.status.is_over() {
                    known.open.insert(task.uid);
                }
                Ok::<_, serde_json::Error>(())
            }
        };
        read(path, |entry| take(entry).map_err(|error| Fault::Form(error.to_string())))?;
        let value = |name: &str, values: &mut BTreeMap<String, Value>| values.remove(name);
        let identity =
            value(Identity::NAME, &mut known.values).context("the backup is of a store without a cluster")?;
        known.identity = Some(serde_json::from_value(identity).context("reading the backup's cluster")?);
        let keys = value(KeyRecord::STORED, &mut known.values).map(serde_json::from_value).transpose();
        known.keys = keys.context("reading the backup's keys")?;
        Ok(known)
    }

    /// Members, as rows.
    pub(super) fn members(&self) -> impl Iterator<Item = &NodeRow> {
        self.snapshot.nodes.iter().filter(|row| row.member != MemberState::Removed)
    }

    /// A node's row, also where it is no member any more.
    pub(super) fn node(&self, id: &str) -> Option<&NodeRow> {
        self.snapshot.nodes.iter().find(|row| row.id == id)
    }
}

/// Hands a backup's entries over.
pub(super) fn read(path: &Path, each: impl FnMut(Entry) -> Result<(), Fault>) -> anyhow::Result<()> {
    let naming = || path.display().to_string();
    let file = File::open(path).with_context(naming)?;
    backup::read(BufReader::new(file), each).with_context(naming)?;
    Ok(())
}
