//! The invariants of protocol section 2, looked at while the world runs and when it has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::wire;
use miroir_sequencer::invariants::{self, Change, Document, Touch};
use miroir_sequencer::*;

use crate::engine::Work;
use crate::network::Party;
use crate::world::{Enqueued, Event, World};

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
        let Some(found) = engine.disk.indexes.get(index) else { return };
        let state = found.documents.get(&key).map(|(_, document)| document.clone());
        self.explain(index, &key, state, &format!("a read of node {node} through vm {vm} at epoch {}", map.map.epoch));
    }

    /// Is this state one that the reported successes allow?
    fn explain(&mut self, index: &str, key: &str, state: Option<Document>, who: &str) {
        if self.swapped() || self.may_be_drifted(index, key) {
            return;
        }
        let touches = self.touches(index, key);
        if !invariants::possible_states(&touches).contains(&state) {
            let listed: Vec<String> = touches.iter().map(|touch| format!("{touch:?}")).collect();
            self.breaks(format!(
                "invariants 1, 9, 11, 12: {who} shows {index}/{key} as {state:?}; writes: {listed:#?}"
            ));
        }
    }

    /// Swaps exchange histories; runs with one are judged by equality alone.
    fn swapped(&self) -> bool {
        self.control.tasks.values().any(|task| task.task_type == "indexSwap")
    }

    fn touches(&self, index: &str, key: &str) -> Vec<Touch> {
        let mut touches: BTreeMap<u32, Touch> = BTreeMap::new();
        let succeeded =
            |ticket: u32| self.control.tasks.get(&ticket).is_some_and(|task| task.status == TaskStatus::Succeeded);
        let denied = self.denied();
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

    /// Writes whose client was told that nothing was written (invariant 11).
    fn denied(&self) -> BTreeSet<String> {
        let denied = self.writes.iter().filter(|(_, write)| {
            write.status == Some(503)
                && write.text.to_lowercase().contains("nothing was written")
                && write.idempotency.is_none()
        });
        denied.map(|(write, _)| write.to_string()).collect()
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
        let waiting: Vec<String> = sequencer
            .tickets()
            .filter(|ticket| !matches!(ticket.phase, "over"))
            .map(|ticket| format!("{ticket:?}"))
            .collect();
        let down = self.shards_down();
        if !waiting.is_empty() && down.is_empty() {
            self.breaks(format!(
                "invariant 5: tickets are still open: {waiting:?}; nodes {:?}",
                self.control.sequencer.as_ref().map(|s| s.nodes())
            ));
        }
        let open: Vec<u32> =
            self.control.tasks.values().filter(|task| !task.status.is_over()).map(|task| task.uid).collect();
        if !open.is_empty() && down.is_empty() {
            self.breaks(format!("tasks never ended: {open:?}"));
        }
        self.check_repaired();
        self.check_jobs();
        self.check_copies();
        self.check_disks();
        self.check_idempotency();
        self.check_order();
        self.check_indexes();
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

    fn shards_down(&self) -> Vec<u32> {
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
                for broken in invariants::replicas_agree(shard, &named) {
                    self.breaks(format!("invariant 2: index {}, {broken}", index.uid));
                }
                for node in &nodes {
                    for key in (0..6).map(|at| format!("k{at}")) {
                        if miroir_core::hash::shard_of(key.as_bytes(), self.shards) == shard {
                            let state = self.contents(*node, &index.uid, shard).get(&key).cloned();
                            self.explain(&index.uid, &key, state, &format!("at rest, node {node}"));
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
            Work::RemoveShards { shards, .. } => shards.clone(),
            work => work.shards(self.shards),
        };
        self.log.iter().filter(waiting).flat_map(touched).collect()
    }

    fn contents(&self, node: usize, index: &str, shard: u32) -> BTreeMap<String, Document> {
        let Some(found) = self.nodes[node].disk.indexes.get(index) else { return BTreeMap::new() };
        let held = found.documents.iter().filter(|(_, (held, _))| *held == shard);
        held.map(|(key, (_, document))| (key.clone(), document.clone())).collect()
    }

    /// Invariant 15: one idempotency key, one ticket. One that was lost with its disk gives its key free: it was refused.
    fn check_idempotency(&mut self) {
        let mut tickets: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        let there = |entry: &&Enqueued| entry.history == self.nodes[entry.node].disk.history;
        for entry in self.log.iter().filter(|entry| !entry.page).filter(there) {
            let (Some(ticket), Work::Add { documents, .. }) = (entry.ticket, &entry.work) else { continue };
            for write in documents.iter().flat_map(|(_, _, fields)| fields.values()) {
                tickets.entry(write.clone()).or_default().insert(ticket);
            }
        }
        let twice = tickets.iter().find(|(write, tickets)| {
            let keyed = write
                .parse()
                .ok()
                .and_then(|write: u64| self.writes.get(&write))
                .is_some_and(|w| w.idempotency.is_some());
            keyed && tickets.len() > 1
        });
        if let Some((write, tickets)) = twice {
            let text = format!("invariant 15: write {write} was enqueued as tickets {tickets:?}");
            self.breaks(text);
        }
    }

    /// Invariant 3: a breach of order leaves the copy stale.
    fn check_order(&mut self) {
        for node in 0..self.nodes.len() {
            let history = self.nodes[node].disk.history;
            let mut orders: BTreeMap<&str, Vec<(u32, Vec<u32>)>> = BTreeMap::new();
            for entry in self.log.iter().filter(|entry| entry.node == node && entry.history == history) {
                let Some(ticket) = entry.ticket else { continue };
                let shards = entry.work.shards(self.shards);
                orders.entry(&entry.index).or_default().push((ticket, shards.into_iter().collect()));
            }
            let id = self.nodes[node].id.clone();
            let breaches: Vec<(u32, String)> =
                orders.values().flat_map(|enqueued| invariants::in_ticket_order(&id, enqueued)).collect();
            for (shard, text) in breaches {
                if self.good_copies(shard).contains(&node) && self.good_copies(shard).len() > 1 {
                    self.breaks(format!("invariant 3: {text}"));
                }
            }
        }
    }
}
