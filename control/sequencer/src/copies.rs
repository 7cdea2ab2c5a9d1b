//! Copies: who is in sync, and the only place where that changes. The last in-sync copy of a shard is never made stale
//! (F8).

use crate::Sequencer;
use crate::api::*;
use crate::state::{Copy, N, Reach, Todo};
use crate::sync::{Place, Retire};

impl Sequencer {
    pub(crate) fn shard_copies(&self, placement: u16, shard: u32) -> &[Copy] {
        self.copies
            .get(usize::from(placement))
            .and_then(|shards| shards.get(usize::try_from(shard).ok()?))
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Copies that have every acknowledged write, on the disk that the node has now, known to hold its writes.
    pub(crate) fn in_sync(&self, index: &IndexRow, shard: u32) -> Vec<N> {
        self.shard_copies(index.placement, shard)
            .iter()
            .filter(|copy| self.is_good(copy) || self.planted.owners_from_map)
            .map(|copy| copy.node)
            .collect()
    }

    pub(crate) fn is_good(&self, copy: &Copy) -> bool {
        let node = &self.nodes[copy.node].row;
        copy.state == CopyState::InSync && copy.incarnation == node.incarnation && !node.rebuild
    }

    /// A last copy in sync, on a disk that is not there but known.
    pub(crate) fn is_away_with_disk(&self, copy: &Copy) -> bool {
        let mut disks = self.nodes[copy.node].row.away_disks.iter();
        copy.state == CopyState::InSync && disks.any(|disk| disk.incarnation == copy.incarnation)
    }

    /// Copies that take writes, with whether they count; on reachable nodes or not.
    pub(crate) fn written(&self, index: &IndexRow, shard: u32) -> Vec<(N, bool)> {
        self.shard_copies(index.placement, shard)
            .iter()
            .filter(|copy| !self.nodes[copy.node].row.rebuild)
            .filter_map(|copy| match copy.state {
                CopyState::InSync => self.is_good(copy).then_some((copy.node, true)),
                CopyState::Stale => self.planted.owners_from_map.then_some((copy.node, true)),
                CopyState::Dual | CopyState::Retiring => Some((copy.node, false)),
            })
            .collect()
    }

    /// Whether a node can be given in a grant now.
    pub(crate) fn is_writable(&self, node: N) -> bool {
        let node = &self.nodes[node];
        let changing = matches!(node.fence, Some(fence) if matches!(fence.stage, crate::state::FenceStage::Keys(_)));
        node.reach == Reach::Up && node.keys.is_some() && !changing && !node.row.rebuild
    }

    /// Whether it will soon be known if a node can be given in a grant.
    pub(crate) fn is_about_to_be_writable(&self, node: N) -> bool {
        let node = &self.nodes[node];
        !node.row.rebuild && !matches!(node.reach, Reach::Down(_))
    }

    /// Marks the copy of a shard stale, unless it is the last good one. Returns whether it is stale now.
    pub(crate) fn mark_stale(&mut self, placement: u16, shard: u32, node: N, why: &str) -> bool {
        let copies = self.shard_copies(placement, shard);
        let Some(at) = copies.iter().position(|copy| copy.node == node) else { return true };
        let copy = copies[at];
        if copy.state != CopyState::InSync {
            if copy.state == CopyState::Dual {
                self.break_sync((placement, shard, node), why);
            }
            // What else it may have done or not is not known any more.
            self.syncs.missed.remove(&(placement, shard, node));
            return matches!(copy.state, CopyState::Stale | CopyState::Dual);
        }
        let others = copies.iter().filter(|other| other.node != node && self.is_good(other)).count();
        let id = self.nodes[node].row.id.clone();
        if others == 0 && !self.planted.last_copy_made_stale {
            self.alert("last_copy_damaged", Some(node), format!("shard {shard} on {id}, the last copy in sync: {why}"));
            return false;
        }
        let incarnation = self.nodes[node].row.incarnation;
        if let Some(copy) = self.copies[usize::from(placement)][shard as usize].get_mut(at) {
            copy.state = CopyState::Stale;
            copy.incarnation = incarnation;
        }
        self.out.copies.insert((placement, shard));
        self.syncs.missed.remove(&(placement, shard, node));
        self.todo.insert(Todo::Scan);
        let epoch = self.touch_map();
        self.unread.insert((placement, shard), epoch);
        self.alert("copy_stale", Some(node), format!("shard {shard} on {id}: {why}"));
        // Whoever waited for this copy need not any more.
        let parts: Vec<u32> = self.nodes[node].parts.iter().copied().collect();
        self.todo.extend(parts.into_iter().map(Todo::Judge));
        true
    }

    /// Evidence that a node deviates, without knowing where: all its copies are stale, but for last ones.
    pub(crate) fn mark_all_stale(&mut self, node: N, why: &str) {
        for placement in 0..self.copies.len() {
            for shard in 0..self.config.shards {
                let holds = self
                    .shard_copies(placement as u16, shard)
                    .iter()
                    .any(|copy| copy.node == node && (copy.state != CopyState::InSync || self.is_good(copy)));
                if holds {
                    self.mark_stale(placement as u16, shard, node, why);
                }
            }
        }
    }

    /// A node whose index is not what it must be: it does not take part in it any more. Copies are kept per shard and
    /// not per index, so that its copies go stale for all of them; last copies stay, and are reported.
    pub(crate) fn exclude(&mut self, uid: &str, node: N, why: &str) {
        let id = self.nodes[node].row.id.clone();
        self.alert("index_differs", Some(node), format!("index {uid} on {id}: {why}"));
        self.mark_all_stale(node, &format!("index {uid} {why}"));
        self.mend_indexes(node);
    }

    /// Has a node looked at, and told what its indexes lack or have too much. Its documents are as they must be.
    pub(crate) fn mend_indexes(&mut self, node: N) {
        let told = self.is_being_told(node);
        let row = &mut self.nodes[node].row;
        row.drifted = true;
        // What it is being told already rests on an earlier look: there is another one after that.
        row.leftovers |= told;
        self.out.nodes.insert(node);
        self.todo.insert(Todo::Node(node));
    }

    pub(crate) fn node_at(&self, id: &str) -> Option<N> {
        self.nodes.iter().position(|node| node.row.id == id)
    }

    pub(crate) fn copy_rows(&self, placement: u16, shard: u32) -> impl Iterator<Item = CopyRow> {
        (0u16..).zip(self.shard_copies(placement, shard)).map(move |(rank, copy)| CopyRow {
            placement,
            shard,
            node: self.nodes[copy.node].row.id.clone(),
            rank,
            incarnation: copy.incarnation,
            state: copy.state,
            since: copy.since,
        })
    }

    /// All copies, by placement, shard and rank; then those that are nobody's any more and are being deleted.
    #[must_use]
    pub fn copies(&self) -> Vec<CopyRow> {
        let placements = 0..u16::try_from(self.copies.len()).unwrap_or(u16::MAX);
        placements
            .flat_map(|placement| (0..self.config.shards).flat_map(move |shard| self.copy_rows(placement, shard)))
            .chain(self.deletions())
            .collect()
    }

    /// Retirements of copies that are in no write set any more, and whose documents are still there.
    pub(crate) fn deleting(&self) -> impl Iterator<Item = (&Place, &Retire)> {
        self.syncs.retires.iter().filter(|(_, retire)| retire.row.deleting)
    }

    fn deletions(&self) -> impl Iterator<Item = CopyRow> {
        self.deleting().map(|((placement, shard, n), retire)| CopyRow {
            placement: *placement,
            shard: *shard,
            node: retire.row.node.clone(),
            rank: u16::MAX,
            incarnation: self.nodes[*n].row.incarnation,
            state: CopyState::Retiring,
            since: 0,
        })
    }
}
