//! Nodes that fall silent, come back, and come back as somebody else; control's own restart.

use miroir_core::invariants::Invariant;
use miroir_core::wire::*;
use miroir_sequencer::{AdminAnswer, AdminCommand, CopyState, Event, IndexOperation, NewNode, NodeFault, TaskStatus};

use crate::desk::{Desk, config, write};
use crate::fake_node::FakeNode;

const ADD: &str = "documentAdditionOrUpdate";

fn pair() -> Desk {
    Desk::new(config(2, vec![vec![0, 1], vec![1, 0]]), true)
}

fn silence(desk: &mut Desk, node: &str) {
    desk.nodes.get_mut(node).unwrap().silent = Some(NodeFault::NotSent);
    desk.wait(1_500);
}

fn wake(desk: &mut Desk, node: &str) {
    desk.nodes.get_mut(node).unwrap().silent = None;
    desk.wait(5_000);
}

fn phase(desk: &Desk, node: &str) -> &'static str {
    desk.sequencer.nodes().into_iter().find(|status| status.id == node).unwrap().phase
}

#[test]
fn a_node_that_missed_nothing_is_used_again_in_full() {
    let mut desk = pair();
    silence(&mut desk, "n1");
    assert_eq!(phase(&desk, "n1"), "down");
    assert_eq!(desk.sequencer.map().stale.len(), 2, "not read while it is away");
    wake(&mut desk, "n1");
    assert_eq!(phase(&desk, "n1"), "ready");
    assert!(desk.sequencer.map().stale.is_empty());
    assert_eq!(desk.nodes["n1"].fences, [1, 2]);
    assert_eq!(desk.granted(write("t1", &[0])).parts.len(), 2);
}

#[test]
fn a_node_that_missed_a_write_stays_stale_for_that_shard_only() {
    let mut desk = pair();
    silence(&mut desk, "n1");
    let grant = desk.granted(write("t1", &[0]));
    assert_eq!(grant.parts.len(), 1);
    let uid = desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    let request = desk.commit(&grant, "t1", &[("n0", PartOutcome::Accepted { uid })]);
    assert_eq!(desk.status(request), Some(202));
    wake(&mut desk, "n1");
    let stale: Vec<(u32, u16)> = desk.sequencer.map().stale.iter().map(|mark| (mark.shard, mark.node)).collect();
    assert_eq!(stale, [(0, 1)]);
    assert_eq!(desk.granted(write("t2", &[1])).parts.len(), 2);
}

#[test]
fn the_last_copy_is_never_stale_its_shard_is_down() {
    let mut desk = pair();
    silence(&mut desk, "n1");
    let grant = desk.granted(write("t1", &[0]));
    let uid = desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.commit(&grant, "t1", &[("n0", PartOutcome::Accepted { uid })]);
    wake(&mut desk, "n1");
    let accept = || AdminCommand::AcceptLoss { node: "n1".into(), placement: 0, shards: vec![0] };
    let AdminAnswer::Refused(refusal) = desk.command(accept()) else { panic!("t1 was given up, which n0 has") };
    assert_eq!(refusal.code, "shard_served");
    silence(&mut desk, "n0");
    assert_eq!(desk.answered(write("t2", &[0])).status, 503, "n1 has missed t1");
    let state =
        |desk: &Desk, node: &str| desk.sequencer.copies().into_iter().find(|copy| copy.shard == 0 && copy.node == node);
    assert_eq!(state(&desk, "n0").unwrap().state, CopyState::InSync);
    desk.command(accept());
    assert_eq!(state(&desk, "n0").unwrap().state, CopyState::Stale);
    assert_eq!(desk.granted(write("t3", &[0])).parts[0].node, "n1");
}

#[test]
fn a_ticket_that_only_a_lost_node_may_have_waits_for_it_and_others_are_refused_at_once() {
    let mut desk = Desk::new(config(1, vec![vec![0]]), true);
    let grant = desk.granted(write("t1", &[0]));
    desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.nodes.get_mut("n0").unwrap().silent = Some(NodeFault::Unknown);
    let request = desk.commit(&grant, "t1", &[("n0", PartOutcome::Unknown)]);
    assert_eq!(desk.status(request), Some(503), "the outcome is unknown");
    assert_eq!(desk.answered(write("t2", &[0])).status, 503);
    wake(&mut desk, "n0");
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
    desk.granted(write("t3", &[0]));
}

/// A write that both nodes have accepted, and that only `n0` has done before it is reported; `n1` is away.
fn owed(desk: &mut Desk) -> u32 {
    let grant = desk.granted(write("t1", &[0]));
    let done = desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    let open = desk.add_task("n1", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Enqueued, None);
    silence(desk, "n1");
    let said = [("n0", PartOutcome::Accepted { uid: done }), ("n1", PartOutcome::Accepted { uid: open })];
    desk.commit(&grant, "t1", &said);
    desk.wait(600);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
    open
}

fn unread(desk: &Desk) -> Vec<(u32, u16)> {
    desk.sequencer.map().stale.iter().map(|mark| (mark.shard, mark.node)).collect()
}

#[test]
fn a_copy_that_has_not_done_what_was_reported_is_not_read_even_as_the_last_one() {
    let mut desk = pair();
    let task = owed(&mut desk);
    silence(&mut desk, "n0");
    assert_eq!(unread(&desk), [(0, 1)], "shard 1 misses nothing anywhere");
    desk.restart();
    desk.wait(1_500);
    assert_eq!(unread(&desk), [(0, 1)], "a new leader knows it too");
    desk.end_task("n1", task, TaskStatus::Succeeded, Some(1));
    wake(&mut desk, "n1");
    assert_eq!(unread(&desk), [(0, 0), (1, 0)], "now the other one is behind");
}

#[test]
fn a_node_is_read_again_with_all_that_was_reported_while_it_caught_up() {
    let mut desk = pair();
    let first = owed(&mut desk);
    wake(&mut desk, "n1");
    assert_eq!(phase(&desk, "n1"), "catching_up");
    let grant = desk.granted(write("t2", &[0]));
    let done = desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    let second = desk.add_task("n1", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Enqueued, None);
    let said = [("n0", PartOutcome::Accepted { uid: done }), ("n1", PartOutcome::Accepted { uid: second })];
    desk.commit(&grant, "t2", &said);
    desk.wait(600);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded, "nobody waits for a node that catches up");
    desk.end_task("n1", first, TaskStatus::Succeeded, Some(1));
    desk.wait(600);
    assert_eq!(phase(&desk, "n1"), "catching_up", "it has not done the second write");
    desk.end_task("n1", second, TaskStatus::Succeeded, Some(1));
    desk.wait(600);
    assert_eq!(phase(&desk, "n1"), "ready");
}

/// Two writes that both nodes have accepted and not yet done: their tasks on n0 and n1, and their uids.
fn two_accepted(desk: &mut Desk) -> ([[u32; 2]; 2], [u32; 2]) {
    let accepted = ["t1", "t2"].map(|attempt| {
        let grant = desk.granted(write(attempt, &[0]));
        let tasks = ["n0", "n1"]
            .map(|node| desk.add_task(node, Some(&grant.metadata), ADD, Some("a"), TaskStatus::Enqueued, None));
        let said = [("n0", PartOutcome::Accepted { uid: tasks[0] }), ("n1", PartOutcome::Accepted { uid: tasks[1] })];
        desk.commit(&grant, attempt, &said);
        (tasks, grant.ticket)
    });
    (accepted.map(|(tasks, _)| tasks), accepted.map(|(_, ticket)| ticket))
}

#[test]
fn a_node_that_catches_up_is_read_for_want_of_another_as_soon_as_it_has_done_what_was_reported() {
    let mut desk = pair();
    let (tasks, tickets) = two_accepted(&mut desk);
    silence(&mut desk, "n1");
    desk.end_task("n0", tasks[0][0], TaskStatus::Succeeded, Some(1));
    desk.wait(600);
    assert_eq!(desk.task(tickets[0]).status, TaskStatus::Succeeded);
    silence(&mut desk, "n0");
    wake(&mut desk, "n1");
    assert_eq!((phase(&desk, "n1"), unread(&desk)), ("catching_up", vec![(0, 1)]));
    desk.end_task("n1", tasks[0][1], TaskStatus::Succeeded, Some(1));
    desk.wait(600);
    assert_eq!((phase(&desk, "n1"), unread(&desk)), ("catching_up", vec![]));
}

/// After a power cycle, say: whichever is the first to do a write, the other one has done what was reported before.
#[test]
fn nodes_that_come_back_together_are_read_while_both_catch_up() {
    let mut desk = pair();
    let (uids, grants) = two_accepted(&mut desk);
    silence(&mut desk, "n0");
    silence(&mut desk, "n1");
    wake(&mut desk, "n0");
    wake(&mut desk, "n1");
    let ends = |desk: &mut Desk, node: &str, uid: u32| {
        desk.end_task(node, uid, TaskStatus::Succeeded, Some(1));
        desk.wait(600);
        assert!(unread(desk).is_empty(), "{:?}", unread(desk));
    };
    assert_eq!((phase(&desk, "n0"), phase(&desk, "n1")), ("catching_up", "catching_up"));
    ends(&mut desk, "n0", uids[0][0]);
    assert_eq!(desk.task(grants[0]).status, TaskStatus::Enqueued, "who reads n1 does not find it yet");
    ends(&mut desk, "n1", uids[0][1]);
    assert_eq!(desk.task(grants[0]).status, TaskStatus::Succeeded);
    desk.end_task("n1", uids[1][1], TaskStatus::Succeeded, Some(1));
    desk.wait(600);
    assert_eq!((phase(&desk, "n1"), unread(&desk)), ("ready", vec![(0, 0), (1, 0)]));
    assert_eq!(desk.task(grants[1]).status, TaskStatus::Succeeded);
    ends(&mut desk, "n0", uids[1][0]);
    assert_eq!(phase(&desk, "n0"), "ready");
}

#[test]
fn an_emptied_disk_is_another_incarnation() {
    let mut desk = pair();
    let node = desk.nodes.get_mut("n1").unwrap();
    node.tasks.clear();
    desk.wait(1_500);
    assert!(desk.alerts.contains(&"new_incarnation"));
    assert_eq!(phase(&desk, "n1"), "rebuild");
    let map = desk.sequencer.map();
    assert_eq!(map.stale.len(), 2);
    assert!(!map.nodes[1].readable);
    assert_eq!(desk.granted(write("t1", &[0, 1])).parts.len(), 1);
}

#[test]
fn an_index_created_anew_behind_our_back_is_another_incarnation() {
    let mut desk = pair();
    desk.nodes.get_mut("n1").unwrap().indexes = vec![("a".into(), "monday".into())];
    silence(&mut desk, "n1");
    wake(&mut desk, "n1");
    assert_eq!(phase(&desk, "n1"), "ready");
    desk.nodes.get_mut("n1").unwrap().indexes = vec![("a".into(), "tuesday".into())];
    silence(&mut desk, "n1");
    wake(&mut desk, "n1");
    assert_eq!(phase(&desk, "n1"), "rebuild");
}

#[test]
fn a_foreign_write_makes_the_node_stale() {
    let mut desk = pair();
    desk.add_task("n0", None, ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.wait(1_500);
    assert!(desk.alerts.contains(&"audit_foreign"));
    assert!(desk.sequencer.map().stale.iter().all(|mark| mark.node == 0));
    assert_eq!(desk.sequencer.map().stale.len(), 2);
}

#[test]
fn a_late_write_is_told_from_an_expected_one() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    desk.send(Event::Abandon(Abandon { attempt: "t1".into(), parts: vec![] }));
    desk.wait(2_200);
    desk.add_task("n1", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.wait(1_500);
    assert!(desk.alerts.contains(&"audit_late"));
    let stale: Vec<(u32, u16)> = desk.sequencer.map().stale.iter().map(|mark| (mark.shard, mark.node)).collect();
    assert_eq!(stale, [(0, 1)]);
}

/// Both nodes accept two writes, and n1 lists them in this order: by shard of the first and the second.
fn two_writes(first: &[u32], second: &[u32]) -> Desk {
    let mut desk = pair();
    let one = desk.granted(write("t1", first));
    let done = desk.add_task("n0", Some(&one.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    // The node says 2, and then shows the later write in front of it.
    let said = [("n0", PartOutcome::Accepted { uid: done }), ("n1", PartOutcome::Accepted { uid: 2 })];
    desk.nodes.get_mut("n1").unwrap().silent = Some(NodeFault::Unknown);
    desk.commit(&one, "t1", &said);
    let two = desk.granted(write("t2", second));
    let done = desk.add_task("n0", Some(&two.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    let swapped = desk.add_task("n1", Some(&two.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.add_task("n1", Some(&one.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    let said = [("n0", PartOutcome::Accepted { uid: done }), ("n1", PartOutcome::Accepted { uid: swapped })];
    desk.commit(&two, "t2", &said);
    desk.nodes.get_mut("n1").unwrap().silent = None;
    desk.wait(1_500);
    desk
}

#[test]
fn writes_to_a_shard_that_a_node_lists_in_another_order_make_its_copy_stale() {
    let desk = two_writes(&[0], &[0]);
    assert!(desk.alerts.contains(&"audit_order"), "{:?}", desk.alerts);
    let seen: Vec<Invariant> = desk.breaches.iter().map(|breach| breach.invariant).collect();
    assert_eq!(seen, [Invariant::TicketOrder]);
    assert_eq!(unread(&desk), [(0, 1)]);
    let desk = two_writes(&[0], &[1]);
    assert!(!desk.alerts.contains(&"audit_order"), "writes to different shards have no order");
    assert!(unread(&desk).is_empty());
}

#[test]
fn an_index_operation_is_taken_up_by_a_node_that_was_away() {
    let mut desk = pair();
    silence(&mut desk, "n1");
    let uid = desk.operate(IndexOperation::Create { uid: "b".into(), primary_key: None });
    desk.wait(11_000);
    assert_eq!(desk.task(uid).status, TaskStatus::Succeeded);
    assert_eq!(desk.sequencer.nodes()[1].journal, 1);
    wake(&mut desk, "n1");
    let taken: Vec<Option<&str>> = desk.nodes["n1"].tasks.iter().map(|task| task.index.as_deref()).collect();
    assert_eq!(taken, [Some("a"), Some("b")]);
    assert!(desk.sequencer.map().stale.is_empty());
}

#[test]
fn what_a_node_did_in_a_former_life_is_not_missed_on_its_new_disk() {
    let mut desk = Desk::new(config(3, vec![vec![0]]), true);
    desk.repairs = true;
    silence(&mut desk, "n1");
    silence(&mut desk, "n2");
    desk.operate(IndexOperation::Create { uid: "b".into(), primary_key: None });
    desk.wait(11_000);
    // It has done its part, and n2 has not: how its own ended is nowhere kept.
    wake(&mut desk, "n1");
    desk.command(AdminCommand::NodeRemove { node: "n1".into(), force: false });
    *desk.nodes.get_mut("n1").unwrap() = FakeNode::default();
    let again = NewNode { id: "n1".into(), url: "http://n1".into(), weight: 1.0, zone: None, tls_ca: None };
    desk.command(AdminCommand::NodeAdd(again));
    desk.wait(30_000);
    desk.restart();
    desk.wait(30_000);
    assert!(!desk.alerts.contains(&"new_incarnation"));
    assert_eq!(phase(&desk, "n1"), "ready");
    wake(&mut desk, "n2");
    assert_eq!(desk.sequencer.tickets().count(), 0, "nothing is waited for that can never be told");
}

#[test]
fn control_restarts_fences_all_nodes_and_resolves_what_was_granted() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.restart();
    let request = desk.commit(&grant, "t1", &[("n0", PartOutcome::Accepted { uid: 1 }), ("n1", PartOutcome::Unknown)]);
    let next = desk.begin(write("t2", &[0]));
    assert!(!desk.begun.contains_key(&next));
    desk.wait(2_500);
    assert_eq!(desk.status(request), Some(202));
    assert!(desk.nodes.values().all(|node| node.fences == [1, 2]));
    let Some(BeginAnswer::Grant(next)) = desk.begun.get(&next) else { panic!("no grant after the restart") };
    assert!(next.metadata.starts_with("c0ffee00.2."), "{}", next.metadata);
}

#[test]
fn a_write_to_a_node_without_its_key_gets_it_a_new_one() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    let request = desk.renew(&grant, "t1", &["n1"]);
    let Some(RenewAnswer::Grant(renewed)) = desk.renewed.get(&request) else { panic!("no renewal") };
    assert_eq!(renewed.parts[0].key.as_deref(), Some("n1-2"));
}

#[test]
fn without_a_master_key_everything_works_but_fences() {
    let mut desk = Desk::new(miroir_sequencer::Config { fencing: false, ..config(2, vec![vec![0, 1]]) }, true);
    let grant = desk.granted(write("t1", &[0]));
    assert!(grant.parts.iter().all(|part| part.key.is_none()));
    let parts = desk.accept_all(&grant, 1);
    let parts: Vec<(&str, PartOutcome)> = parts.iter().map(|(node, said)| (node.as_str(), said.clone())).collect();
    let request = desk.commit(&grant, "t1", &parts);
    assert_eq!(desk.status(request), Some(202));
    desk.granted(write("t2", &[0]));
    desk.send(Event::Abandon(Abandon { attempt: "t2".into(), parts: vec![] }));
    desk.wait(2_200);
    desk.granted(write("t3", &[0]));
    assert!(desk.nodes.values().all(|node| node.fences.is_empty()));
}

#[test]
fn a_node_that_holds_anothers_indexes_when_the_cluster_begins_is_left_as_it_is() {
    let config = config(2, vec![vec![0, 1]]);
    let held = vec![("precious".to_owned(), "monday".to_owned())];
    let another = FakeNode { indexes: held.clone(), ..FakeNode::default() };
    let nodes = [("n0".to_owned(), FakeNode::default()), ("n1".to_owned(), another)];
    let mut desk = Desk::over(config, nodes.into_iter().collect());
    desk.wait(5_000);
    assert!(desk.alerts.contains(&"node_not_empty"), "{:?}", desk.alerts);
    desk.ask_to_create("a");
    desk.wait(5_000);
    let of = |desk: &Desk, node: &str| desk.nodes[node].tasks.len();
    assert_eq!((of(&desk, "n0"), of(&desk, "n1"), desk.nodes["n1"].indexes == held), (1, 0, true));
    desk.nodes.get_mut("n1").unwrap().indexes.clear();
    desk.wait(60_000);
    assert_eq!(of(&desk, "n1"), 1, "it takes part once it is empty");
}
