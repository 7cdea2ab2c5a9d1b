use super::*;
use proptest::prelude::*;

mod joins;
mod optimum;
mod properties;
mod walk;

/// The largest fleet that is promised.
const FLEET: usize = 1000;

fn nodes(count: usize) -> Vec<NodeSpec> {
    (0..count).map(|at| NodeSpec { id: format!("node-{at}"), weight: 1.0, zone: None }).collect()
}

/// Nodes of these weights in these zones; a negative zone is none.
fn zoned(nodes: &[(f64, i8)]) -> Vec<NodeSpec> {
    let zone = |zone: i8| (zone >= 0).then(|| format!("z{zone}"));
    let node = |(at, (weight, of)): (usize, &(f64, i8))| NodeSpec {
        id: format!("node-{at}"),
        weight: *weight,
        zone: zone(*of),
    };
    nodes.iter().enumerate().map(node).collect()
}

/// A cluster that was drawn.
#[derive(Clone, Debug)]
struct Fleet {
    nodes: Vec<NodeSpec>,
    shards: u32,
    copies: u8,
}

/// Most fleets are small, as most are in life; some have up to a thousand nodes. Nodes have weights of a few sizes and,
/// in most fleets, lie in a few zones, unevenly.
fn fleets(least: usize) -> impl Strategy<Value = Fleet> {
    let count = prop_oneof![24 => least..24, 6 => 24usize..120, 1 => 120usize..=FLEET];
    let weights = prop::collection::vec(prop_oneof![Just(1.0), Just(2.0), Just(3.0), Just(0.5)], 1..5);
    let zones = prop::collection::vec(0i8..6, 1..9);
    (count, weights, prop::option::weighted(0.7, zones), 1u8..4, 2u32..12).prop_map(
        |(count, weights, zones, copies, per_node)| {
            let zone = |at: usize| zones.as_ref().map_or(-1, |zones| zones[at % zones.len()]);
            let drawn: Vec<(f64, i8)> = (0..count).map(|at| (weights[at % weights.len()], zone(at))).collect();
            let shards = (u32::try_from(count).unwrap() * per_node).clamp(16, 2048);
            Fleet { nodes: zoned(&drawn), shards, copies }
        },
    )
}

impl Fleet {
    fn share(&self) -> Vec<f64> {
        shares(&self.nodes, self.shards, self.copies).unwrap()
    }

    fn place(&self) -> Vec<Vec<usize>> {
        place(&self.nodes, self.shards, self.copies).unwrap()
    }
}

fn loads(owners: &[Vec<usize>], nodes: usize) -> Vec<f64> {
    let mut loads = vec![0.0; nodes];
    owners.iter().flatten().for_each(|node| loads[*node] += 1.0);
    loads
}

/// Copies that have to be made to come from one table to the other.
fn made(nodes: &[NodeSpec], before: &[Vec<usize>], after: &[Vec<usize>]) -> usize {
    moves(nodes, before, after).filter(|step| step.to.is_some()).count()
}

/// In how many zones these nodes lie; a node without one is one of its own.
fn spread(nodes: &[NodeSpec], owners: &[usize]) -> usize {
    let mut zones: Vec<&str> =
        owners.iter().map(|at| nodes[*at].zone.as_deref().unwrap_or(nodes[*at].id.as_str())).collect();
    zones.sort_unstable();
    zones.dedup();
    zones.len()
}

/// Every node holds its share, rounded down or up.
fn assert_balanced(fleet: &Fleet, owners: &[Vec<usize>]) -> Result<(), TestCaseError> {
    for (load, share) in loads(owners, fleet.nodes.len()).iter().zip(fleet.share()) {
        let (least, most) = ((share + 1e-9).floor(), (share - 1e-9).ceil());
        prop_assert!((least..=most).contains(load), "{load} of {share}");
    }
    Ok(())
}

#[test]
fn impossible_demands_are_refused() {
    assert!(matches!(place(&nodes(2), 128, 3), Err(PlacementError::TooFewNodes { .. })));
    let mut bad = nodes(2);
    bad[1].weight = f64::NAN;
    assert!(matches!(place(&bad, 128, 1), Err(PlacementError::BadWeight { .. })));
    assert!(matches!(place(&[nodes(1), nodes(1)].concat(), 128, 1), Err(PlacementError::RepeatedId(_))));
}
