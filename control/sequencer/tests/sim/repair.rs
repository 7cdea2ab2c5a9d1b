//! What moves and repair ask of the model nodes, who asks for moves, and what must hold of them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use miroir_core::invariants::{self, Document, Reader};
use miroir_sequencer::*;

use crate::engine::Work;
use crate::operations::step;
use crate::world::{Caller, Event, World};

fn digest(document: &Document) -> u128 {
    let mut hasher = DefaultHasher::new();
    document.hash(&mut hasher);
    hasher.finish().into()
}

impl World {
    /// A reading of a copy: what the node shows at this moment.
    pub fn read_copy(&mut self, node: usize, action: &NodeAction) -> NodeAnswer {
        let (index, shard) = match action {
            NodeAction::Digests { index, keys: Some(_), .. } => (index, None),
            NodeAction::ListKeys { index, shard, .. }
            | NodeAction::Digests { index, shard, .. }
            | NodeAction::CountShard { index, shard } => (index, Some(*shard)),
            // By key, whatever tag it lies under.
            NodeAction::FetchPage { index, .. } | NodeAction::ListOutsiders { index, .. } => (index, None),
            _ => return NodeAnswer::Refused { status: 400, error: None },
        };
        if let NodeAction::ListKeys { index, shard, .. } = action {
            self.see_listing(node, index, *shard);
        }
        let Some(found) = self.nodes[node].disk.indexes.get(index) else {
            return NodeAnswer::Refused { status: 404, error: None };
        };
        let shards = self.shards;
        let belongs = |key: &str, tag: u32| miroir_core::hash::shard_of(key.as_bytes(), shards) == tag;
        let held = found.documents.iter().filter(|(_, (held, _))| shard.is_none_or(|shard| shard == *held));
        match action {
            NodeAction::ListKeys { .. } => NodeAnswer::Keys(held.map(|(key, _)| key.clone()).collect()),
            NodeAction::Digests { keys, .. } => {
                let wanted = |key: &String| keys.as_ref().is_none_or(|keys| keys.contains(key));
                let held = held.filter(|(key, _)| wanted(key));
                let hash = |key: &str, tag, document| if belongs(key, tag) { digest(document) } else { OUTSIDER };
                NodeAnswer::Digests(
                    held.map(|(key, (tag, document))| (key.clone(), hash(key, *tag, document))).collect(),
                )
            }
            NodeAction::ListOutsiders { held: shards, keys, .. } => {
                let outside =
                    |key: &String, tag: &u32| !shards.contains(tag) || keys.contains(key) && !belongs(key, *tag);
                NodeAnswer::Keys(held.filter(|(key, (tag, _))| outside(key, tag)).map(|(key, _)| key.clone()).collect())
            }
            NodeAction::CountShard { .. } => NodeAnswer::Count(held.count() as u64),
            NodeAction::FetchPage { keys, .. } => {
                let held = held.filter(|(key, (tag, _))| keys.contains(key) && belongs(key, *tag));
                let page: Vec<(String, u32, Document)> =
                    held.map(|(key, (shard, document))| (key.clone(), *shard, document.clone())).collect();
                let keys = page.iter().map(|(key, ..)| key.clone()).collect::<Vec<_>>();
                let id = PageId(self.next_page);
                self.next_page += 1;
                self.pages.insert(id, page);
                NodeAnswer::Page { page: id, bytes: keys.len() as u64 * 100, keys }
            }
            _ => NodeAnswer::Refused { status: 400, error: None },
        }
    }

    /// A write of control's own: authorised now, enqueued a little later.
    pub fn write_copy(&mut self, node: usize, caller: Caller, action: NodeAction) {
        let (key, work, index, metadata) = match action {
            NodeAction::PutPage { key, index, page, without, metadata, .. } => {
                // A page that control has dropped is not sent: the shell has nothing to send.
                let Some(mut documents) = self.pages.get(&page).cloned() else {
                    return self.answer_action(node, caller, Err(NodeFault::NotSent));
                };
                documents.retain(|(key, ..)| !without.contains(key));
                (key, Work::Add { index: index.clone(), replace: true, skips: false, documents }, index, metadata)
            }
            NodeAction::DeleteKeys { key, index, keys, metadata } => {
                (key, Work::Remove { index: index.clone(), ids: keys }, index, metadata)
            }
            NodeAction::DeleteShard { key, index, shard, metadata } => {
                self.check_deletion(node, &index, shard);
                (
                    key,
                    Work::RemoveShards { index: index.clone(), shards: [shard].into(), having: None },
                    index,
                    metadata,
                )
            }
            NodeAction::DivideBatch { key, index, metadata } => {
                let nothing = Work::RemoveShards { index: index.clone(), shards: [].into(), having: None };
                (key, nothing, index, metadata)
            }
            _ => return,
        };
        if !self.nodes[node].authorised(self.fencing, key.as_deref()) {
            return self.answer_action(node, caller, Ok(NodeAnswer::Refused { status: 403, error: None }));
        }
        let task_type = if matches!(work, Work::Add { .. }) { "documentAdditionOrUpdate" } else { "documentDeletion" };
        let (boot, gap) = (self.boots[node], self.net.random.below(66));
        let metadata = Some(metadata);
        self.net.after(gap, Event::Enqueue { node, boot, caller, work, task_type, index, metadata, generation: 0 });
    }

    /// Invariant 8: no VM that control has heard of reads what is deleted.
    fn check_deletion(&mut self, node: usize, index: &str, shard: u32) {
        // A copy that has its row is not being retired: an index without a key is cleared of what has been aborted.
        if self.control.store.contains_key(&("copy", format!("0/{shard}/{}", self.nodes[node].id))) {
            return;
        }
        let known: Vec<(String, u64, bool)> = self
            .vms
            .iter()
            .filter(|vm| vm.up && vm.heard.is_some())
            .map(|vm| {
                let reads = vm.map.as_ref().is_some_and(|map| self.readable(map, index, shard).contains(&node));
                (vm.name(), vm.epoch(), reads)
            })
            .collect();
        let readers = known.iter().map(|(vm, epoch, reads)| Reader { vm, epoch: *epoch, reads: *reads });
        self.judge(invariants::deleted_unread(&format!("shard {shard} of {index} on node {node}"), readers));
    }

    /// Invariant 17: what is planned never takes copies in sync away.
    pub fn check_planned(&mut self, records: &[Record]) {
        let mut retiring: Vec<(u16, u32)> = Vec::new();
        let mut after: BTreeMap<(u16, u32), usize> = BTreeMap::new();
        for record in records {
            let Record::Copy(row) = record else { continue };
            let slot = record.slot();
            let before = self.control.store.get(&slot).and_then(|json| serde_json::from_str::<CopyRow>(json).ok());
            if row.state == CopyState::Retiring && before.is_some_and(|row| row.state == CopyState::InSync) {
                retiring.push((row.placement, row.shard));
            }
            *after.entry((row.placement, row.shard)).or_default() += usize::from(row.state == CopyState::InSync);
        }
        for (placement, shard) in retiring {
            let rows = self.control.store.iter().filter(|((kind, _), _)| *kind == "copy");
            let rows = rows.filter_map(|(_, json)| serde_json::from_str::<CopyRow>(json).ok());
            let before =
                rows.filter(|row| (row.placement, row.shard) == (placement, shard) && row.state == CopyState::InSync);
            let (before, after) = (before.count(), after.get(&(placement, shard)).copied().unwrap_or(0));
            // Unless that many are no longer wanted.
            let wanted = self.control.sequencer.as_ref().map_or(0, |sequencer| sequencer.replication_factor().into());
            self.judge(invariants::plan_keeps_copies(shard, before, after, wanted));
        }
    }

    /// What a node must be told, as seen at this moment.
    pub fn look_at(&mut self, instance: u64, op: OpId, node: usize, indexes: &[IndexRow]) {
        let engine = &self.nodes[node];
        let look = if engine.up && !engine.stopped {
            let changes = |task: &NodeTask| !task.status.is_over() && INDEX_TASKS.contains(&task.task_type.as_str());
            let changing = engine.disk.tasks.iter().any(|task| changes(&task.view));
            let mut steps = Vec::new();
            for uid in engine.disk.indexes.keys().filter(|uid| !indexes.iter().any(|row| row.uid == **uid)) {
                steps.push(step("indexDeletion", Some(uid), None));
            }
            for row in indexes {
                let settings = row.settings.as_str().unwrap_or_default();
                let found = engine.disk.indexes.get(&row.uid);
                if found.is_none() {
                    steps.push(step("indexCreation", Some(&row.uid), None));
                }
                if found.map_or("", |found| found.settings.as_str()) != settings {
                    steps.push(step("settingsUpdate", Some(&row.uid), Some(settings.to_owned())));
                }
            }
            Ok(Look { changing, steps })
        } else {
            Err("no answer".to_owned())
        };
        let event = miroir_sequencer::Event::Reconciled { op, look };
        let delay = self.net.random.between(1, 50);
        self.net.after(delay, Event::Caller { instance, event: Box::new(event) });
    }

    /// What nodes have of an index, held against what they must have.
    pub fn read_back(&self, expected: Option<&IndexRow>, index: &str, nodes: &[NodeId]) -> Vec<NodeId> {
        let differs = |id: &&NodeId| {
            let Some(engine) = self.nodes.iter().find(|engine| engine.id == **id) else { return false };
            if !engine.up || engine.stopped {
                return false;
            }
            match (expected, engine.disk.indexes.get(index)) {
                (Some(row), Some(found)) => row.settings.as_str().unwrap_or_default() != found.settings,
                (None, None) => false,
                _ => true,
            }
        };
        nodes.iter().filter(differs).cloned().collect()
    }

    pub fn sync_command(&mut self, command: SyncCommand) {
        self.note(|| format!("command {command:?}"));
        self.control_event(self.control.instance, miroir_sequencer::Event::Sync(command));
    }

    /// Somebody moves a copy to a node that has none, gives up what is under way, or changes the pace.
    pub fn some_move(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let (copies, syncs) = (sequencer.copies(), sequencer.syncs());
        match self.net.random.below(10) {
            0..=1 if !syncs.is_empty() => {
                let row = self.net.random.pick(&syncs).row.clone();
                self.sync_command(SyncCommand::Cancel { placement: row.placement, shard: row.shard, to: row.to });
            }
            2 => {
                let (rate, paused) = (self.net.random.below(20), self.net.random.chance(300));
                let limits = SyncLimits { documents_per_s: rate, bytes_per_s: 0, per_node: 2, paused };
                self.sync_command(SyncCommand::Limits(limits));
            }
            _ => {
                let shard = self.net.random.below(u64::from(self.shards)) as u32;
                // A copy that is being deleted is no copy any more: somebody may want one there again (F23).
                let owners: Vec<&CopyRow> =
                    copies.iter().filter(|copy| copy.shard == shard && copy.rank != u16::MAX).collect();
                let others: Vec<&String> = self
                    .nodes
                    .iter()
                    .map(|node| &node.id)
                    .filter(|id| owners.iter().all(|row| row.node != **id))
                    .collect();
                let moving = syncs.iter().any(|sync| sync.row.shard == shard && sync.row.added);
                let stay: Vec<&&CopyRow> = owners.iter().filter(|row| row.state != CopyState::Retiring).collect();
                if others.is_empty() || stay.is_empty() || moving || stay.len() > usize::from(self.replicas) {
                    return;
                }
                let to = (*self.net.random.pick(&others)).clone();
                let leaving = Some(self.net.random.pick(&stay).node.clone());
                self.sync_command(SyncCommand::Begin { placement: 0, shard, to, leaving });
            }
        }
    }

    /// Everything has come to rest: what could be repaired has been, by itself.
    pub fn check_repaired(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let (copies, nodes) = (sequencer.copies(), sequencer.nodes());
        let (syncs, retirements) = (sequencer.syncs(), sequencer.retirements());
        let mut found = Vec::new();
        for copy in &copies {
            let node = nodes.iter().find(|node| node.id == copy.node);
            let good = copy.state == CopyState::InSync && node.is_some_and(|node| node.incarnation == copy.incarnation);
            if !good && !self.good_copies(copy.shard).is_empty() {
                found.push(format!("{copy:?}"));
            }
        }
        for row in &retirements {
            found.push(format!("{row:?}"));
        }
        let down = (0..self.shards).any(|shard| self.good_copies(shard).is_empty());
        if !found.is_empty() && !down {
            self.breaks(format!("not repaired: {found:?}; {syncs:?}; {nodes:?}"));
        }
        let owned = |node: &str, shard: u32| copies.iter().any(|copy| copy.node == node && copy.shard == shard);
        for node in (0..self.nodes.len()).filter(|node| self.is_member(*node)).collect::<Vec<_>>() {
            let id = self.nodes[node].id.clone();
            let held = self.nodes[node].disk.indexes.values().flat_map(|index| &index.documents);
            let held = held.map(|(key, (shard, _))| (key.as_str(), *shard));
            let orphaned = invariants::nothing_is_orphaned(&id, held, |shard| owned(&id, shard));
            if !down && retirements.is_empty() {
                self.judge(orphaned);
            }
        }
        if !self.control.pages.is_empty() && syncs.is_empty() {
            let text = format!("pages are kept for ever: {:?}", self.control.pages);
            self.breaks(text);
        }
    }
}
