//! What must always hold: the 18 invariants of `docs/protocol.md`, section 2, each written once, as a function over
//! plain data that says in words what breaks it. Who calls them gathers the data and nothing more: the simulation (S)
//! from its world, `cargo xtask chaos` (C) and the end-to-end tests' harness (E) from real processes, the sequencer (L)
//! from its own rows while it leads, for `miroir_invariant_breaches_total`.
//!
//! | | invariant | function | callers |
//! |---|---|---|---|
//! | 1 | what succeeded is in every copy in sync | [`copy_holds_successes`] | S, C |
//! | 2 | copies in sync are equal | [`replicas_agree`] | S, C, E |
//! | 3 | tickets of a shard are enqueued in order, or the copy is stale | [`in_ticket_order`], [`disorder_is_stale`], [`is_overtaken`] | S, L |
//! | 4 | nothing is resolved while a late request may still arrive | [`fenced_key_is_refused`], [`resolved_with_certainty`], [`written_nodes_are_fenced`] | S |
//! | 5 | one open ticket a shard, granted in order, and ended | [`one_open_ticket`], [`granted_in_order`], [`every_ticket_ends`] | S, C (the last) |
//! | 6 | every shard has a copy in sync | [`every_shard_has_a_copy`] | S, C, L |
//! | 7 | a complete answer has each document once, from copies that may be read | [`documents_once`], [`total_fits`], [`only_readable_copies`], [`of_one_index`] | S, C (the first two) |
//! | 8 | nobody reads a copy that is deleted | [`deleted_unread`] | S |
//! | 9 | who has seen a success reads it | [`read_shows_successes`] | S, C |
//! | 10 | tasks go forward; a success is one on every copy that is trusted | [`task_goes_forward`], [`success_is_earned`] | S, C and L (the first) |
//! | 11 | what was refused never appears | [`refused_stays_away`] | S, C |
//! | 12 | what was deleted stays deleted | [`deleted_stays_away`] | S, C |
//! | 13 | one leader at a time, and terms grow | [`newest_leader_only`], [`term_grows`] | S |
//! | 14 | no copy is left behind by a job | [`nothing_is_orphaned`], [`copies_have_members`] | S, C and E (the first) |
//! | 15 | one idempotency key, one ticket | [`one_ticket_a_key`] | S |
//! | 16 | locks are held for a bounded time | [`wait_is_bounded`] | S |
//! | 17 | no plan takes copies in sync away | [`plan_keeps_copies`] | S, L |
//! | 18 | lives of an index are kept apart | [`of_this_life`] | S |
//!
//! What no party can see, no function can judge. Of 4, that a node *authorises* nothing with a fenced key is seen by the
//! simulation's nodes alone, and so are 13's orders of two leaders on one node; on real nodes AUDIT sees what came of it,
//! which is 3. Of 16, only the time that a lock is held is data: that nobody else's death is what a write waits for
//! follows from it, since a write waits for nothing but locks, nodes and its own filter.

mod answers;
mod content;
mod copies;
mod fences;
mod leaders;
mod lives;
mod locks;
mod order;
mod orphans;
mod repeats;
mod replicas;
mod retire;
mod tasks;

use std::fmt;

pub use answers::{documents_once, of_one_index, only_readable_copies, total_fits};
pub use content::{
    Change, Document, Touch, copy_holds_successes, deleted_stays_away, possible_states, read_shows_successes,
    refused_stays_away,
};
pub use copies::{CopyFact, every_shard_has_a_copy, plan_keeps_copies};
pub use fences::{Certainty, fenced_key_is_refused, resolved_with_certainty, written_nodes_are_fenced};
pub use leaders::{newest_leader_only, term_grows};
pub use lives::of_this_life;
pub use locks::{Holder, every_ticket_ends, granted_in_order, one_open_ticket, wait_is_bounded};
pub use order::{Disorder, disorder_is_stale, in_ticket_order, is_overtaken};
pub use orphans::{copies_have_members, nothing_is_orphaned};
pub use repeats::one_ticket_a_key;
pub use replicas::replicas_agree;
pub use retire::{Reader, deleted_unread};
pub use tasks::{PartFact, TaskState, success_is_earned, task_goes_forward};

/// The invariants, in the order of `docs/protocol.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the table above says what each means
pub enum Invariant {
    SuccessesHeld = 1,
    ReplicasEqual,
    TicketOrder,
    Fences,
    OneTicket,
    CopyInSync,
    CountedOnce,
    DeletedUnread,
    ReadsShowSuccesses,
    TaskStates,
    RefusedAbsent,
    DeletedAbsent,
    OneLeader,
    NoOrphans,
    Idempotency,
    BoundedWaits,
    PlansKeepCopies,
    LivesApart,
}

impl Invariant {
    /// Its number in `docs/protocol.md`.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// A stable name, for labels of metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SuccessesHeld => "successes_held",
            Self::ReplicasEqual => "replicas_equal",
            Self::TicketOrder => "ticket_order",
            Self::Fences => "fences",
            Self::OneTicket => "one_ticket",
            Self::CopyInSync => "copy_in_sync",
            Self::CountedOnce => "counted_once",
            Self::DeletedUnread => "deleted_unread",
            Self::ReadsShowSuccesses => "reads_show_successes",
            Self::TaskStates => "task_states",
            Self::RefusedAbsent => "refused_absent",
            Self::DeletedAbsent => "deleted_absent",
            Self::OneLeader => "one_leader",
            Self::NoOrphans => "no_orphans",
            Self::Idempotency => "idempotency",
            Self::BoundedWaits => "bounded_waits",
            Self::PlansKeepCopies => "plans_keep_copies",
            Self::LivesApart => "lives_apart",
        }
    }
}

/// An invariant that does not hold, and what breaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub invariant: Invariant,
    /// One sentence.
    pub text: String,
}

impl Breach {
    fn new(invariant: Invariant, text: impl Into<String>) -> Self {
        Self { invariant, text: text.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant.number(), self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_protocol() {
        assert_eq!(Invariant::SuccessesHeld.number(), 1);
        assert_eq!(Invariant::LivesApart.number(), 18);
        assert_eq!(Breach::new(Invariant::CopyInSync, "x").to_string(), "invariant 6: x");
    }
}
