//! What operators give up: copies out of reach that are the last good ones of their shards (F8).

use crate::Sequencer;
use crate::api::*;
use crate::state::{Copy, Live, N, Reach, Todo};

use super::intent::refusal;

impl Sequencer {
    /// [`AdminCommand::AcceptLoss`].
    pub(crate) fn accept_loss(&mut self, id: &str, placement: u16, shards: &[u32]) -> AdminAnswer {
        let Some(n) = self.node_at(id).filter(|n| self.is_member(*n)) else {
            return AdminAnswer::Refused(refusal("node_unknown", format!("no member has the id {id}")));
        };
        if self.nodes[n].row.rebuild {
            let text = format!("{id} has another disk than before, without the indexes: nothing on it can be promoted");
            return AdminAnswer::Refused(refusal("no_such_copy", text));
        }
        let named = |shard: &u32| ShardName { placement, shard: *shard };
        let held = |shard: &&u32| self.shard_copies(placement, **shard).iter().any(|copy| copy.node == n);
        if let Some(missing) = shards.iter().find(|shard| !held(shard)) {
            let message = format!("{id} has no copy of shard {missing}");
            return AdminAnswer::Refused(Refusal { code: "no_such_copy", message, shards: vec![named(missing)] });
        }
        if let Some(refused) = self.check_down(placement, shards) {
            return AdminAnswer::Refused(refused);
        }
        let mut loss = LossView::default();
        for shard in shards {
            loss.tickets.extend(self.lost_with(placement, *shard, n));
        }
        let promoted = self.promote(n, placement, shards);
        loss.promoted = promoted.iter().map(named).collect();
        loss.tickets.sort_unstable();
        loss.tickets.dedup();
        AdminAnswer::LossAccepted(loss)
    }

    /// While a good copy is in contact, an older one must not take its place: acknowledged writes would be given up for
    /// nothing.
    fn check_down(&self, placement: u16, shards: &[u32]) -> Option<Refusal> {
        let good = |shard: &u32| {
            let copies = self.shard_copies(placement, *shard).iter();
            copies.filter(|copy| self.is_good(copy)).map(|copy| copy.node).find(|n| self.is_present(*n))
        };
        let served: Vec<u32> = shards.iter().copied().filter(|shard| good(shard).is_some()).collect();
        let holder = served.first().and_then(good)?;
        let message = format!(
            "{} is in contact and has a good copy of shards that are named: nothing of theirs need be given up",
            self.nodes[holder].row.id
        );
        let shards = served.into_iter().map(|shard| ShardName { placement, shard }).collect();
        Some(Refusal { code: "shard_served", message, shards })
    }

    /// Makes this node's copies the good ones; what only others have is given up. Returns the shards.
    pub(crate) fn promote(&mut self, n: N, placement: u16, shards: &[u32]) -> Vec<u32> {
        let incarnation = self.nodes[n].row.incarnation;
        let since = self.touch_map();
        let mut promoted = Vec::new();
        for shard in shards {
            let place = (placement, *shard, n);
            if !self.shard_copies(placement, *shard).iter().any(|copy| copy.node == n) {
                continue;
            }
            // Whatever is being done with this copy is void: it is the measure from now on.
            self.forget_sync(place);
            let Some(copies) = self.copies.get_mut(usize::from(placement)).and_then(|all| all.get_mut(*shard as usize))
            else {
                continue;
            };
            for copy in copies.iter_mut() {
                if copy.node == n {
                    (copy.state, copy.incarnation, copy.since) = (CopyState::InSync, incarnation, since);
                } else if copy.state == CopyState::InSync {
                    // It has what is given up here: were it read again, it would differ.
                    copy.state = CopyState::Stale;
                }
            }
            self.out.copies.insert((placement, *shard));
            promoted.push(*shard);
        }
        self.todo.insert(Todo::Node(n));
        self.todo.insert(Todo::Scan);
        promoted
    }

    /// Tickets that wrote to a shard and whose part on this node is not known to have been done, while another one's is.
    fn lost_with(&self, placement: u16, shard: u32, n: N) -> Vec<u32> {
        let row = &self.nodes[n].row;
        let lost = self.tickets.values().filter(|ticket| {
            let TicketWork::Write(_) = &ticket.row.work else { return false };
            let done = |part: &PartRow| matches!(part.end, Some(PartEnd::Succeeded { .. }));
            let of_shard = |part: &&PartRow| part.shards.contains(&shard);
            ticket.live != Live::Queued
                && self.placement_of(&ticket.row) == placement
                && ticket.row.parts.iter().filter(of_shard).any(|part| part.node != row.id)
                && !ticket.row.parts.iter().filter(of_shard).any(|part| part.is_on(row) && done(part))
        });
        lost.map(|ticket| ticket.row.uid).collect()
    }

    /// Gives up the last good copies of a node that is removed by force: the next best copy of each shard takes its
    /// place, or an empty one.
    pub(crate) fn forsake(&mut self, kind: &JobKind, lost: &[ShardName]) -> LossView {
        let mut loss = LossView::default();
        let JobKind::Remove { node } = kind else { return loss };
        let Some(gone) = self.node_at(node) else { return loss };
        for name in lost {
            let ShardName { placement, shard } = *name;
            let copies = self.shard_copies(placement, shard);
            let heir = copies.iter().filter(|copy| copy.node != gone && self.has_disk(copy)).copied();
            // One that still took the writes, then one in contact, then any.
            let rank = |copy: &Copy| (copy.state != CopyState::Retiring, self.nodes[copy.node].reach != Reach::Up);
            match heir.min_by_key(rank) {
                Some(heir) => {
                    loss.tickets.extend(self.lost_with(placement, shard, heir.node));
                    self.promote(heir.node, placement, &[shard]);
                    loss.promoted.push(*name);
                }
                None => {
                    loss.emptied.push(*name);
                    self.start_empty(placement, shard, gone);
                }
            }
        }
        loss.tickets.sort_unstable();
        loss.tickets.dedup();
        loss
    }

    /// Whether the copy means the disk that the node has now.
    fn has_disk(&self, copy: &Copy) -> bool {
        let node = &self.nodes[copy.node].row;
        copy.incarnation == node.incarnation && !node.rebuild
    }

    /// A shard of which nothing is left begins anew, on the node in contact that holds least: best on one without a copy of
    /// it, and never where its documents are being deleted.
    fn start_empty(&mut self, placement: u16, shard: u32, gone: N) {
        let fit = |n: &N| {
            let node = &self.nodes[*n];
            let deletes = self.syncs.retires.contains_key(&(placement, shard, *n));
            let ready = node.reach == Reach::Up && !node.row.rebuild && !deletes;
            *n != gone && ready && node.row.member == MemberState::Active
        };
        let has_copy = |n: N| self.shard_copies(placement, shard).iter().any(|copy| copy.node == n);
        let heir = (0..self.nodes.len()).filter(fit).min_by_key(|n| (has_copy(*n), self.owned(*n), *n));
        // Without any node in contact the job waits, and the copy stays where it was.
        let Some(heir) = heir else { return };
        if has_copy(heir) {
            self.promote(heir, placement, &[shard]);
            return;
        }
        let incarnation = self.nodes[heir].row.incarnation;
        let since = self.touch_map();
        let copies = self.copies.get_mut(usize::from(placement)).and_then(|all| all.get_mut(shard as usize));
        let Some(copies) = copies else { return };
        copies.iter_mut().filter(|copy| copy.node == gone).for_each(|copy| copy.state = CopyState::Stale);
        copies.push(Copy { node: heir, incarnation, state: CopyState::InSync, since });
        self.out.copies.insert((placement, shard));
    }
}
