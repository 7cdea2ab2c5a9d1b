//! The check of the built filter against the proxy-wasm ABI, under node.

use std::path::Path;
use std::process::Command;

use miroir_core::shardmap::{Limits, MapIndex, MapNode, Placement, SearchView, ShardMap, print};

use crate::shell::{root, step};

/// Checks imports and exports of `module`, and runs it on a host of stubs.
///
/// # Errors
/// When the module does not fit, or node is missing.
pub fn check(module: &Path) -> anyhow::Result<()> {
    let mut node = Command::new("node");
    node.arg(root().join("filter/tests/abi.mjs")).arg(module);
    step("the filter against the proxy-wasm ABI", node.args([print(&map(7))?, print(&map(8))?]))
}

/// Two nodes that both hold the index `m`.
fn map(epoch: u64) -> ShardMap {
    let node = |id: &str| MapNode {
        id: id.to_owned(),
        cluster: id.to_owned(),
        write_cluster: format!("{id}-w"),
        readable: true,
        last_resort: false,
    };
    let index = MapIndex {
        incarnation: 1,
        primary_key: Some("id".to_owned()),
        placement: 0,
        swapping: false,
        unreadable: Vec::new(),
        view: SearchView::default(),
    };
    ShardMap {
        cluster: "c0ffee00".to_owned(),
        epoch,
        shards: 4,
        replication_factor: 2,
        nodes: vec![node("n0"), node("n1")],
        stale: Vec::new(),
        placements: vec![Placement { owners: vec![vec![0, 1]; 4] }],
        indexes: [("m".to_owned(), index)].into(),
        limits: Limits::default(),
        policies: Default::default(),
        control_cluster: "control".to_owned(),
        control_internal_cluster: "internal".to_owned(),
    }
}
