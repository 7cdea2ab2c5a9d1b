//! Invariants 6 and 17: every shard has a copy in sync, and no plan takes any away.

use std::collections::BTreeMap;

use super::{Breach, Invariant};

/// A copy of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFact {
    /// Placement.
    pub placement: u16,
    /// Shard.
    pub shard: u32,
    /// It is in sync, be it away.
    pub in_sync: bool,
}

/// Invariant 6: every shard has a copy in sync, be it away. `shards`: those that there are, by placement.
#[must_use]
pub fn every_shard_has_a_copy(
    shards: impl IntoIterator<Item = (u16, u32)>,
    copies: impl IntoIterator<Item = CopyFact>,
) -> Vec<Breach> {
    let mut good: BTreeMap<(u16, u32), bool> = shards.into_iter().map(|shard| (shard, false)).collect();
    for copy in copies {
        *good.entry((copy.placement, copy.shard)).or_default() |= copy.in_sync;
    }
    let bad = good.into_iter().filter(|(_, good)| !good);
    let text = |(placement, shard)| format!("placement {placement}, shard {shard} has no copy in sync");
    bad.map(|(shard, _)| Breach::new(Invariant::CopyInSync, text(shard))).collect()
}

/// Invariant 17: a planned action does not lower the number of copies in sync, but for those that are no longer `wanted`.
#[must_use]
pub fn plan_keeps_copies(shard: u32, before: usize, after: usize, wanted: usize) -> Option<Breach> {
    let text = || format!("shard {shard} has {after} copies in sync by a plan, and had {before}");
    (after < before && after < wanted).then(|| Breach::new(Invariant::PlansKeepCopies, text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_without_a_copy_in_sync_is_told() {
        let copy = |shard, in_sync| CopyFact { placement: 0, shard, in_sync };
        let shards = [(0, 0), (0, 1)];
        assert_eq!(every_shard_has_a_copy(shards, [copy(0, false), copy(0, true), copy(1, true)]), []);
        let found = every_shard_has_a_copy(shards, [copy(0, true), copy(1, false)]);
        assert_eq!(found.first().unwrap().text, "placement 0, shard 1 has no copy in sync");
        assert_eq!(every_shard_has_a_copy(shards, [copy(0, true)]).len(), 1);
    }

    #[test]
    fn a_plan_may_take_only_what_is_too_much() {
        assert_eq!((plan_keeps_copies(0, 2, 2, 2), plan_keeps_copies(0, 3, 2, 2)), (None, None));
        assert!(plan_keeps_copies(0, 2, 1, 2).is_some());
    }
}
