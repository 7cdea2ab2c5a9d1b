//! What must always hold (`docs/protocol.md`, section 2), written once as functions over plain data, for the
//! simulation, end-to-end tests and operators' checks. Each returns what breaks it, in words.

use std::collections::{BTreeMap, BTreeSet};

use crate::rows::{CopyRow, CopyState, TaskStatus};

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
    /// The document goes (also by the deletion of all, or of the index).
    Delete,
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

/// The states that a key may have (none: absent), given all writes to it (invariants 1, 11, 12): those reported as
/// succeeded have been applied, in order of tickets; the others were applied in their place, or not at all.
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
        Change::Delete => None,
    }
}

/// Invariant 2: copies in sync with empty queues are equal. `contents`: what each node holds of the shard, by key.
#[must_use]
pub fn replicas_agree(shard: u32, contents: &[(&str, &BTreeMap<String, Document>)]) -> Vec<String> {
    let Some((first, reference)) = contents.first() else { return Vec::new() };
    let differing = contents.iter().skip(1).filter(|(_, content)| content != reference);
    differing
        .map(|(other, content)| {
            let keys: BTreeSet<&String> = reference.keys().chain(content.keys()).collect();
            let key = keys.into_iter().find(|key| reference.get(*key) != content.get(*key));
            let key = key.map(String::as_str).unwrap_or_default();
            format!(
                "shard {shard}: {first} and {other} differ, first in {key}: {:?} and {:?}",
                reference.get(key),
                content.get(key)
            )
        })
        .collect()
}

/// Invariant 3: on a disk, tickets of a shard are enqueued once each and in order. `enqueued`: (ticket, shards) in the
/// order of the node's task uids.
#[must_use]
pub fn in_ticket_order(node: &str, enqueued: &[(u32, Vec<u32>)]) -> Vec<(u32, String)> {
    let mut last: BTreeMap<u32, u32> = BTreeMap::new();
    let mut broken = Vec::new();
    for (ticket, shards) in enqueued {
        for shard in shards {
            if let Some(before) = last.insert(*shard, *ticket)
                && before >= *ticket
            {
                broken.push((*shard, format!("{node}, shard {shard}: ticket {ticket} after {before}")));
            }
        }
    }
    broken
}

/// Invariant 6: every shard has a copy in sync, be it away.
#[must_use]
pub fn every_shard_has_a_copy(copies: &[CopyRow]) -> Vec<String> {
    let mut good: BTreeMap<(u16, u32), bool> = BTreeMap::new();
    for copy in copies {
        *good.entry((copy.placement, copy.shard)).or_default() |= copy.state == CopyState::InSync;
    }
    let bad = good.into_iter().filter(|(_, good)| !good);
    bad.map(|((placement, shard), _)| format!("placement {placement}, shard {shard} has no copy in sync")).collect()
}

/// Invariant 10, first half: a task goes only forward.
#[must_use]
pub fn may_follow(before: TaskStatus, after: TaskStatus) -> bool {
    let rank = |status: TaskStatus| match status {
        TaskStatus::Enqueued => 0,
        TaskStatus::Processing => 1,
        _ => 2,
    };
    before == after || rank(before) < rank(after)
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
    fn order_is_judged_by_shard() {
        assert!(in_ticket_order("n", &[(1, vec![0]), (3, vec![1]), (2, vec![0])]).is_empty());
        assert_eq!(in_ticket_order("n", &[(2, vec![0, 1]), (1, vec![1])]).len(), 1);
        assert_eq!(in_ticket_order("n", &[(1, vec![0]), (1, vec![0])]).len(), 1);
    }

    #[test]
    fn tasks_never_go_back() {
        assert!(may_follow(TaskStatus::Enqueued, TaskStatus::Failed));
        assert!(!may_follow(TaskStatus::Failed, TaskStatus::Succeeded));
    }
}
