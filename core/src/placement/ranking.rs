//! How much each shard would like each node: scores, and the nodes in their order.

use twox_hash::XxHash3_64;

use super::NodeSpec;

/// Choices that are put in order at first: few shards ever ask for more.
const FIRST: usize = 24;

/// Weighted rendezvous: the smaller, the better. `-ln(u) / share` with `u` uniform in (0, 1) makes the chance of being
/// first proportional to the share.
pub(super) fn score(node: &str, shard: u32, share: f64) -> f64 {
    let hash = XxHash3_64::oneshot_with_seed(u64::from(shard), node.as_bytes());
    // 53 bits fit a double exactly; the half keeps the value off 0 and 1.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -uniform.ln() / share
}

/// The nodes of each shard, best first; worked out as far as they are asked for.
pub(super) struct Ranking<'a> {
    nodes: &'a [NodeSpec],
    shares: &'a [f64],
    known: Vec<Vec<(f64, usize)>>,
}

impl<'a> Ranking<'a> {
    /// `nodes` in order of id: equal scores fall by it.
    pub(super) fn new(nodes: &'a [NodeSpec], shares: &'a [f64], shards: u32) -> Self {
        Self { nodes, shares, known: (0..shards).map(|_| Vec::new()).collect() }
    }

    /// The node at a place in a shard's order, with its score.
    pub(super) fn choice(&mut self, shard: usize, at: usize) -> Option<(f64, usize)> {
        let (nodes, shares) = (self.nodes, self.shares);
        let number = u32::try_from(shard).ok()?;
        let known = self.known.get_mut(shard)?;
        if known.len() <= at && known.len() < nodes.len() {
            let scored = nodes.iter().zip(shares).enumerate();
            let mut all: Vec<(f64, usize)> =
                scored.map(|(at, (node, share))| (score(&node.id, number, *share), at)).collect();
            let order =
                |left: &(f64, usize), right: &(f64, usize)| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1));
            if at < FIRST && all.len() > FIRST {
                all.select_nth_unstable_by(FIRST, order);
                all.truncate(FIRST);
            }
            all.sort_unstable_by(order);
            *known = all;
        }
        known.get(at).copied()
    }
}
