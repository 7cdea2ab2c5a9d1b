//! Which node has which copy of which shard, and in which state.

use std::collections::BTreeMap;

use anyhow::ensure;
use miroir_core::placement::{NodeSpec, place};
use miroir_core::read::shard_ranges;
use miroir_sequencer::{CopyState, MemberState};

use super::compare::Holders;
use super::known::Known;
use super::members::Member;
use crate::cluster::{Identity, Note};

/// Copies by shard, in the order in which readers prefer them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) shards: Vec<Vec<(String, CopyState)>>,
    replication_factor: usize,
}

impl Layout {
    /// The layout with these copies.
    pub(super) fn new_of(shards: Vec<Vec<(String, CopyState)>>, replication_factor: usize) -> Self {
        Self { shards, replication_factor }
    }

    pub(super) fn new(
        members: &[Member],
        holders: &[Holders],
        known: &Known,
        note: Option<&Note>,
        identity: &Identity,
    ) -> anyhow::Result<Self> {
        let wanted = usize::from(identity.replication_factor);
        let takes = |member: &&Member| {
            let row = known.node(&member.node.id);
            row.is_none_or(|row| matches!(row.member, MemberState::Active | MemberState::Joining))
        };
        let specs: Vec<NodeSpec> = members
            .iter()
            .filter(takes)
            .map(|member| NodeSpec {
                id: member.node.id.clone(),
                weight: member.node.weight,
                zone: member.node.zone.clone(),
            })
            .collect();
        ensure!(!specs.is_empty(), "no member may hold shards");
        let placed = place(&specs, identity.shards, identity.replication_factor)?;
        let mut held: BTreeMap<&str, usize> = BTreeMap::new();
        let mut shards = Vec::with_capacity(holders.len());
        for (shard, (holders, placed)) in (0u32..).zip(holders.iter().zip(&placed)) {
            let noted = specs.iter().filter(|spec| note.is_some_and(|note| note.was_read(0, shard, &spec.id)));
            let placed = placed.iter().filter_map(|at| specs.get(*at));
            let mut preferred: Vec<&str> = noted.chain(placed).map(|spec| spec.id.as_str()).collect();
            // Where that is not enough, those that have the least.
            let mut rest: Vec<&str> = specs.iter().map(|spec| spec.id.as_str()).collect();
            rest.sort_by_key(|id| held.get(id).copied().unwrap_or(0));
            preferred.extend(rest);
            let is_there = |id: &str| members.iter().any(|member| member.node.id == id && member.is_there);
            let copies = of_shard(holders, &preferred, is_there, wanted);
            for (id, _) in &copies {
                if let Some(spec) = specs.iter().find(|spec| spec.id == *id) {
                    *held.entry(&spec.id).or_default() += 1;
                }
            }
            shards.push(copies);
        }
        Ok(Self { shards, replication_factor: wanted })
    }

    /// What is to be said.
    pub(super) fn told(&self) -> impl Iterator<Item = String> {
        let count =
            |copies: &Vec<(String, CopyState)>| copies.iter().filter(|(_, state)| *state == CopyState::InSync).count();
        let (mut whole, mut fewer, mut none) = (0, Vec::new(), Vec::new());
        for (shard, copies) in (0u32..).zip(&self.shards) {
            match count(copies) {
                0 => none.push(shard),
                found if found < self.replication_factor => fewer.push(shard),
                _ => whole += 1,
            }
        }
        let all = self.shards.len();
        let mut lines = vec![format!("{whole} of {all} shards have {} equal copies", self.replication_factor)];
        if !fewer.is_empty() {
            lines.push(format!("shards with fewer, which control fills: {}", shard_ranges(&fewer)));
        }
        if !none.is_empty() {
            lines.push(format!("shards without a copy: {}", shard_ranges(&none)));
        }
        lines.into_iter()
    }
}

/// The copies of one shard: those that are whole, then those to be filled; what is too many leaves.
fn of_shard(
    holders: &Holders,
    preferred: &[&str],
    is_there: impl Fn(&str) -> bool,
    wanted: usize,
) -> Vec<(String, CopyState)> {
    let at = |id: &String| preferred.iter().position(|other| *other == id.as_str()).unwrap_or(usize::MAX);
    let mut copies: Vec<(String, CopyState)> = Vec::new();
    let mut add = |id: &str, state| {
        if copies.iter().all(|(other, _)| other != id) {
            copies.push((id.to_owned(), state));
        }
    };
    let mut whole = holders.whole.clone();
    // An empty shard is whole wherever it is put.
    let everywhere = whole.is_empty();
    // The copy that was kept stays in any case.
    whole.sort_by_key(|id| (holders.whole.first() != Some(id), at(id)));
    for (count, id) in whole.iter().enumerate() {
        add(id, if count < wanted { CopyState::InSync } else { CopyState::Retiring });
    }
    let missing = wanted.saturating_sub(whole.len());
    let filled = preferred.iter().copied().filter(|id| !whole.iter().any(|whole| whole == id));
    // A copy that is there is filled with less than an empty disk; one on a node that is away comes back.
    let mut filled: Vec<&str> = filled.collect();
    let rank = |id: &&str| (!holders.behind.iter().any(|behind| behind == id), is_there(id));
    if !everywhere {
        filled.sort_by_key(rank);
    }
    let mut chosen: Vec<&str> = Vec::new();
    for id in filled {
        if chosen.len() < missing && !chosen.contains(&id) {
            chosen.push(id);
        }
    }
    if everywhere && !chosen.iter().any(|id| is_there(id)) {
        // Somebody must serve it now.
        if let Some(there) = preferred.iter().find(|id| is_there(id)) {
            chosen.insert(0, there);
            chosen.truncate(missing.max(1));
        }
    }
    for id in chosen {
        add(id, if everywhere && is_there(id) { CopyState::InSync } else { CopyState::Stale });
    }
    for id in &holders.behind {
        add(id, CopyState::Retiring);
    }
    copies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(whole: &[&str], behind: &[&str], away: &[&str]) -> Vec<(String, CopyState)> {
        let text = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let holders = Holders { whole: text(whole), behind: text(behind), documents: 1 };
        of_shard(&holders, &["a", "b", "c"], |id| !away.contains(&id), 2)
    }

    fn named(copies: &[(&str, CopyState)]) -> Vec<(String, CopyState)> {
        copies.iter().map(|(id, state)| ((*id).to_owned(), *state)).collect()
    }

    #[test]
    fn whole_copies_are_owners_and_what_is_too_many_leaves() {
        use CopyState::{InSync, Retiring};
        assert_eq!(shard(&["a", "b"], &[], &[]), named(&[("a", InSync), ("b", InSync)]));
        let three = named(&[("c", InSync), ("a", InSync), ("b", Retiring)]);
        assert_eq!(shard(&["c", "b", "a"], &[], &[]), three);
    }

    #[test]
    fn what_is_missing_is_filled_first_where_something_is() {
        use CopyState::{InSync, Retiring, Stale};
        assert_eq!(shard(&["a"], &["c"], &[]), named(&[("a", InSync), ("c", Stale)]));
        assert_eq!(shard(&["a"], &[], &[]), named(&[("a", InSync), ("b", Stale)]));
        assert_eq!(shard(&["a", "b"], &["c"], &[]), named(&[("a", InSync), ("b", InSync), ("c", Retiring)]));
    }

    #[test]
    fn a_node_that_is_away_gets_its_copy_back_stale() {
        use CopyState::{InSync, Stale};
        assert_eq!(shard(&["a"], &[], &["c"]), named(&[("a", InSync), ("c", Stale)]));
    }

    #[test]
    fn an_empty_shard_is_served_by_somebody_who_is_there() {
        use CopyState::{InSync, Stale};
        assert_eq!(shard(&[], &[], &[]), named(&[("a", InSync), ("b", InSync)]));
        assert_eq!(shard(&[], &[], &["a"]), named(&[("a", Stale), ("b", InSync)]));
        assert_eq!(shard(&[], &[], &["a", "b"]), named(&[("c", InSync), ("a", Stale)]));
    }
}
