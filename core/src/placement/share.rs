//! How many copies each node should hold: in proportion to weights, but no node more than one copy of each shard, and
//! no zone more than its part.

use super::NodeSpec;
use super::zones::Zones;

/// Below this a fraction of a copy is an error of rounding.
const SLIVER: f64 = 1e-9;

/// Shares of all nodes, in copies; they add up to `shards × copies`.
pub(super) fn shares(nodes: &[NodeSpec], zones: &Zones, shards: f64, copies: f64) -> Vec<f64> {
    let members: Vec<Vec<usize>> = (0..zones.count())
        .map(|zone| zones.numbers().iter().enumerate().filter(|(_, of)| **of == zone).map(|(at, _)| at).collect())
        .collect();
    let weight_of = |node: &usize| nodes.get(*node).map_or(0.0, |node| node.weight);
    let by_zone: Vec<Demand> = members
        .iter()
        .map(|members| Demand {
            weight: members.iter().map(weight_of).sum(),
            // Where there are no more zones than copies, every zone has one of each shard.
            least: if zones.count() as f64 <= copies { shards } else { 0.0 },
            most: shards * (members.len().min(zones.most()) as f64),
        })
        .collect();
    let mut shares = vec![0.0; nodes.len()];
    for (members, zone_share) in members.iter().zip(fill(&by_zone, shards * copies)) {
        let of_node = |node: &usize| Demand { weight: weight_of(node), least: 0.0, most: shards };
        let demands: Vec<Demand> = members.iter().map(of_node).collect();
        for (member, share) in members.iter().zip(fill(&demands, zone_share)) {
            if let Some(slot) = shares.get_mut(*member) {
                *slot = share;
            }
        }
    }
    shares
}

/// The whole numbers of copies that are a share: rounded down, and up. Shares are sums of fractions, so a whole one may
/// be off by its last bits.
pub(super) fn bounds(share: f64) -> (f64, f64) {
    ((share + SLIVER).floor(), (share - SLIVER).ceil())
}

/// What a zone or a node may be given.
struct Demand {
    weight: f64,
    least: f64,
    most: f64,
}

/// Divides `total` by weight within limits; what would break a limit goes to, or comes from, the others.
fn fill(demands: &[Demand], total: f64) -> Vec<f64> {
    let mut shares: Vec<Option<f64>> = vec![None; demands.len()];
    loop {
        let fixed: f64 = shares.iter().flatten().sum();
        let open = || demands.iter().zip(&shares).filter(|(_, share)| share.is_none()).map(|(demand, _)| demand);
        let unit = (total - fixed).max(0.0) / open().map(|demand| demand.weight).sum::<f64>().max(f64::MIN_POSITIVE);
        let limited = |demand: &Demand| (demand.weight * unit).min(demand.most).max(demand.least);
        // Limits of one kind at a time: those of the other kind may be kept once these are.
        let off: f64 = open().map(|demand| limited(demand) - demand.weight * unit).sum();
        let mut clipped = false;
        for (share, demand) in shares.iter_mut().zip(demands) {
            let wish = demand.weight * unit;
            let breaks = if off > 0.0 { wish < demand.least } else { wish > demand.most };
            if share.is_none() && breaks {
                *share = Some(limited(demand));
                clipped = true;
            }
        }
        if !clipped {
            let limited = |demand: &Demand| limited(demand);
            return shares.iter().zip(demands).map(|(share, demand)| share.unwrap_or(limited(demand))).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares_of(nodes: &[(f64, usize)], shards: f64, copies: usize) -> Vec<f64> {
        let node = |(at, (weight, zone)): (usize, &(f64, usize))| NodeSpec {
            id: at.to_string(),
            weight: *weight,
            zone: Some(zone.to_string()),
        };
        let nodes: Vec<NodeSpec> = nodes.iter().enumerate().map(node).collect();
        shares(&nodes, &Zones::new(&nodes, copies), shards, copies as f64)
    }

    #[test]
    fn shares_follow_weights() {
        assert_eq!(shares_of(&[(1.0, 0), (2.0, 1), (3.0, 2)], 120.0, 1), [20.0, 40.0, 60.0]);
    }

    #[test]
    fn a_node_holds_a_shard_once() {
        assert_eq!(shares_of(&[(10.0, 0), (1.0, 1), (1.0, 2)], 100.0, 2), [100.0, 50.0, 50.0]);
    }

    #[test]
    fn a_zone_of_one_node_holds_every_shard_when_two_zones_share_two_copies() {
        assert_eq!(shares_of(&[(1.0, 0), (1.0, 1), (1.0, 1)], 100.0, 2), [100.0, 50.0, 50.0]);
    }

    #[test]
    fn the_lightest_of_fewer_zones_than_copies_holds_every_shard_too() {
        let nodes = [(0.1, 0), (5.0, 1), (5.0, 1), (5.0, 2), (5.0, 2)];
        assert_eq!(shares_of(&nodes, 100.0, 4), [100.0, 75.0, 75.0, 75.0, 75.0]);
    }

    #[test]
    fn a_zone_holds_more_of_a_shard_where_another_has_too_few_nodes() {
        assert_eq!(shares_of(&[(1.0, 0), (1.0, 1), (1.0, 1), (1.0, 1)], 100.0, 4), [100.0; 4]);
    }
}
