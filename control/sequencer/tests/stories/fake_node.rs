//! Nodes that do as they are told, but for what a story makes of them.

use std::collections::BTreeMap;

use miroir_core::error::ErrorBody;
use miroir_core::hash::shard_of;
use miroir_core::tag;
use miroir_sequencer::*;
use serde_json::Value;

use crate::desk::Desk;

#[derive(Default)]
pub struct FakeNode {
    pub tasks: Vec<NodeTask>,
    pub indexes: Vec<(String, String)>,
    /// Its engine's version; none: 1.50.0.
    pub version: Option<&'static str>,
    /// Answers nothing: every operation ends as this.
    pub silent: Option<NodeFault>,
    pub fences: Vec<u64>,
    /// Nodes and generations for which it has write keys, besides its own.
    pub keys: Vec<(NodeId, u64)>,
    /// It is this node, under another address: it has that one's keys.
    pub is_really: Option<NodeId>,
    /// Term of the leader that made its keys.
    pub term: u64,
    /// Keys and hashes of the documents of index `a`, each in its key's shard.
    pub documents: BTreeMap<String, u128>,
    /// Keys under which something else lies instead, with the shard that its tag names.
    pub outsiders: BTreeMap<String, Option<u32>>,
    /// What it was asked for copying, in order.
    pub copying: Vec<NodeAction>,
    /// Requests of index operations that it took, in order.
    pub told: Vec<NodeStep>,
    /// Its documents are at odds with every new settings: how their tasks fail.
    pub objection: Option<ErrorBody>,
    /// Pages reach it, and their answers are lost.
    pub swallows_pages: bool,
    /// Size of what it answers when it is asked for its tasks, and how often it was.
    pub list_bytes: u64,
    pub reads: u32,
    /// Pages are still on their way to it, and nobody answers.
    pub awaits_pages: bool,
    /// It lacks the index: whatever is to be written there fails, and there is nothing to be counted.
    pub lacks_index: bool,
    /// Documents without a tag, and the keys with which pages of them were asked for.
    pub untagged: u64,
    pub tagging: Vec<Option<String>>,
}

impl Desk {
    pub fn node_does(&mut self, id: &str, action: NodeAction) -> Result<NodeAnswer, NodeFault> {
        let (repairs, shards) = (self.repairs, self.config.shards);
        let other = self.nodes.get(id).and_then(|node| node.is_really.clone());
        let others_keys = other.map(|other| (self.nodes[&other].fences.last().copied().unwrap_or(0), other));
        let node = self.nodes.entry(id.to_owned()).or_default();
        if let Some(fault) = node.silent.clone() {
            return Err(fault);
        }
        Ok(match action {
            NodeAction::Inspect => {
                let (indexes, mut keys) = (node.indexes.clone(), node.keys.clone());
                keys.extend(others_keys.map(|(generation, other)| (other, generation)));
                NodeAnswer::State { version: node.version.unwrap_or("1.50.0").into(), indexes, keys }
            }
            NodeAction::ReadTasks { from, open, .. } => {
                node.reads += 1;
                NodeAnswer::Tasks {
                    tasks: node.tasks.iter().filter(|task| task.uid >= from).cloned().collect(),
                    more: false,
                    open: node.tasks.iter().filter(|task| open.contains(&task.uid)).cloned().collect(),
                    bytes: node.list_bytes,
                }
            }
            NodeAction::Fence { generation, term } => {
                let newest = node.fences.last().copied().unwrap_or(0);
                if newest > generation || node.term > term {
                    return Ok(NodeAnswer::Outdated { generation: newest, term: node.term });
                }
                node.fences.push(generation);
                node.term = term;
                let key = format!("{id}-{generation}");
                NodeAnswer::Fenced { admin: format!("{key}-admin"), edit: format!("{key}-edit"), data: key }
            }
            NodeAction::Request { step, .. } => {
                node.told.push(step.clone());
                let body = step.body.as_deref().unwrap_or_default();
                let named = |tag: u32| body.contains(&tag::encode(tag, shards));
                if body.contains("NOT ") {
                    node.outsiders.retain(|_, tag| tag.is_some_and(named));
                } else if step.path.ends_with("/delete-batch") {
                    let keys: Vec<String> = serde_json::from_str(body).unwrap();
                    node.outsiders.retain(|key, _| !keys.contains(key));
                    node.documents.retain(|key, _| !keys.contains(key));
                }
                let objection = node.objection.clone().filter(|_| step.task_type == "settingsUpdate");
                let status = if objection.is_some() { TaskStatus::Failed } else { TaskStatus::Succeeded };
                let uid = self.add_task(id, None, &step.task_type, step.task_index.as_deref(), status, None);
                let tasks = &mut self.nodes.get_mut(id).unwrap().tasks;
                tasks.iter_mut().filter(|task| task.uid == uid).for_each(|task| task.error.clone_from(&objection));
                self.drifted.remove(id);
                self.accepted(id, uid)
            }
            NodeAction::DivideBatch { metadata, .. } => {
                let uid =
                    self.add_task(id, Some(&metadata), "documentDeletion", Some("a"), TaskStatus::Enqueued, Some(0));
                self.accepted(id, uid)
            }
            NodeAction::DeleteTasks { from, below, .. } => {
                node.tasks.retain(|task| !(from..below).contains(&task.uid) || !task.status.is_over());
                let uid = self.add_task(id, None, "taskDeletion", None, TaskStatus::Succeeded, None);
                self.accepted(id, uid)
            }
            NodeAction::TagPage { key, index, limit, metadata, .. } => {
                let documents = node.untagged.min(u64::from(limit));
                node.untagged -= documents;
                let left = node.untagged;
                node.tagging.push(key);
                if documents > 0 {
                    let kind = "documentAdditionOrUpdate";
                    self.add_task(id, Some(&metadata), kind, Some(&index), TaskStatus::Succeeded, Some(documents));
                }
                NodeAnswer::Tagged { documents, left }
            }
            NodeAction::ListKeys { .. }
            | NodeAction::Digests { .. }
            | NodeAction::ListOutsiders { .. }
            | NodeAction::FetchPage { .. }
            | NodeAction::PutPage { .. }
            | NodeAction::DeleteKeys { .. }
            | NodeAction::DeleteShard { .. }
            | NodeAction::CountShard { .. } => {
                if repairs {
                    return self.node_copies(id, action);
                }
                NodeAnswer::Refused { status: 400, error: None }
            }
            NodeAction::Cancel { uids, .. } => {
                for task in node.tasks.iter_mut().filter(|task| uids.contains(&task.uid) && !task.status.is_over()) {
                    task.status = TaskStatus::Canceled;
                }
                let uid = self.add_task(id, None, "taskCancelation", None, TaskStatus::Succeeded, None);
                self.accepted(id, uid)
            }
        })
    }

    fn node_copies(&mut self, id: &str, action: NodeAction) -> Result<NodeAnswer, NodeFault> {
        let shards = self.config.shards;
        let node = self.nodes.get_mut(id).unwrap();
        node.copying.push(action.clone());
        let looks = matches!(
            action,
            NodeAction::ListKeys { .. }
                | NodeAction::Digests { .. }
                | NodeAction::ListOutsiders { .. }
                | NodeAction::FetchPage { .. }
                | NodeAction::CountShard { .. }
        );
        if node.awaits_pages && !looks {
            return Err(NodeFault::Unknown);
        }
        let (kind, count, metadata) = match action {
            NodeAction::ListKeys { shard, .. } => {
                let own = node.documents.keys().filter(|key| shard_of(key.as_bytes(), shards) == shard);
                let others = node.outsiders.iter().filter(|(_, tag)| **tag == Some(shard)).map(|(key, _)| key);
                return Ok(NodeAnswer::Keys(own.chain(others).cloned().collect()));
            }
            NodeAction::Digests { keys, shard, .. } => {
                let wanted = |key: &String, tag: Option<u32>| match &keys {
                    Some(keys) => keys.contains(key),
                    None => tag == Some(shard),
                };
                let own = node.documents.iter().filter(|(key, _)| wanted(key, Some(shard_of(key.as_bytes(), shards))));
                let others = node.outsiders.iter().filter(|(key, tag)| wanted(key, **tag));
                let others = others.map(|(key, _)| (key.clone(), OUTSIDER));
                return Ok(NodeAnswer::Digests(own.map(|(key, hash)| (key.clone(), *hash)).chain(others).collect()));
            }
            NodeAction::ListOutsiders { held, keys, .. } => {
                let outside = |(key, tag): &(&String, &Option<u32>)| {
                    keys.contains(key) || tag.is_none_or(|tag| !held.contains(&tag))
                };
                let found = node.outsiders.iter().filter(outside).take(MOST_OUTSIDERS);
                return Ok(NodeAnswer::Keys(found.map(|(key, _)| key.clone()).collect()));
            }
            NodeAction::CountShard { .. } if node.lacks_index => {
                return Ok(NodeAnswer::Refused { status: 404, error: None });
            }
            NodeAction::CountShard { .. } => return Ok(NodeAnswer::Count(node.documents.len() as u64)),
            NodeAction::FetchPage { keys, .. } => {
                let found: BTreeMap<String, u128> =
                    node.documents.iter().filter(|(key, _)| keys.contains(key)).map(|(k, h)| (k.clone(), *h)).collect();
                self.next += 1;
                let page = PageId(self.next);
                let keys: Vec<String> = found.keys().cloned().collect();
                self.pages.insert(page, found);
                return Ok(NodeAnswer::Page { page, bytes: keys.len() as u64 * 100, keys });
            }
            NodeAction::PutPage { page, without, metadata, .. } => {
                let mut written = self.pages[&page].clone();
                written.retain(|key, _| !without.contains(key));
                let count = written.len() as u64;
                node.outsiders.retain(|key, _| !written.contains_key(key));
                node.documents.extend(written);
                ("documentAdditionOrUpdate", count, metadata)
            }
            NodeAction::DeleteKeys { keys, metadata, .. } => {
                node.documents.retain(|key, _| !keys.contains(key));
                node.outsiders.retain(|key, _| !keys.contains(key));
                ("documentDeletion", keys.len() as u64, metadata)
            }
            NodeAction::DeleteShard { metadata, .. } => {
                node.documents.clear();
                ("documentDeletion", 0, metadata)
            }
            other => panic!("{other:?} copies nothing"),
        };
        let swallowed = node.swallows_pages;
        let status = if node.lacks_index { TaskStatus::Failed } else { TaskStatus::Succeeded };
        let uid = self.add_task(id, Some(&metadata), kind, Some("a"), status, Some(count));
        if swallowed { Err(NodeFault::Unknown) } else { Ok(self.accepted(id, uid)) }
    }

    fn accepted(&self, id: &str, uid: u32) -> NodeAnswer {
        let tasks = &self.nodes[id].tasks;
        let task = tasks.iter().find(|task| task.uid == uid).expect("a task that was just enqueued");
        NodeAnswer::Enqueued { uid, enqueued_at: task.enqueued_at.clone() }
    }

    /// A node enqueues a task (of a ticket); `count`: documents indexed or deleted, once it has succeeded.
    pub fn add_task(
        &mut self,
        id: &str,
        ticket: Option<&str>,
        task_type: &str,
        index: Option<&str>,
        status: TaskStatus,
        count: Option<u64>,
    ) -> u32 {
        let now = self.now;
        let node = self.nodes.get_mut(id).unwrap();
        let uid = node.tasks.last().map_or(0, |task| task.uid + 1);
        node.tasks.push(NodeTask {
            uid,
            index: index.map(str::to_owned),
            status,
            task_type: task_type.to_owned(),
            metadata: ticket.map(str::to_owned),
            indexed: count,
            deleted: count,
            error: None,
            enqueued_at: format!("{id}-{now}-{uid}"),
            started_ms: None,
            finished_ms: None,
        });
        uid
    }

    /// Ends a task of a node.
    pub fn end_task(&mut self, id: &str, uid: u32, status: TaskStatus, count: Option<u64>) {
        let tasks = &mut self.nodes.get_mut(id).unwrap().tasks;
        let task = tasks.iter_mut().find(|task| task.uid == uid).unwrap();
        (task.status, task.indexed, task.deleted) = (status, count, count);
    }
}

/// What an operation means: one request to each node, and settings whose members become those of the change.
pub fn plan(operation: &IndexOperation, current: Option<&IndexRow>) -> IndexPlan {
    let (task_type, index) = match operation {
        IndexOperation::Create { uid, .. } => ("indexCreation", Some(uid)),
        IndexOperation::Update { uid, .. } => ("indexUpdate", Some(uid)),
        IndexOperation::Delete { uid } => ("indexDeletion", Some(uid)),
        IndexOperation::Compact { uid } => ("indexCompaction", Some(uid)),
        IndexOperation::Swap { .. } => ("indexSwap", None),
        IndexOperation::Settings { uid, .. } => ("settingsUpdate", Some(uid)),
    };
    let settings = match operation {
        IndexOperation::Settings { change: Value::Object(change), .. } => {
            let mut settings = current.and_then(|row| row.settings.as_object().cloned()).unwrap_or_default();
            settings.extend(change.clone());
            Some(Value::Object(settings))
        }
        _ => None,
    };
    let step = NodeStep {
        method: "POST".into(),
        path: "/".into(),
        body: None,
        task_type: task_type.into(),
        task_index: index.cloned(),
        tolerate: Vec::new(),
    };
    IndexPlan { steps: vec![step], settings, view: None, details: None }
}
