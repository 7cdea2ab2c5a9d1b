//! What may be seen of a document at any time, given the writes to it.
//!
//! Tickets of one document are applied in their order everywhere, so what a copy shows is always the result of the
//! writes up to some ticket. A reader may see the result of any such beginning of the history that holds all writes
//! which were known to have succeeded before it asked, and none that began after it was answered.

use std::collections::BTreeSet;
use std::fmt::Display;

use miroir_core::invariants::{self, Breach, Change, Document, Invariant, Touch, possible_states};

/// Microseconds since the run began.
pub type Moment = u64;

/// A write as far as one document is concerned, with what is known at the end.
#[derive(Clone, Debug)]
pub struct Step {
    /// Uid of its task: its place in the order.
    pub ticket: u32,
    /// What it does to the document.
    pub change: Change,
    /// Its task has succeeded; otherwise the task failed, and what it did to single documents is open.
    pub succeeded: bool,
    /// When it was sent.
    pub began: Moment,
    /// When a client first saw the task as succeeded.
    pub known: Option<Moment>,
}

/// All writes to one document, in order.
#[derive(Clone, Debug)]
pub struct History {
    steps: Vec<Step>,
    /// What may be there after the first n steps.
    after: Vec<BTreeSet<Option<Document>>>,
}

impl History {
    /// A history that starts with what was there before.
    #[must_use]
    pub fn new(before: Option<&Document>, mut steps: Vec<Step>) -> Self {
        steps.sort_by_key(|step| step.ticket);
        let base = match before {
            Some(document) => Change::Replace(document.clone()),
            None => Change::Delete,
        };
        let touch = |step: &Step| Touch { ticket: step.ticket, change: step.change.clone(), must: step.succeeded };
        let mut touches = vec![Touch { ticket: 0, change: base, must: true }];
        touches.extend(steps.iter().map(touch));
        let after = (1..=touches.len()).map(|count| possible_states(touches.get(..count).unwrap_or_default()));
        Self { after: after.collect(), steps }
    }

    /// The last states: what copies must hold once everything has been applied.
    #[must_use]
    pub fn last(&self) -> BTreeSet<Option<Document>> {
        self.after.last().cloned().unwrap_or_default()
    }

    /// What a reader may see that knew what had succeeded at `since`, and was answered at `until`.
    #[must_use]
    pub fn between(&self, since: Moment, until: Moment) -> BTreeSet<Option<&Document>> {
        let known = |step: &Step| step.succeeded && step.known.is_some_and(|known| known <= since);
        let first = self.steps.iter().rposition(known).map_or(0, |at| at + 1);
        let last = self.steps.iter().rposition(|step| step.began <= until).map_or(0, |at| at + 1);
        let states = self.after.iter().take(last.max(first) + 1).skip(first);
        states.flatten().map(Option::as_ref).collect()
    }
}

/// What is wrong with something seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A document that must be there is not.
    Lost,
    /// A document is there that must not be.
    Resurrected,
    /// The document is there with a content that it must not have (any more, or at all).
    Wrong,
    /// A document is there twice.
    Doubled,
    /// Hits are not in the order that was asked for.
    Misordered,
    /// A total does not fit what is there.
    Miscounted,
    /// Copies in sync differ.
    Differing,
    /// A document lies on a node that is not to hold its shard.
    Astray,
    /// Something of a write is there that was refused.
    Refused,
    /// A task does not end, or contradicts what was answered before.
    Task,
    /// The comparison in the background tells of replicas that differ for no known reason, and nobody made any differ so.
    FalseAlarm,
    /// Control itself reports that an invariant is broken.
    Reported,
    /// A part of the cluster does not become whole again.
    Unhealed,
}

/// How a document is judged: [`invariants::copy_holds_successes`] where a copy holds it, and
/// [`invariants::read_shows_successes`] where a reader saw it.
pub type Shows = fn(&BTreeSet<Option<&Document>>, Option<&Document>, &dyn Display) -> Option<Breach>;

/// Judges one document (none: it was not there): the fault, and what it is in words. `place`: which document, and where.
#[must_use]
pub fn judge(
    shows: Shows,
    allowed: &BTreeSet<Option<&Document>>,
    seen: Option<&Document>,
    place: &dyn Display,
) -> Option<(Fault, String)> {
    let breach = shows(allowed, seen, place).or_else(|| invariants::deleted_stays_away(allowed, seen, place))?;
    let fault = match (breach.invariant, seen) {
        (Invariant::DeletedAbsent, _) => Fault::Resurrected,
        (_, None) => Fault::Lost,
        (_, Some(_)) => Fault::Wrong,
    };
    Some((fault, breach.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(value: &str) -> Document {
        [("v".to_owned(), value.to_owned())].into()
    }

    fn step(ticket: u32, change: Change, times: (Moment, Option<Moment>), succeeded: bool) -> Step {
        Step { ticket, change, succeeded, began: times.0, known: times.1 }
    }

    /// Written at 10 (known at 20), replaced at 30 (known at 40), deleted at 50 (known at 60).
    fn life() -> History {
        History::new(
            None,
            vec![
                step(3, Change::Delete, (50, Some(60)), true),
                step(1, Change::Replace(document("one")), (10, Some(20)), true),
                step(2, Change::Replace(document("two")), (30, Some(40)), true),
            ],
        )
    }

    fn verdict(history: &History, times: (Moment, Moment), seen: Option<&str>) -> Option<Fault> {
        let allowed = history.between(times.0, times.1);
        let found = judge(invariants::read_shows_successes, &allowed, seen.map(document).as_ref(), &"it");
        found.map(|(fault, _)| fault)
    }

    #[test]
    fn what_is_known_must_be_seen_and_what_runs_may_be() {
        let life = life();
        assert_eq!(verdict(&life, (0, 5), None), None);
        assert_eq!(verdict(&life, (0, 15), None), None);
        assert_eq!(verdict(&life, (0, 15), Some("one")), None);
        assert_eq!(verdict(&life, (0, 100), Some("two")), None);
        assert_eq!(verdict(&life, (65, 70), None), None);
    }

    #[test]
    fn losses_old_contents_and_returns_from_the_dead_are_told_apart() {
        let life = life();
        assert_eq!(verdict(&life, (25, 28), None), Some(Fault::Lost));
        assert_eq!(verdict(&life, (45, 48), Some("one")), Some(Fault::Wrong));
        assert_eq!(verdict(&life, (61, 70), Some("two")), Some(Fault::Resurrected));
        assert_eq!(verdict(&life, (0, 5), Some("one")), Some(Fault::Resurrected));
        assert_eq!(verdict(&life, (25, 28), Some("nobody wrote this")), Some(Fault::Wrong));
    }

    #[test]
    fn a_failed_write_may_be_there_and_what_was_before_counts() {
        let failed = step(1, Change::Delete, (10, None), false);
        let history = History::new(Some(&document("old")), vec![failed]);
        assert_eq!(history.last(), BTreeSet::from([None, Some(document("old"))]));
        assert_eq!(verdict(&history, (0, 5), None), Some(Fault::Lost));
        assert_eq!(verdict(&history, (20, 30), None), None);
        assert_eq!(verdict(&history, (20, 30), Some("old")), None);
    }

    #[test]
    fn a_later_write_shows_all_earlier_ones() {
        let set = |ticket, name: &str, times| {
            step(ticket, Change::Merge([(name.to_owned(), "x".to_owned())].into()), times, true)
        };
        let history = History::new(None, vec![set(1, "a", (10, None)), set(2, "b", (11, Some(20)))]);
        let only_the_later: Document = [("b".to_owned(), "x".to_owned())].into();
        let allowed = history.between(30, 40);
        assert!(judge(invariants::read_shows_successes, &allowed, Some(&only_the_later), &"it").is_some());
    }
}
