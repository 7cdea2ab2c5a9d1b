//! The parts of a granted write: what each node answered, and when that is enough.

use serde::Deserialize;

use crate::call::{CallId, CallResult};
use crate::error::ErrorBody;
use crate::wire::{CommitPart, Grant, GrantPart, PartOutcome};

/// One node's part.
#[derive(Debug)]
struct Part {
    node: String,
    shards: Vec<crate::wire::PartShard>,
    call: Option<CallId>,
    outcome: Option<PartOutcome>,
}

/// All parts of a ticket.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    /// Notes that a part was sent by this call. A part of the same node that was sent before is replaced: control asks
    /// for that only when it knows that the earlier request can no longer do anything.
    pub fn sent(&mut self, part: &GrantPart, call: CallId) {
        let fresh = Part { node: part.node.clone(), shards: part.shards.clone(), call: Some(call), outcome: None };
        self.put(fresh);
    }

    /// Notes that a part of a grant that came too late was not sent.
    pub fn withheld(&mut self, part: &GrantPart) {
        let outcome = Some(PartOutcome::NotSent);
        self.put(Part { node: part.node.clone(), shards: part.shards.clone(), call: None, outcome });
    }

    fn put(&mut self, fresh: Part) {
        match self.0.iter_mut().find(|part| part.node == fresh.node) {
            Some(part) => *part = fresh,
            None => self.0.push(fresh),
        }
    }

    /// Takes the end of a call; false when it belongs to no part that waits.
    pub fn ended(&mut self, call: CallId, result: &CallResult) -> bool {
        match self.0.iter_mut().find(|part| part.call == Some(call) && part.outcome.is_none()) {
            Some(part) => {
                part.outcome = Some(classify(result));
                true
            }
            None => false,
        }
    }

    /// Counts every part that has not answered as unknown.
    pub fn give_up_waiting(&mut self) {
        for part in &mut self.0 {
            part.outcome.get_or_insert(PartOutcome::Unknown);
        }
    }

    /// True when no part has been sent or withheld yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when every part has an outcome.
    pub fn settled(&self) -> bool {
        self.0.iter().all(|part| part.outcome.is_some())
    }

    /// True when every shard has `min_accept` acceptances of copies that count (F35).
    pub fn enough(&self, min_accept: u32) -> bool {
        let accepted = |shard: u32| {
            let copies = self.0.iter().filter(|part| matches!(part.outcome, Some(PartOutcome::Accepted { .. })));
            copies.filter(|part| part.shards.iter().any(|own| own.shard == shard && own.counts)).count()
        };
        let wanted = usize::try_from(min_accept).unwrap_or(usize::MAX);
        self.0.iter().flat_map(|part| &part.shards).all(|own| accepted(own.shard) >= wanted)
    }

    /// Nodes that refused the write key.
    pub fn forbidden(&self) -> Vec<String> {
        let refused = |part: &&Part| matches!(part.outcome, Some(PartOutcome::Refused { status: 403, .. }));
        self.0.iter().filter(refused).map(|part| part.node.clone()).collect()
    }

    /// The report for control; parts that have not answered count as unknown.
    pub fn report(&self) -> Vec<CommitPart> {
        let outcome = |part: &Part| part.outcome.clone().unwrap_or(PartOutcome::Unknown);
        self.0.iter().map(|part| CommitPart { node: part.node.clone(), outcome: outcome(part) }).collect()
    }
}

/// Outcome of one part by how its call ended (F18). Only what the node itself said is taken for its decision; a 202
/// whose task cannot be read may be anything.
pub(super) fn classify(result: &CallResult) -> PartOutcome {
    #[derive(Deserialize)]
    struct Summary {
        #[serde(rename = "taskUid")]
        task_uid: u32,
    }
    match result {
        CallResult::NotSent(_) => PartOutcome::NotSent,
        CallResult::Answer { status: 202, body, .. } => match serde_json::from_slice::<Summary>(body) {
            Ok(summary) => PartOutcome::Accepted { uid: summary.task_uid },
            Err(_) => PartOutcome::Unknown,
        },
        CallResult::Answer { status, body, .. } if (400..600).contains(status) => {
            PartOutcome::Refused { status: *status, error: serde_json::from_slice::<ErrorBody>(body).ok() }
        }
        CallResult::Answer { .. } | CallResult::Unknown(_) => PartOutcome::Unknown,
    }
}

/// True when a grant that answered a call sent at `sent_at` is too old to act on: the call can have been answered any
/// time after it was sent, and a process that was stopped meanwhile reads the answer late (F2).
pub(super) fn is_late(grant: &Grant, sent_at: u64, call_timeout: u64, now_ms: u64) -> bool {
    let quarter = grant.deadline_ms.checked_div(4).unwrap_or_default();
    now_ms.saturating_sub(sent_at) >= call_timeout.saturating_add(quarter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{NotSent, Unknown};
    use crate::wire::PartShard;

    fn answer(status: u16, body: &str) -> CallResult {
        CallResult::Answer { status, headers: vec![], body: body.into() }
    }

    #[test]
    fn outcomes_are_what_the_node_said_and_nothing_else() {
        assert_eq!(classify(&answer(202, r#"{"taskUid":7,"status":"enqueued"}"#)), PartOutcome::Accepted { uid: 7 });
        for unreadable in ["", "{", "[]", r#"{"taskUid":-1}"#, r#"{"taskUid":"7"}"#, r#"{"uid":7}"#] {
            assert_eq!(classify(&answer(202, unreadable)), PartOutcome::Unknown, "{unreadable}");
        }
        assert_eq!(classify(&answer(200, r#"{"taskUid":7}"#)), PartOutcome::Unknown);
        assert_eq!(classify(&answer(302, "")), PartOutcome::Unknown);
        assert_eq!(classify(&answer(500, "oops")), PartOutcome::Refused { status: 500, error: None });
        let error = ErrorBody::new("invalid_api_key", "no");
        let body = serde_json::to_string(&error).unwrap();
        assert_eq!(classify(&answer(403, &body)), PartOutcome::Refused { status: 403, error: Some(error) });
        assert_eq!(classify(&CallResult::NotSent(NotSent::NoHealthyHost)), PartOutcome::NotSent);
        assert_eq!(classify(&CallResult::Unknown(Unknown::Timeout)), PartOutcome::Unknown);
    }

    #[test]
    fn a_copy_that_does_not_count_is_no_acceptance() {
        let part = |node: &str, counts| GrantPart {
            node: node.into(),
            cluster: node.into(),
            key: None,
            shards: vec![PartShard { shard: 3, counts }],
        };
        let mut parts = Parts::default();
        parts.sent(&part("dual", false), CallId(1));
        parts.sent(&part("owner", true), CallId(2));
        parts.ended(CallId(1), &answer(202, r#"{"taskUid":1}"#));
        assert!(!parts.enough(1));
        parts.ended(CallId(2), &answer(202, r#"{"taskUid":1}"#));
        assert!(parts.enough(1));
        assert!(!parts.enough(2));
    }
}
