//! Disks that are away and come back, and what a disk brings with it that is not wanted.

use miroir_core::wire::*;
use miroir_sequencer::{
    AdminCommand, CopyState, IndexOperation, NodeAction, NodeFault, NodeStep, NodeTask, TaskStatus,
};

use crate::desk::{Desk, config, write};
use crate::fake_node::FakeNode;

const ADD: &str = "documentAdditionOrUpdate";

fn alone() -> Desk {
    let mut desk = Desk::new(config(2, vec![vec![0], vec![1]]), true);
    desk.repairs = true;
    desk
}

/// Another disk takes the place of the node's, as after a restart with another volume. Returns the one that it had.
fn swap_disk(desk: &mut Desk, node: &str, disk: FakeNode) -> FakeNode {
    desk.nodes.get_mut(node).unwrap().silent = Some(NodeFault::NotSent);
    desk.wait(1_500);
    let before = std::mem::replace(desk.nodes.get_mut(node).unwrap(), disk);
    desk.nodes.get_mut(node).unwrap().silent = None;
    desk.wait(10_000);
    FakeNode { silent: None, ..before }
}

fn phase(desk: &Desk, node: &str) -> &'static str {
    desk.sequencer.nodes().into_iter().find(|status| status.id == node).unwrap().phase
}

fn done(desk: &mut Desk, attempt: &str, shard: u32) -> Grant {
    let grant = desk.granted(write(attempt, &[shard]));
    let parts = desk.accept_all(&grant, 1);
    let parts: Vec<(&str, PartOutcome)> = parts.iter().map(|(node, said)| (node.as_str(), said.clone())).collect();
    desk.commit(&grant, attempt, &parts);
    desk.wait(100);
    grant
}

/// A node has accepted a write of which it is not known yet where it is in its list. The node's list before that: by
/// what has been read, the two are the same.
fn ahead_of_what_was_read() -> (Desk, Vec<NodeTask>) {
    let mut desk = alone();
    done(&mut desk, "t1", 0);
    let older = desk.nodes["n0"].tasks.clone();
    let grant = desk.granted(write("t2", &[0]));
    let parts = desk.accept_all(&grant, 1);
    desk.commit(&grant, "t2", &[("n0", parts[0].1.clone())]);
    (desk, older)
}

#[test]
fn the_disk_with_the_last_copy_is_known_when_it_comes_back() {
    for restarts in [false, true] {
        let mut desk = alone();
        done(&mut desk, "t1", 0);
        let own = swap_disk(&mut desk, "n0", FakeNode::default());
        assert!(desk.alerts.contains(&"new_incarnation"));
        assert_eq!(desk.answered(write("t2", &[0])).status, 503, "the only copy is away");
        if restarts {
            desk.restart();
            desk.wait(6_000);
        }
        swap_disk(&mut desk, "n0", own);
        assert!(desk.alerts.contains(&"disk_back"));
        assert_eq!(phase(&desk, "n0"), "ready");
        assert!(desk.sequencer.map().stale.is_empty());
        done(&mut desk, "t3", 0);
        let fences = &desk.nodes["n0"].fences;
        assert!(fences.is_sorted() && fences.len() >= 3, "it is fenced before it is used: {fences:?}");
    }
}

#[test]
fn an_older_state_of_that_disk_is_not_taken_for_it() {
    let (mut desk, older) = ahead_of_what_was_read();
    swap_disk(&mut desk, "n0", FakeNode::default());
    swap_disk(&mut desk, "n0", FakeNode { tasks: older, ..FakeNode::default() });
    assert!(!desk.alerts.contains(&"disk_back"));
    assert_eq!(desk.answered(write("t3", &[0])).status, 503);
    let taken = |desk: &Desk| desk.alerts.iter().filter(|kind| **kind == "new_incarnation").count();
    let times = taken(&desk);
    desk.wait(60_000);
    assert_eq!((taken(&desk), phase(&desk, "n0")), (times, "ready"), "it is looked at once");
}

#[test]
fn that_disk_is_known_when_it_takes_the_place_of_an_older_state_of_itself() {
    let (mut desk, older) = ahead_of_what_was_read();
    let own = swap_disk(&mut desk, "n0", FakeNode { tasks: older, ..FakeNode::default() });
    assert!(desk.alerts.contains(&"new_incarnation") && !desk.alerts.contains(&"disk_back"));
    // At once, so that nobody sees the node without a disk.
    *desk.nodes.get_mut("n0").unwrap() = own;
    desk.wait(10_000);
    assert!(desk.alerts.contains(&"disk_back"));
    done(&mut desk, "t3", 0);
}

#[test]
fn a_disk_that_took_the_same_write_is_not_taken_for_it() {
    let (mut desk, _) = ahead_of_what_was_read();
    let newest = desk.nodes["n0"].tasks.last().cloned().unwrap();
    let mut own = swap_disk(&mut desk, "n0", FakeNode::default());
    // Its list is as long and ends alike, and what was read of it before is of another time.
    own.tasks.iter_mut().for_each(|task| task.enqueued_at.push_str("-other"));
    assert_eq!(own.tasks.last().map(|task| &task.metadata), Some(&newest.metadata));
    swap_disk(&mut desk, "n0", own);
    assert!(!desk.alerts.contains(&"disk_back"));
    assert_eq!(desk.answered(write("t3", &[0])).status, 503);
}

#[test]
fn a_disk_that_does_not_show_what_was_just_accepted_is_another_one() {
    let mut desk = Desk::bare(config(2, vec![vec![0, 1]]));
    desk.repairs = true;
    desk.wait(2_500);
    desk.operate(IndexOperation::Create { uid: "a".into(), primary_key: None });
    // Another one with a task of that number and kind, in the place of the one that has just accepted it.
    let tasks = &mut desk.nodes.get_mut("n0").unwrap().tasks;
    assert_eq!(tasks.len(), 1);
    tasks[0].enqueued_at = "at another time".into();
    desk.wait(30_000);
    assert!(desk.alerts.contains(&"new_incarnation"));
}

#[test]
fn what_another_disk_shows_of_its_indexes_is_not_taken_for_the_one_that_is_away() {
    let mut desk = alone();
    done(&mut desk, "t1", 0);
    let other = FakeNode { indexes: vec![("a".into(), "elsewhere".into())], ..FakeNode::default() };
    let own = swap_disk(&mut desk, "n0", other);
    swap_disk(&mut desk, "n0", own);
    assert!(desk.alerts.contains(&"disk_back"));
    assert_eq!(phase(&desk, "n0"), "ready");
}

#[test]
fn a_disk_without_a_task_that_was_accepted_is_another_one() {
    let mut desk = Desk::bare(config(2, vec![vec![0, 1]]));
    desk.repairs = true;
    desk.wait(2_500);
    // Accepted by both, and not read yet.
    let creation = desk.operate(IndexOperation::Create { uid: "a".into(), primary_key: None });
    desk.nodes.get_mut("n0").unwrap().tasks.clear();
    for _ in 0..3 {
        desk.add_task("n0", None, ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    }
    desk.nodes.get_mut("n0").unwrap().tasks.remove(0);
    desk.wait(30_000);
    assert!(desk.alerts.contains(&"new_incarnation"));
    assert_eq!(desk.task(creation).status, TaskStatus::Succeeded);
    assert_eq!((phase(&desk, "n0"), desk.sequencer.tickets().count()), ("ready", 0));
}

#[test]
fn an_index_that_a_node_was_told_to_drop_is_not_missed() {
    let mut desk = Desk::new(config(2, vec![vec![0, 1]]), true);
    desk.repairs = true;
    let both = vec![("a".to_owned(), "monday".to_owned()), ("x".to_owned(), "sunday".to_owned())];
    desk.nodes.get_mut("n1").unwrap().indexes = both;
    desk.restart();
    desk.wait(6_000);
    desk.tells = vec![NodeStep {
        method: "DELETE".into(),
        path: "/indexes/x".into(),
        body: None,
        task_type: "indexDeletion".into(),
        task_index: Some("x".into()),
        tolerate: Vec::new(),
    }];
    desk.add_task("n1", None, "settingsUpdate", Some("a"), TaskStatus::Succeeded, None);
    desk.wait(6_000);
    assert!(desk.tells.is_empty(), "somebody changed an index behind its back: it is looked at");
    desk.nodes.get_mut("n1").unwrap().indexes.pop();
    desk.restart();
    desk.wait(6_000);
    assert!(!desk.alerts.contains(&"new_incarnation"));
    assert_eq!(phase(&desk, "n1"), "ready");
}

#[test]
fn a_disk_with_other_indexes_is_not_taken_for_it() {
    let mut desk = alone();
    desk.nodes.get_mut("n0").unwrap().indexes = vec![("a".into(), "monday".into())];
    desk.nodes.get_mut("n0").unwrap().silent = Some(NodeFault::NotSent);
    desk.wait(1_500);
    desk.nodes.get_mut("n0").unwrap().silent = None;
    desk.wait(6_000);
    done(&mut desk, "t1", 0);
    let mut own = swap_disk(&mut desk, "n0", FakeNode::default());
    own.indexes = vec![("a".into(), "tuesday".into())];
    swap_disk(&mut desk, "n0", own);
    assert!(!desk.alerts.contains(&"disk_back"));
}

#[test]
fn what_happened_to_indexes_meanwhile_is_done_first() {
    let mut desk = alone();
    done(&mut desk, "t1", 0);
    let own = swap_disk(&mut desk, "n0", FakeNode::default());
    desk.operate(IndexOperation::Create { uid: "b".into(), primary_key: None });
    desk.wait(500);
    let before = own.tasks.len();
    swap_disk(&mut desk, "n0", own);
    let taken: Vec<(&str, Option<&str>)> =
        desk.nodes["n0"].tasks[before..].iter().map(|task| (task.task_type.as_str(), task.index.as_deref())).collect();
    assert_eq!(taken[0], ("indexCreation", Some("b")));
    assert_eq!(phase(&desk, "n0"), "ready");
}

#[test]
fn a_write_that_only_the_disk_that_is_away_may_have_waits_for_it() {
    let mut desk = alone();
    let grant = desk.granted(write("t1", &[0]));
    desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.nodes.get_mut("n0").unwrap().silent = Some(NodeFault::Unknown);
    let own = swap_disk(&mut desk, "n0", FakeNode::default());
    let request = desk.commit(&grant, "t1", &[("n0", PartOutcome::Unknown)]);
    assert_eq!(desk.status(request), Some(503), "the outcome is unknown");
    assert!(!desk.tasks.contains_key(&grant.ticket));
    swap_disk(&mut desk, "n0", own);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
}

#[test]
fn a_disk_whose_copies_are_given_up_is_forgotten() {
    let mut desk = alone();
    done(&mut desk, "t1", 0);
    let own = swap_disk(&mut desk, "n0", FakeNode::default());
    desk.command(AdminCommand::AcceptLoss { node: "n0".into(), placement: 0, shards: vec![0] });
    done(&mut desk, "t2", 0);
    swap_disk(&mut desk, "n0", own);
    assert!(!desk.alerts.contains(&"disk_back"), "the one with t2 counts");
    let copy = desk.sequencer.copies().into_iter().find(|copy| copy.shard == 0).unwrap();
    assert_eq!(copy.state, CopyState::InSync);
    assert_eq!(desk.answered(write("t3", &[0])).status, 503);
}

/// What a node was told to delete by tag.
fn swept(desk: &Desk, node: &str) -> Vec<NodeStep> {
    let steps = desk.nodes[node].told.iter().filter(|step| step.task_type == "documentDeletion");
    steps.cloned().collect()
}

#[test]
fn a_disk_from_elsewhere_loses_the_documents_of_other_shards() {
    let mut desk = alone();
    done(&mut desk, "t1", 0);
    let older = desk.nodes["n0"].tasks[..1].to_vec();
    swap_disk(&mut desk, "n0", FakeNode { tasks: older, ..FakeNode::default() });
    let told = swept(&desk, "n0");
    let filter = miroir_core::tag::filter_clause(&[1], 2);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].path, "/indexes/a/documents/delete");
    assert_eq!(told[0].body, Some(serde_json::json!({ "filter": filter }).to_string()), "shard 0 is its own");
    assert!(desk.alerts.contains(&"node_rebuilt"));
    assert!(!desk.nodes["n0"].copying.iter().any(|action| matches!(action, NodeAction::DeleteShard { .. })));
}

#[test]
fn the_disk_of_another_node_is_left_alone() {
    let mut desk = alone();
    done(&mut desk, "t1", 0);
    done(&mut desk, "t2", 1);
    let silence = |desk: &mut Desk, silent: Option<NodeFault>| {
        desk.nodes.values_mut().for_each(|node| node.silent.clone_from(&silent));
        desk.wait(12_000);
    };
    let exchange = |desk: &mut Desk| {
        silence(desk, Some(NodeFault::NotSent));
        let mut first = std::mem::take(desk.nodes.get_mut("n0").unwrap());
        std::mem::swap(&mut first, desk.nodes.get_mut("n1").unwrap());
        *desk.nodes.get_mut("n0").unwrap() = first;
        silence(desk, None);
    };
    exchange(&mut desk);
    assert!(desk.alerts.contains(&"wrong_disk"));
    assert!(swept(&desk, "n0").is_empty() && swept(&desk, "n1").is_empty());
    exchange(&mut desk);
    assert_eq!((phase(&desk, "n0"), phase(&desk, "n1")), ("ready", "ready"));
    done(&mut desk, "t3", 0);
    done(&mut desk, "t4", 1);
}
