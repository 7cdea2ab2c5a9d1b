//! How far moves are, read off the copies; and the taking back of what is under way.

use super::measure::add;
use crate::Sequencer;
use crate::api::*;
use crate::state::{Copy, N, Todo};
use crate::sync::Place;

impl Sequencer {
    /// Looks at every move of a job that has begun.
    pub(crate) fn settle_moves(&mut self, id: JobId) {
        let begun: Vec<u32> = self
            .jobs
            .moves
            .range((id, 0)..=(id, u32::MAX))
            .filter(|(_, row)| row.state != MoveState::Waiting)
            .map(|((_, at), _)| *at)
            .collect();
        for at in begun {
            self.settle_move((id, at));
        }
    }

    fn settle_move(&mut self, key: (JobId, u32)) {
        let Some(row) = self.jobs.moves.get(&key).cloned() else { return };
        let of = |id: &Option<NodeId>| id.as_ref().and_then(|id| self.node_at(id));
        let (to, leaving) = (of(&row.to), of(&row.leaving));
        if row.state == MoveState::Copying
            && let Some(to) = to
        {
            if self.syncs.rows.contains_key(&(row.placement, row.shard, to)) {
                return;
            }
            if !self.copy_on(&row, to).is_some_and(|copy| self.is_good(&copy)) {
                // Given up by somebody else, or no good since: from the start.
                return self.set_state(key, MoveState::Waiting);
            }
            self.set_state(key, MoveState::Leaving);
        }
        if leaving.is_some_and(|n| self.is_clearing(n, |place| (place.0, place.1) == (row.placement, row.shard))) {
            // Its documents are still there, and go when nobody can read them any more.
            return;
        }
        match leaving.and_then(|n| self.copy_on(&row, n)).map(|copy| copy.state) {
            Some(CopyState::Retiring) | None => self.end_move(key, None),
            // It was made an owner again.
            Some(_) if row.state == MoveState::Leaving && to.is_none() => {
                match self.jobs.rows.get(&key.0).is_some_and(|row| row.clearing) {
                    true => self.end_move(key, Some("its copy is wanted again".to_owned())),
                    false => self.set_state(key, MoveState::Waiting),
                }
            }
            Some(_) => self.end_move(key, None),
        }
    }

    /// Whether a node still has to delete documents of such copies. Out of reach they may stay; not so where it has not
    /// been asked yet since control was started.
    pub(super) fn is_clearing(&self, n: N, of: impl Fn(&Place) -> bool) -> bool {
        self.is_present(n) && self.syncs.retires.keys().any(|place| place.2 == n && of(place))
    }

    fn copy_on(&self, row: &MoveRow, n: N) -> Option<Copy> {
        self.shard_copies(row.placement, row.shard).iter().find(|copy| copy.node == n).copied()
    }

    /// Forgets whatever is being done with a copy: its repair, its filling, its deletion.
    pub(crate) fn forget_sync(&mut self, place: Place) {
        self.break_sync(place, "its copy is no longer to be filled");
        self.syncs.rows.remove(&place);
        self.syncs.trouble.remove(&place);
        self.syncs.missed.remove(&place);
        self.out.syncs.insert(place);
        if self.syncs.retires.remove(&place).is_some() {
            self.out.retires.insert(place);
        }
    }

    fn set_state(&mut self, key: (JobId, u32), state: MoveState) {
        if let Some(row) = self.jobs.moves.get_mut(&key) {
            row.state = state;
            self.out.moves.insert(key);
        }
    }

    /// A move is over: made, or skipped for a reason.
    fn end_move(&mut self, key: (JobId, u32), skipped: Option<String>) {
        let step = self.jobs.moves.remove(&key);
        self.out.moves.insert(key);
        let Some(row) = self.job_mut(key.0) else { return };
        match skipped {
            None => row.done += 1,
            Some(why) => {
                row.skipped += 1;
                row.skips_for(why).count(step.map(|step| ShardName { placement: step.placement, shard: step.shard }));
            }
        }
    }

    /// A move that is not needed any more, or cannot be made.
    pub(super) fn skip_move(&mut self, key: (JobId, u32), why: String) -> Result<bool, String> {
        self.end_move(key, Some(why));
        Ok(false)
    }

    /// A sync or a retirement is over: counts what it copied, and lets the job go on.
    pub(crate) fn job_hears(&mut self, place: Place, row: Option<&SyncRow>) {
        let id = self.nodes[place.2].row.id.clone();
        let moves = self.jobs.moves.values();
        let of = moves.into_iter().find(|step| {
            step.state == MoveState::Copying
                && (step.placement, step.shard) == (place.0, place.1)
                && step.to.as_ref() == Some(&id)
        });
        if let (Some(job), Some(row)) = (of.map(|step| step.job), row) {
            let copied = Amount { documents: row.documents, bytes: row.bytes };
            if let Some(job) = self.job_mut(job) {
                job.copied = add(job.copied, copied);
            }
        }
        if self.jobs.rows.values().any(|row| !row.state.is_over()) {
            self.todo.insert(Todo::Jobs);
        }
    }

    /// Ends a job early: what has flipped stays, what is under way is taken back, the rest does not begin.
    pub(crate) fn cancel_job(&mut self, id: JobId, why: &str) {
        self.settle_moves(id);
        let moves: Vec<MoveRow> = self.jobs.moves.range((id, 0)..=(id, u32::MAX)).map(|(_, row)| row.clone()).collect();
        for row in moves {
            let to = row.to.as_ref().and_then(|to| self.node_at(to));
            if let (MoveState::Copying, Some(to)) = (row.state, to) {
                self.cancel_sync(row.placement, row.shard, to);
            }
            let skipped = (row.state != MoveState::Leaving).then(|| why.to_owned());
            self.end_move((id, row.at), skipped);
        }
        let row = self.jobs.rows.get(&id).map(|row| (row.kind.clone(), row.clearing));
        let (kind, clearing) = row.unzip();
        match kind {
            // It holds shards again as far as it still has them.
            Some(JobKind::Drain { node } | JobKind::Remove { node }) => self.set_member(&node, MemberState::Active),
            Some(JobKind::Replace { node, with }) if node != with => {
                self.set_member(&node, MemberState::Active);
                self.keep_if_used(&with);
            }
            Some(JobKind::Join { node }) => self.keep_if_used(&node),
            // Once every shard has the new number, a later job may have set another one.
            Some(JobKind::ReplicationFactor { from, .. }) if clearing == Some(false) => self.set_replication(from),
            _ => {}
        }
        self.close_job(id, JobState::Cancelled);
    }

    /// A node whose coming was broken off: a full member if it has got shards.
    fn keep_if_used(&mut self, id: &str) {
        if self.node_at(id).is_some_and(|n| self.owned(n) > 0) {
            self.set_member(id, MemberState::Active);
        }
    }
}
