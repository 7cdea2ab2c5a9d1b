//! The way from one table to another.

use super::*;

/// How far the fullest node is above its part by weight, in copies.
fn excess(loads: &[f64], shares: &[f64]) -> f64 {
    loads.iter().zip(shares).map(|(load, share)| load - share).fold(0.0, f64::max)
}

/// Goes from one table to the other and looks at every state in between.
fn walk(nodes: &[NodeSpec], before: &[Vec<usize>], after: &[Vec<usize>], shares: &[f64]) -> Result<(), TestCaseError> {
    let mut table = before.to_vec();
    let least: Vec<(usize, usize)> = before
        .iter()
        .zip(after)
        .map(|(old, new)| (old.len().min(new.len()), spread(nodes, old).min(spread(nodes, new))))
        .collect();
    let mut held = loads(before, nodes.len());
    let most = excess(&held, shares).max(excess(&loads(after, nodes.len()), shares)).max(1.0);
    for step in moves(nodes, before, after) {
        let owners = &mut table[step.shard];
        let copies_before = owners.len();
        if let Some(leaving) = step.leaving {
            prop_assert!(owners.contains(&leaving));
            owners.retain(|owner| *owner != leaving);
            held[leaving] -= 1.0;
        }
        if let Some(to) = step.to {
            prop_assert!(!owners.contains(&to), "two copies on one node");
            owners.push(to);
            held[to] += 1.0;
            prop_assert!(owners.len() >= copies_before, "a copy less");
        }
        let (copies, zones) = least[step.shard];
        prop_assert!(owners.len() >= copies);
        prop_assert!(spread(nodes, owners) >= zones, "fewer zones in between");
        let now = excess(&held, shares);
        prop_assert!(now <= most + 1.0, "a node is {now} copies above its part, before and after at most {most}");
    }
    for (owners, wanted) in table.iter().zip(after) {
        let sorted = |owners: &[usize]| -> Vec<usize> {
            let mut sorted = owners.to_vec();
            sorted.sort_unstable();
            sorted
        };
        prop_assert_eq!(sorted(owners), sorted(wanted));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_single_move_leaves_the_cluster_no_worse(fleet in fleets(5), change in 0usize..4) {
        let Fleet { nodes: all, shards, copies } = &fleet;
        let (count, shards, copies) = (all.len(), *shards, *copies);
        let (first, second) = match change {
            0 => (0..count - 1, 0..count),
            1 => (0..count, 0..count - 1),
            _ => (0..count, 0..count),
        };
        let after = match change {
            2 => copies + 1,
            3 => copies.max(2) - 1,
            _ => copies,
        };
        let old = rebalance(&all[first], shards, copies, &[]).unwrap();
        let new = rebalance(&all[second.clone()], shards, after, &old).unwrap();
        let mut shares = super::shares(&all[second], shards, after).unwrap();
        shares.resize(count, 0.0);
        walk(all, &old, &new, &shares)?;
    }

    #[test]
    fn nothing_moves_without_a_reason(fleet in fleets(3)) {
        let placed = fleet.place();
        let again = rebalance(&fleet.nodes, fleet.shards, fleet.copies, &placed).unwrap();
        prop_assert_eq!(moves(&fleet.nodes, &placed, &again).count(), 0);
    }

    #[test]
    fn more_copies_add_and_fewer_only_drop(fleet in fleets(5)) {
        let Fleet { nodes, shards, copies } = &fleet;
        let (few, shards) = (fleet.place(), *shards);
        let more = rebalance(nodes, shards, copies + 1, &few).unwrap();
        let least = optimum::least(nodes, shards, copies + 1, &few);
        prop_assert!(made(nodes, &few, &more) * 5 <= least * 6, "{} copies for {least}", made(nodes, &few, &more));
        let fewer = rebalance(nodes, shards, *copies, &more).unwrap();
        let least = optimum::least(nodes, shards, *copies, &more);
        let moved = made(nodes, &more, &fewer);
        prop_assert!(moved <= least + usize::try_from(shards / 50).unwrap(), "{moved} copies to have fewer, {least} must");
    }
}
