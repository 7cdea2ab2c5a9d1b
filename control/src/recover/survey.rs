//! What each node shows: keys, tasks, indexes, settings, how many documents.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use miroir_sequencer::{NodeAction, NodeAnswer, TaskStatus};
use serde_json::Value;

use super::known::Known;
use crate::cluster::{FoundIndex, NodeRequest, Note};
use crate::config::Node;
use crate::keys::READER;
use crate::node::{Client, WriteKey, pages};

/// Longest wait for an answer of a node.
pub(super) const ANSWER: Duration = Duration::from_secs(60);

/// A node that answered.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) node: Node,
    /// API keys, without write keys and the workers' own.
    pub(super) keys: Vec<Value>,
    pub(super) write_keys: Vec<WriteKey>,
    pub(super) note: Option<Note>,
    pub(super) tasks: Tasks,
    pub(super) indexes: Vec<Index>,
    /// Experimental features.
    pub(super) features: Value,
}

/// An index of a node.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) found: FoundIndex,
    pub(super) created_at: String,
    pub(super) updated_at: String,
    pub(super) documents: u64,
}

/// The task list of a node.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// Uid of the oldest one.
    pub(super) first: Option<u32>,
    /// Uid of the newest one, and when it was enqueued.
    pub(super) last: Option<(u32, String)>,
    /// Newest term and uid of tickets, by cluster id.
    pub(super) tickets: BTreeMap<String, (u64, u32)>,
    /// How those tickets ended that somebody wants to know of.
    pub(super) ends: BTreeMap<u32, Vec<TaskStatus>>,
}

/// All nodes.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Those that answered, in the order in which they were asked.
    pub(super) found: Vec<Found>,
    /// The others, and why.
    pub(super) silent: Vec<(Node, String)>,
}

impl Survey {
    /// Looks at these nodes.
    pub(super) async fn take(client: &Client, nodes: &[Node], known: &Known) -> Self {
        let looks = nodes.iter().map(|node| async move { (node, look(client, node, known).await) });
        let mut survey = Self::default();
        for (node, found) in futures::future::join_all(looks).await {
            match found {
                Ok(found) => survey.found.push(found),
                Err(why) => survey.silent.push((node.clone(), format!("{why:#}"))),
            }
        }
        survey
    }

    /// The survey, if nobody was silent.
    pub(super) fn complete(self) -> anyhow::Result<Self> {
        match self.silent.first() {
            Some((node, why)) => bail!("node {} answers no more: {why}", node.id),
            None => Ok(self),
        }
    }

    pub(super) fn nodes(&self) -> Vec<Node> {
        self.found.iter().map(|found| found.node.clone()).collect()
    }

    /// The newest note.
    pub(super) fn note(&self) -> Option<&Note> {
        self.found.iter().filter_map(|found| found.note.as_ref()).max_by_key(|note| note.epoch)
    }

    /// Ids of the clusters that have left traces.
    pub(super) fn clusters(&self) -> BTreeSet<&str> {
        let keys = self.found.iter().flat_map(|found| &found.write_keys).map(|key| key.cluster.as_str());
        let named: BTreeSet<&str> = keys.collect();
        match named.is_empty() {
            false => named,
            true => self.found.iter().flat_map(|found| found.tasks.tickets.keys()).map(String::as_str).collect(),
        }
    }
}

async fn look(client: &Client, node: &Node, known: &Known) -> anyhow::Result<Found> {
    let id = node.id.as_str();
    // It is asked first what needs no key, so that "it does not answer" and "it does not let us in" differ.
    get(client, id, "/health").await?;
    let listed = match client.has_master_key() {
        true => list(client, id, "/keys").await?,
        false => Vec::new(),
    };
    let (ours, keys): (Vec<Value>, Vec<Value>) =
        listed.into_iter().partition(|key| WriteKey::read(key).is_some() || key["uid"] == READER.to_string());
    let note = ours.iter().find_map(|key| Note::read(key["description"].as_str()?));
    Ok(Found {
        node: node.clone(),
        keys,
        write_keys: ours.iter().filter_map(WriteKey::read).collect(),
        note,
        tasks: tasks(client, id, known).await?,
        indexes: indexes(client, id).await?,
        features: get(client, id, "/experimental-features").await?,
    })
}

/// What a node answers to a `GET`.
pub(super) async fn get(client: &Client, node: &str, path: &str) -> anyhow::Result<Value> {
    let request = NodeRequest { method: "GET".to_owned(), path: path.to_owned(), body: None };
    let answer = client.call(node, &request, ANSWER).await?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).with_context(|| format!("reading the answer to {path}"))
}

async fn list(client: &Client, node: &str, route: &str) -> anyhow::Result<Vec<Value>> {
    pages::all(route, |path| async move { Ok(serde_json::from_value(get(client, node, &path).await?)?) }).await
}

async fn tasks(client: &Client, node: &str, known: &Known) -> anyhow::Result<Tasks> {
    let mut read = Tasks::default();
    loop {
        let from = read.last.as_ref().map_or(0, |(uid, _)| uid.saturating_add(1));
        let action = NodeAction::ReadTasks { from, limit: 1000, open: Vec::new() };
        let answer = client.act(node, action, ANSWER).await;
        let Ok(NodeAnswer::Tasks { tasks, more, .. }) = answer else { bail!("its tasks cannot be read: {answer:?}") };
        for task in tasks {
            read.first.get_or_insert(task.uid);
            if let Some((cluster, term, uid)) = task.metadata.as_deref().and_then(ticket) {
                let newest = read.tickets.entry(cluster.to_owned()).or_default();
                *newest = (newest.0.max(term), newest.1.max(uid));
                if known.open.contains(&uid) {
                    read.ends.entry(uid).or_default().push(task.status);
                }
            }
            read.last = Some((task.uid, task.enqueued_at));
        }
        if !more {
            return Ok(read);
        }
    }
}

/// Cluster, term and uid of a ticket in a task's metadata.
fn ticket(metadata: &str) -> Option<(&str, u64, u32)> {
    let mut parts = metadata.split('.');
    let (cluster, term, uid) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = cluster.len() == 8 && cluster.bytes().all(plain) && parts.next().is_none();
    fits.then_some((cluster, term, uid))
}

async fn indexes(client: &Client, node: &str) -> anyhow::Result<Vec<Index>> {
    let stats = get(client, node, "/stats").await?;
    let mut indexes = Vec::new();
    for listed in list(client, node, "/indexes").await? {
        let text = |name: &str| listed[name].as_str().map(str::to_owned);
        let uid = text("uid").context("an index without uid")?;
        let settings = get(client, node, &format!("/indexes/{uid}/settings")).await?;
        indexes.push(Index {
            documents: stats["indexes"][uid.as_str()]["numberOfDocuments"].as_u64().unwrap_or(0),
            created_at: text("createdAt").context("an index without createdAt")?,
            updated_at: text("updatedAt").unwrap_or_default(),
            found: FoundIndex { uid, primary_key: text("primaryKey"), settings },
        });
    }
    Ok(indexes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_stands_in_the_metadata() {
        assert_eq!(ticket("c0ffee00.3.17"), Some(("c0ffee00", 3, 17)));
        for other in ["c0ffee00.3", "c0ffee00.3.17.x", "a client's.1.2", "c0ffee00.x.1", ""] {
            assert_eq!(ticket(other), None, "{other}");
        }
    }
}
