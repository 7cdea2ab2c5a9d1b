//! What the filter computes once from a map: who may be read for what, and covers. A cover assigns every shard to one
//! readable copy; there are as many as replicas, balanced, so that queries spread over all nodes.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{NodeIndex, ShardMap};
use crate::tag;

/// A map made ready for reading.
#[derive(Debug)]
pub struct CompiledMap {
    /// The document.
    pub map: ShardMap,
    placements: Vec<CompiledPlacement>,
}

#[derive(Debug)]
struct CompiledPlacement {
    /// Readable copies of each shard: owners without stale marks and unreadable nodes, preferred first, those on nodes
    /// of the last resort at the end.
    readable: Vec<Vec<NodeIndex>>,
    /// The node that holds every shard, and beside which nobody holds any.
    sole: Option<NodeIndex>,
    covers: Vec<Cover>,
}

/// An assignment of every readable shard to one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// One part a node, in order of node; shared, since every query over all shards asks for the same.
    pub parts: Vec<Arc<CoverPart>>,
    /// Shards without any readable copy.
    pub missing: Vec<u32>,
}

/// What one node is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverPart {
    /// The node.
    pub node: NodeIndex,
    /// Its shards, ascending.
    pub shards: Vec<u32>,
    /// The filter clause for exactly these shards, as a JSON string; empty where all that the node holds is asked for
    /// anyhow, tagged or not: nobody else answers for any of it.
    pub clause: String,
}

impl CompiledMap {
    /// Prepares a map. Costs time in shards × replicas.
    #[must_use]
    pub fn new(map: ShardMap) -> Self {
        let mut stale: HashMap<(u16, u32), Vec<NodeIndex>> = HashMap::new();
        for mark in &map.stale {
            stale.entry((mark.placement, mark.shard)).or_default().push(mark.node);
        }
        let usable = |node: &NodeIndex| map.nodes.get(usize::from(*node)).is_some_and(|node| node.readable);
        let last_resort = |node: &NodeIndex| map.is_last_resort(*node);
        let placements = (0u16..)
            .zip(&map.placements)
            .map(|(position, placement)| {
                let readable: Vec<Vec<NodeIndex>> = (0u32..)
                    .zip(&placement.owners)
                    .map(|(shard, owners)| {
                        let marks = stale.get(&(position, shard)).map(Vec::as_slice).unwrap_or_default();
                        let mut copies: Vec<NodeIndex> =
                            owners.iter().copied().filter(|node| usable(node) && !marks.contains(node)).collect();
                        copies.sort_by_key(last_resort);
                        copies
                    })
                    .collect();
                let first_choice: Vec<&[NodeIndex]> =
                    readable.iter().map(|copies| without_last_resort(copies, &last_resort)).collect();
                let sole = sole(&placement.owners, &readable);
                let covers = (0..map.replication_factor.max(1))
                    .map(|turn| balanced_cover(&first_choice, sole, map.shards, map.nodes.len(), usize::from(turn)))
                    .collect();
                CompiledPlacement { readable, sole, covers }
            })
            .collect();
        Self { map, placements }
    }

    /// Nodes whose copy of a shard may be read, preferred first.
    #[must_use]
    pub fn readable(&self, placement: u16, shard: u32) -> &[NodeIndex] {
        self.placements
            .get(usize::from(placement))
            .and_then(|placement| placement.readable.get(usize::try_from(shard).ok()?))
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The cover that a query with this hash uses: pages of one query come from the same replicas.
    #[must_use]
    pub fn cover(&self, placement: u16, query_hash: u64) -> Option<&Cover> {
        let covers = &self.placements.get(usize::from(placement))?.covers;
        let turn = query_hash.checked_rem(u64::try_from(covers.len()).ok()?)?;
        covers.get(usize::try_from(turn).ok()?)
    }

    /// The part of a node that answers for these shards.
    #[must_use]
    pub fn part(&self, placement: u16, node: NodeIndex, shards: Vec<u32>) -> CoverPart {
        part(node, shards, self.sole(placement), self.map.shards)
    }

    /// Whether one node holds everything of a placement, and is asked for all that it has.
    #[must_use]
    pub fn is_sole(&self, placement: u16) -> bool {
        self.sole(placement).is_some()
    }

    fn sole(&self, placement: u16) -> Option<NodeIndex> {
        self.placements.get(usize::from(placement))?.sole
    }

    /// Assigns the given shards to readable copies outside `avoid`, for fail-over within a request. Nodes that serve
    /// many of them are preferred, so that few calls are needed. Deterministic.
    #[must_use]
    pub fn repair(&self, placement: u16, shards: &[u32], avoid: &dyn Fn(NodeIndex) -> bool) -> Cover {
        let left = |shard: u32| {
            let copies = self.readable(placement, shard).iter().copied();
            copies.filter(|node| !avoid(*node))
        };
        let mut load: HashMap<NodeIndex, u32> = HashMap::new();
        for node in shards.iter().flat_map(|shard| left(*shard)) {
            let count = load.entry(node).or_default();
            *count = count.saturating_add(1);
        }
        let mut assignment: Vec<(NodeIndex, u32)> = Vec::with_capacity(shards.len());
        let mut missing = Vec::new();
        for shard in shards {
            let best = left(*shard).max_by_key(|node| {
                let first_choice = !self.map.is_last_resort(*node);
                (first_choice, load.get(node).copied().unwrap_or_default(), std::cmp::Reverse(*node))
            });
            match best {
                Some(node) => assignment.push((node, *shard)),
                None => missing.push(*shard),
            }
        }
        group(assignment, missing, self.sole(placement), self.map.shards)
    }

    /// Position of a node by id.
    #[must_use]
    pub fn node_by_id(&self, id: &str) -> Option<NodeIndex> {
        self.map.nodes.iter().position(|node| node.id == id).and_then(|at| NodeIndex::try_from(at).ok())
    }
}

/// The one node of which all copies are, if all can be read.
fn sole(owners: &[Vec<NodeIndex>], readable: &[Vec<NodeIndex>]) -> Option<NodeIndex> {
    let node = *owners.first()?.first()?;
    owners.iter().chain(readable).all(|nodes| nodes.as_slice() == [node]).then_some(node)
}

fn part(node: NodeIndex, shards: Vec<u32>, sole: Option<NodeIndex>, shard_count: u32) -> CoverPart {
    let clause = if sole == Some(node) { String::new() } else { tag::quoted_clause(&shards, shard_count) };
    CoverPart { node, shards, clause }
}

/// The copies of a shard, those of the last resort at the end, without these where there are others.
fn without_last_resort<'a>(copies: &'a [NodeIndex], last_resort: &dyn Fn(&NodeIndex) -> bool) -> &'a [NodeIndex] {
    match copies.iter().position(last_resort) {
        Some(first @ 1..) => copies.get(..first).unwrap_or(copies),
        _ => copies,
    }
}

/// Gives each shard to the least loaded of its copies, starting the comparison at another copy each turn.
fn balanced_cover(
    readable: &[&[NodeIndex]],
    sole: Option<NodeIndex>,
    shard_count: u32,
    node_count: usize,
    turn: usize,
) -> Cover {
    let mut load = vec![0u32; node_count];
    let mut assignment = Vec::with_capacity(readable.len());
    let mut missing = Vec::new();
    for (shard, copies) in (0u32..).zip(readable) {
        let start = turn.checked_rem(copies.len()).unwrap_or_default();
        let rotated = copies.iter().cycle().skip(start).take(copies.len());
        let best = rotated.min_by_key(|node| load.get(usize::from(**node)).copied().unwrap_or(u32::MAX));
        match best {
            Some(node) => {
                if let Some(count) = load.get_mut(usize::from(*node)) {
                    *count = count.saturating_add(1);
                }
                assignment.push((*node, shard));
            }
            None => missing.push(shard),
        }
    }
    group(assignment, missing, sole, shard_count)
}

fn group(mut assignment: Vec<(NodeIndex, u32)>, missing: Vec<u32>, sole: Option<NodeIndex>, shard_count: u32) -> Cover {
    assignment.sort_unstable();
    let parts = assignment
        .chunk_by(|left, right| left.0 == right.0)
        .filter_map(|chunk| {
            let node = chunk.first()?.0;
            let shards: Vec<u32> = chunk.iter().map(|(_, shard)| *shard).collect();
            Some(Arc::new(part(node, shards, sole, shard_count)))
        })
        .collect();
    Cover { parts, missing }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::shardmap::{MapNode, Placement, StaleMark};
    use proptest::prelude::*;

    fn map(nodes: u16, owners: Vec<Vec<NodeIndex>>, stale: Vec<StaleMark>) -> CompiledMap {
        CompiledMap::new(ShardMap {
            cluster: "c0ffee00".into(),
            epoch: 1,
            shards: u32::try_from(owners.len()).unwrap(),
            replication_factor: 2,
            nodes: (0..nodes)
                .map(|at| MapNode {
                    id: format!("n{at}"),
                    cluster: format!("n{at}"),
                    write_cluster: format!("n{at}w"),
                    readable: true,
                    last_resort: false,
                })
                .collect(),
            stale,
            placements: vec![Placement { owners }],
            indexes: Default::default(),
            limits: Default::default(),
            policies: Default::default(),
            control_cluster: "control".into(),
            control_internal_cluster: "internal".into(),
        })
    }

    fn owners(nodes: u16, replicas: u16, shards: u16) -> Vec<Vec<NodeIndex>> {
        (0..shards).map(|shard| (0..replicas.min(nodes)).map(|at| (shard + at) % nodes).collect()).collect()
    }

    fn covered(cover: &Cover) -> Vec<u32> {
        let mut all: Vec<u32> = cover.parts.iter().flat_map(|part| part.shards.clone()).collect();
        all.extend(&cover.missing);
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn a_cover_asks_for_each_shard_once_and_only_in_sync_copies(
            nodes in 1u16..8, replicas in 1u16..4, shards in 1u16..64, marks in prop::collection::vec((0u32..64, 0u16..8), 0..20), hash: u64,
        ) {
            let stale: Vec<StaleMark> = marks.into_iter()
                .filter(|(shard, node)| *shard < u32::from(shards) && *node < nodes)
                .map(|(shard, node)| StaleMark { placement: 0, shard, node }).collect();
            let map = map(nodes, owners(nodes, replicas, shards), stale.clone());
            let cover = map.cover(0, hash).unwrap();
            prop_assert_eq!(covered(cover), (0..u32::from(shards)).collect::<Vec<_>>());
            for part in &cover.parts {
                for shard in &part.shards {
                    prop_assert!(map.readable(0, *shard).contains(&part.node));
                    prop_assert!(!stale.iter().any(|mark| mark.shard == *shard && mark.node == part.node));
                }
            }
        }

        #[test]
        fn a_repair_covers_what_failed_without_the_failed(nodes in 2u16..8, shards in 1u16..64, failed in 0u16..8) {
            let map = map(nodes, owners(nodes, 2, shards), vec![]);
            let lost: Vec<u32> = (0..u32::from(shards)).filter(|shard| map.readable(0, *shard).contains(&failed)).collect();
            let cover = map.repair(0, &lost, &|node| node == failed);
            prop_assert_eq!(covered(&cover), lost);
            prop_assert!(cover.missing.is_empty());
            prop_assert!(cover.parts.iter().all(|part| part.node != failed));
        }
    }

    proptest! {
        /// Documents with and without a tag on nodes that hold what the table says: each is answered for once, but for
        /// those without a tag beside which there is another node.
        #[test]
        fn what_has_no_tag_is_answered_for_by_a_node_that_holds_all(
            nodes in 1u16..4, replicas in 1u16..3, shards in 1u16..20, one: bool, hash: u64,
            asked in prop::collection::btree_set(0u32..20, 1..20), marks in prop::collection::vec((0u32..20, 0u16..4), 0..3),
        ) {
            let count = u32::from(shards);
            let table = if one { vec![vec![nodes - 1]; usize::from(shards)] } else { owners(nodes, replicas, shards) };
            let stale: Vec<StaleMark> = marks.into_iter().filter(|(shard, node)| *shard < count && *node < nodes)
                .map(|(shard, node)| StaleMark { placement: 0, shard, node }).collect();
            let map = map(nodes, table.clone(), stale);
            let asked: Vec<u32> = asked.into_iter().filter(|shard| *shard < count).collect();
            let alone = table.iter().all(|owners| owners.as_slice() == [table[0][0]])
                && (0..count).all(|shard| map.readable(0, shard) == [table[0][0]]);
            for cover in [map.cover(0, hash).unwrap().clone(), map.repair(0, &asked, &|_| false)] {
                let mut tagged = vec![0; usize::from(shards)];
                let mut untagged = 0;
                for part in &cover.parts {
                    prop_assert_eq!(part.as_ref(), &map.part(0, part.node, part.shards.clone()));
                    untagged += u32::from(part.clause.is_empty());
                    for (shard, owners) in table.iter().enumerate().filter(|(_, owners)| owners.contains(&part.node)) {
                        let text = format!("\\\"{}\\\"", tag::encode(shard as u32, count));
                        let answers = part.clause.is_empty() || part.clause.contains(&text);
                        tagged[shard] += u32::from(answers && !owners.is_empty());
                    }
                }
                prop_assert!(tagged.iter().all(|answers| *answers <= 1), "{:?}", tagged);
                prop_assert!(covered(&cover).iter().all(|shard| cover.missing.contains(shard) || tagged[*shard as usize] == 1));
                prop_assert_eq!(untagged, u32::from(alone && !cover.parts.is_empty()));
            }
        }
    }

    #[test]
    fn covers_are_balanced_and_differ() {
        let map = map(3, owners(3, 2, 128), vec![]);
        for hash in 0..2 {
            let sizes: Vec<usize> = map.cover(0, hash).unwrap().parts.iter().map(|part| part.shards.len()).collect();
            assert!(sizes.iter().all(|size| (42..=44).contains(size)), "{sizes:?}");
        }
        assert_ne!(map.cover(0, 0), map.cover(0, 1));
    }

    #[test]
    fn a_node_of_the_last_resort_is_asked_only_where_nobody_else_can_be() {
        let mut odd = map(3, owners(3, 2, 12), vec![]).map;
        odd.nodes[1].last_resort = true;
        let odd = CompiledMap::new(odd);
        for hash in 0..2 {
            let cover = odd.cover(0, hash).unwrap();
            assert_eq!(covered(cover).len(), 12);
            assert!(cover.missing.is_empty() && cover.parts.iter().all(|part| part.node != 1), "{cover:?}");
        }
        // Shard 0 is on nodes 0 and 1, shard 2 on 2 and 0.
        assert_eq!(odd.readable(0, 0), [0, 1]);
        assert_eq!(odd.readable(0, 1), [2, 1]);
        let repaired = odd.repair(0, &[0, 1, 2], &|node| node == 0);
        let asked: Vec<(NodeIndex, Vec<u32>)> =
            repaired.parts.iter().map(|part| (part.node, part.shards.clone())).collect();
        assert_eq!(asked, [(1, vec![0]), (2, vec![1, 2])]);

        let mut all = odd.map.clone();
        all.nodes.iter_mut().for_each(|node| node.last_resort = true);
        assert_eq!(CompiledMap::new(all).cover(0, 0).unwrap().missing, [0; 0]);
    }

    #[test]
    fn a_shard_without_a_readable_copy_is_missing() {
        let map = map(2, vec![vec![0], vec![1]], vec![StaleMark { placement: 0, shard: 1, node: 1 }]);
        assert_eq!(map.cover(0, 0).unwrap().missing, [1]);
    }
}
