//! Invariant 13: one leader at a time.

use super::{Breach, Invariant};

/// Invariant 13: once a later leader has fenced a node, it accepts nothing of an earlier one. `by`: term of the leader
/// whose request was accepted; `fenced_by`: the newest term that has fenced the node.
#[must_use]
pub fn newest_leader_only(node: &str, by: u64, fenced_by: u64) -> Option<Breach> {
    let text = || format!("{node} obeyed the leader of term {by} after the fence of term {fenced_by}");
    (by < fenced_by).then(|| Breach::new(Invariant::OneLeader, text()))
}

/// Invariant 13: every leader's term is above all before it.
#[must_use]
pub fn term_grows(before: u64, after: u64) -> Option<Breach> {
    let text = || format!("a leader of term {after} follows one of term {before}");
    (after <= before).then(|| Breach::new(Invariant::OneLeader, text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_leader_that_is_obeyed_is_told() {
        assert_eq!((newest_leader_only("n", 3, 3), newest_leader_only("n", 4, 3)), (None, None));
        assert!(newest_leader_only("n", 2, 3).is_some());
    }

    #[test]
    fn a_term_that_is_used_twice_is_told() {
        assert_eq!(term_grows(2, 3), None);
        assert!(term_grows(3, 3).is_some());
    }
}
