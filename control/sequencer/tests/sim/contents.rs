//! What clients may see, and what copies may hold: documents against everything that was written (invariants 1, 7, 9, 11
//! and 12).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use miroir_core::invariants::{self, Breach, Change, Document, Touch};
use miroir_core::shardmap::{CompiledMap, NodeIndex};
use miroir_sequencer::*;

use crate::engine::{EDITED, Work};
use crate::network::Party;
use crate::world::{Event, World};

/// How a state is judged: as what a copy holds, or as what a reader sees.
pub type Shows = fn(&BTreeSet<Option<&Document>>, Option<&Document>, &dyn fmt::Display) -> Option<Breach>;

/// A document somewhere, with all that was written to it.
struct Place<'a> {
    index: &'a str,
    key: &'a str,
    who: &'a str,
    touches: &'a [Touch],
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, key, who, touches } = self;
        write!(f, "{index}/{key}, as {who} shows it, with writes {touches:#?},")
    }
}

impl World {
    /// Reads one document through some filter, as a client does that has waited for its tasks (invariants 7, 9).
    pub fn read(&mut self) {
        if self.net.now < self.faults_until {
            let pause = self.net.random.between(50, 400);
            self.net.after(pause, Event::Read);
        }
        let vm = self.net.random.below(self.vms.len() as u64) as usize;
        if !self.vms[vm].up || self.vms[vm].stopped {
            return;
        }
        let Some(map) = self.vms[vm].map.clone() else { return };
        // A VM that has just started reads when control has told it that its map is the newest.
        if !self.vms[vm].confirmed && !self.swarm.reads_at_once {
            return;
        }
        // A VM that control has not heard for a while is promised nothing (F7).
        let cut_off = self.vms[vm].heard.is_some_and(|at| at + 10_000 <= self.net.now);
        if cut_off || map.map.epoch < self.disk_epoch {
            return;
        }
        let index = if self.net.random.chance(800) { "a" } else { "b" };
        let key = format!("k{}", self.net.random.below(6));
        let shard = miroir_core::hash::shard_of(key.as_bytes(), self.shards);
        let copies = self.readable(&map, index, shard);
        if copies.is_empty() || map.map.indexes.get(index).is_some_and(|entry| entry.swapping) {
            return;
        }
        let node = *self.net.random.pick(&copies);
        let engine = &self.nodes[node];
        if !engine.up
            || engine.stopped
            || self.net.is_cut(Party::Vm(vm), Party::Node(node))
            || self.changed[node].is_some()
        {
            return;
        }
        self.stats.reads += 1;
        self.check_answer(vm, &map, index);
        let Some(found) = self.nodes[node].disk.indexes.get(index) else { return };
        let state = found.documents.get(&key).map(|(_, document)| document.clone());
        let who = format!("a read of node {node} through vm {vm} at epoch {}", map.map.epoch);
        self.explain(index, &key, state.as_ref(), &who, invariants::read_shows_successes);
    }

    /// A search over all shards by this map: each document once, from copies that were in sync when it was made
    /// (invariant 7).
    fn check_answer(&mut self, vm: usize, map: &CompiledMap, index: &str) {
        let Some(entry) = map.map.indexes.get(index) else { return };
        let node_at = |at: NodeIndex| {
            let id = &map.map.nodes[usize::from(at)].id;
            let found = self.nodes.iter().position(|engine| engine.id == *id)?;
            let answers = self.nodes[found].up && !self.nodes[found].stopped && self.changed[found].is_none();
            let reached = !self.net.is_cut(Party::Vm(vm), Party::Node(found));
            (answers && reached && !entry.unreadable.contains(&at)).then_some(found)
        };
        let all: Vec<u32> = (0..self.shards).collect();
        let cover = map.repair(entry.placement, &all, &|at| node_at(at).is_none());
        let (mut ids, mut used, mut total) = (Vec::new(), Vec::new(), 0);
        for part in &cover.parts {
            let Some(node) = node_at(part.node) else { continue };
            used.extend(part.shards.iter().map(|shard| (*shard, self.nodes[node].id.as_str())));
            let documents = self.nodes[node].disk.indexes.get(index).map(|found| &found.documents);
            let held = documents.into_iter().flatten().filter(|(_, (held, _))| part.shards.contains(held));
            total += held.clone().count();
            ids.extend(held.map(|(key, _)| key.as_str()));
        }
        let answered = u64::from(self.shards) - cover.missing.len() as u64;
        let shards = u64::from(self.shards);
        let mut broken = Vec::from_iter(invariants::documents_once(shards, answered, &ids));
        broken.extend(invariants::total_fits(shards, answered, ids.len(), total as u64));
        if let Some(readable) = self.notes.readable.get(&map.map.epoch) {
            let in_sync =
                |shard: u32, node: &str| readable.iter().any(|copy| (copy.0, copy.1.as_str()) == (shard, node));
            broken.extend(invariants::only_readable_copies(used, in_sync));
        }
        self.judge(broken);
    }

    /// Is this state one that the reported successes allow?
    pub fn explain(&mut self, index: &str, key: &str, state: Option<&Document>, who: &str, shows: Shows) {
        if self.swapped() || self.may_be_drifted(index, key) {
            return;
        }
        let denied = self.denied();
        let touches = self.touches(index, key, &denied);
        let states = invariants::possible_states(&touches);
        let allowed = states.iter().map(Option::as_ref).collect();
        let place = Place { index, key, who, touches: &touches };
        let broken = [
            shows(&allowed, state, &place),
            invariants::deleted_stays_away(&allowed, state, &place),
            invariants::refused_stays_away(&self.refused(&denied), state, &place),
        ];
        self.judge(broken.into_iter().flatten());
    }

    /// Swaps exchange histories; runs with one are judged by equality alone.
    pub fn swapped(&self) -> bool {
        self.control.tasks.values().any(|task| task.task_type == "indexSwap")
    }

    fn touches(&self, index: &str, key: &str, denied: &BTreeSet<String>) -> Vec<Touch> {
        let mut touches: BTreeMap<u32, Touch> = BTreeMap::new();
        let succeeded =
            |ticket: u32| self.control.tasks.get(&ticket).is_some_and(|task| task.status == TaskStatus::Succeeded);
        for entry in self.log.iter().filter(|entry| entry.index == index && !entry.page) {
            let Some(ticket) = entry.ticket else { continue };
            let change = match &entry.work {
                Work::Add { replace, documents, .. } => {
                    let mut change: Option<Document> = None;
                    for (_, _, fields) in documents.iter().filter(|(id, ..)| id == key) {
                        match (&mut change, replace) {
                            (Some(before), false) => before.extend(fields.clone()),
                            (change, _) => *change = Some(fields.clone()),
                        }
                    }
                    let writes: BTreeSet<&String> =
                        documents.iter().flat_map(|(_, _, fields)| fields.values()).collect();
                    let reported = self.stats.late.contains(&ticket);
                    if !reported && writes.iter().any(|write| denied.contains(write.as_str())) {
                        continue;
                    }
                    match (change, replace) {
                        (None, _) => continue,
                        (Some(fields), true) => Change::Replace(fields),
                        (Some(fields), false) => Change::Merge(fields),
                    }
                }
                Work::Remove { ids, .. } if ids.iter().any(|id| id == key) => Change::Delete,
                Work::RemoveShards { shards, .. } => {
                    if !shards.contains(&miroir_core::hash::shard_of(key.as_bytes(), self.shards)) {
                        continue;
                    }
                    Change::Delete
                }
                Work::Clear { .. } => Change::Delete,
                Work::Edit { shards, text, .. } => {
                    let elsewhere = !shards.contains(&miroir_core::hash::shard_of(key.as_bytes(), self.shards));
                    let reported = self.stats.late.contains(&ticket);
                    if elsewhere || !reported && denied.contains(text.trim_end_matches(';')) {
                        continue;
                    }
                    Change::Append(EDITED.to_owned(), text.clone())
                }
                _ => continue,
            };
            // A loss that was reported is no silent one: the disk that had the write is gone.
            let must = succeeded(ticket) && !self.stats.lost.contains(&ticket);
            touches.insert(ticket, Touch { ticket, change, must });
        }
        for task in self.control.tasks.values() {
            if task.task_type == "indexDeletion" && task.index.as_deref() == Some(index) && task.error.is_none() {
                let touch =
                    Touch { ticket: task.uid, change: Change::Delete, must: task.status == TaskStatus::Succeeded };
                touches.insert(task.uid, touch);
            }
        }
        touches.into_values().collect()
    }

    /// Without those that control reported as late: they are seen, and nobody says otherwise.
    fn refused<'a>(&self, denied: &'a BTreeSet<String>) -> Cow<'a, BTreeSet<String>> {
        if self.stats.late.is_empty() {
            return Cow::Borrowed(denied);
        }
        let mut refused = denied.clone();
        let late = self.log.iter().filter(|entry| entry.ticket.is_some_and(|ticket| self.stats.late.contains(&ticket)));
        for entry in late {
            let Work::Add { documents, .. } = &entry.work else { continue };
            let values: BTreeSet<&String> = documents.iter().flat_map(|(_, _, fields)| fields.values()).collect();
            refused.retain(|value| !values.contains(value));
        }
        Cow::Owned(refused)
    }

    /// Writes whose client was told that nothing was written (invariant 11).
    fn denied(&self) -> BTreeSet<String> {
        let denied = self.writes.iter().filter(|(_, write)| {
            write.status == Some(503)
                && write.text.to_lowercase().contains("nothing was written")
                && write.idempotency.is_none()
        });
        denied.map(|(write, _)| write.to_string()).collect()
    }

    pub fn contents(&self, node: usize, index: &str, shard: u32) -> BTreeMap<String, Document> {
        let Some(found) = self.nodes[node].disk.indexes.get(index) else { return BTreeMap::new() };
        let held = found.documents.iter().filter(|(_, (held, _))| *held == shard);
        held.map(|(key, (_, document))| (key.clone(), document.clone())).collect()
    }
}
