//! Numbers that nobody has been given (F16). A backup does not know what was given after it, and nodes do not know of
//! all: only writes of documents carry the number of their ticket there, not changes of indexes, cancelations, or
//! tickets that came to nothing. So task uids jump ahead, to a round number that operators recognise. Epochs are given
//! to filters only, which refuse an older map than they have; Unix milliseconds are above any epoch that was counted up
//! from there.

use super::known::Known;
use super::survey::Survey;
use crate::cluster::{Note, wall_ms};

/// Task uids jump by one to two times this.
const STEP: u32 = 100_000;
/// Numbers of jobs and findings jump by this.
const FEW: u64 = 1_000;

/// Where the numbers go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The newest term that there has been.
    pub(super) term: u64,
    pub(super) next_uid: u32,
    pub(super) epoch: u64,
    pub(super) last_job: u64,
    /// The next finding.
    pub(super) finding: u64,
    pub(super) now_ms: u64,
}

/// A term that no leader has had.
pub(super) fn term(survey: &Survey, known: &Known) -> u64 {
    let of_keys = survey.found.iter().flat_map(|found| &found.write_keys).map(|key| key.term);
    let of_tasks = survey.found.iter().flat_map(|found| found.tasks.tickets.values()).map(|(term, _)| *term);
    let of_store = known.snapshot.meta.as_ref().map(|meta| meta.term);
    of_keys.chain(of_tasks).chain(of_store).max().unwrap_or(0).saturating_add(1)
}

/// The first round number that is well above.
fn beyond(uid: u32) -> u32 {
    (uid / STEP).saturating_add(2).saturating_mul(STEP)
}

impl Numbers {
    pub(super) fn new(survey: &Survey, known: &Known, note: Option<&Note>, term: u64) -> Self {
        let meta = known.snapshot.meta.clone().unwrap_or_default();
        let of_tasks = survey.found.iter().flat_map(|found| found.tasks.tickets.values()).map(|(_, uid)| *uid);
        let newest = of_tasks.chain(known.newest).chain([meta.next_uid]).max().unwrap_or(0);
        let now_ms = wall_ms();
        let noted = note.map_or(0, |note| note.epoch);
        let finding = known.snapshot.findings.iter().map(|finding| finding.id).max();
        Self {
            term,
            next_uid: beyond(newest),
            epoch: now_ms.max(meta.epoch.saturating_add(1)).max(noted.saturating_add(1)),
            last_job: meta.last_job.saturating_add(FEW),
            finding: finding.map_or(1, |id| id.saturating_add(FEW)),
            now_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_uid_is_round_and_well_above() {
        for (newest, next) in [(0, 200_000), (99_999, 200_000), (100_000, 300_000), (u32::MAX, u32::MAX)] {
            assert_eq!(beyond(newest), next);
        }
    }
}
