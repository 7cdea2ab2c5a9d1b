//! The end of a sync: what is still in the target's queue has to count first, then the map flips in one transaction
//! (protocol 1.2, step 5).

use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, N, Todo};
use crate::sync::Place;

impl Sequencer {
    /// All indexes are equal: the copy flips as soon as nobody can miss by it what he has been told to be there.
    pub(crate) fn close(&mut self, place: Place) {
        let (placement, shard, to) = place;
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        if !run.pages.is_empty() {
            return;
        }
        // From now on tasks wait for this copy as well, so that what comes before the flip gets fewer.
        run.closing = true;
        let open: Vec<u32> = run.open.iter().copied().collect();
        let target = &self.nodes[to].row;
        let told = |uid: &u32| {
            let Some(ticket) = self.tickets.get(uid) else { return false };
            let part = ticket.row.parts.iter().find(|part| part.is_on(target) && part.shards.contains(&shard));
            match part {
                // Reported as done, and not done here.
                Some(PartRow { end: None, .. }) => ticket.live == Live::Over,
                Some(PartRow { end: Some(PartEnd::Succeeded { .. }), .. }) => false,
                // To be compared when the others have ended.
                _ => matches!(ticket.live, Live::Decided | Live::Over),
            }
        };
        if open.iter().any(told) {
            return;
        }
        let operating = self.tickets.values().any(|ticket| match &ticket.row.work {
            TicketWork::Index(_) => matches!(ticket.live, Live::Granted | Live::Decided),
            _ => false,
        });
        if operating || !self.nodes[to].journal.is_empty() || self.nodes[to].row.away {
            return self.sync_again(place, 50);
        }
        if self.is_source_confirmed(place) {
            self.flip(placement, shard, to);
        }
    }

    /// What the source showed may have been on another disk than the one that is in sync: before anybody rests on it, its
    /// tasks are looked at once more.
    fn is_source_confirmed(&mut self, place: Place) -> bool {
        let Some(run) = self.syncs.runs.get(&place) else { return false };
        let (from, confirmed) = (run.from, run.confirmed);
        let stamp = confirmed.unwrap_or_else(|| self.want_read(from));
        if let Some(run) = self.syncs.runs.get_mut(&place) {
            run.confirmed = Some(stamp);
        }
        self.nodes[from].read_done >= stamp || self.planted.source_unconfirmed
    }

    /// A node's tasks have been read: copies that wait for that go on.
    pub(crate) fn sources_read(&mut self, n: N) {
        let waiting = self.syncs.runs.iter().filter(|(_, run)| run.from == n && run.confirmed.is_some());
        self.todo.extend(waiting.map(|(place, _)| Todo::Sync(*place)));
    }

    fn flip(&mut self, placement: u16, shard: u32, to: N) {
        let place = (placement, shard, to);
        let leaving = self.syncs.rows.get(&place).and_then(|row| row.leaving.clone());
        let leaving = leaving.and_then(|id| self.node_at(&id)).filter(|n| *n != to);
        let incarnation = self.nodes[to].row.incarnation;
        let since = self.touch_map();
        let Some(copies) = self.copies.get_mut(usize::from(placement)).and_then(|all| all.get_mut(shard as usize))
        else {
            return;
        };
        let Some(at) = copies.iter().position(|copy| copy.node == to) else { return };
        let mut copy = copies.remove(at);
        (copy.state, copy.incarnation, copy.since) = (CopyState::InSync, incarnation, since);
        // It takes the place of the one that leaves, or its own again.
        let at = leaving.and_then(|n| copies.iter().position(|copy| copy.node == n)).unwrap_or(at);
        copies.insert(at, copy);
        self.out.copies.insert((placement, shard));
        if let Some(run) = self.syncs.runs.remove(&place) {
            self.inherit(place, run.from, &run.open);
        }
        self.syncs.trouble.remove(&place);
        self.copy_mended(place);
        if let Some(leaving) = leaving {
            let gone = (placement, shard, leaving);
            if self.shard_copies(placement, shard).iter().any(|copy| copy.node == leaving) {
                self.retire(gone);
            }
        }
        let row = self.syncs.rows.remove(&place);
        self.out.syncs.insert(place);
        let id = self.nodes[to].row.id.clone();
        let documents = row.as_ref().map_or(0, |row| row.documents);
        self.alert("sync_done", Some(to), format!("shard {shard} on {id} is in sync, {documents} documents written"));
        self.sync_ended(place, SyncEnd::Flipped, row.as_ref());
        // Open tickets count this copy as well now.
        let parts: Vec<u32> = self.nodes[to].parts.iter().copied().collect();
        self.todo.extend(parts.into_iter().map(Todo::Judge));
        self.todo.insert(Todo::Scan);
    }

    /// What the source did of tickets that are not over, the copy has as well now, whatever it did of them itself: it
    /// must not go stale for them again, and must speak for them when the source is gone.
    /// Those that are still `open` were not compared: they are judged like any other from now on.
    fn inherit(&mut self, (placement, shard, to): Place, from: N, open: &std::collections::BTreeSet<u32>) {
        let (target, source) = (&self.nodes[to].row, &self.nodes[from].row);
        let concerned = |part: &&PartRow, node: &NodeRow| part.is_on(node) && part.shards.contains(&shard);
        let done = |part: &PartRow| matches!(part.end, Some(PartEnd::Succeeded { .. }));
        let inherited: Vec<u32> = self
            .tickets
            .values()
            .filter(|ticket| {
                let parts = &ticket.row.parts;
                let ours = parts.iter().find(|part| concerned(part, target));
                matches!(ticket.row.work, TicketWork::Write(_))
                    && !open.contains(&ticket.row.uid)
                    && self.touches_shard(ticket, placement, shard)
                    && parts.iter().find(|part| concerned(part, source)).is_some_and(done)
                    && ours.is_none_or(|part| part.end.is_some() && !done(part))
            })
            .map(|ticket| ticket.row.uid)
            .collect();
        for uid in inherited {
            let mut part = self.new_part(to, vec![shard]);
            part.end = Some(PartEnd::Succeeded { indexed: None, deleted: None });
            let target = &self.nodes[to].row;
            let Some(ticket) = self.tickets.get_mut(&uid) else { continue };
            for old in ticket.row.parts.iter_mut().filter(|part| part.is_on(target)) {
                old.shards.retain(|other| *other != shard);
            }
            ticket.row.parts.push(part);
            self.touch_ticket(uid);
        }
    }

    /// Tells those who asked for a sync that it is over.
    pub(crate) fn sync_ended(&mut self, place: Place, how: SyncEnd, row: Option<&SyncRow>) {
        self.job_hears(place, row.filter(|_| how == SyncEnd::Flipped));
    }
}
