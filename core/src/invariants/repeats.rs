//! Invariant 15: a write that is sent again with its idempotency key is done once.

use std::collections::BTreeSet;

use super::{Breach, Invariant};

/// Invariant 15. `tickets`: those under which the write with this key was enqueued.
#[must_use]
pub fn one_ticket_a_key(key: &str, tickets: &BTreeSet<u32>) -> Option<Breach> {
    let text = || format!("the write with key {key} was enqueued as tickets {tickets:?}");
    (tickets.len() > 1).then(|| Breach::new(Invariant::Idempotency, text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_was_done_twice_is_told() {
        assert_eq!(one_ticket_a_key("a", &BTreeSet::from([4])), None);
        assert!(one_ticket_a_key("a", &BTreeSet::from([4, 5])).is_some());
    }
}
