//! Documents that were on a node before the cluster get their tags while it serves; other nodes get copies afterwards.

use miroir_sequencer::*;

use crate::desk::*;

/// One node whose index `a` has documents without a tag, seen by a leader that begins.
fn adopted(untagged: u64) -> Desk {
    let mut desk = Desk::new(config(1, vec![vec![0]; 4]), true);
    desk.repairs = true;
    desk.nodes.get_mut("n0").unwrap().untagged = untagged;
    begin_untagged(&mut desk);
    desk
}

/// A leader begins whose store says that tags may be missing.
fn begin_untagged(desk: &mut Desk) {
    let mut snapshot = Snapshot::default();
    let key = desk.store.keys().find(|(kind, _)| *kind == "meta").cloned().expect("a row");
    snapshot.add(key.0, &desk.store[&key]).unwrap();
    let meta = MetaRow { untagged: true, ..snapshot.meta.unwrap() };
    desk.store.insert(key, serde_json::to_string(&meta).unwrap());
    desk.restart();
}

fn join(desk: &mut Desk) -> JobView {
    let node = NewNode { id: "n1".into(), url: "http://n1".into(), weight: 1.0, zone: None, tls_ca: None };
    match desk.command(AdminCommand::NodeAdd(node)) {
        AdminAnswer::Job(job) => job,
        other => panic!("expected a job, got {other:?}"),
    }
}

fn job(desk: &Desk) -> JobView {
    desk.sequencer.jobs().remove(0)
}

fn copies_elsewhere(desk: &Desk) -> usize {
    desk.sequencer.copies().iter().filter(|copy| copy.node != "n0").count()
}

#[test]
fn no_other_node_gets_a_copy_before_all_documents_have_their_tag() {
    let mut desk = adopted(50_000);
    join(&mut desk);
    desk.command(AdminCommand::Throttle(Throttle { documents_per_second: Some(1_000), ..Throttle::default() }));
    desk.wait(10_000);
    let view = desk.sequencer.tagging().expect("some are left");
    assert!(view.tagged >= 500 && view.left.is_some_and(|left| left > 0 && left + view.tagged == 50_000), "{view:?}");
    assert_eq!(copies_elsewhere(&desk), 0);
    // Documents without a tag are no outsiders here, whoever has written to the node.
    desk.add_task("n0", None, "documentAdditionOrUpdate", Some("a"), TaskStatus::Succeeded, Some(1));
    desk.wait(5_000);
    let looks = |action: &NodeAction| matches!(action, NodeAction::ListOutsiders { .. });
    assert!(desk.alerts.contains(&"audit_foreign") && !desk.nodes["n0"].copying.iter().any(looks));
    let waiting = job(&desk).waiting.expect("a reason");
    assert!(waiting.contains("of index a have none"), "{waiting}");
    assert_eq!(job(&desk).state, JobState::Running);
    // Nor by any other way.
    let begin = SyncCommand::Begin { placement: 0, shard: 0, to: "n1".into(), leaving: None };
    desk.send(Event::Sync(begin));
    assert!(desk.sequencer.syncs().is_empty());

    desk.wait(300_000);
    assert_eq!((desk.nodes["n0"].untagged, desk.sequencer.tagging()), (0, None));
    assert_eq!(job(&desk).state, JobState::Done);
    assert_eq!(copies_elsewhere(&desk), 2);
}

#[test]
fn a_leader_that_begins_goes_on_with_what_is_left() {
    let mut desk = adopted(5_000);
    desk.command(AdminCommand::Throttle(Throttle { documents_per_second: Some(200), ..Throttle::default() }));
    desk.wait(8_000);
    let left = desk.nodes["n0"].untagged;
    assert!(left > 0 && left < 5_000, "{left}");
    desk.restart();
    desk.command(AdminCommand::Throttle(Throttle::default()));
    desk.wait(60_000);
    assert_eq!((desk.nodes["n0"].untagged, desk.sequencer.tagging()), (0, None));
    assert_eq!(desk.alerts.iter().filter(|alert| **alert == "documents_tagged").count(), 1);
}

#[test]
fn pages_go_with_the_write_key_and_are_foreign_to_nobody() {
    let mut desk = adopted(1_200);
    desk.wait(60_000);
    let node = &desk.nodes["n0"];
    let newest = format!("n0-{}", node.fences.last().unwrap());
    assert!(
        node.tagging.len() > 2 && node.tagging.iter().all(|key| key.as_ref() == Some(&newest)),
        "{:?}",
        node.tagging
    );
    let writes = node.tasks.iter().filter(|task| task.task_type == "documentAdditionOrUpdate").count();
    assert!(writes > 1);
    assert!(!desk.alerts.iter().any(|alert| alert.starts_with("audit") || *alert == "last_copy_damaged"));
}

#[test]
fn an_index_that_changes_its_name_meanwhile_is_looked_at_again() {
    let mut desk = adopted(3_000);
    desk.command(AdminCommand::Throttle(Throttle { documents_per_second: Some(100), ..Throttle::default() }));
    desk.wait(6_000);
    desk.operate(IndexOperation::Create { uid: "b".into(), primary_key: Some("id".into()) });
    desk.wait(100);
    let asked = desk.nodes["n0"].tagging.len();
    desk.wait(120_000);
    // Each of the two indexes once more than it takes to find the first one complete.
    assert!(desk.nodes["n0"].tagging.len() >= asked + 3);
    assert_eq!(desk.sequencer.tagging(), None);
}

#[test]
fn where_several_nodes_hold_copies_nobody_looks_for_tags() {
    let mut desk = Desk::new(config(2, vec![vec![0, 1], vec![1, 0]]), true);
    desk.nodes.get_mut("n0").unwrap().untagged = 10;
    begin_untagged(&mut desk);
    desk.wait(10_000);
    assert!(desk.nodes["n0"].tagging.is_empty());
    assert_eq!(desk.sequencer.tagging(), None);
}
