//! Copies that leave: who keeps them from being deleted, and what may still arrive at them.

use miroir_core::wire::*;
use miroir_sequencer::*;

use crate::desk::{Desk, config, write};

/// Three nodes; n0 and n1 have a copy of the only shard each, with ten documents.
fn cluster(vm_silent: u64) -> Desk {
    let mut config = config(3, vec![vec![0, 1]]);
    config.timing.vm_silent = vm_silent;
    let mut desk = Desk::new(config, true);
    desk.repairs = true;
    for id in ["n0", "n1"] {
        desk.nodes.get_mut(id).unwrap().documents = (0..10).map(|at| (format!("{at:04}"), at)).collect();
    }
    desk
}

fn deletions(desk: &Desk, node: &str) -> usize {
    desk.nodes[node].copying.iter().filter(|action| matches!(action, NodeAction::DeleteShard { .. })).count()
}

fn force(desk: &mut Desk) -> String {
    match desk.command(AdminCommand::ForceDeletion) {
        AdminAnswer::Done { message } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_operator_has_copies_deleted_that_a_filter_keeps_which_is_gone() {
    let mut desk = cluster(10_000);
    assert_eq!(force(&mut desk), "no copy waits for filters before it is deleted");
    let before = desk.sequencer.epoch();
    desk.heartbeat("gone", None, before);
    let (to, leaving) = ("n2".to_owned(), Some("n1".to_owned()));
    desk.send(Event::Sync(SyncCommand::Begin { placement: 0, shard: 0, to, leaving }));
    desk.wait(3_600_000);
    assert_eq!(desk.nodes["n1"].documents.len(), 10, "it may still read");
    desk.heartbeat("behind", None, before);
    assert_eq!(force(&mut desk), "1 copies that leave wait no longer for 1 silent filter workers");
    desk.restart();
    desk.wait(9_000);
    assert_eq!(desk.nodes["n1"].documents.len(), 10, "a filter that has just been heard is waited for");
    desk.wait(60_000);
    assert!(desk.nodes["n1"].documents.is_empty() && desk.sequencer.retirements().is_empty());
}

#[test]
fn a_filter_that_has_said_goodbye_is_not_waited_for() {
    let mut desk = cluster(10_000);
    let before = desk.sequencer.epoch();
    desk.heartbeat("replaced", None, before);
    let (to, leaving) = ("n2".to_owned(), Some("n1".to_owned()));
    desk.send(Event::Sync(SyncCommand::Begin { placement: 0, shard: 0, to, leaving }));
    desk.wait(3_600_000);
    assert_eq!(desk.nodes["n1"].documents.len(), 10, "it may still read");
    let gone = Heartbeat {
        vm: "replaced".into(),
        epoch: before,
        oldest_epoch: before,
        rejected: None,
        gone: true,
        envoy: None,
    };
    desk.send(Event::Heartbeat(gone));
    // And nobody remembers it.
    desk.restart();
    desk.wait(60_000);
    assert!(desk.nodes["n1"].documents.is_empty() && desk.sequencer.retirements().is_empty());
}

#[test]
fn a_copy_is_not_deleted_while_a_page_for_it_may_still_come() {
    // Sooner than a fence takes.
    let mut desk = cluster(100);
    desk.nodes.get_mut("n2").unwrap().awaits_pages = true;
    desk.send(Event::Sync(SyncCommand::Begin { placement: 0, shard: 0, to: "n2".to_owned(), leaving: None }));
    let page = |desk: &Desk| {
        desk.nodes["n2"].copying.iter().find_map(|action| match action {
            NodeAction::PutPage { metadata, .. } => Some(metadata.clone()),
            _ => None,
        })
    };
    while page(&desk).is_none() {
        desk.wait(10);
    }
    desk.send(Event::Sync(SyncCommand::Cancel { placement: 0, shard: 0, to: "n2".to_owned() }));
    desk.wait(1_000);
    assert!(desk.sequencer.retirements().first().is_some_and(|row| row.deleting), "{:?}", desk.sequencer.copies());
    assert_eq!(deletions(&desk, "n2"), 0, "what was sent may come behind the deletion");
    // There it comes, before the fence has closed the door.
    let (metadata, n2) = (page(&desk).unwrap(), desk.nodes.get_mut("n2").unwrap());
    n2.documents.insert("0001".to_owned(), 1);
    n2.awaits_pages = false;
    desk.add_task("n2", Some(&metadata), "documentAdditionOrUpdate", Some("a"), TaskStatus::Succeeded, Some(1));
    desk.wait(10_000);
    assert_eq!((deletions(&desk, "n2"), desk.nodes["n2"].documents.len()), (1, 0));
    assert!(desk.sequencer.retirements().is_empty());
}

/// A write of these shards that each of its nodes has taken, and `lazy` has yet to do.
fn taken_but_not_done(desk: &mut Desk, attempt: &str, shards: &[u32], lazy: &str) {
    let grant = desk.granted(write(attempt, shards));
    let nodes: Vec<String> = grant.parts.iter().map(|part| part.node.clone()).collect();
    let taken: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (status, count) =
                if node == lazy { (TaskStatus::Enqueued, None) } else { (TaskStatus::Succeeded, Some(1)) };
            let add = "documentAdditionOrUpdate";
            let uid = desk.add_task(node, Some(&grant.metadata), add, Some("a"), status, count);
            (node.as_str(), PartOutcome::Accepted { uid })
        })
        .collect();
    let commit = desk.commit(&grant, attempt, &taken);
    assert_eq!(desk.status(commit), Some(202));
}

#[test]
fn a_copy_is_deleted_though_its_node_always_has_writes_to_do() {
    let mut desk = cluster(1_000);
    let (to, leaving) = ("n2".to_owned(), Some("n1".to_owned()));
    desk.send(Event::Sync(SyncCommand::Begin { placement: 0, shard: 0, to, leaving }));
    while desk.sequencer.retirements().is_empty() {
        desk.wait(100);
    }
    taken_but_not_done(&mut desk, "t1", &[0], "n1");
    desk.wait(10_000);
    assert_eq!((deletions(&desk, "n1"), desk.sequencer.retirements().len()), (1, 0));
}

#[test]
fn a_copy_is_filled_though_its_node_always_has_writes_of_other_shards_to_do() {
    let mut desk = Desk::new(config(3, vec![vec![0, 1], vec![0, 2]]), true);
    desk.repairs = true;
    taken_but_not_done(&mut desk, "t1", &[0, 1], "n2");
    desk.send(Event::Sync(SyncCommand::Begin { placement: 0, shard: 0, to: "n2".to_owned(), leaving: None }));
    desk.wait(5_000);
    let copies = desk.sequencer.copies();
    let filled = copies.iter().find(|copy| copy.shard == 0 && copy.node == "n2");
    assert_eq!(filled.map(|copy| copy.state), Some(CopyState::InSync), "{copies:?}");
}
