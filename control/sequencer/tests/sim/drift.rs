//! Drift: what lies on a node's disk changes and no task tells of it. The comparison in the background must find it,
//! have the version that is lost written down, and let the senior copy win; and it must find nothing else.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::invariants::Document;
use miroir_sequencer::*;

use crate::engine::{UNTAGGED, Work};
use crate::names::Line;
use crate::swarm::Swarm;
use crate::world::{Event, World};

/// The field by which a drifted document is told from what clients write.
pub const MARK: &str = "drift";

/// A document, on a node or in the findings file.
type Version = (usize, String, String, Option<String>);

/// What has drifted, and what has been written down of it.
#[derive(Debug, Default)]
pub struct Drifting {
    count: u64,
    /// Documents that have ever drifted, by index and key; true: on the senior copy, too.
    keys: BTreeMap<(Line, String), bool>,
    /// Shards of which a copy had something else under a key: that is evidence, by which the senior one loses its place.
    evident: BTreeSet<u32>,
    /// Since when copies have been in sync without a break, and their rank, by shard and node.
    since: BTreeMap<(u32, String), (u64, u16)>,
    /// Where and when a document drifted, by its mark; and when the keys of a copy were last listed, by node, index and
    /// shard.
    drifted: BTreeMap<String, (usize, u64)>,
    listed: BTreeMap<(usize, String, u32), u64>,
    /// Copies became stale for reasons that somebody knows: then that decides who wins, too.
    disturbed: bool,
    /// The findings file: node, index, key, and the mark of the document that was there.
    written: BTreeSet<Version>,
}

impl Swarm {
    /// Drift on disks among everything else that goes wrong.
    pub fn drifting(seed: u64) -> Self {
        let mut swarm = Self::of(seed);
        swarm.kinds.push("drift");
        swarm.reads = false;
        swarm
    }

    /// Nothing but drift: no copy is stale for any other reason.
    pub fn only_drift(seed: u64) -> Self {
        Self { writes: 40, slow: seed % 20, pause: 3_000, kinds: vec!["drift"], reads: false, ..Self::calm() }
    }
}

impl World {
    /// Changes, deletes or adds a document on a node's disk, or changes settings there.
    pub fn drift(&mut self, node: usize) {
        let index = if self.net.random.chance(700) { "a" } else { "b" }.to_owned();
        let key = format!("k{}", self.net.random.below(6));
        let shard = miroir_core::hash::shard_of(key.as_bytes(), self.shards);
        let what = self.net.random.below(6);
        let good = self.good_copies(shard);
        let row = self.control.sequencer.as_ref().and_then(|sequencer| sequencer.index(&index));
        // Without a key nobody looks for documents.
        if row.is_none_or(|row| row.primary_key.is_none() || row.provisional) {
            return;
        }
        let others = self.good_copies((shard + 1) % self.shards);
        let comes_to_light = good.len() > 1 && others.len() > 1 && self.is_member(node);
        let Some(found) = self.nodes[node].disk.indexes.get_mut(&index) else { return };
        let other = (shard + 1) % self.shards;
        // What lies under another tag is found where that shard's copies are compared, or the node has none of it; it is
        // put right where another copy has the document.
        let tag = match what {
            4 => UNTAGGED,
            5 => other,
            _ => shard,
        };
        if tag == shard && !good.contains(&node) || tag != shard && !comes_to_light {
            return;
        }
        self.drifting.count += 1;
        let mark = self.drifting.count.to_string();
        match what {
            0 if good.len() > 1 => {
                found.settings = format!("drifted {mark}");
                return;
            }
            1 => {
                if found.documents.remove(&key).is_none() {
                    return;
                }
            }
            _ => {
                let document = [("id", key.as_str()), (MARK, mark.as_str())];
                let document: Document = document.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
                found.documents.insert(key.clone(), (tag, document));
            }
        }
        self.drifting.drifted.insert(mark.clone(), (node, self.net.now));
        if tag != shard {
            self.drifting.evident.insert(shard);
        }
        self.note(|| format!("node {node} drifts in {index}/{key} of shard {shard}: {what}, mark {mark}"));
        let copies = self.drifting.since.range((shard, String::new())..(shard + 1, String::new()));
        let senior = copies.min_by_key(|(_, since)| **since).is_some_and(|((_, id), _)| *id == self.nodes[node].id);
        let lines = if self.is_swapping() { vec!["a", "b"] } else { vec![self.line(&index)] };
        for line in lines {
            *self.drifting.keys.entry((line, key.clone())).or_default() |= senior;
        }
    }

    /// Whether the history of writes cannot explain a document.
    pub fn may_be_drifted(&self, index: &str, key: &str) -> bool {
        let found = self.drifting.keys.get(&(self.line(index), key.to_owned()));
        let evident = self.drifting.evident.contains(&miroir_core::hash::shard_of(key.as_bytes(), self.shards));
        found.is_some_and(|senior| *senior || evident || !self.is_only_drift())
    }

    fn is_only_drift(&self) -> bool {
        self.swarm.kinds == ["drift"] && !self.drifting.disturbed
    }

    /// From here on a copy's keys are looked at.
    pub fn see_listing(&mut self, node: usize, index: &str, shard: u32) {
        self.drifting.listed.insert((node, index.to_owned(), shard), self.net.now);
    }

    /// Keeps track of how long copies have been in sync.
    pub fn see_copy(&mut self, row: &CopyRow) {
        let place = (row.shard, row.node.clone());
        if row.state == CopyState::InSync {
            let now = self.net.now;
            self.drifting.since.entry(place).or_insert((now, row.rank)).1 = row.rank;
        } else {
            self.drifting.since.remove(&place);
        }
    }

    /// The findings file. Now and then it cannot be written.
    pub fn write_down(&mut self, instance: u64, op: OpId, drifts: &[Drift]) {
        let unwritable = self.net.now < self.faults_until && self.net.random.chance(100);
        let mut result = if unwritable { Err("no space".to_owned()) } else { Ok(()) };
        for drift in drifts {
            let Some(node) = self.nodes.iter().position(|engine| engine.id == drift.lost) else { continue };
            if !self.nodes[node].up || self.nodes[node].stopped {
                result = Err("no answer".to_owned());
            }
            let keys: Vec<&String> = match &drift.what {
                Drifted::Index => continue,
                Drifted::Outsiders { keys, .. } => keys.iter().collect(),
                Drifted::Documents { differing, missing, extra, .. } => {
                    differing.iter().chain(missing).chain(extra).collect()
                }
            };
            for key in keys.into_iter().filter(|_| result.is_ok()) {
                let mark = self.mark(node, &drift.index, key);
                self.drifting.written.insert((node, drift.index.clone(), key.clone(), mark));
            }
        }
        let event = miroir_sequencer::Event::WrittenDown { op, result };
        let delay = self.net.random.between(1, 50);
        self.net.after(delay, Event::Caller { instance, event: Box::new(event) });
    }

    fn mark(&self, node: usize, index: &str, key: &str) -> Option<String> {
        let document = self.nodes[node].disk.indexes.get(index)?.documents.get(key)?;
        document.1.get(MARK).cloned()
    }

    /// Control writes to a copy: whatever it overwrites or deletes must have been written down, where nothing but drift
    /// can have made the copy stale, and where it was there when the copy was looked at.
    pub fn check_written_down(&mut self, node: usize, index: &str, work: &Work) {
        if !self.is_only_drift() {
            return;
        }
        let keys: Vec<String> = match work {
            Work::Add { documents, .. } => documents.iter().map(|(key, ..)| key.clone()).collect(),
            Work::Remove { ids, .. } => ids.clone(),
            _ => return,
        };
        for key in keys {
            let Some(mark) = self.mark(node, index, &key) else { continue };
            let shard = miroir_core::hash::shard_of(key.as_bytes(), self.shards);
            let listed = self.drifting.listed.get(&(node, index.to_owned(), shard)).copied().unwrap_or(0);
            if self.drifting.drifted.get(&mark).is_none_or(|(origin, at)| *origin != node || *at >= listed) {
                continue;
            }
            if !self.drifting.written.contains(&(node, index.to_owned(), key.clone(), Some(mark.clone()))) {
                self.breaks(format!("{index}/{key} on node {node} (mark {mark}) is lost and was never written down"));
            }
        }
    }

    /// Nobody is told of drift where there is none.
    pub fn check_alert(&mut self, alert: &Alert) {
        if alert.kind == "copy_stale" && self.swarm.breaks > 0 && self.swarm.kinds.is_empty() {
            self.breaks(format!("F18: a connection that broke once has cost a copy: {}", alert.text));
        }
        if alert.kind == "replica_drift" && self.drifting.count == 0 && !self.lacks_what_is_named(alert) {
            self.breaks(format!("a false alarm: {}", alert.text));
        }
        self.drifting.disturbed |= alert.kind == "copy_stale" && !alert.text.ends_with("nobody knows why");
    }

    /// A disk that had shown no task yet cannot be told from another one that takes its place: what that one lacks is
    /// found by comparing, and rightly told.
    fn lacks_what_is_named(&self, alert: &Alert) -> bool {
        let node = self.nodes.iter().find(|node| alert.node.as_ref() == Some(&node.id));
        let others = self.nodes.iter().flat_map(|node| node.disk.indexes.keys());
        let mut named = others.filter(|index| alert.text.ends_with(&format!("index {index} is not as it must be")));
        node.is_some_and(|node| named.any(|index| !node.disk.indexes.contains_key(index)))
    }

    /// Everything has come to rest: whatever lies on a node carries the tag of its key's shard.
    pub fn check_tags(&mut self) {
        if !self.is_only_drift() {
            return;
        }
        let mut found = Vec::new();
        for engine in &self.nodes {
            let documents = engine
                .disk
                .indexes
                .iter()
                .flat_map(|(index, held)| held.documents.iter().map(move |(key, (tag, _))| (index, key, *tag)));
            let strange = |(_, key, tag): &(&String, &String, u32)| {
                miroir_core::hash::shard_of(key.as_bytes(), self.shards) != *tag
            };
            let text = |(index, key, tag)| format!("{index}/{key} on {} carries tag {tag}", engine.id);
            found.extend(documents.filter(strange).map(text));
        }
        found.into_iter().for_each(|text| self.breaks(text));
    }

    /// Everything has come to rest: indexes are on every node as they must be, and findings have been put right.
    pub fn check_indexes(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return };
        // A disk that is another one is filled when some copy of it is left.
        let ready = sequencer.nodes().into_iter().filter(|node| node.phase == "ready");
        let ready: BTreeSet<NodeId> = ready.map(|node| node.id).collect();
        let members: Vec<usize> = (0..self.nodes.len()).filter(|node| ready.contains(&self.nodes[*node].id)).collect();
        let settled = sequencer.indexes().filter(|row| row.primary_key.is_some() && !row.provisional);
        let mut found = Vec::new();
        for row in settled {
            for node in &members {
                let settings = self.nodes[*node].disk.indexes.get(&row.uid).map(|index| index.settings.as_str());
                if settings != row.settings.as_str() {
                    found.push(format!("{} on node {node} has settings {settings:?}, not {}", row.uid, row.settings));
                }
            }
        }
        let open: Vec<FindingRow> =
            sequencer.scrub().findings.into_iter().filter(|row| row.repaired_ms.is_none()).collect();
        if !open.is_empty() && self.is_only_drift() {
            found.push(format!("findings are open: {open:?}"));
        }
        found.into_iter().for_each(|text| self.breaks(text));
    }
}
