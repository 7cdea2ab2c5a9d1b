//! Invariant 10 as the nodes themselves know it: a task that is shown as succeeded was done wherever it is read.

use miroir_core::invariants::{self, PartFact};
use miroir_core::shardmap::ShardMap;
use miroir_sequencer::*;

use crate::world::World;

impl World {
    /// A write's task is shown as succeeded.
    pub fn check_success(&mut self, task: &TaskRow) {
        let Some(sequencer) = &self.control.sequencer else { return };
        if task.status != TaskStatus::Succeeded || self.is_swapping() || self.stats.lost.contains(&task.uid) {
            return;
        }
        let Some(granted) = self.notes.granted.get(&task.uid).copied() else { return };
        let index = self.present_name(task.index.as_deref().unwrap_or_default(), task.uid);
        let map = sequencer.map();
        let mut parts = Vec::new();
        let mut shards = std::collections::BTreeSet::new();
        for entry in self.log.iter().filter(|entry| entry.ticket == Some(task.uid) && !entry.page) {
            let node = &self.nodes[entry.node];
            let there = entry.history == node.disk.history && self.changed[entry.node].is_none();
            let done = !there || has_done(&node.disk.tasks, task.uid);
            for shard in entry.work.shards(self.shards) {
                shards.insert(shard);
                // A copy that was compared since has it, whatever its node made of the task.
                let copied = self.notes.flipped.get(&(shard, node.id.clone())).is_some_and(|at| *at >= granted);
                let trusted = there && !copied && reads(&map, index, shard, &node.id);
                parts.push(PartFact { shard, node: &node.id, done, trusted });
            }
        }
        let shards: Vec<u32> = shards.into_iter().collect();
        let broken = invariants::success_is_earned(task.uid, &shards, &parts);
        self.judge(broken);
    }
}

/// A task that did what it says, or all of which a deletion behind it took away.
fn has_done(tasks: &[crate::engine::Task], ticket: u32) -> bool {
    let own = |metadata: &String| metadata.rsplit('.').next() == Some(ticket.to_string().as_str());
    let task = tasks.iter().rev().find(|task| task.view.metadata.as_ref().is_some_and(own));
    task.is_some_and(|task| task.view.status == TaskStatus::Succeeded && (!task.hollow || task.view.indexed.is_none()))
}

/// Whether filters with this map read the shard there.
fn reads(map: &ShardMap, index: &str, shard: u32, node: &str) -> bool {
    let Some(at) = map.nodes.iter().position(|known| known.id == node) else { return false };
    let at = at as u16;
    let listed = map.placements[0].owners[shard as usize].contains(&at);
    let stale = map.stale.iter().any(|mark| mark.shard == shard && mark.node == at);
    let apart = map.indexes.get(index).is_some_and(|entry| entry.unreadable.contains(&at));
    map.nodes[usize::from(at)].readable && listed && !stale && !apart
}
