//! The store's rows.

use std::path::{Path, PathBuf};

use anyhow::Context;
use miroir_admin::backup::{Entry, Fault};
use miroir_core::error::ErrorBody;
use miroir_sequencer::{
    CopyRow, CopyState, FindingRow, IndexRow, JobState, MetaRow, NodeRow, Record, RetireRow, TaskRow, TaskStatus,
    Witness,
};

use super::keys::features;
use super::known::{self, Known};
use super::layout::Layout;
use super::members::{Member, place};
use super::numbers::Numbers;
use super::survey::{Found, Survey};
use crate::cluster::{Identity, KeyRecord};
use crate::config::Config;
use crate::stats::FEATURES;
use crate::store::{Change, Store, StoreError};

/// Findings that are kept as rows, the newest ones; the file has them all.
const FINDINGS: usize = 1_000;
/// Tasks in one transaction.
const AT_ONCE: usize = 10_000;

/// What the store is to hold.
pub(super) struct Made<'a> {
    pub(super) config: &'a Config,
    pub(super) known: &'a Known,
    pub(super) identity: Identity,
    pub(super) members: &'a [Member],
    pub(super) survey: &'a Survey,
    pub(super) layout: &'a Layout,
    pub(super) numbers: &'a Numbers,
    pub(super) indexes: Vec<IndexRow>,
    pub(super) keys: Vec<KeyRecord>,
    pub(super) findings: Vec<FindingRow>,
    /// The node was somebody's: the tasks that it has had are left alone.
    pub(super) adopts: bool,
}

impl Made<'_> {
    /// Fills the store. What makes it one comes last and at once, so that one that was only filled in part is none.
    pub(super) async fn write(&self, store: &Store, backup: Option<&Path>) -> anyhow::Result<u64> {
        store.write(vec![Change::Clear]).await?;
        let tasks = match backup {
            Some(path) => self.write_tasks(store, path).await?,
            None => 0,
        };
        let mut changes = vec![Change::Records(self.records())];
        for (name, value) in self.values()? {
            changes.push(Change::Value(name, Some(value)));
        }
        store.write(changes).await?;
        Ok(tasks)
    }

    async fn write_tasks(&self, store: &Store, backup: &Path) -> anyhow::Result<u64> {
        let (path, store): (PathBuf, Store) = (backup.to_owned(), store.clone());
        let ends = self.ends();
        let now_ms = self.numbers.now_ms;
        let runtime = tokio::runtime::Handle::current();
        let write = move || {
            let (mut tasks, mut chunk) = (0, Vec::new());
            let mut flush = |chunk: &mut Vec<Record>| {
                tasks += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                runtime.block_on(store.write(vec![Change::Records(std::mem::take(chunk))]))
            };
            let failed = |error: StoreError| Fault::Form(error.to_string());
            known::read(&path, |entry| {
                let Entry::Task(task) = entry else { return Ok(()) };
                let task: TaskRow = serde_json::from_value(task).map_err(|error| Fault::Form(error.to_string()))?;
                let ended = ends.get(&task.uid).copied();
                chunk.push(Record::Task(Box::new(closed(task, ended, now_ms))));
                if chunk.len() >= AT_ONCE { flush(&mut chunk).map_err(failed) } else { Ok(()) }
            })?;
            flush(&mut chunk)?;
            anyhow::Ok(tasks)
        };
        tokio::task::spawn_blocking(write).await?
    }

    /// How the tickets ended, as far as nodes tell, that the backup has as open.
    fn ends(&self) -> std::collections::BTreeMap<u32, TaskStatus> {
        let mut ends = std::collections::BTreeMap::new();
        for (uid, parts) in self.survey.found.iter().flat_map(|found| &found.tasks.ends) {
            for part in parts {
                let end = ends.entry(*uid).or_insert(*part);
                // One that took it is enough (OUTCOME): the others are filled from it.
                if *part == TaskStatus::Succeeded {
                    *end = *part;
                }
            }
        }
        ends
    }

    fn values(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut values: Vec<(String, String)> =
            self.known.values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        if let Some(features) = features(self.survey, self.known) {
            values.retain(|(name, _)| name != FEATURES);
            values.push((FEATURES.to_owned(), features.to_string()));
        }
        let owners = |copies: &Vec<(String, CopyState)>| {
            copies.iter().filter(|(_, state)| *state != CopyState::Retiring).map(|(id, _)| id.clone()).collect()
        };
        let identity = Identity { owners: self.layout.shards.iter().map(owners).collect(), ..self.identity.clone() };
        values.push((KeyRecord::STORED.to_owned(), serde_json::to_string(&self.keys)?));
        values.push((Identity::NAME.to_owned(), serde_json::to_string(&identity).context("the cluster")?));
        Ok(values)
    }

    fn records(&self) -> Vec<Record> {
        let known = &self.known.snapshot;
        let old = known.meta.clone().unwrap_or_default();
        let indexes = u32::try_from(self.indexes.len()).unwrap_or(u32::MAX);
        let mut records = vec![Record::Meta(MetaRow {
            term: self.numbers.term,
            next_uid: self.numbers.next_uid.saturating_add(indexes),
            epoch: self.numbers.epoch,
            replication_factor: Some(self.identity.replication_factor),
            last_job: self.numbers.last_job,
            throttle: old.throttle,
            scrub: old.scrub,
            // Before all tags are there, nobody else has a copy; whether they are, a lost store does not tell.
            untagged: self.adopts || old.untagged || self.members.len() == 1,
        })];
        let nodes: Vec<NodeRow> = self.members.iter().map(|member| self.node(member)).collect();
        records.extend(
            self.layout.shards.iter().zip(0u32..).flat_map(|(copies, shard)| self.copies(shard, copies, &nodes)),
        );
        records.extend(nodes.into_iter().map(Record::Node));
        // Ids of nodes that were removed go on with their numbers.
        let gone = known.nodes.iter().filter(|row| self.members.iter().all(|member| member.node.id != row.id));
        records.extend(gone.map(|row| {
            let (member, away_disks) = (miroir_sequencer::MemberState::Removed, Vec::new());
            Record::Node(NodeRow { member, away_disks, ..row.clone() })
        }));
        records.extend(self.indexes.iter().cloned().map(Record::Index));
        let answered = known.idempotency.iter().filter(|row| row.reply.is_some());
        records.extend(answered.cloned().map(Record::Idempotency));
        let over = known.jobs.iter().filter(|job| matches!(job.state, JobState::Done | JobState::Cancelled));
        records.extend(over.cloned().map(Record::Job));
        records.extend(known.findings.iter().cloned().map(Record::Finding));
        let found = self.findings.iter().rev().take(FINDINGS).cloned();
        records.extend(found.map(|finding| Record::Finding(FindingRow { found_ms: self.numbers.now_ms, ..finding })));
        records
    }

    fn node(&self, member: &Member) -> NodeRow {
        let id = &member.node.id;
        let old = self.known.node(id).cloned().unwrap_or_default();
        let found = self.survey.found.iter().find(|found| found.node.id == *id);
        let configured = self.config.nodes.iter().find(|node| node.id == *id).map(place);
        let shown = |found: &Found| {
            let created = |index: &super::survey::Index| (index.found.uid.clone(), index.created_at.clone());
            Witness { last: found.tasks.last.clone(), indexes: found.indexes.iter().map(created).collect() }
        };
        let next = found.and_then(|found| found.tasks.last.as_ref()).map_or(0, |(uid, _)| uid.saturating_add(1));
        NodeRow {
            id: id.clone(),
            // What the backup knew of its disk does not count any more.
            incarnation: old.incarnation.saturating_add(1),
            generation: found.map_or(old.generation, |found| super::fence::generation(found, self.known)),
            floor: next,
            pruned: if self.adopts { next } else { found.and_then(|found| found.tasks.first).unwrap_or(0) },
            witness: found.map(shown).unwrap_or_default(),
            cleared: Default::default(),
            doubted: false,
            rebuild: found.is_none(),
            seen: found.is_some(),
            drifted: true,
            away: found.is_none(),
            leftovers: true,
            away_disks: Vec::new(),
            member: old.member,
            place: place(&member.node),
            version: None,
            configured,
        }
    }

    fn copies(&self, shard: u32, copies: &[(String, CopyState)], nodes: &[NodeRow]) -> Vec<Record> {
        let mut records = Vec::new();
        for (rank, (node, state)) in (0u16..).zip(copies) {
            let incarnation = nodes.iter().find(|row| row.id == *node).map_or(0, |row| row.incarnation);
            let (node, since) = (node.clone(), self.numbers.epoch);
            if *state == CopyState::Retiring {
                records.push(Record::Retire(RetireRow {
                    placement: 0,
                    shard,
                    node: node.clone(),
                    epoch: self.numbers.epoch,
                    since_ms: 0,
                    adopted_ms: None,
                    deleting: false,
                    forced: false,
                }));
            }
            records.push(Record::Copy(CopyRow { placement: 0, shard, node, rank, incarnation, state: *state, since }));
        }
        records
    }
}

/// A task as it is when its ticket is known no more.
fn closed(task: TaskRow, ended: Option<TaskStatus>, now_ms: u64) -> TaskRow {
    if task.status.is_over() {
        return task;
    }
    let succeeded = ended == Some(TaskStatus::Succeeded);
    let unknown = || {
        ErrorBody::new(
            "internal",
            "Control's store was restored from a backup that was made before this task ended: how it ended is not known.",
        )
    };
    TaskRow {
        status: if succeeded { TaskStatus::Succeeded } else { TaskStatus::Failed },
        error: (!succeeded).then(unknown),
        started_ms: task.started_ms.or(Some(now_ms)),
        finished_ms: Some(now_ms),
        ..task
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::task;

    #[test]
    fn a_task_that_was_open_ends_as_nodes_tell_or_with_the_truth() {
        let open = task(7, "documentAdditionOrUpdate", &["films"], TaskStatus::Enqueued);
        let done = closed(open.clone(), Some(TaskStatus::Succeeded), 5_000);
        assert_eq!((done.status, done.finished_ms, done.error), (TaskStatus::Succeeded, Some(5_000), None));
        let unknown = closed(open, None, 5_000);
        assert_eq!(unknown.status, TaskStatus::Failed);
        assert!(unknown.error.unwrap().message.contains("not known"));
        let over = task(8, "indexCreation", &["films"], TaskStatus::Canceled);
        assert_eq!(closed(over.clone(), None, 5_000), over);
    }
}
