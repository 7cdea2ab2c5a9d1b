//! Jobs: what operators ask for, as lists of moves that are planned, persisted and carried out one by one.
//!
//! One job is under way at a time, in the order in which they were asked for; it has as many moves under way as the
//! limits allow. It gives way to the next one when all its copies are made: those that leave may be kept for long by a
//! filter that fell silent (F6), and a copy is never made where an older one is still being deleted (F23). A move is a
//! sync ([`crate::Sequencer::begin_sync`]) whose flip lets the leaving copy retire. How far a move is, is read off the
//! copies themselves and not off what was said of them: so nothing has to be told twice after a restart of control, and
//! a job can be paused, resumed and cancelled at any time.

mod command;
mod intent;
mod loss;
mod measure;
pub mod plan;
pub(crate) mod rows;
mod run;
mod settle;
mod view;

use std::collections::BTreeMap;

use crate::Sequencer;
use crate::api::*;
pub(crate) use measure::Asked;

/// Jobs that are over and still shown.
const KEPT: usize = 50;

/// All jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) rows: BTreeMap<JobId, JobRow>,
    /// Moves that are not over, by job and place.
    pub(crate) moves: BTreeMap<(JobId, u32), MoveRow>,
    /// Why the job under way does not get on.
    pub(crate) waiting: Option<String>,
    /// The job of which a copy was being filled at the last look, and when that was.
    pub(crate) filling: Option<(JobId, u64)>,
}

impl Sequencer {
    /// Takes over what an earlier term left.
    pub(crate) fn restore_jobs(&mut self, rows: Vec<JobRow>, moves: Vec<MoveRow>) {
        self.jobs.rows = rows.into_iter().map(|row| (row.id, row)).collect();
        self.jobs.moves = moves.into_iter().map(|row| ((row.job, row.at), row)).collect();
        self.apply_throttle();
        self.todo.insert(crate::state::Todo::Jobs);
    }

    /// The job whose turn it is.
    pub(crate) fn job_under_way(&self) -> Option<JobId> {
        self.jobs.rows.values().find(|row| !row.state.is_over() && !row.clearing).map(|row| row.id)
    }

    /// Jobs that have made all their copies, and wait until those that leave are deleted.
    pub(crate) fn clearing_jobs(&self) -> Vec<JobId> {
        self.jobs.rows.values().filter(|row| !row.state.is_over() && row.clearing).map(|row| row.id).collect()
    }

    /// A job that is not over and about this node.
    pub(crate) fn job_of(&self, id: &str) -> Option<&JobRow> {
        self.jobs.rows.values().find(|row| !row.state.is_over() && names(&row.kind).contains(&id))
    }

    pub(crate) fn new_job(&mut self, kind: JobKind) -> JobId {
        self.meta.last_job += 1;
        self.out.meta = true;
        let id = JobId(self.meta.last_job);
        let row = JobRow {
            id,
            kind,
            state: JobState::Queued,
            planned: false,
            clearing: false,
            moves: 0,
            done: 0,
            skipped: 0,
            skips: Vec::new(),
            rounds: 0,
            estimate: None,
            copied: Amount::default(),
            waves: 0,
            busy_ms: 0,
            created_ms: self.now,
            started_ms: None,
            finished_ms: None,
        };
        self.jobs.rows.insert(id, row);
        self.out.jobs.insert(id);
        self.todo.insert(crate::state::Todo::Jobs);
        self.forget_old_jobs();
        id
    }

    fn forget_old_jobs(&mut self) {
        let over: Vec<JobId> = self.jobs.rows.values().filter(|row| row.state.is_over()).map(|row| row.id).collect();
        for id in over.iter().take(over.len().saturating_sub(KEPT)) {
            self.jobs.rows.remove(id);
            self.out.jobs.insert(*id);
        }
    }

    pub(crate) fn job_mut(&mut self, id: JobId) -> Option<&mut JobRow> {
        self.out.jobs.insert(id);
        self.jobs.rows.get_mut(&id)
    }
}

/// Nodes that a job is about.
pub(crate) fn names(kind: &JobKind) -> Vec<&str> {
    match kind {
        JobKind::Join { node } | JobKind::Drain { node } | JobKind::Remove { node } => vec![node],
        JobKind::Replace { node, with } => vec![node, with],
        JobKind::ReplicationFactor { .. } | JobKind::Rebalance => Vec::new(),
    }
}
