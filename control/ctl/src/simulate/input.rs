//! What is simulated: a cluster as it is, and as it is to be.

use std::collections::HashMap;

use miroir_admin::{CopyState, Layout};
use miroir_core::placement::{NodeSpec, place};

use super::Arguments;
use crate::exit::{Exit, Failure};

/// A cluster before and after.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    /// All nodes that are there before or afterwards; those before come first.
    pub(super) nodes: Vec<NodeSpec>,
    /// How many of them are there before.
    pub(super) old: usize,
    /// Which of them go.
    pub(super) going: Vec<bool>,
    /// Owners of each shard as they are.
    pub(super) owners: Vec<Vec<usize>>,
    /// Copies as they are.
    pub(super) from: u8,
    /// Copies afterwards.
    pub(super) to: u8,
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

pub(super) fn read(arguments: &Arguments) -> Result<Input, Failure> {
    let (mut nodes, owners, from) = match &arguments.map {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
            let layout: Layout = serde_json::from_str(&text).map_err(|error| {
                usage(format!("{} is no output of `miroirctl shards --output json`: {error}", path.display()))
            })?;
            from_layout(&layout)?
        }
        None => {
            let nodes: Vec<NodeSpec> = match (arguments.nodes, arguments.node.as_slice()) {
                (Some(count), _) => (0..count).map(|at| plain(format!("node-{at}"))).collect(),
                (None, []) => return Err(usage("give the cluster as it is: --map, --nodes or --node")),
                (None, named) => named.iter().map(|text| node(text)).collect::<Result<_, _>>()?,
            };
            let owners = placed(place(&nodes, arguments.shards, arguments.from_rf))?;
            (nodes, owners, arguments.from_rf)
        }
    };
    let old = nodes.len();
    for text in &arguments.add {
        match text.parse::<u16>() {
            Ok(count) => {
                for _ in 0..count {
                    let free = (nodes.len()..).map(|at| format!("node-{at}"));
                    let id = free.into_iter().find(|id| !nodes.iter().any(|node| node.id == *id));
                    nodes.extend(id.map(plain));
                }
            }
            Err(_) => nodes.push(node(text)?),
        }
    }
    let mut going = vec![false; nodes.len()];
    for id in &arguments.remove {
        let at = nodes.iter().position(|node| node.id == *id);
        let at = at.ok_or_else(|| Failure::new(Exit::NotFound, format!("no node has the id `{id}`")))?;
        going[at] = true;
    }
    Ok(Input { nodes, old, going, owners, from, to: arguments.rf.unwrap_or(from) })
}

/// Nodes, owners of each shard by position, and copies aimed for.
type Cluster = (Vec<NodeSpec>, Vec<Vec<usize>>, u8);

/// The owners of a layout's first placement: copies that are, or are being made, in sync.
fn from_layout(layout: &Layout) -> Result<Cluster, Failure> {
    let spec = |node: &miroir_admin::LayoutNode| NodeSpec {
        id: node.id.clone(),
        weight: node.weight,
        zone: node.zone.clone(),
    };
    let nodes: Vec<NodeSpec> = layout.nodes.iter().map(spec).collect();
    let positions: HashMap<&str, usize> = nodes.iter().enumerate().map(|(at, node)| (node.id.as_str(), at)).collect();
    let owners: Vec<Vec<usize>> = layout
        .shards
        .iter()
        .filter(|shard| shard.placement == 0)
        .map(|shard| {
            let staying = shard.copies.iter().filter(|copy| copy.state != CopyState::Retiring);
            staying.filter_map(|copy| positions.get(copy.node.as_str()).copied()).collect()
        })
        .collect();
    if nodes.is_empty() || owners.is_empty() {
        return Err(usage("the map has no nodes or no shards"));
    }
    Ok((nodes, owners, layout.replication_factor))
}

fn plain(id: String) -> NodeSpec {
    NodeSpec { id, weight: 1.0, zone: None }
}

fn node(text: &str) -> Result<NodeSpec, Failure> {
    let fault = || usage(format!("`{text}` is not ID[,weight=W][,zone=Z]"));
    let mut fields = text.split(',');
    let mut spec = plain(fields.next().filter(|id| !id.is_empty()).ok_or_else(fault)?.to_owned());
    for field in fields {
        match field.split_once('=') {
            Some(("weight", weight)) => spec.weight = weight.parse().map_err(|_| fault())?,
            Some(("zone", zone)) => spec.zone = Some(zone.to_owned()),
            _ => return Err(fault()),
        }
    }
    Ok(spec)
}

/// A placement, or why there is none.
pub(super) fn placed<T>(placed: Result<T, miroir_core::placement::PlacementError>) -> Result<T, Failure> {
    placed.map_err(|error| Failure::new(Exit::Refused, error.to_string()))
}
