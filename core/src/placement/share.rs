//! How many copies each node should hold: in proportion to weights, but no node more than one copy of each shard, and
//! no zone more than its part.

use super::NodeSpec;

/// Shares of all nodes, in copies; they add up to `shards × copies`.
pub(super) fn shares(nodes: &[NodeSpec], zones: &[usize], shards: f64, copies: f64) -> Vec<f64> {
    let zone_count = zones.iter().max().map_or(0, |last| last.saturating_add(1));
    let mut zone_weights = vec![0.0; zone_count];
    let mut zone_sizes = vec![0.0; zone_count];
    for (node, zone) in nodes.iter().zip(zones) {
        if let (Some(weight), Some(size)) = (zone_weights.get_mut(*zone), zone_sizes.get_mut(*zone)) {
            *weight += node.weight;
            *size += 1.0;
        }
    }
    // With fewer zones than copies a zone must hold several copies of a shard.
    let copies_per_zone = (copies / zone_count.max(1) as f64).ceil();
    let zone_limits: Vec<f64> = zone_sizes.iter().map(|size: &f64| shards * size.min(copies_per_zone)).collect();
    let zone_shares = fill(&zone_weights, &zone_limits, shards * copies);
    let mut shares = vec![0.0; nodes.len()];
    for (zone, zone_share) in zone_shares.iter().enumerate() {
        let members: Vec<usize> = zones.iter().enumerate().filter(|(_, of)| **of == zone).map(|(at, _)| at).collect();
        let weights: Vec<f64> = members.iter().filter_map(|at| nodes.get(*at)).map(|node| node.weight).collect();
        let limits = vec![shards; members.len()];
        for (member, share) in members.iter().zip(fill(&weights, &limits, *zone_share)) {
            if let Some(slot) = shares.get_mut(*member) {
                *slot = share;
            }
        }
    }
    shares
}

/// Divides `total` by weight; what would exceed a limit goes to the others.
fn fill(weights: &[f64], limits: &[f64], total: f64) -> Vec<f64> {
    let mut shares: Vec<Option<f64>> = vec![None; weights.len()];
    loop {
        let fixed: f64 = shares.iter().flatten().sum();
        let open: f64 =
            weights.iter().zip(&shares).filter(|(_, share)| share.is_none()).map(|(weight, _)| weight).sum();
        let unit = (total - fixed).max(0.0) / open.max(f64::MIN_POSITIVE);
        let mut clipped = false;
        for ((share, weight), limit) in shares.iter_mut().zip(weights).zip(limits) {
            if share.is_none() && weight * unit > *limit {
                *share = Some(*limit);
                clipped = true;
            }
        }
        if !clipped {
            return shares.iter().zip(weights).map(|(share, weight)| share.unwrap_or(weight * unit)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(weight: f64) -> NodeSpec {
        NodeSpec { id: weight.to_string(), weight, zone: None }
    }

    #[test]
    fn shares_follow_weights() {
        assert_eq!(shares(&[node(1.0), node(2.0), node(3.0)], &[0, 1, 2], 120.0, 1.0), [20.0, 40.0, 60.0]);
    }

    #[test]
    fn a_node_holds_a_shard_once() {
        assert_eq!(shares(&[node(10.0), node(1.0), node(1.0)], &[0, 1, 2], 100.0, 2.0), [100.0, 50.0, 50.0]);
    }

    #[test]
    fn a_zone_of_one_node_holds_every_shard_when_two_zones_share_two_copies() {
        assert_eq!(shares(&[node(1.0), node(1.0), node(1.0)], &[0, 1, 1], 100.0, 2.0), [100.0, 50.0, 50.0]);
    }
}
