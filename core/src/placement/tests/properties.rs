//! What placement promises of one table.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn deterministic(fleet in fleets(3), turn: prop::sample::Index) {
        let mut shuffled = fleet.clone();
        shuffled.nodes.rotate_left(turn.index(fleet.nodes.len()));
        let by_id = |fleet: &Fleet| -> Vec<Vec<String>> {
            fleet.place().iter().map(|owners| owners.iter().map(|at| fleet.nodes[*at].id.clone()).collect()).collect()
        };
        prop_assert_eq!(by_id(&fleet), by_id(&shuffled));
    }

    #[test]
    fn balanced(fleet in fleets(3)) {
        assert_balanced(&fleet, &fleet.place())?;
    }

    #[test]
    fn weight_respecting(weights in prop::collection::vec(1u8..5, 4..FLEET), copies in 1u8..4) {
        let nodes = zoned(&weights.iter().map(|weight| (f64::from(*weight), -1)).collect::<Vec<_>>());
        // No node is so heavy that it would hold a shard twice.
        let whole: f64 = nodes.iter().map(|node| node.weight).sum();
        prop_assume!(nodes.iter().all(|node| node.weight * f64::from(copies) <= whole));
        let owners = place(&nodes, 2048, copies).unwrap();
        for (node, load) in nodes.iter().zip(loads(&owners, nodes.len())) {
            let part = 2048.0 * f64::from(copies) * node.weight / whole;
            prop_assert!((load - part).abs() < 1.0, "weight {} of {whole} holds {load}, not {part}", node.weight);
        }
    }

    #[test]
    fn replicas_on_distinct_nodes(fleet in fleets(3)) {
        for owners in fleet.place() {
            let mut distinct = owners.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!((owners.len(), distinct.len()), (usize::from(fleet.copies), usize::from(fleet.copies)));
        }
    }

    #[test]
    fn replicas_in_distinct_zones(fleet in fleets(3)) {
        let all: Vec<usize> = (0..fleet.nodes.len()).collect();
        let zones = spread(&fleet.nodes, &all).min(usize::from(fleet.copies));
        for owners in fleet.place() {
            prop_assert_eq!(spread(&fleet.nodes, &owners), zones, "{:?}", owners);
        }
    }
}

/// A node of twice the weight holds twice the shards, to the copy.
#[test]
fn twice_the_weight_holds_twice_the_shards() {
    let mut given = nodes(5);
    given[0].weight = 2.0;
    let owners = place(&given, 96, 2).unwrap();
    assert_eq!(loads(&owners, 5), [64.0, 32.0, 32.0, 32.0, 32.0]);
}
