//! Nodes that are removed by force: what takes the place of last copies.

use std::collections::BTreeSet;

use miroir_sequencer::*;

use crate::desk::{Desk, config, write};
use crate::fake_node::FakeNode;

fn silence(desk: &mut Desk, node: &str) {
    desk.nodes.get_mut(node).unwrap().silent = Some(NodeFault::NotSent);
    desk.wait(5_000);
}

fn remove(desk: &mut Desk, node: &str) -> LossView {
    match desk.command(AdminCommand::NodeRemove { node: node.into(), force: true }) {
        AdminAnswer::Removed { loss, .. } => loss,
        other => panic!("{other:?}"),
    }
}

/// The copies of shard 0; no node has two.
fn copies(desk: &Desk) -> Vec<(String, CopyState)> {
    let copies: Vec<CopyRow> = desk.sequencer.copies().into_iter().filter(|copy| copy.shard == 0).collect();
    let nodes: BTreeSet<&String> = copies.iter().map(|copy| &copy.node).collect();
    assert_eq!(nodes.len(), copies.len(), "a node with two copies of one shard: {copies:?}");
    copies.into_iter().map(|copy| (copy.node, copy.state)).collect()
}

/// Shard 0 is on n1, which is silent, and n2, which has come back with an empty disk meanwhile.
fn half_lost(others: Vec<Vec<u16>>) -> Desk {
    let mut desk = Desk::new(config(3, [vec![vec![1, 2]], others].concat()), true);
    desk.repairs = true;
    silence(&mut desk, "n2");
    silence(&mut desk, "n1");
    *desk.nodes.get_mut("n2").unwrap() = FakeNode::default();
    desk.wait(10_000);
    desk
}

#[test]
fn a_shard_of_which_nothing_is_left_begins_anew_on_a_node_without_a_copy() {
    // n2 holds less than n0.
    let mut desk = half_lost(vec![vec![0, 1], vec![0, 1]]);
    let loss = remove(&mut desk, "n1");
    assert!(loss.emptied.contains(&ShardName { placement: 0, shard: 0 }), "{loss:?}");
    assert!(copies(&desk).contains(&("n0".to_owned(), CopyState::InSync)), "{:?}", copies(&desk));
    desk.wait(60_000);
    copies(&desk);
    desk.granted(write("t2", &[0]));
}

#[test]
fn where_every_node_has_a_copy_one_of_them_begins_anew() {
    let mut desk = half_lost(vec![vec![0, 1]]);
    silence(&mut desk, "n0");
    let loss = remove(&mut desk, "n1");
    assert!(loss.emptied.contains(&ShardName { placement: 0, shard: 0 }), "{loss:?}");
    assert!(copies(&desk).contains(&("n2".to_owned(), CopyState::InSync)), "{:?}", copies(&desk));
    desk.wait(60_000);
    copies(&desk);
    desk.granted(write("t2", &[0]));
}

#[test]
fn a_shard_does_not_begin_anew_where_its_documents_are_being_deleted() {
    let mut desk = Desk::new(config(3, vec![vec![0]]), true);
    desk.repairs = true;
    let (to, leaving) = ("n1".to_owned(), Some("n0".to_owned()));
    desk.send(Event::Sync(SyncCommand::Begin { placement: 0, shard: 0, to, leaving }));
    desk.nodes.get_mut("n0").unwrap().awaits_pages = true;
    while !desk.sequencer.retirements().first().is_some_and(|row| row.deleting) {
        desk.wait(100);
    }
    silence(&mut desk, "n1");
    let loss = remove(&mut desk, "n1");
    assert_eq!(loss.emptied, [ShardName { placement: 0, shard: 0 }]);
    assert!(copies(&desk).contains(&("n2".to_owned(), CopyState::InSync)), "{:?}", copies(&desk));
}
