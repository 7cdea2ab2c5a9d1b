//! Jobs as operators see them.

use super::measure::add;
use crate::Sequencer;
use crate::api::*;

impl Sequencer {
    /// All jobs that are not forgotten, oldest first.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobView> {
        self.jobs.rows.values().map(|row| self.view(row)).collect()
    }

    pub(crate) fn job_view(&self, id: JobId) -> Option<JobView> {
        self.jobs.rows.get(&id).map(|row| self.view(row))
    }

    /// Pace of copying as operators have set it.
    #[must_use]
    pub fn throttle(&self) -> &Throttle {
        &self.meta.throttle
    }

    fn view(&self, row: &JobRow) -> JobView {
        let moves = self.jobs.moves.range((row.id, 0)..=(row.id, u32::MAX)).map(|(_, step)| step);
        let running: Vec<&MoveRow> = moves.filter(|step| step.state != MoveState::Waiting).collect();
        let mut copied = row.copied;
        for step in running.iter().filter(|step| step.state == MoveState::Copying) {
            let to = step.to.as_ref().and_then(|to| self.node_at(to));
            if let Some(sync) = to.and_then(|to| self.syncs.rows.get(&(step.placement, step.shard, to))) {
                copied = add(copied, Amount { documents: sync.documents, bytes: sync.bytes });
            }
        }
        let first = self.job_under_way();
        let waiting = match (row.state.is_over(), first) {
            (true, _) => None,
            (false, Some(first)) if first == row.id => self.jobs.waiting.clone(),
            (false, first) => first.map(|first| format!("job {} comes first", first.0)),
        };
        JobView {
            id: row.id,
            kind: row.kind.clone(),
            state: row.state,
            waiting,
            moves: row.moves.into(),
            moves_done: row.done.into(),
            moves_skipped: row.skipped.into(),
            skips: row.skips.clone(),
            running: running.into_iter().map(move_view).collect(),
            estimate: row.estimate,
            copied,
            created_ms: row.created_ms,
            started_ms: row.started_ms,
            finished_ms: row.finished_ms,
            seconds_left: self.seconds_left(row, copied),
        }
    }

    /// By what has been copied of the estimate; by moves where there is none.
    fn seconds_left(&self, row: &JobRow, copied: Amount) -> Option<u64> {
        let ms = self.now.saturating_sub(row.started_ms.filter(|_| row.state == JobState::Running)?);
        let (done, all) = match row.estimate {
            Some(estimate) if estimate.documents > 0 => (copied.documents, estimate.documents),
            _ => (u64::from(row.done), u64::from(row.moves - row.skipped)),
        };
        let left = u128::from(all.saturating_sub(done)) * u128::from(ms);
        (done > 0).then(|| u64::try_from(left / u128::from(done) / 1_000).unwrap_or(u64::MAX))
    }
}

fn move_view(step: &MoveRow) -> MoveView {
    MoveView {
        shard: ShardName { placement: step.placement, shard: step.shard },
        to: step.to.clone(),
        leaving: step.leaving.clone(),
        estimate: None,
    }
}
