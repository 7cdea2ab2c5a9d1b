//! What the rules by words charge for a document.

use super::graph::{Graph, Hit};
use super::rank::Step;
use crate::index::Index;

/// Price of two words that do not stand near each other.
const FARTHEST: u32 = 3;

/// A rule: the price of one step, and the highest price of a whole way.
pub(crate) struct Cost {
    /// One step.
    pub(crate) step: Step,
    /// The dearest way.
    pub(crate) most: fn(&Graph, &Index, &[usize]) -> u32,
}

fn length(graph: &Graph, node: usize) -> u32 {
    u32::try_from(graph.nodes[node].term.ids.1).unwrap_or_default()
}

/// The prices of a rule.
pub(crate) fn of(rule: &str) -> Cost {
    match rule {
        "typo" => Cost {
            step: |_, _, _, _| 0,
            most: |graph, _, nodes| nodes.iter().map(|node| graph.nodes[*node].term.most_typos()).sum(),
        },
        "proximity" => Cost { step: proximity, most: most_proximity },
        "attributeRank" | "attributeFirst" => Cost {
            step: |graph, index, _, (node, hits, _)| {
                let weights = hits.iter().filter_map(|hit| index.settings.weight(index.words.name(hit.first.0)));
                weights.min().unwrap_or_else(|| index.settings.max_weight()) * length(graph, node)
            },
            most: |graph, index, nodes| {
                index.settings.max_weight() * nodes.iter().map(|node| length(graph, *node)).sum::<u32>()
            },
        },
        "wordPosition" | "attributeSecond" => Cost {
            step: |graph, _, _, (node, hits, _)| {
                let start = graph.nodes[node].term.positions.0;
                let price = |hit: &Hit| -> u32 {
                    let away = bucket(hit.first.1).abs_diff(start);
                    (0..length(graph, node)).map(|more| by_distance(away + more)).sum()
                };
                hits.iter().map(price).min().unwrap_or(10 * length(graph, node))
            },
            most: |graph, _, nodes| 10 * nodes.iter().map(|node| length(graph, *node)).sum::<u32>(),
        },
        _ => Cost {
            step: |graph, _, _, (node, _, exact)| if exact { 0 } else { length(graph, node) },
            most: |graph, _, nodes| nodes.iter().map(|node| length(graph, *node)).sum(),
        },
    }
}

fn adjacent(graph: &Graph, left: usize, right: usize) -> bool {
    graph.nodes[left].term.positions.1 + 1 == graph.nodes[right].term.positions.0
}

fn proximity(
    graph: &Graph,
    index: &Index,
    before: Option<(usize, &[Hit])>,
    (node, hits, _): (usize, &[Hit], bool),
) -> u32 {
    let base = length(graph, node) - 1;
    let Some((left, lefts)) = before.filter(|(left, _)| adjacent(graph, *left, node)) else { return base };
    let by_attribute = index.settings.get("proximityPrecision") == "byAttribute";
    let phrases = graph.nodes[left].term.phrase.is_some() || graph.nodes[node].term.phrase.is_some();
    let mut best = FARTHEST;
    for left in lefts {
        for right in hits {
            let ((one, from), (other, to)) = (left.last, right.first);
            if one != other || left == right {
                continue;
            }
            let price = if by_attribute {
                0
            } else if to > from {
                to - from - 1
            } else if phrases {
                FARTHEST
            } else {
                from - to
            };
            best = best.min(price);
        }
    }
    base + best
}

fn most_proximity(graph: &Graph, _: &Index, nodes: &[usize]) -> u32 {
    let bases: u32 = nodes.iter().map(|node| length(graph, *node) - 1).sum();
    let pairs = nodes.windows(2).filter(|pair| adjacent(graph, pair[0], pair[1])).count();
    bases + FARTHEST * u32::try_from(pairs).unwrap_or_default()
}

/// Positions are stored coarser the farther they are from the start.
pub(crate) fn bucket(position: u32) -> u32 {
    match position {
        0..16 => position,
        16..24 => 24,
        _ => position.next_power_of_two(),
    }
}

fn by_distance(distance: u32) -> u32 {
    match distance {
        0 => 0,
        1 => 1,
        2..=4 => 2,
        5..=7 => 3,
        8..=11 => 4,
        12..=16 => 5,
        17..=24 => 6,
        25..=64 => 7,
        65..=256 => 8,
        257..=1024 => 9,
        _ => 10,
    }
}
