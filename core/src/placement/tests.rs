use super::*;
use proptest::prelude::*;

fn nodes(count: usize) -> Vec<NodeSpec> {
    (0..count).map(|at| NodeSpec { id: format!("node-{at}"), weight: 1.0, zone: None }).collect()
}

fn loads(owners: &[Vec<usize>], nodes: usize) -> Vec<f64> {
    let mut loads = vec![0.0; nodes];
    owners.iter().flatten().for_each(|node| loads[*node] += 1.0);
    loads
}

/// Copies that are somewhere else afterwards, by node id.
fn moved(before: (&[NodeSpec], &[Vec<usize>]), after: (&[NodeSpec], &[Vec<usize>])) -> usize {
    let ids = |(nodes, owners): (&[NodeSpec], &[Vec<usize>]), shard: usize| -> Vec<String> {
        owners[shard].iter().map(|at| nodes[*at].id.clone()).collect()
    };
    (0..before.1.len())
        .map(|shard| {
            let old = ids(before, shard);
            ids(after, shard).iter().filter(|id| !old.contains(id)).count()
        })
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn deterministic(count in 3usize..12, seed: u64) {
        let given = nodes(count);
        let mut shuffled = given.clone();
        shuffled.rotate_left(usize::try_from(seed % count as u64).unwrap());
        let by_id = |nodes: &[NodeSpec]| -> Vec<Vec<String>> {
            place(nodes, 128, 2).unwrap().iter().map(|owners| owners.iter().map(|at| nodes[*at].id.clone()).collect()).collect()
        };
        prop_assert_eq!(by_id(&given), by_id(&shuffled));
    }

    #[test]
    fn balanced(count in 3usize..40, copies in 1u8..4) {
        let shards = u32::try_from(count * 8).unwrap().max(128);
        let owners = place(&nodes(count), shards, copies).unwrap();
        let share = f64::from(shards) * f64::from(copies) / count as f64;
        for load in loads(&owners, count) {
            prop_assert!(load <= share.ceil(), "{load} of {share}");
            prop_assert!(load >= share.floor(), "{load} of {share}");
        }
    }

    #[test]
    fn weight_respecting(count in 4usize..12) {
        let mut given = nodes(count);
        given[0].weight = 2.0;
        let owners = place(&given, 1024, 1).unwrap();
        let loads = loads(&owners, count);
        let others = loads[1..].iter().sum::<f64>() / (count - 1) as f64;
        prop_assert!((1.7..2.3).contains(&(loads[0] / others)), "{loads:?}");
    }

    #[test]
    fn minimal_movement_on_join(count in 3usize..30, copies in 1u8..4) {
        let after = nodes(count + 1);
        let before = &after[..count];
        let shards = 1024;
        let old = place(before, shards, copies).unwrap();
        let new = rebalance(&after, shards, copies, &old).unwrap();
        let moves = moved((before, &old), (&after, &new));
        let optimum = f64::from(shards) * f64::from(copies) / (count + 1) as f64;
        prop_assert!(moves as f64 <= optimum * 1.2, "{moves} of {optimum}");
    }

    #[test]
    fn minimal_movement_on_leave(count in 4usize..30, copies in 1u8..4, leaver in 0usize..30) {
        let before = nodes(count);
        let mut after = before.clone();
        let leaver = leaver % count;
        after.remove(leaver);
        let old = place(&before, 1024, copies).unwrap();
        let staying: Vec<Vec<usize>> = old
            .iter()
            .map(|owners| owners.iter().filter(|at| **at != leaver).map(|at| at - usize::from(*at > leaver)).collect())
            .collect();
        let moves = moved((&before, &old), (&after, &rebalance(&after, 1024, copies, &staying).unwrap()));
        let must = loads(&old, count)[leaver];
        prop_assert!(moves as f64 <= must * 1.2, "{moves} of {must}");
    }

    #[test]
    fn replicas_on_distinct_nodes_and_zones(zones in 1usize..6, per_zone in 1usize..4, copies in 1u8..4) {
        prop_assume!(zones * per_zone >= usize::from(copies));
        let given: Vec<NodeSpec> = (0..zones * per_zone)
            .map(|at| NodeSpec { id: format!("n{at}"), weight: 1.0, zone: Some(format!("z{}", at % zones)) })
            .collect();
        for owners in place(&given, 128, copies).unwrap() {
            prop_assert_eq!(owners.len(), usize::from(copies));
            let mut distinct = owners.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), owners.len());
            let mut served: Vec<usize> = owners.iter().map(|at| at % zones).collect();
            served.sort_unstable();
            served.dedup();
            prop_assert_eq!(served.len(), zones.min(usize::from(copies)));
        }
    }
}

#[test]
fn impossible_demands_are_refused() {
    assert!(matches!(place(&nodes(2), 128, 3), Err(PlacementError::TooFewNodes { .. })));
    let mut bad = nodes(2);
    bad[1].weight = f64::NAN;
    assert!(matches!(place(&bad, 128, 1), Err(PlacementError::BadWeight { .. })));
    assert!(matches!(place(&[nodes(1), nodes(1)].concat(), 128, 1), Err(PlacementError::RepeatedId(_))));
}

#[test]
fn a_thousand_nodes_are_placed_with_little_movement() {
    let after = nodes(1000);
    let before = &after[..999];
    let old = place(before, 8192, 3).unwrap();
    let new = rebalance(&after, 8192, 3, &old).unwrap();
    let optimum: f64 = 8192.0 * 3.0 / 1000.0;
    assert!(moved((before, &old), (&after, &new)) as f64 <= optimum * 1.2);
}

/// Nodes of differing weights, in some zones.
fn mixed(count: usize, zones: usize, weights: &[u8]) -> Vec<NodeSpec> {
    (0..count)
        .map(|at| NodeSpec {
            id: format!("node-{at}"),
            weight: f64::from(weights[at % weights.len()]),
            zone: (zones > 0).then(|| format!("z{}", at % zones)),
        })
        .collect()
}

fn spread(nodes: &[NodeSpec], owners: &[usize]) -> usize {
    let mut zones: Vec<String> =
        owners.iter().map(|at| nodes[*at].zone.clone().unwrap_or_else(|| nodes[*at].id.clone())).collect();
    zones.sort();
    zones.dedup();
    zones.len()
}

/// How far the fullest node is above its part by weight, in copies.
fn excess(nodes: &[NodeSpec], owners: &[Vec<usize>], shares: &[f64]) -> f64 {
    loads(owners, nodes.len()).iter().zip(shares).map(|(load, share)| load - share).fold(0.0, f64::max)
}

/// Goes from one table to the other and looks at every state in between.
fn walk(
    nodes: &[NodeSpec],
    before: &[Vec<usize>],
    after: &[Vec<usize>],
    shares: &[f64],
) -> Result<usize, TestCaseError> {
    let mut table = before.to_vec();
    let least: Vec<(usize, usize)> = before
        .iter()
        .zip(after)
        .map(|(old, new)| (old.len().min(new.len()), spread(nodes, old).min(spread(nodes, new))))
        .collect();
    let most = excess(nodes, before, shares).max(excess(nodes, after, shares)).max(1.0);
    let mut count = 0;
    for step in moves(nodes, before, after) {
        let owners = &mut table[step.shard];
        let held = owners.len();
        if let Some(leaving) = step.leaving {
            prop_assert!(owners.contains(&leaving));
            owners.retain(|owner| *owner != leaving);
        }
        if let Some(to) = step.to {
            prop_assert!(!owners.contains(&to), "two copies on one node");
            owners.push(to);
            prop_assert!(owners.len() >= held, "a copy less");
        }
        let (copies, zones) = least[step.shard];
        prop_assert!(owners.len() >= copies);
        prop_assert!(spread(nodes, owners) >= zones, "fewer zones in between");
        let now = excess(nodes, &table, shares);
        prop_assert!(now <= most + 1.0, "a node is {now} copies above its part, before and after at most {most}");
        count += 1;
    }
    for (owners, wanted) in table.iter().zip(after) {
        let sorted = |owners: &[usize]| -> Vec<usize> {
            let mut sorted = owners.to_vec();
            sorted.sort_unstable();
            sorted
        };
        prop_assert_eq!(sorted(owners), sorted(wanted));
    }
    Ok(count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_single_move_leaves_the_cluster_no_worse(
        count in 4usize..16, zones in 0usize..4, weights in prop::collection::vec(1u8..4, 1..4),
        copies in 1u8..4, change in 0usize..4,
    ) {
        let all = mixed(count, zones, &weights);
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
        prop_assume!(usize::from(copies.max(after)) < count);
        let old = rebalance(&all[first], 128, copies, &[]).unwrap();
        let new = rebalance(&all[second.clone()], 128, after, &old).unwrap();
        let mut shares = shares(&all[second], 128, after).unwrap();
        shares.resize(count, 0.0);
        walk(&all, &old, &new, &shares)?;
    }

    #[test]
    fn nothing_moves_without_a_reason(
        count in 3usize..20, zones in 0usize..4, weights in prop::collection::vec(1u8..4, 1..4), copies in 1u8..4,
    ) {
        let nodes = mixed(count, zones, &weights);
        prop_assume!(usize::from(copies) <= count);
        let placed = place(&nodes, 256, copies).unwrap();
        let again = rebalance(&nodes, 256, copies, &placed).unwrap();
        prop_assert_eq!(moves(&nodes, &placed, &again).count(), 0);
    }

    #[test]
    fn minimal_movement_on_join_with_weights_and_zones(
        count in 4usize..20, zones in 0usize..4, weights in prop::collection::vec(1u8..4, 1..4), copies in 1u8..4,
    ) {
        let after = mixed(count + 1, zones, &weights);
        let before = &after[..count];
        prop_assume!(usize::from(copies) <= count && (zones == 0 || zones >= usize::from(copies)));
        let old = place(before, 1024, copies).unwrap();
        let new = rebalance(&after, 1024, copies, &old).unwrap();
        let least = shares(&after, 1024, copies).unwrap();
        // What the newcomer is to hold must come; what zones shift among the others must move too.
        let held = loads(&old, count);
        let optimum: f64 = least.iter().enumerate()
            .map(|(at, share)| (share - held.get(at).copied().unwrap_or(0.0)).max(0.0)).sum();
        let made = moves(&after, &old, &new).filter(|step| step.to.is_some()).count();
        // A newcomer in a zone of its own makes copies change places between the others: a little more than 1.2 times
        // the least has been seen there (1.22), never without zones.
        let factor = if zones == 0 { 1.2 } else { 1.25 };
        prop_assert!(made as f64 <= (optimum * factor).max(optimum + count as f64), "{made} of {optimum}");
    }

    #[test]
    fn more_copies_add_and_fewer_only_drop(count in 4usize..20, zones in 0usize..4, copies in 1u8..3) {
        let nodes = mixed(count, zones, &[1]);
        let few = place(&nodes, 256, copies).unwrap();
        let more = rebalance(&nodes, 256, copies + 1, &few).unwrap();
        let made = moves(&nodes, &few, &more).filter(|step| step.to.is_some()).count();
        prop_assert!(made <= 256 + 256 / 5, "{made} copies for 256");
        let fewer = rebalance(&nodes, 256, copies, &more).unwrap();
        let made = moves(&nodes, &more, &fewer).filter(|step| step.to.is_some()).count();
        prop_assert!(made <= 256 / 10, "{made} copies were moved to have fewer");
    }
}

/// Joins, leaves and replicas at the largest fleet that is promised.
#[test]
fn a_thousand_nodes_join_and_leave_with_little_movement() {
    let all = nodes(1000);
    let full = place(&all, 8192, 3).unwrap();
    let optimum: f64 = 8192.0 * 3.0 / 1000.0;
    for load in loads(&full, 1000) {
        assert!((optimum.floor()..=optimum.ceil()).contains(&load), "{load} of {optimum}");
    }
    let without: Vec<Vec<usize>> =
        full.iter().map(|owners| owners.iter().copied().filter(|at| *at != 999).collect()).collect();
    let left = rebalance(&all[..999], 8192, 3, &without).unwrap();
    let moved = moves(&all, &full, &left).count();
    assert!(moved as f64 <= loads(&full, 1000)[999] * 1.2, "{moved}");
    let back = rebalance(&all, 8192, 3, &left).unwrap();
    let moved = moves(&all, &left, &back).count();
    assert!(moved as f64 <= optimum * 1.2, "{moved}");
}
