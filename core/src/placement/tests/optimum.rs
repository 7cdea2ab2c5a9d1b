//! The least that any placement would have to copy, found exactly: a flow of least cost from shards through their zones
//! to nodes, in which a copy that stays where it is costs nothing and any other costs one.

use std::collections::VecDeque;

use super::{NodeSpec, Zones, shares};

/// Dearer than all copies together: taken only where a lower bound is already met.
const LAST: i64 = 1 << 20;

#[derive(Clone, Copy)]
struct Edge {
    to: usize,
    room: i64,
    cost: i64,
}

#[derive(Default)]
struct Network {
    /// Every edge is followed by the one that undoes it.
    edges: Vec<Edge>,
    from: Vec<Vec<usize>>,
}

impl Network {
    fn vertex(&mut self) -> usize {
        self.from.push(Vec::new());
        self.from.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        self.from[from].push(self.edges.len());
        self.edges.push(Edge { to, room, cost });
        self.from[to].push(self.edges.len());
        self.edges.push(Edge { to: from, room: 0, cost: -cost });
    }

    fn distances(&self, source: usize) -> Vec<i64> {
        let mut distance = vec![i64::MAX; self.from.len()];
        let mut queued = vec![false; self.from.len()];
        distance[source] = 0;
        let mut queue = VecDeque::from([source]);
        while let Some(vertex) = queue.pop_front() {
            queued[vertex] = false;
            for edge in self.from[vertex].iter().map(|at| self.edges[*at]).filter(|edge| edge.room > 0) {
                let through = distance[vertex] + edge.cost;
                if through < distance[edge.to] {
                    distance[edge.to] = through;
                    if !std::mem::replace(&mut queued[edge.to], true) {
                        queue.push_back(edge.to);
                    }
                }
            }
        }
        distance
    }

    /// Sends what it can along shortest paths, from `vertex` on.
    fn push(&mut self, vertex: usize, sink: usize, most: i64, shortest: &[i64], seen: &mut [bool]) -> i64 {
        if vertex == sink {
            return most;
        }
        seen[vertex] = true;
        let mut sent = 0;
        for turn in 0..self.from[vertex].len() {
            let at = self.from[vertex][turn];
            let Edge { to, room, cost } = self.edges[at];
            if room > 0 && !seen[to] && shortest[vertex] + cost == shortest[to] {
                let part = self.push(to, sink, room.min(most - sent), shortest, seen);
                self.edges[at].room -= part;
                self.edges[at ^ 1].room += part;
                sent += part;
                if sent == most {
                    seen[vertex] = false;
                    break;
                }
            }
        }
        sent
    }
}

/// Fleets up to this size are looked at pair by pair.
const PAIRWISE: usize = 40;

/// Copies that must be made, at the least. For a large fleet without zones by counting: there everybody can give to
/// everybody, so what is too much somewhere and what is lacking elsewhere is all.
pub(super) fn least(nodes: &[NodeSpec], shards: u32, copies: u8, current: &[Vec<usize>]) -> usize {
    if nodes.len() <= PAIRWISE || nodes.iter().any(|node| node.zone.is_some()) {
        return least_copies(nodes, shards, copies, current).unwrap();
    }
    let held = super::loads(current, nodes.len());
    let (mut over, mut lacking) = (0.0, 0.0);
    for (load, share) in held.iter().zip(shares(nodes, shards, copies).unwrap()) {
        over += (load - (share - 1e-9).ceil()).max(0.0);
        lacking += ((share + 1e-9).floor() - load).max(0.0);
    }
    let short = f64::from(shards) * f64::from(copies) - held.iter().sum::<f64>();
    // Fewer than none are short where there are too many: those go, and nothing is made for them.
    (over + short).max(lacking).max(0.0) as usize
}

/// Copies that must be made, at the least, to come from `current` to a table in which every node holds its share
/// (rounded down or up) and every shard's copies lie in as many zones as there can be. None where there is no such table.
fn least_copies(nodes: &[NodeSpec], shards: u32, copies: u8, current: &[Vec<usize>]) -> Option<usize> {
    let rules = Zones::new(nodes, usize::from(copies));
    let (zone_of, zones, most) = (rules.numbers(), rules.count(), rules.most() as i64);
    let mut network = Network::default();
    let (source, sink) = (network.vertex(), network.vertex());
    let sinks: Vec<usize> = nodes.iter().map(|_| network.vertex()).collect();
    for (share, node) in shares(nodes, shards, copies).unwrap().iter().zip(&sinks) {
        // Shares are sums of fractions: a whole one may be off by the last bit.
        let (floor, ceil) = ((share + 1e-9).floor() as i64, (share - 1e-9).ceil() as i64);
        network.edge(*node, sink, floor, 0);
        network.edge(*node, sink, ceil - floor, LAST);
    }
    // Where a zone has one copy of a shard, a new one may be on any of its nodes.
    let any: Vec<usize> = (0..zones).map(|_| network.vertex()).collect();
    let pooled = most == 1 && nodes.len() > PAIRWISE;
    for (zone, sink) in zone_of.iter().zip(&sinks).filter(|_| pooled) {
        network.edge(any[*zone], *sink, i64::from(shards), 0);
    }
    for shard in 0..shards as usize {
        let vertex = network.vertex();
        network.edge(source, vertex, i64::from(copies), 0);
        let by_zone: Vec<usize> = (0..zones).map(|_| network.vertex()).collect();
        for zone in &by_zone {
            network.edge(vertex, *zone, 1, 0);
            network.edge(vertex, *zone, most - 1, LAST);
        }
        let held = current.get(shard).map(Vec::as_slice).unwrap_or_default();
        for (zone, any) in by_zone.iter().zip(&any).filter(|_| pooled) {
            network.edge(*zone, *any, 1, 1);
        }
        for (node, zone) in zone_of.iter().enumerate().filter(|(node, _)| !pooled || held.contains(node)) {
            network.edge(by_zone[*zone], sinks[node], 1, i64::from(!held.contains(&node)));
        }
    }
    let (mut sent, mut cost) = (0, 0);
    loop {
        let shortest = network.distances(source);
        if shortest[sink] == i64::MAX {
            break;
        }
        loop {
            let mut seen = vec![false; network.from.len()];
            let part = network.push(source, sink, i64::MAX, &shortest, &mut seen);
            if part == 0 {
                break;
            }
            sent += part;
            cost += part * shortest[sink];
        }
    }
    (sent == i64::from(shards) * i64::from(copies)).then_some((cost % LAST) as usize)
}
