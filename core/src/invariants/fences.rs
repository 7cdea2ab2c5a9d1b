//! Invariant 4: no request that was given up can still arrive (rule FENCE).

use super::{Breach, Invariant};

/// Why nothing of a part can arrive any more, or may not be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The node has answered for it, or shows its task.
    Answered,
    /// It never left.
    NotSent,
    /// The node's keys have been replaced since it was granted, or its disk has.
    Fenced,
    /// The node's copies of its shards are not in sync: nobody reads them.
    Stale,
    /// The node cannot be reached; it is fenced before anything is written to it.
    Unfenced,
    /// None of these.
    Open,
}

/// Invariant 4: a node authorises nothing with a key of an earlier generation than that of its last fence.
#[must_use]
pub fn fenced_key_is_refused(node: &str, carried: u64, fenced: u64) -> Option<Breach> {
    let late = || format!("{node} took a request with a key of generation {carried} after its fence to {fenced}");
    (carried < fenced).then(|| Breach::new(Invariant::Fences, late()))
}

/// Invariant 4: a ticket is resolved only when every node of its write set is accounted for.
#[must_use]
pub fn resolved_with_certainty(ticket: u32, parts: &[(&str, Certainty)]) -> Vec<Breach> {
    let open = parts.iter().filter(|(_, certainty)| *certainty == Certainty::Open);
    let text = |node: &str| format!("ticket {ticket} is resolved, and a part of it may still arrive at {node}");
    open.map(|(node, _)| Breach::new(Invariant::Fences, text(node))).collect()
}

/// Invariant 4: an unfenced node is in no write set. `written`: nodes of a grant, with whether this leader has fenced
/// them.
#[must_use]
pub fn written_nodes_are_fenced(ticket: u32, written: &[(&str, bool)]) -> Vec<Breach> {
    let unfenced = written.iter().filter(|(_, fenced)| !fenced);
    let text = |node: &str| format!("ticket {ticket} is granted on {node}, which this leader has not fenced");
    unfenced.map(|(node, _)| Breach::new(Invariant::Fences, text(node))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_before_the_fence_is_told() {
        assert_eq!(fenced_key_is_refused("n", 3, 3), None);
        assert!(fenced_key_is_refused("n", 2, 3).is_some());
    }

    #[test]
    fn a_part_that_may_still_arrive_is_told() {
        let certain =
            [Certainty::Answered, Certainty::NotSent, Certainty::Fenced, Certainty::Stale, Certainty::Unfenced];
        let mut parts: Vec<(&str, Certainty)> = certain.into_iter().map(|certainty| ("n", certainty)).collect();
        assert_eq!(resolved_with_certainty(1, &parts), []);
        parts.push(("m", Certainty::Open));
        assert_eq!(resolved_with_certainty(1, &parts).len(), 1);
    }

    #[test]
    fn an_unfenced_node_in_a_write_set_is_told() {
        assert_eq!(written_nodes_are_fenced(1, &[("n", true)]), []);
        assert_eq!(written_nodes_are_fenced(1, &[("n", true), ("m", false)]).len(), 1);
    }
}
