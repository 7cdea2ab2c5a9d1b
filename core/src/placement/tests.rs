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
    let optimum = 8192.0 * 3.0 / 1000.0;
    assert!(moved((before, &old), (&after, &new)) as f64 <= optimum * 1.2);
}
