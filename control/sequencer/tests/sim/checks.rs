//! The invariants of protocol section 2, looked at while the world runs and when it has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::invariants::{self, Breach, Disorder, Document};
use miroir_core::shardmap::CompiledMap;
use miroir_core::wire;

use miroir_sequencer::*;

use crate::engine::Work;
use crate::world::{Enqueued, World};

impl World {
    /// Notes what breaks an invariant.
    pub fn judge(&mut self, breaches: impl IntoIterator<Item = Breach>) {
        breaches.into_iter().for_each(|breach| self.breaks(breach.to_string()));
    }

    /// A write is acknowledged when, of every shard, a copy in sync has accepted it (protocol 1.1, step 5).
    pub fn check_acceptance(&mut self, answer: &wire::CommitAnswer) {
        let wire::CommitAnswer::Reply(wire::ControlReply { status: 202, body: Some(body), .. }) = answer else {
            return;
        };
        let ticket = body.get("taskUid").and_then(serde_json::Value::as_u64).and_then(|uid| u32::try_from(uid).ok());
        let task = ticket.and_then(|ticket| self.control.tasks.get(&ticket));
        // An answer that is given again says nothing about the copies of today.
        let Some(task) = task.filter(|task| task.enqueued_ms == self.net.now) else { return };
        let mut accepted: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
        for entry in self.log.iter().filter(|entry| entry.ticket == Some(task.uid)) {
            for shard in entry.work.shards(self.shards) {
                accepted.entry(shard).or_default().insert(entry.node);
            }
        }
        let lacking =
            accepted.iter().find(|(shard, nodes)| !self.good_copies(**shard).iter().any(|n| nodes.contains(n)));
        if let Some((shard, nodes)) = lacking {
            let text = format!("task {} was acknowledged, but shard {shard} is only on nodes {nodes:?}", task.uid);
            self.breaks(text);
        }
    }

    /// An index is read wherever there is a node in contact with a good copy, whatever operations are under way (F26).
    pub fn check_readable(&mut self) {
        let Some(sequencer) = self.control.sequencer.as_ref().filter(|_| !self.acting_former) else { return };
        let map = CompiledMap::new((*sequencer.map()).clone());
        let nodes = sequencer.nodes();
        let ready = |node: &usize| nodes.iter().any(|row| row.id == self.nodes[*node].id && row.phase == "ready");
        let mut found = Vec::new();
        for shard in 0..self.shards {
            if !self.good_copies(shard).iter().any(ready) {
                continue;
            }
            let apart = map.map.indexes.keys().filter(|index| self.readable(&map, index, shard).is_empty());
            found.extend(apart.map(|index| format!("F26: shard {shard} of {index} is read nowhere")));
        }
        found.into_iter().for_each(|text| self.breaks(text));
    }

    /// A key is what a write that has succeeded has made it: before, none is refused for it (F31).
    pub fn check_key(&mut self, task: &TaskRow) {
        let rival = task.index.as_deref() == Some("c") && task.status == TaskStatus::Failed;
        let code = task.error.as_ref().map_or("", |error| error.code.as_str());
        if !rival || !matches!(code, "index_primary_key_already_exists" | "missing_document_id") {
            return;
        }
        let done = |other: &&TaskRow| other.index.as_deref() == Some("c") && other.status == TaskStatus::Succeeded;
        let settled =
            self.control.tasks.values().filter(done).any(|other| other.task_type == "documentAdditionOrUpdate");
        // One that waits for filters to learn of a copy is as good as done.
        let applied =
            self.nodes.iter().any(|node| node.disk.indexes.get("c").is_some_and(|index| !index.documents.is_empty()));
        if !settled && !applied {
            self.breaks(format!("F31: task {} is refused for a key that no write has settled: {code}", task.uid));
        }
    }

    /// A change of incarnation has been noted.
    pub fn notice_disk(&mut self, row: &NodeRow) {
        let Some(node) = self.nodes.iter().position(|engine| engine.id == row.id) else { return };
        if self.changed[node].is_some_and(|before| row.incarnation > before) {
            // Filters still learn of it.
            self.changed[node] = None;
            self.disk_epoch = self.control.sequencer.as_ref().map_or(0, Sequencer::epoch);
        }
        // One that has never shown a task cannot be known again: the window of F9 is a poll.
        let Some((uid, at)) = row.witness.last.clone() else {
            // Whatever is there next is looked at as if it were unknown.
            self.disk_of.remove(&(node, row.incarnation));
            return;
        };
        let disk = &self.nodes[node].disk;
        let is_there = disk.tasks.get(uid as usize).is_some_and(|task| task.view.enqueued_at == at);
        let meant = self.disk_of.get(&(node, row.incarnation));
        // Restored to the very state in which it was last seen, it is the disk that is meant from its next task on.
        let goes_on = is_there && meant.is_none_or(|(_, known)| *known < uid);
        let known = meant.map_or(0, |(_, known)| *known);
        if self.changed[node].is_none() || goes_on {
            self.disk_of.insert((node, row.incarnation), (disk.history, uid.max(known)));
        }
    }

    /// Everything has come to rest: what is in sync must be equal and explained, and nobody may wait.
    pub fn check_at_rest(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return self.breaks("control is not running".into()) };
        let tickets = sequencer.tickets().filter(|ticket| ticket.phase != "over").map(|ticket| format!("{ticket:?}"));
        let tasks = self.control.tasks.values().filter(|task| !task.status.is_over());
        let mut open: Vec<String> = tickets.chain(tasks.map(|task| format!("task {}", task.uid))).collect();
        if !open.is_empty() {
            open.push(format!("nodes {:?}", sequencer.nodes()));
        }
        self.judge(invariants::every_ticket_ends(&open, &self.shards_down()));
        self.check_repaired();
        self.check_jobs();
        self.check_copies();
        self.check_disks();
        self.check_idempotency();
        self.check_order();
        self.check_indexes();
        self.check_tags();
        self.check_lives();
    }

    pub fn good_copies(&self, shard: u32) -> Vec<usize> {
        let Some(sequencer) = &self.control.sequencer else { return Vec::new() };
        let status = sequencer.nodes();
        let good = sequencer.copies().into_iter().filter(|copy| {
            let node = status.iter().find(|node| node.id == copy.node);
            copy.shard == shard
                && copy.state == CopyState::InSync
                && node.is_some_and(|node| node.incarnation == copy.incarnation && node.phase != "rebuild")
        });
        good.filter_map(|copy| self.nodes.iter().position(|engine| engine.id == copy.node)).collect()
    }

    /// A shard may be down for want of a disk, but not while that disk is there (F9).
    fn check_disks(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let down = self.shards_down();
        let last = sequencer.copies().into_iter().filter(|copy| down.contains(&copy.shard));
        for copy in last.filter(|copy| copy.state == CopyState::InSync).collect::<Vec<_>>() {
            let Some(node) = self.nodes.iter().position(|engine| engine.id == copy.node) else { continue };
            let present = self.nodes[node].disk.history;
            // It was taken for the disk that is meant, until a filter told of a task that it has never had.
            let row = self.control.store.get(&("node", copy.node.clone()));
            let row: NodeRow = row.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let meant = row.away_disks.iter().find(|disk| disk.incarnation == copy.incarnation);
            let shows = |newest: &Landmark| self.nodes[node].disk.tasks.iter().any(|task| newest.is(&task.view));
            if meant.and_then(|disk| disk.newest.as_ref()).is_some_and(|newest| !shows(newest)) {
                continue;
            }
            if self.disk_of.get(&(node, copy.incarnation)).is_some_and(|(history, _)| *history == present) {
                self.breaks(format!("F9: shard {} is down, and its last copy is there: {copy:?}", copy.shard));
            }
        }
    }

    pub fn shards_down(&self) -> Vec<u32> {
        (0..self.shards).filter(|shard| self.good_copies(*shard).is_empty()).collect()
    }

    fn check_copies(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let indexes: Vec<IndexRow> = sequencer.indexes().cloned().collect();
        let undecided = self.undecided();
        for shard in (0..self.shards).filter(|shard| !undecided.contains(shard)) {
            let good = self.good_copies(shard);
            for index in &indexes {
                let nodes = good.clone();
                let contents: Vec<BTreeMap<String, Document>> =
                    nodes.iter().map(|node| self.contents(*node, &index.uid, shard)).collect();
                let named: Vec<(&str, &BTreeMap<String, Document>)> = nodes
                    .iter()
                    .zip(&contents)
                    .map(|(node, content)| (self.nodes[*node].id.as_str(), content))
                    .collect();
                self.judge(invariants::replicas_agree(shard, &named));
                for node in &nodes {
                    for key in (0..6).map(|at| format!("k{at}")) {
                        if miroir_core::hash::shard_of(key.as_bytes(), self.shards) == shard {
                            let state = self.contents(*node, &index.uid, shard).get(&key).cloned();
                            let who = format!("node {node} at rest");
                            self.explain(&index.uid, &key, state.as_ref(), &who, invariants::copy_holds_successes);
                        }
                    }
                }
            }
        }
    }

    /// Shards of writes that wait for a copy out of reach, of this shard or of another one: who of the others has them is
    /// not settled before.
    fn undecided(&self) -> BTreeSet<u32> {
        let Some(sequencer) = &self.control.sequencer else { return BTreeSet::new() };
        let waiting = |entry: &&Enqueued| {
            sequencer.tickets().any(|ticket| entry.ticket == Some(ticket.uid) && ticket.phase == "settling")
        };
        let touched = |entry: &Enqueued| match &entry.work {
            Work::Clear { .. } => (0..self.shards).collect(),
            Work::RemoveShards { shards, .. } | Work::Edit { shards, .. } => shards.clone(),
            work => work.shards(self.shards),
        };
        self.log.iter().filter(waiting).flat_map(touched).collect()
    }

    /// Invariant 15: one idempotency key, one ticket. One that was lost with its disk gives its key free: it was refused.
    fn check_idempotency(&mut self) {
        let mut tickets: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        let there = |entry: &&Enqueued| entry.history == self.nodes[entry.node].disk.history;
        for entry in self.log.iter().filter(|entry| !entry.page).filter(there) {
            let Some(ticket) = entry.ticket else { continue };
            let writes: Vec<String> = match &entry.work {
                Work::Add { documents, .. } => {
                    documents.iter().flat_map(|(_, _, fields)| fields.values()).cloned().collect()
                }
                Work::Edit { text, .. } => vec![text.trim_end_matches(';').to_owned()],
                _ => continue,
            };
            for write in writes {
                tickets.entry(write).or_default().insert(ticket);
            }
        }
        let keyed = |write: &str| {
            let number = write.parse::<u64>().ok();
            number.and_then(|number| self.writes.get(&number)).is_some_and(|write| write.idempotency.is_some())
        };
        let twice: Vec<Breach> = tickets
            .iter()
            .filter(|(write, _)| keyed(write))
            .filter_map(|(write, tickets)| invariants::one_ticket_a_key(write, tickets))
            .collect();
        self.judge(twice);
    }

    /// Invariant 3: a breach of order leaves the copy stale.
    fn check_order(&mut self) {
        for node in 0..self.nodes.len() {
            let history = self.nodes[node].disk.history;
            let mut orders: BTreeMap<&str, Vec<&Enqueued>> = BTreeMap::new();
            let numbered = self.log.iter().filter(|entry| entry.ticket.is_some());
            for entry in numbered.filter(|entry| entry.node == node && entry.history == history) {
                orders.entry(&entry.index).or_default().push(entry);
            }
            let id = self.nodes[node].id.clone();
            let mut broken = Vec::new();
            for entries in orders.values() {
                let shards = |entry: &Enqueued| entry.work.shards(self.shards).into_iter().collect();
                let enqueued: Vec<(u32, Vec<u32>)> =
                    entries.iter().filter_map(|entry| Some((entry.ticket?, shards(entry)))).collect();
                let trusted = |disorder: &Disorder| {
                    let good = self.good_copies(disorder.shard);
                    let compared = self.notes.flipped.get(&(disorder.shard, id.clone()));
                    let since = compared.is_some_and(|compared| *compared >= entries[disorder.position].at);
                    good.contains(&node) && good.len() > 1 && !since
                };
                broken.extend(invariants::disorder_is_stale(invariants::in_ticket_order(&id, &enqueued), trusted));
            }
            self.judge(broken);
        }
    }

    /// Invariant 18: what is in an index was written to it, and not to an earlier one of that name.
    fn check_lives(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let mut written: BTreeMap<&str, u32> = BTreeMap::new();
        for entry in self.log.iter().filter(|entry| !entry.page) {
            let (Some(ticket), Work::Add { documents, .. }) = (entry.ticket, &entry.work) else { continue };
            for value in documents.iter().flat_map(|(_, _, fields)| fields.values()) {
                let newest = written.entry(value).or_default();
                *newest = ticket.max(*newest);
            }
        }
        let mut broken = Vec::new();
        for index in sequencer.indexes() {
            let birth = self.notes.births.get(&index.uid).copied().unwrap_or(0).into();
            for node in self.nodes.iter() {
                let held = node.disk.indexes.get(&index.uid).into_iter().flat_map(|found| &found.documents);
                for (key, (shard, document)) in held {
                    // The key itself is in every life, and no ticket wrote what drifted there.
                    let drifted = document.contains_key(crate::drift::MARK);
                    let values =
                        document.iter().filter(|(name, _)| !drifted && *name != "id").map(|(_, value)| value.as_str());
                    let tickets = values.filter_map(|value| written.get(value));
                    if self.good_copies(*shard).iter().any(|good| self.nodes[*good].id == node.id) {
                        broken.extend(tickets.filter_map(|by| invariants::of_this_life(&index.uid, birth, key, *by)));
                    }
                }
            }
        }
        self.judge(broken);
    }
}
