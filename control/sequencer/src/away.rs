//! Nodes that are away: unfenced, or behind with what they had accepted. Nobody waits for them where there is a better
//! copy, so that others are reported as done without them; and so they are read again only when they have all of that
//! (F7, F15).

use std::collections::BTreeMap;

use crate::Sequencer;
use crate::api::*;
use crate::state::{Copy, N, Reach, Todo};

impl Sequencer {
    /// A good copy on a node in contact is read. One on a node that is away is read where there is no other, unless it
    /// has not done what has been reported as done.
    pub(crate) fn is_read(&self, (placement, shard): (u16, u32), copies: &[Copy], copy: &Copy) -> bool {
        let node = &self.nodes[copy.node];
        self.is_good(copy)
            && (!node.row.away || !self.has_present(copies) && !node.owes.contains_key(&(placement, shard)))
    }

    /// Whether writes wait for a copy although its node is away: it is one of those that are read for want of better ones,
    /// and can be asked. Otherwise each of two nodes that came back together would be reported to lack what the other
    /// was the first to do, and nobody would be read.
    pub(crate) fn is_waited_for_while_away(
        &self,
        (placement, shard): (u16, u32),
        copies: &[Copy],
        copy: &Copy,
    ) -> bool {
        self.nodes[copy.node].reach == Reach::Up
            && !self.has_present(copies)
            && self.is_read((placement, shard), copies, copy)
    }

    /// Whether there is a good copy on a node that is not away.
    fn has_present(&self, copies: &[Copy]) -> bool {
        copies.iter().any(|copy| self.is_good(copy) && !self.nodes[copy.node].row.away)
    }

    /// Another copy of a shard has done a write that this node, which is away, has only accepted (`task`, if known).
    /// Returns the epoch from which on nobody reads the shard there.
    pub(crate) fn owe(&mut self, n: N, placement: u16, shard: u32, task: Option<u32>) -> u64 {
        let node = &mut self.nodes[n];
        node.owed = node.owed.max(task.map_or(0, |task| task + 1));
        let before = node.owes.get(&(placement, shard)).copied();
        node.owes.insert((placement, shard), done_below(task).max(before.unwrap_or(0)));
        if before.is_none() && !self.has_present(self.shard_copies(placement, shard)) {
            // It was read for want of another.
            let epoch = self.touch_map();
            self.nodes[n].away_epoch = epoch;
        }
        self.nodes[n].away_epoch.max(self.presence_epoch)
    }

    /// A new leader knows from the tickets that are left what a node owes.
    pub(crate) fn owe_again(&mut self, n: N) {
        let node = &self.nodes[n];
        let (mut owes, mut owed) = (BTreeMap::<(u16, u32), u32>::new(), 0);
        for ticket in node.parts.iter().filter_map(|uid| self.tickets.get(uid)) {
            let told = ticket.row.task.as_ref().is_some_and(|task| task.status == TaskStatus::Succeeded);
            if !told || !matches!(ticket.row.work, TicketWork::Write(_)) {
                continue;
            }
            let placement = self.placement_of(&ticket.row);
            for part in ticket.row.parts.iter().filter(|part| part.is_open_on(&node.row)) {
                for shard in &part.shards {
                    let until = owes.entry((placement, *shard)).or_default();
                    *until = done_below(part.task).max(*until);
                }
                owed = owed.max(part.task.map_or(0, |task| task + 1));
            }
        }
        (self.nodes[n].owes, self.nodes[n].owed) = (owes, owed);
    }

    /// A node that came back is read again once its queue has caught up: first with what it had when it came back,
    /// without anybody waiting for it; then with what others have done since, while new writes wait for it.
    pub(crate) fn check_drained(&mut self, n: N) {
        let node = &mut self.nodes[n];
        let first = node.open.keys().next().copied();
        let behind = |until: u32| first.is_some_and(|uid| uid < until);
        if !node.row.away || node.reach != Reach::Up {
            return;
        }
        let before = node.owes.len();
        node.owes.retain(|_, until| behind(*until));
        let paid = node.owes.len() < before;
        node.closing |= !behind(node.drain);
        if node.closing && !behind(node.owed) {
            node.row.away = false;
            node.closing = false;
            node.owed = 0;
            node.owes.clear();
            self.out.nodes.insert(n);
            self.presence_epoch = self.touch_map();
            // What waited for others that are away, for want of this one, does so no longer.
            let others = self.nodes.iter().filter(|node| node.row.away);
            let waiting: Vec<u32> = others.flat_map(|node| node.parts.iter().copied()).collect();
            self.todo.extend(waiting.into_iter().map(Todo::Judge));
        } else if paid {
            // Read again where there is no other.
            self.touch_map();
        }
    }
}

/// Below which uid a node's tasks must have ended for this one to be done; all of them, where it is not known.
fn done_below(task: Option<u32>) -> u32 {
    task.map_or(u32::MAX, |task| task + 1)
}
