//! What a change comes to: moves, balance, fan-out.

use miroir_core::placement::{NodeSpec, rebalance, shares};
use miroir_core::shardmap::{CompiledMap, MapNode, Placement, ShardMap};
use serde::Serialize;

use super::input::{Input, placed};
use crate::exit::Failure;
use crate::output::{count, size, table};

/// Nodes listed in text; all of them are in JSON.
const LISTED: usize = 40;

/// A cluster in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Side {
    nodes: usize,
    replication_factor: u8,
    /// Nodes that a search asks.
    fan_out: f64,
    /// Copies on the fullest node beside its share by weight, zones considered.
    fullest: f64,
}

/// A node before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Load {
    id: String,
    before: u64,
    after: u64,
    gets: u64,
    gives: u64,
}

/// What a change comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) shards: u64,
    pub(super) before: Side,
    pub(super) after: Side,
    /// Copies that are made.
    pub(super) made: u64,
    /// Copies that go.
    pub(super) dropped: u64,
    /// Copies that any placement as even must make.
    pub(super) least: u64,
    pub(super) nodes: Vec<Load>,
}

impl Outcome {
    /// The part of an amount that so many copies are.
    pub(super) fn share(&self, amount: u64, copies: u64) -> u64 {
        u64::try_from(u128::from(amount) * u128::from(copies) / u128::from(self.shards.max(1))).unwrap_or(u64::MAX)
    }
}

pub(super) fn outcome(input: &Input) -> Result<Outcome, Failure> {
    let staying: Vec<usize> = (0..input.nodes.len()).filter(|at| !input.going[*at]).collect();
    let position: Vec<Option<usize>> = {
        let mut position = vec![None; input.nodes.len()];
        staying.iter().enumerate().for_each(|(new, old)| position[*old] = Some(new));
        position
    };
    let specs: Vec<NodeSpec> = staying.iter().map(|at| input.nodes[*at].clone()).collect();
    let current: Vec<Vec<usize>> =
        input.owners.iter().map(|owners| owners.iter().filter_map(|at| position[*at]).collect()).collect();
    let shards = u32::try_from(input.owners.len()).unwrap_or(u32::MAX);
    let wanted = placed(rebalance(&specs, shards, input.to, &current))?;
    let after: Vec<Vec<usize>> = wanted.iter().map(|owners| owners.iter().map(|at| staying[*at]).collect()).collect();

    let mut nodes: Vec<Load> =
        input.nodes.iter().map(|node| Load { id: node.id.clone(), before: 0, after: 0, gets: 0, gives: 0 }).collect();
    for (old, new) in input.owners.iter().zip(&after) {
        for at in old {
            nodes[*at].before += 1;
            nodes[*at].gives += u64::from(!new.contains(at));
        }
        for at in new {
            nodes[*at].after += 1;
            nodes[*at].gets += u64::from(!old.contains(at));
        }
    }
    let least_by_shard: u64 =
        current.iter().map(|owners| u64::from(input.to).saturating_sub(owners.len() as u64)).sum();
    // Shares are no whole numbers: what is lacking in fractions need not move.
    let share = placed(shares(&specs, shards, input.to))?;
    let lacking = |(share, at): (&f64, &usize)| (share - nodes[*at].before as f64).max(0.0);
    let least_by_node = share.iter().zip(&staying).map(lacking).sum::<f64>().floor() as u64;
    let made: u64 = nodes.iter().map(|node| node.gets).sum();
    let old = input.nodes.get(..input.old).unwrap_or_default();
    Ok(Outcome {
        shards: u64::from(shards),
        before: side(old, &input.owners, input.from, shards),
        after: side(&specs, &wanted, input.to, shards),
        made,
        dropped: nodes.iter().map(|node| node.gives).sum(),
        // What is placed may stay a little uneven, within its bound, rather than move.
        least: least_by_shard.max(least_by_node).min(made),
        nodes,
    })
}

fn side(nodes: &[NodeSpec], owners: &[Vec<usize>], replication_factor: u8, shards: u32) -> Side {
    let mut held = vec![0.0; nodes.len()];
    owners.iter().flatten().for_each(|at| held[*at] += 1.0);
    // A cluster as it is may have fewer nodes than copies; then nobody has a share.
    let shares = shares(nodes, shards, replication_factor).unwrap_or_default();
    let fullest = held.iter().zip(&shares).map(|(held, share)| held / share.max(f64::MIN_POSITIVE)).fold(0.0, f64::max);
    Side {
        nodes: nodes.len(),
        replication_factor,
        fan_out: fan_out(nodes, owners, replication_factor, shards),
        fullest,
    }
}

/// Nodes that a search asks, over the covers that the filter uses.
fn fan_out(nodes: &[NodeSpec], owners: &[Vec<usize>], replication_factor: u8, shards: u32) -> f64 {
    let narrow = |at: &usize| u16::try_from(*at).unwrap_or(u16::MAX);
    let node = |node: &NodeSpec| MapNode {
        id: node.id.clone(),
        cluster: String::new(),
        write_cluster: String::new(),
        readable: true,
        last_resort: false,
    };
    let map = CompiledMap::new(ShardMap {
        cluster: String::new(),
        epoch: 0,
        shards,
        replication_factor,
        nodes: nodes.iter().map(node).collect(),
        stale: Vec::new(),
        placements: vec![Placement { owners: owners.iter().map(|of| of.iter().map(narrow).collect()).collect() }],
        indexes: Default::default(),
        limits: Default::default(),
        policies: Default::default(),
        control_cluster: String::new(),
        control_internal_cluster: String::new(),
    });
    let covers = (0..u64::from(replication_factor)).filter_map(|hash| map.cover(0, hash));
    let parts: Vec<usize> = covers.map(|cover| cover.parts.len()).collect();
    parts.iter().sum::<usize>() as f64 / parts.len().max(1) as f64
}

/// The outcome for people.
pub(super) fn text(outcome: &Outcome, documents: u64, bytes: u64) -> String {
    let Outcome { before, after, made, dropped, least, .. } = outcome;
    let mut text = format!(
        "{} shards; {} nodes with {} copies -> {} nodes with {} copies\n\n",
        outcome.shards, before.nodes, before.replication_factor, after.nodes, after.replication_factor
    );
    let ratio = if *least > 0 { format!(", {:.2} times", *made as f64 / *least as f64) } else { String::new() };
    text.push_str(&format!("copies made      {made} (at least {least}{ratio})\ncopies dropped   {dropped}\n"));
    if documents > 0 {
        text.push_str(&format!("documents moved  {}\n", count(outcome.share(documents, *made))));
    }
    if bytes > 0 {
        text.push_str(&format!("bytes moved      {}\n", size(outcome.share(bytes, *made))));
    }
    text.push_str(&format!(
        "fan-out          {:.1} -> {:.1} nodes a search\nfullest node     {:.2} -> {:.2} times its share\n\n",
        before.fan_out, after.fan_out, before.fullest, after.fullest
    ));
    let row = |node: &Load| {
        let mut row = vec![
            node.id.clone(),
            node.before.to_string(),
            node.after.to_string(),
            node.gets.to_string(),
            node.gives.to_string(),
        ];
        if documents > 0 {
            row.push(count(outcome.share(documents, node.after)));
        }
        if bytes > 0 {
            row.push(size(outcome.share(bytes, node.after)));
        }
        row
    };
    let mut head = vec!["node", "copies", "afterwards", "gets", "gives"];
    head.extend((documents > 0).then_some("documents"));
    head.extend((bytes > 0).then_some("bytes"));
    text.push_str(&table(&head, &head[1..], outcome.nodes.iter().take(LISTED).map(row)));
    if outcome.nodes.len() > LISTED {
        text.push_str(&format!("\n... and {} more (all with --output json)", outcome.nodes.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::simulate::input;
    use clap::Parser;

    fn simulated(arguments: &str) -> Outcome {
        let words = ["miroirctl", "simulate"].into_iter().chain(arguments.split_whitespace());
        let Command::Simulate(arguments) = Cli::parse_from(words).command else { unreachable!() };
        outcome(&input::read(&arguments).unwrap()).unwrap()
    }

    #[test]
    fn a_join_copies_the_new_nodes_share() {
        let outcome = simulated("--nodes 3 --shards 128 --add 1");
        assert_eq!((outcome.made, outcome.least, outcome.dropped), (64, 64, 64));
        assert_eq!(outcome.nodes[3], Load { id: "node-3".into(), before: 0, after: 64, gets: 64, gives: 0 });
        assert_eq!((outcome.before.fan_out, outcome.after.fan_out), (3.0, 4.0));
        assert_eq!(outcome.share(128_000, outcome.made), 64_000);
    }

    #[test]
    fn a_node_that_goes_leaves_nothing_behind() {
        let outcome = simulated("--nodes 4 --shards 64 --remove node-1");
        assert_eq!((outcome.nodes[1].before, outcome.nodes[1].after), (32, 0));
        assert_eq!((outcome.made, outcome.least), (32, 32));
    }

    #[test]
    fn more_copies_and_more_nodes_at_once() {
        let outcome = simulated("--nodes 3 --shards 128 --add 2 --rf 3");
        assert_eq!(outcome.nodes.iter().map(|node| node.after).sum::<u64>(), 384);
        assert!(outcome.made >= outcome.least && outcome.made as f64 <= 1.2 * outcome.least as f64);
        assert!(outcome.after.fullest < 1.02);
    }

    #[test]
    fn weights_and_zones_count() {
        let outcome = simulated("--node a,zone=x --node b,zone=y --shards 60 --from-rf 1 --add c,weight=2,zone=z");
        assert_eq!(outcome.nodes[2].after, 30);
        let failure = outcome_of_too_few();
        assert!(failure.message.contains("replication factor 3"), "{}", failure.message);
    }

    fn outcome_of_too_few() -> Failure {
        let cli = Cli::parse_from(["miroirctl", "simulate", "--nodes", "2", "--rf", "3"]);
        let Command::Simulate(arguments) = cli.command else { unreachable!() };
        outcome(&input::read(&arguments).unwrap()).unwrap_err()
    }

    #[test]
    fn an_outcome_in_text() {
        let outcome = simulated("--nodes 2 --shards 8 --from-rf 1 --add 2 --documents 8000 --bytes 8MB");
        assert_eq!(
            text(&outcome, 8000, 8_000_000),
            "\
8 shards; 2 nodes with 1 copies -> 4 nodes with 1 copies

copies made      4 (at least 4, 1.00 times)
copies dropped   4
documents moved  4,000
bytes moved      4.0 MB
fan-out          2.0 -> 4.0 nodes a search
fullest node     1.00 -> 1.00 times its share

NODE    COPIES  AFTERWARDS  GETS  GIVES  DOCUMENTS   BYTES
node-0       4           2     0      2      2,000  2.0 MB
node-1       4           2     0      2      2,000  2.0 MB
node-2       0           2     2      0      2,000  2.0 MB
node-3       0           2     2      0      2,000  2.0 MB"
        );
    }
}
