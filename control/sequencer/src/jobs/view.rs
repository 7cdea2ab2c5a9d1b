//! Jobs as operators see them.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::measure::add;
use crate::Sequencer;
use crate::api::*;
use crate::state::Copy;

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
        let deletions = self.deletions_for(&running);
        let first = self.job_under_way();
        let waiting = match (row.state.is_over(), first) {
            (true, _) => None,
            (false, _) if row.clearing => Some(match &deletions {
                Some(wait) => wait.sentence(),
                None => "copies that leave are being deleted".to_owned(),
            }),
            (false, Some(first)) if first == row.id => {
                self.jobs.waiting.clone().or_else(|| self.writes_in_front_of(&running))
            }
            (false, first) => first.map(|first| format!("job {} comes first", first.0)),
        };
        JobView {
            id: row.id,
            kind: row.kind.clone(),
            state: row.state,
            waiting,
            deletions,
            left: self.left_by(row),
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

    /// What the copies that are being made wait for, if none of them has got to reading yet: their sources are behind with
    /// writes that were accepted before.
    fn writes_in_front_of(&self, moves: &[&MoveRow]) -> Option<String> {
        let copying = moves.iter().filter(|step| step.state == MoveState::Copying);
        let runs = copying.filter_map(|step| {
            let to = self.node_at(step.to.as_ref()?)?;
            self.syncs.runs.get(&(step.placement, step.shard, to))
        });
        let mut writes: BTreeSet<u32> = BTreeSet::new();
        for run in runs {
            if run.before.is_empty() {
                return None;
            }
            writes.extend(&run.before);
        }
        let amount = match writes.len() {
            0 => return None,
            1 => "1 write".to_owned(),
            many => format!("{many} writes"),
        };
        Some(format!("the nodes that are copied from have {amount} to do that came before"))
    }

    /// For whom the copies are kept that leave in these moves.
    fn deletions_for(&self, moves: &[&MoveRow]) -> Option<DeletionWait> {
        let leaving = moves.iter().filter(|step| step.state == MoveState::Leaving);
        let places: BTreeSet<(u16, u32, usize)> = leaving
            .filter_map(|step| Some((step.placement, step.shard, self.node_at(step.leaving.as_ref()?)?)))
            .collect();
        if places.is_empty() { None } else { self.deletion_wait_of(|place| places.contains(place)) }
    }

    /// What a job that was cancelled has left undone.
    fn left_by(&self, row: &JobRow) -> Option<String> {
        let wanted = self.replication_factor();
        let JobKind::ReplicationFactor { from, to } = row.kind else { return None };
        if row.state != JobState::Cancelled || self.jobs.rows.values().any(|row| !row.state.is_over()) {
            return None;
        }
        if row.clearing {
            let text =
                format!("every shard has its {to} copies already, and keeps to that: `miroirctl rf {from}` goes back");
            return (wanted == to && from != to).then_some(text);
        }
        let (fewer, more) = (self.shards_with_copies(Ordering::Less), self.shards_with_copies(Ordering::Greater));
        let of = |many: usize, word: &str| format!("{many} shards have {word} copies than the {wanted} in force");
        match (fewer, more) {
            (0, 0) => None,
            (0, more) => Some(format!("{}: `miroirctl rf {wanted}` drops what is too much", of(more, "more"))),
            (fewer, _) => Some(format!("{}: `miroirctl rf {wanted}` makes what is lacking", of(fewer, "fewer"))),
        }
    }

    /// How many shards have fewer, or more, copies than the replication factor in force; those that leave do not count.
    pub(super) fn shards_with_copies(&self, than: Ordering) -> usize {
        let wanted = usize::from(self.replication_factor());
        let owned = |copies: &[Copy]| copies.iter().filter(|copy| copy.state != CopyState::Retiring).count();
        self.shards_where(|copies| owned(copies).cmp(&wanted) == than).len()
    }

    /// By what has been copied of the estimate; by moves where there is none.
    fn seconds_left(&self, row: &JobRow, copied: Amount) -> Option<u64> {
        let ms = Some(row.busy_ms).filter(|_| row.state == JobState::Running && !row.clearing)?;
        let (done, all) = match row.estimate {
            Some(estimate) if estimate.documents > 0 => (copied.documents, estimate.documents),
            _ => (u64::from(row.done), u64::from(row.moves - row.skipped)),
        };
        let left = u128::from(all.saturating_sub(done)) * u128::from(ms);
        // More has been copied than was estimated: how much is to come is not known.
        let known = done > 0 && left > 0;
        known.then(|| u64::try_from(left / u128::from(done) / 1_000).unwrap_or(u64::MAX))
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
