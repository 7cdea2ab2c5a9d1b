//! What a document may look like, given all writes to it: invariants 1, 9, 11 and 12.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::{Breach, Invariant};

/// A document as fields and values.
pub type Document = BTreeMap<String, String>;

/// What a write does to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The document becomes this.
    Replace(Document),
    /// These fields are set.
    Merge(Document),
    /// These fields are set, if the document is there.
    Amend(Document),
    /// The document becomes this, if it is there.
    Supersede(Document),
    /// This is put behind the text of a field, if the document is there (so that it shows how often it was done).
    Append(String, String),
    /// The document goes (also by the deletion of all, or of the index).
    Delete,
    /// The document goes, if it has this field.
    DeleteWith(String),
}

/// A write as far as one key is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Its place in the order of tickets.
    pub ticket: u32,
    /// What it does.
    pub change: Change,
    /// It has been reported as succeeded: it must be seen. Otherwise it may be seen.
    pub must: bool,
}

/// The states that a key may have (none: absent), given all writes to it: those reported as succeeded have been applied,
/// in order of tickets; the others were applied in their place, or not at all.
#[must_use]
pub fn possible_states(touches: &[Touch]) -> BTreeSet<Option<Document>> {
    let mut sorted: Vec<&Touch> = touches.iter().collect();
    sorted.sort_by_key(|touch| touch.ticket);
    let mut states = BTreeSet::from([None]);
    for touch in sorted {
        let applied: BTreeSet<Option<Document>> =
            states.iter().map(|state| apply(state.as_ref(), &touch.change)).collect();
        if touch.must {
            states = applied;
        } else {
            states.extend(applied);
        }
    }
    states
}

fn apply(state: Option<&Document>, change: &Change) -> Option<Document> {
    match change {
        Change::Replace(document) => Some(document.clone()),
        Change::Merge(fields) => {
            let mut document = state.cloned().unwrap_or_default();
            document.extend(fields.clone());
            Some(document)
        }
        Change::Amend(fields) => {
            let mut document = state.cloned()?;
            document.extend(fields.clone());
            Some(document)
        }
        Change::Supersede(document) => state.map(|_| document.clone()),
        Change::Append(field, text) => {
            let mut document = state.cloned()?;
            document.entry(field.clone()).or_default().push_str(text);
            Some(document)
        }
        Change::Delete => None,
        Change::DeleteWith(field) => state.filter(|document| !document.contains_key(field)).cloned(),
    }
}

/// Whether a document is there that must not be: every state that it may have is to be absent.
fn is_back(allowed: &BTreeSet<Option<&Document>>, held: Option<&Document>) -> bool {
    held.is_some() && allowed.iter().all(Option::is_none)
}

fn deviation(
    invariant: Invariant,
    allowed: &BTreeSet<Option<&Document>>,
    held: Option<&Document>,
    place: &dyn Display,
) -> Option<Breach> {
    if allowed.contains(&held) || is_back(allowed, held) {
        return None;
    }
    Some(Breach::new(invariant, format!("{place} is {held:?}, and may be {allowed:?}")))
}

/// Invariant 1: a copy in sync with an empty queue holds what succeeded. `allowed`: the states that the document may
/// have; `place`: which document it is, and where. A document that is there and must not be is
/// [`deleted_stays_away`]'s.
#[must_use]
pub fn copy_holds_successes(
    allowed: &BTreeSet<Option<&Document>>,
    held: Option<&Document>,
    place: &dyn Display,
) -> Option<Breach> {
    deviation(Invariant::SuccessesHeld, allowed, held, place)
}

/// Invariant 9: a reader sees what it has been told to have succeeded, or later writes. `allowed`: the states that the
/// document may have for this reader.
#[must_use]
pub fn read_shows_successes(
    allowed: &BTreeSet<Option<&Document>>,
    seen: Option<&Document>,
    place: &dyn Display,
) -> Option<Breach> {
    deviation(Invariant::ReadsShowSuccesses, allowed, seen, place)
}

/// Invariant 12: a document that was deleted comes back only by a later ticket.
#[must_use]
pub fn deleted_stays_away(
    allowed: &BTreeSet<Option<&Document>>,
    held: Option<&Document>,
    place: &dyn Display,
) -> Option<Breach> {
    let back = || Breach::new(Invariant::DeletedAbsent, format!("{place} is back as {held:?}"));
    is_back(allowed, held).then(back)
}

/// Invariant 11: of a write whose client was told that nothing was written, nothing is seen. `refused`: values that only
/// such writes wrote.
#[must_use]
pub fn refused_stays_away(refused: &BTreeSet<String>, held: Option<&Document>, place: &dyn Display) -> Option<Breach> {
    let (field, value) = held?.iter().find(|(_, value)| refused.contains(*value))?;
    Some(Breach::new(Invariant::RefusedAbsent, format!("{place} has {field} = {value} of a write that was refused")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(field: &str, value: &str) -> Document {
        BTreeMap::from([(field.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_succeeded_must_be_seen_and_the_rest_may_be() {
        let touches = [
            Touch { ticket: 3, change: Change::Delete, must: false },
            Touch { ticket: 1, change: Change::Replace(document("v", "1")), must: true },
            Touch { ticket: 2, change: Change::Merge(document("u", "2")), must: false },
        ];
        let states = possible_states(&touches);
        let both: Document = [("u".to_owned(), "2".to_owned()), ("v".to_owned(), "1".to_owned())].into();
        assert_eq!(states, BTreeSet::from([None, Some(document("v", "1")), Some(both)]));
    }

    #[test]
    fn an_amendment_makes_no_document() {
        let amend = |ticket| Touch { ticket, change: Change::Amend(document("u", "2")), must: true };
        assert_eq!(possible_states(&[amend(1)]), BTreeSet::from([None]));
        let base = Touch { ticket: 1, change: Change::Replace(document("v", "1")), must: true };
        let both: Document = [("u".to_owned(), "2".to_owned()), ("v".to_owned(), "1".to_owned())].into();
        assert_eq!(possible_states(&[amend(2), base]), BTreeSet::from([Some(both)]));
    }

    #[test]
    fn what_depends_on_the_document_is_decided_by_it() {
        let touch = |ticket, change| Touch { ticket, change, must: true };
        let base = touch(1, Change::Replace(document("v", "1")));
        let supersede = |ticket| touch(ticket, Change::Supersede(document("u", "2")));
        assert_eq!(possible_states(&[supersede(2)]), BTreeSet::from([None]));
        assert_eq!(possible_states(&[base.clone(), supersede(2)]), BTreeSet::from([Some(document("u", "2"))]));
        let delete = |field: &str| touch(2, Change::DeleteWith(field.to_owned()));
        assert_eq!(possible_states(&[base.clone(), delete("v")]), BTreeSet::from([None]));
        assert_eq!(possible_states(&[base, delete("u")]), BTreeSet::from([Some(document("v", "1"))]));
    }

    #[test]
    fn an_edit_that_was_done_twice_is_no_possible_state() {
        let touches = [
            Touch { ticket: 1, change: Change::Replace(document("v", "1")), must: true },
            Touch { ticket: 2, change: Change::Append("v".into(), "2".into()), must: false },
        ];
        let (once, none) = (Some(document("v", "12")), Some(document("v", "1")));
        assert_eq!(possible_states(&touches), BTreeSet::from([once, none]));
    }

    #[test]
    fn losses_and_returns_from_the_dead_are_told_apart() {
        let (old, new) = (document("v", "1"), document("v", "2"));
        let allowed = BTreeSet::from([Some(&new)]);
        assert_eq!(copy_holds_successes(&allowed, Some(&new), &"k"), None);
        for wrong in [None, Some(&old)] {
            let breach = copy_holds_successes(&allowed, wrong, &"k").unwrap();
            assert_eq!(breach.invariant, Invariant::SuccessesHeld);
            assert_eq!(read_shows_successes(&allowed, wrong, &"k").unwrap().invariant, Invariant::ReadsShowSuccesses);
            assert_eq!(deleted_stays_away(&allowed, wrong, &"k"), None);
        }
        let absent = BTreeSet::from([None]);
        assert_eq!(deleted_stays_away(&absent, Some(&old), &"k").unwrap().invariant, Invariant::DeletedAbsent);
        assert_eq!(deleted_stays_away(&absent, None, &"k"), None);
        assert_eq!(copy_holds_successes(&absent, Some(&old), &"k"), None);
    }

    #[test]
    fn what_was_refused_is_found_by_its_value() {
        let refused = BTreeSet::from(["7".to_owned()]);
        assert_eq!(refused_stays_away(&refused, Some(&document("v", "6")), &"k"), None);
        assert_eq!(refused_stays_away(&refused, None, &"k"), None);
        assert!(refused_stays_away(&refused, Some(&document("v", "7")), &"k").is_some());
    }
}
