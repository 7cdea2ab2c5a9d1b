//! The job under way: its turn, its moves, its end.

use super::intent::leaver;
use super::plan::Step;
use crate::Sequencer;
use crate::api::*;
use crate::state::{Copy, N, Reach, Timer};

/// How often it is looked what moves are waiting for, in milliseconds.
const LOOK: u64 = 1_000;
/// Most rounds of planning: what could not be done in the first is tried again with what is there then.
const ROUNDS: u32 = 20;

impl Sequencer {
    /// Does whatever the job under way can do now.
    pub(crate) fn pump_jobs(&mut self) {
        self.count_filling();
        loop {
            self.end_clearing_jobs();
            let Some(id) = self.job_under_way() else {
                if !self.clearing_jobs().is_empty() {
                    self.at(self.now + LOOK, Timer::Jobs);
                }
                return;
            };
            let state = self.jobs.rows.get(&id).map(|row| row.state);
            if state == Some(JobState::Queued) {
                self.plan_job(id);
            }
            self.settle_moves(id);
            if self.jobs.rows.get(&id).is_some_and(|row| row.state == JobState::Running) {
                self.start_moves(id);
                if self.gives_way(id) {
                    continue;
                }
            }
            self.jobs.filling = self.is_filling(id).then_some((id, self.now));
            return self.at(self.now + LOOK, Timer::Jobs);
        }
    }

    /// Works a job's moves out, on the copies as they lie now.
    fn plan_job(&mut self, id: JobId) {
        let Some(row) = self.jobs.rows.get(&id) else { return };
        let kind = row.kind.clone();
        let (layout, goal) = self.layout(&kind, None, &[]);
        let name = |at: usize| layout.seats.get(at).map(|seat| seat.spec.id.clone());
        let first = row.moves;
        let now = self.now;
        let steps = match layout.steps(goal) {
            Ok(steps) => steps,
            Err(error) => {
                // Nodes have gone since it was asked for: it waits for others, or to be cancelled.
                self.jobs.waiting = Some(error.to_string());
                return;
            }
        };
        let planned: Vec<MoveRow> = (first..)
            .zip(steps)
            .map(|(at, Step { placement, step })| MoveRow {
                job: id,
                at,
                placement,
                shard: u32::try_from(step.shard).unwrap_or(u32::MAX),
                to: step.to.and_then(name),
                leaving: step.leaving.and_then(name),
                state: MoveState::Waiting,
            })
            .collect();
        let waves = self.waves(planned.iter().filter_map(|row| row.to.as_deref()));
        let count = u32::try_from(planned.len()).unwrap_or(u32::MAX);
        if !row.planned {
            self.begin_kind(&kind);
        }
        for row in planned {
            self.out.moves.insert((id, row.at));
            self.jobs.moves.insert((id, row.at), row);
        }
        let Some(row) = self.job_mut(id) else { return };
        (row.state, row.planned) = (JobState::Running, true);
        row.started_ms = row.started_ms.or(Some(now));
        row.moves += count;
        row.waves += waves;
        row.rounds += 1;
        let text = format!("job {} starts: {count} moves", id.0);
        self.alert("job_started", None, text);
        self.measure(super::Asked::Job(id));
    }

    /// What a job changes when its turn comes, and not before: a job ahead of it is about the cluster as it was.
    fn begin_kind(&mut self, kind: &JobKind) {
        if let Some(node) = leaver(kind) {
            self.set_member(node, MemberState::Draining);
        }
        if let JobKind::ReplicationFactor { to, .. } = kind {
            self.set_replication(*to);
        }
    }

    /// Starts as many moves as may be under way.
    fn start_moves(&mut self, id: JobId) {
        if let Some(why) = self.awaits_tags() {
            self.jobs.waiting = Some(why);
            return;
        }
        let most = self.moves_at_once();
        let moves: Vec<(u32, MoveState)> =
            self.jobs.moves.range((id, 0)..=(id, u32::MAX)).map(|((_, at), row)| (*at, row.state)).collect();
        let mut under_way = moves.iter().filter(|(_, state)| *state == MoveState::Copying).count();
        let mut waiting = None;
        for (at, _) in moves.iter().filter(|(_, state)| *state == MoveState::Waiting) {
            if under_way >= most {
                break;
            }
            match self.start_move((id, *at)) {
                Ok(copies) => under_way += usize::from(copies),
                Err(why) => waiting = waiting.or(Some(why)),
            }
        }
        self.jobs.waiting = waiting.filter(|_| under_way == 0).or_else(|| self.held_up(id));
    }

    /// Most moves under way at once.
    pub(super) fn moves_at_once(&self) -> usize {
        let members = (0..self.nodes.len()).filter(|n| self.is_member(*n)).count();
        let usual = members * self.syncs.limits.syncs(0);
        self.meta.throttle.moves.map_or(usual, |most| most as usize).max(1)
    }

    /// Why none of a job's copies is being filled, if that is so.
    fn held_up(&self, id: JobId) -> Option<String> {
        let moves = self.jobs.moves.range((id, 0)..=(id, u32::MAX)).map(|(_, row)| row);
        let mut waiting = None;
        for row in moves.filter(|row| row.state == MoveState::Copying) {
            let to = row.to.as_ref().and_then(|to| self.node_at(to))?;
            if self.syncs.runs.contains_key(&(row.placement, row.shard, to)) {
                return None;
            }
            let id = &self.nodes[to].row.id;
            waiting = Some(match self.nodes[to].reach {
                Reach::Up => format!("{id}, or every source of shard {}, is not ready", row.shard),
                _ => match &self.nodes[to].trouble {
                    Some(why) => format!("{id} is out of reach: {why}"),
                    None => format!("{id} is not reached yet"),
                },
            });
        }
        waiting
    }

    /// Starts a move, if it may be. Says whether a copy is being filled for it, or why it has to wait.
    fn start_move(&mut self, key: (JobId, u32)) -> Result<bool, String> {
        let Some(row) = self.jobs.moves.get(&key).cloned() else { return Ok(false) };
        let place = |id: &Option<NodeId>| id.as_ref().and_then(|id| self.node_at(id)).filter(|n| self.is_member(*n));
        let (to, leaving) = (place(&row.to), place(&row.leaving));
        let copies = self.shard_copies(row.placement, row.shard);
        let owner = |n: N| copies.iter().any(|copy| copy.node == n && copy.state != CopyState::Retiring);
        let leaving = leaving.filter(|n| owner(*n));
        let name = |id: &Option<NodeId>| id.clone().unwrap_or_default();
        if row.to.is_some() && to.is_none() {
            return self.skip_move(key, format!("{} is no member any more", name(&row.to)));
        }
        let good = |n: N| copies.iter().any(|copy| copy.node == n && self.is_good(copy));
        let Some(to) = to.filter(|n| !good(*n)) else {
            // Nothing is to be made, or it is there already.
            let Some(leaving) = leaving else {
                let why = match &row.to {
                    Some(to) => format!("{to} has a good copy already"),
                    None => format!("the copy on {} is gone already", name(&row.leaving)),
                };
                return self.skip_move(key, why);
            };
            let stays =
                |copy: &&Copy| copy.node != leaving && copy.state != CopyState::Retiring && self.may_receive(copy.node);
            if copies.iter().filter(stays).count() < usize::from(self.replication_factor()) {
                // What it rested on has changed: it is no surplus any more, and the next round makes another copy.
                return self.skip_move(key, "there is no copy to spare any more".to_owned());
            }
            self.may_go(row.placement, row.shard, leaving)?;
            self.set_move(key, MoveState::Leaving);
            self.drop_sync((row.placement, row.shard, leaving));
            self.retire((row.placement, row.shard, leaving));
            return Ok(false);
        };
        let enough = copies.iter().filter(|copy| copy.state != CopyState::Retiring).count()
            >= usize::from(self.replication_factor());
        if !self.may_receive(to) {
            return self.skip_move(key, format!("{} takes no copies any more", name(&row.to)));
        }
        if leaving.is_none() && !owner(to) && enough {
            return self.skip_move(key, "there are as many copies as there should be already".to_owned());
        }
        let stale = |copy: &&Copy| {
            copy.state != CopyState::Retiring && !self.is_good(copy) && copy.node != to && Some(copy.node) != leaving
        };
        let mended = copies.iter().filter(stale).find(|copy| self.nodes[copy.node].reach == Reach::Up);
        if let Some(copy) = mended {
            let id = &self.nodes[copy.node].row.id;
            return Err(format!("shard {} waits for its copy on {id}, which is being repaired", row.shard));
        }
        let busy = self.syncs.runs.keys().any(|(placement, shard, n)| {
            (*placement, *shard) == (row.placement, row.shard) && *n != to && Some(*n) != leaving
        });
        if busy {
            return Err(format!("shard {} is being copied elsewhere", row.shard));
        }
        let sent = self.syncs.rows.keys().filter(|(.., n)| *n == to).count();
        if sent >= self.most_syncs() {
            return Err(format!("{} takes as many copies as it may at once", self.nodes[to].row.id));
        }
        if let Some(leaving) = leaving {
            self.drop_sync((row.placement, row.shard, leaving));
        }
        if !self.begin_sync(row.placement, row.shard, to, leaving) {
            return Err(format!(
                "an older copy of shard {} on {} is still being deleted",
                row.shard, self.nodes[to].row.id
            ));
        }
        self.set_move(key, MoveState::Copying);
        Ok(true)
    }

    fn may_receive(&self, n: N) -> bool {
        matches!(self.nodes[n].row.member, MemberState::Active | MemberState::Joining)
    }

    /// A copy may go without another one coming only while enough others are in sync and in contact; one that is not
    /// good itself is not missed.
    fn may_go(&self, placement: u16, shard: u32, leaving: N) -> Result<(), String> {
        let copies = self.shard_copies(placement, shard);
        let present = |copy: &Copy| {
            let node = &self.nodes[copy.node];
            self.is_good(copy) && node.reach == Reach::Up && !node.row.away
        };
        let others = copies.iter().filter(|copy| copy.node != leaving && present(copy)).count();
        // A good copy that is away may yet be the one that saves the shard.
        let goes = copies.iter().any(|copy| copy.node == leaving && self.is_good(copy));
        let least = if goes { usize::from(self.replication_factor()) } else { 1 };
        if others >= least {
            return Ok(());
        }
        Err(format!("shard {shard} has no copy to spare: {others} others are in sync and in contact, {least} must be"))
    }

    /// A repair of a copy that is about to leave is in vain.
    fn drop_sync(&mut self, place: crate::sync::Place) {
        if self.syncs.rows.get(&place).is_some_and(|row| !row.added) {
            self.cancel_sync(place.0, place.1, place.2);
        }
    }

    fn set_move(&mut self, key: (JobId, u32), state: MoveState) {
        if let Some(row) = self.jobs.moves.get_mut(&key) {
            row.state = state;
            self.out.moves.insert(key);
        }
    }

    /// Whether a job is done but for the deletion of copies that leave; plans once more where something else is left.
    fn gives_way(&mut self, id: JobId) -> bool {
        let Some(row) = self.jobs.rows.get(&id) else { return true };
        let mut moves = self.jobs.moves.range((id, 0)..=(id, u32::MAX));
        if !row.planned || !moves.all(|(_, step)| step.state == MoveState::Leaving) {
            return false;
        }
        let kind = row.kind.clone();
        let again = !matches!(kind, JobKind::Join { .. } | JobKind::Rebalance) && row.rounds < ROUNDS;
        let (layout, goal) = self.layout(&kind, None, &[]);
        let left = again && layout.steps(goal).is_ok_and(|mut steps| steps.next().is_some());
        if let Some(row) = self.job_mut(id) {
            match left {
                true => row.state = JobState::Queued,
                false => row.clearing = true,
            }
        }
        !left
    }

    /// Ends jobs whose copies that leave are deleted.
    fn end_clearing_jobs(&mut self) {
        for id in self.clearing_jobs() {
            self.settle_moves(id);
            let Some(kind) = self.jobs.rows.get(&id).map(|row| row.kind.clone()) else { continue };
            let gone = match &kind {
                JobKind::Remove { node } | JobKind::Replace { node, .. } => self.node_at(node),
                _ => None,
            };
            // It is let go without anything of ours.
            let clears = gone.is_some_and(|n| self.is_clearing(n, |_| true));
            if !clears && self.jobs.moves.range((id, 0)..=(id, u32::MAX)).next().is_none() {
                self.finish_kind(&kind);
                self.close_job(id, JobState::Done);
            }
        }
    }

    /// Whether a copy is being filled for a job at the moment.
    fn is_filling(&self, id: JobId) -> bool {
        let moves = self.jobs.moves.range((id, 0)..=(id, u32::MAX)).map(|(_, row)| row);
        moves.filter(|row| row.state == MoveState::Copying).any(|row| {
            let to = row.to.as_ref().and_then(|to| self.node_at(to));
            to.is_some_and(|to| self.syncs.runs.contains_key(&(row.placement, row.shard, to)))
        })
    }

    /// Counts the time in which copies are filled, and no other: what a job waits for says nothing of its pace.
    fn count_filling(&mut self) {
        let Some((id, since)) = self.jobs.filling.take() else { return };
        let passed = self.now.saturating_sub(since).min(2 * LOOK);
        if passed > 0
            && let Some(row) = self.job_mut(id)
        {
            row.busy_ms += passed;
        }
    }

    /// What a job changes at its end.
    fn finish_kind(&mut self, kind: &JobKind) {
        match kind {
            JobKind::Join { node } => self.set_member(node, MemberState::Active),
            JobKind::Replace { node, with } if node == with => {}
            JobKind::Remove { node } => self.dismiss(node),
            JobKind::Replace { node, with } => {
                self.set_member(with, MemberState::Active);
                self.dismiss(node);
            }
            JobKind::Rebalance => {
                let arrived: Vec<NodeId> = (0..self.nodes.len())
                    .filter(|n| self.nodes[*n].row.member == MemberState::Joining && self.owned(*n) > 0)
                    .map(|n| self.nodes[n].row.id.clone())
                    .collect();
                arrived.iter().for_each(|id| self.set_member(id, MemberState::Active));
            }
            JobKind::Drain { .. } | JobKind::ReplicationFactor { .. } => {}
        }
    }

    /// Lets a node go, if nothing that counts is left on it.
    fn dismiss(&mut self, id: &str) {
        if let Some(n) = self.node_at(id).filter(|n| self.is_member(*n) && self.owned(*n) == 0) {
            self.let_go(n);
        }
    }

    pub(crate) fn close_job(&mut self, id: JobId, state: JobState) {
        let now = self.now;
        let Some(row) = self.job_mut(id) else { return };
        (row.state, row.finished_ms) = (state, Some(now));
        let word = if state == JobState::Done { "done" } else { "cancelled" };
        let text = format!("job {} is {word}: {} of {} moves made", id.0, row.done, row.moves);
        self.jobs.waiting = None;
        self.alert("job_over", None, text);
        self.todo.insert(crate::state::Todo::Jobs);
    }
}
