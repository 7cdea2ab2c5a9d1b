//! `verify`: compares all usable copies of every shard, document by document, and the indexes' settings, and looks for
//! documents that belong to none of their node's copies. Nothing is changed.
//!
//! Copies take the same writes in the same order, but not at the same time. So what differs is looked at again until it
//! agrees, or until it stays as it is while its nodes have nothing open; what still changes after [`PATIENCE`] looks is
//! undecided, and no finding.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use miroir_admin::{Finding, Replica, Verification};
use miroir_core::error::ErrorBody;
use miroir_core::hash::shard_of;
use miroir_sequencer::{CopyRow, IndexRow, NodeAction, NodeAnswer, OUTSIDER};

use super::view;
use crate::cluster::{Cluster, Look, NodeRequest, Planner, Runtime};
use crate::settings::SettingsPlanner;

/// Shards that are compared at once: the nodes have searches to answer.
const AT_ONCE: usize = 2;
/// Findings that are kept.
const KEPT: usize = 1_000;
/// Longest wait for a node to read a shard.
const READ: Duration = Duration::from_secs(120);
/// Longest wait for an index's settings.
const SETTINGS: Duration = Duration::from_secs(5);
/// Looks at documents that differ, and the pause before each.
const PATIENCE: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// What a node has that belongs to none of its copies.
const OUTSIDE: &str = "tag does not fit";

/// The last comparison, or the one under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verifications(Arc<Mutex<Verification>>);

impl Verifications {
    fn lock(&self) -> MutexGuard<'_, Verification> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last one; none before the first.
    pub(super) fn last(&self) -> Option<Verification> {
        Some(self.lock().clone()).filter(|last| last.id > 0)
    }

    /// Starts one in the background; the one under way, if there is one.
    ///
    /// # Errors
    /// `index_not_found`.
    pub(super) async fn start(&self, cluster: Arc<Cluster>, only: Option<String>) -> Result<Verification, ErrorBody> {
        let indexes = cluster.indexes();
        let wanted: Vec<Arc<IndexRow>> =
            indexes.values().filter(|row| only.as_ref().is_none_or(|only| *only == row.uid)).cloned().collect();
        if let Some(uid) = only.as_ref().filter(|_| wanted.is_empty()) {
            return Err(ErrorBody::new("index_not_found", format!("Index `{uid}` not found.")));
        }
        let first = {
            let mut last = self.lock();
            if last.running {
                return Ok(last.clone());
            }
            let shards = u64::from(cluster.map().shards) * wanted.len() as u64;
            *last = Verification { id: last.id + 1, running: true, index: only, shards, ..Verification::default() };
            last.clone()
        };
        let run = Run { cluster, state: self.clone(), began: Instant::now() };
        tokio::spawn(async move { run.all(wanted).await });
        Ok(first)
    }
}

struct Run {
    cluster: Arc<Cluster>,
    state: Verifications,
    began: Instant,
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.running = false;
        state.took_ms = self.took_ms();
    }
}

/// How the copies of a shard compare.
#[derive(Debug, PartialEq)]
enum Compared {
    Single,
    Unanswered,
    Undecided(u64),
    /// Documents compared, and those that differ.
    Settled(u64, Vec<(String, Vec<Replica>)>),
}

/// Content hashes by document id, for each node.
type Contents = Vec<(String, BTreeMap<String, u128>)>;

impl Run {
    fn took_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn all(self, indexes: Vec<Arc<IndexRow>>) {
        for index in indexes {
            self.settings(&index).await;
            self.outsiders(&index).await;
            let shards = 0..self.cluster.map().shards;
            futures::stream::iter(shards).for_each_concurrent(AT_ONCE, |shard| self.shard(&index, shard)).await;
        }
    }

    fn find(&self, finding: Finding) {
        let mut state = self.state.lock();
        state.findings_total += 1;
        if state.findings.len() < KEPT {
            state.findings.push(finding);
        }
    }

    /// Every node that can be read must have the index as it must be.
    async fn settings(&self, index: &IndexRow) {
        let path = format!("/indexes/{}/settings", index.uid);
        let request = NodeRequest { method: "GET".to_owned(), path, body: None };
        let mut replicas = Vec::new();
        for node in self.cluster.nodes().iter().filter(|node| node.readable) {
            let Ok(answer) = self.cluster.client().call(&node.id, &request, SETTINGS).await else { continue };
            let found = serde_json::from_slice(&answer.body).ok().filter(|_| answer.status == 200);
            let has = match (&found, answer.status) {
                (Some(found), _) if SettingsPlanner.agrees(index, found) => continue,
                (_, 404) => "absent",
                (Some(_), _) => "settings differ",
                (None, _) => continue,
            };
            replicas.push(Replica { node: node.id.clone(), has: has.to_owned() });
        }
        // An operation may have changed the index meanwhile: then this says nothing.
        let unchanged = self.cluster.index(&index.uid).is_some_and(|now| *now == *index);
        if !replicas.is_empty() && unchanged && !self.cluster.is_indexing(&index.uid) {
            let (index, placement) = (index.uid.clone(), index.placement);
            self.find(Finding { index, placement, shard: None, document: None, replicas });
        }
    }

    /// No node must have documents that belong to none of its copies. Those of a copy that comes or goes are seen once.
    async fn outsiders(&self, index: &IndexRow) {
        let Some(primary_key) = &index.primary_key else { return };
        let mut before: Option<BTreeSet<(String, String)>> = None;
        loop {
            let Some(look) = self.cluster.look().await else { return };
            // An existing node's documents are given their tags first.
            if look.tagging.is_some() {
                return;
            }
            let mut found = BTreeSet::new();
            // One that does not answer keeps nobody waiting.
            for node in look.nodes.iter().filter(|node| node.phase == "ready") {
                let here = |copy: &&CopyRow| copy.node == node.id && copy.placement == index.placement;
                let action = NodeAction::ListOutsiders {
                    index: index.uid.clone(),
                    primary_key: primary_key.clone(),
                    held: look.copies.iter().filter(here).map(|copy| copy.shard).collect(),
                    keys: Vec::new(),
                };
                if let Ok(NodeAnswer::Keys(keys)) = self.cluster.client().act(&node.id, action, READ).await {
                    found.extend(keys.into_iter().map(|key| (node.id.clone(), key)));
                }
            }
            found.retain(|one| before.as_ref().is_none_or(|before| before.contains(one)));
            if found.is_empty() || before.is_some() {
                let (uid, placement) = (&index.uid, index.placement);
                for (node, document) in found {
                    let replicas = vec![Replica { node, has: OUTSIDE.to_owned() }];
                    let (index, document) = (uid.clone(), Some(document));
                    self.find(Finding { index, placement, shard: None, document, replicas });
                }
                return;
            }
            before = Some(found);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn shard(&self, index: &IndexRow, shard: u32) {
        let compared = self.compare(index, shard).await;
        let mut state = self.state.lock();
        state.shards_done += 1;
        state.took_ms = self.took_ms();
        match compared {
            Compared::Single => state.single += 1,
            Compared::Unanswered => state.unanswered += 1,
            Compared::Undecided(documents) => {
                state.undecided += 1;
                state.documents += documents;
            }
            Compared::Settled(documents, differing) => {
                state.documents += documents;
                drop(state);
                for (document, replicas) in differing {
                    self.find(Finding {
                        index: index.uid.clone(),
                        placement: index.placement,
                        shard: Some(shard),
                        document: Some(document),
                        replicas,
                    });
                }
            }
        }
    }

    async fn compare(&self, index: &IndexRow, shard: u32) -> Compared {
        let Some(look) = self.cluster.look().await else { return Compared::Unanswered };
        let nodes = usable(&look, index.placement, shard);
        if nodes.len() < 2 {
            return Compared::Single;
        }
        // Without a primary key there are no documents yet.
        let Some(primary_key) = index.primary_key.clone() else { return Compared::Settled(0, Vec::new()) };
        let read = async |nodes: &[String], keys: Option<Vec<String>>| {
            let asked = nodes.iter().map(|node| self.digests(node, index, &primary_key, shard, keys.clone()));
            let answers = futures::future::join_all(asked).await;
            nodes.iter().cloned().zip(answers).map(|(node, answer)| Some((node, answer?))).collect::<Option<Contents>>()
        };
        let Some(first) = read(&nodes, None).await else { return Compared::Unanswered };
        let documents = all_keys(&first).len() as u64;
        let mut seen = differing(&first);
        let mut quiet = false;
        for _ in 0..PATIENCE {
            if seen.is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            let Some(look) = self.cluster.look().await else { return Compared::Unanswered };
            let now_usable = usable(&look, index.placement, shard);
            if nodes.iter().any(|node| !now_usable.contains(node)) {
                return Compared::Undecided(documents);
            }
            let idle = |id: &String| look.nodes.iter().any(|node| node.id == *id && node.open_tasks == 0);
            let was_quiet = std::mem::replace(&mut quiet, nodes.iter().all(idle));
            let keys = seen.keys().cloned().collect();
            let Some(again) = read(&nodes, Some(keys)).await else { return Compared::Unanswered };
            let now = differing(&again);
            let settled = now == seen && quiet && was_quiet;
            seen = now;
            if settled {
                return Compared::Settled(documents, seen.into_iter().collect());
            }
        }
        if seen.is_empty() { Compared::Settled(documents, Vec::new()) } else { Compared::Undecided(documents) }
    }

    async fn digests(
        &self,
        node: &str,
        index: &IndexRow,
        primary_key: &str,
        shard: u32,
        keys: Option<Vec<String>>,
    ) -> Option<BTreeMap<String, u128>> {
        let action = NodeAction::Digests { index: index.uid.clone(), primary_key: primary_key.to_owned(), shard, keys };
        match self.cluster.client().act(node, action, READ).await {
            Ok(NodeAnswer::Digests(mut digests)) => {
                // Under the shard's tag there may be documents of others; each of those is its own shard's on other nodes.
                let shards = self.cluster.map().shards;
                digests.retain(|(key, digest)| *digest == OUTSIDER || shard_of(key.as_bytes(), shards) == shard);
                Some(digests.into_iter().collect())
            }
            // A node that has never had a document of the index does not know its key, nor has it any document.
            Ok(NodeAnswer::Refused { status: 404, .. }) => Some(BTreeMap::new()),
            _ => None,
        }
    }
}

fn usable(look: &Look, placement: u16, shard: u32) -> Vec<String> {
    let shards = view::shards(look);
    let found = shards.into_iter().find(|found| (found.placement, found.shard) == (placement, shard));
    found.into_iter().flat_map(|shard| shard.copies).filter(|copy| copy.usable).map(|copy| copy.node).collect()
}

fn all_keys(contents: &Contents) -> BTreeSet<&String> {
    contents.iter().flat_map(|(_, digests)| digests.keys()).collect()
}

/// Documents that are not the same on all nodes.
fn differing(contents: &Contents) -> BTreeMap<String, Vec<Replica>> {
    let mut differing = BTreeMap::new();
    for key in all_keys(contents) {
        let found: Vec<Option<u128>> = contents.iter().map(|(_, digests)| digests.get(key).copied()).collect();
        if found.windows(2).all(|pair| pair[0] == pair[1]) && !found.contains(&Some(OUTSIDER)) {
            continue;
        }
        let replica = |((node, _), digest): (&(String, _), Option<u128>)| Replica {
            node: node.clone(),
            has: match digest {
                None => "absent".to_owned(),
                Some(OUTSIDER) => OUTSIDE.to_owned(),
                Some(digest) => format!("{digest:032x}"),
            },
        };
        differing.insert(key.clone(), contents.iter().zip(found).map(replica).collect());
    }
    differing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_documents_are_named_with_what_each_replica_has() {
        let contents = |list: &[(&str, u128)]| list.iter().map(|(key, digest)| ((*key).to_owned(), *digest)).collect();
        let nodes = vec![
            ("a".to_owned(), contents(&[("1", 7), ("2", 8), ("3", 9)])),
            ("b".to_owned(), contents(&[("1", 7), ("2", 5)])),
        ];
        let both = |digest| contents(&[("4", digest)]);
        let strange = vec![("a".to_owned(), both(OUTSIDER)), ("b".to_owned(), both(OUTSIDER))];
        assert_eq!(differing(&strange)["4"][1].has, OUTSIDE, "also where both have it");
        let found = differing(&nodes);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(found["2"][0].has, format!("{:032x}", 8));
        assert_eq!((found["3"][1].node.as_str(), found["3"][1].has.as_str()), ("b", "absent"));
        assert_eq!(all_keys(&nodes).len(), 3);
    }
}
