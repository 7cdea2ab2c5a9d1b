//! Copies are compared in the background; what differs without a known reason is written down before the senior copy
//! wins.

use miroir_core::wire::*;
use miroir_sequencer::*;

use crate::desk::{Desk, config, write};
use crate::repair::missed_by_n1;

/// A pass takes a minute: the indexes come after half of it, the only shard at its end.
const PASS: u64 = 60_000;

fn cluster(nodes: usize, owners: Vec<u16>) -> Desk {
    let scrub = ScrubPace { interval: PASS, ..ScrubPace::default() };
    let mut desk = Desk::new(Config { scrub, ..config(nodes, vec![owners.clone()]) }, true);
    desk.repairs = true;
    for owner in owners {
        let node = desk.nodes.get_mut(&format!("n{owner}")).unwrap();
        node.documents = (0..500).map(|at| (format!("{at:04}"), at as u128)).collect();
    }
    desk
}

/// What is on a node's disk changes, and no task tells of it.
fn drift(desk: &mut Desk, node: &str, key: &str, hash: Option<u128>) {
    let documents = &mut desk.nodes.get_mut(node).unwrap().documents;
    match hash {
        Some(hash) => drop(documents.insert(key.to_owned(), hash)),
        None => drop(documents.remove(key)),
    }
}

fn hash(desk: &Desk, node: &str, key: &str) -> Option<u128> {
    desk.nodes[node].documents.get(key).copied()
}

fn all_in_sync(desk: &Desk) -> bool {
    desk.sequencer.copies().iter().all(|copy| copy.state == CopyState::InSync)
}

fn alerts(desk: &Desk, kind: &str) -> usize {
    desk.alerts.iter().filter(|alert| **alert == kind).count()
}

#[test]
fn equal_copies_are_compared_once_a_pass_and_nothing_is_said() {
    let mut desk = cluster(2, vec![0, 1]);
    desk.wait(PASS * 3);
    let view = desk.sequencer.scrub();
    let last = view.row.last.unwrap();
    assert_eq!((view.row.pass, last.pass, view.units), (4, 3, 2));
    assert_eq!((last.tally.compared, last.tally.documents, last.tally.findings), (1, 500, 0));
    assert!((PASS..PASS + 2_000).contains(&(last.ended_ms - last.started_ms)), "{last:?}");
    assert!(alerts(&desk, "replica_drift") == 0 && alerts(&desk, "copy_stale") == 0);
    assert_eq!(desk.findings_file, Some(Vec::new()));
}

#[test]
fn a_drifted_copy_is_written_down_and_repaired_in_what_differs_alone() {
    let mut desk = cluster(2, vec![0, 1]);
    drift(&mut desk, "n1", "0007", Some(99));
    drift(&mut desk, "n1", "0008", None);
    drift(&mut desk, "n1", "more", Some(1));
    desk.wait(PASS + 5_000);
    assert!(all_in_sync(&desk));
    assert_eq!(desk.nodes["n0"].documents, desk.nodes["n1"].documents);
    assert_eq!(hash(&desk, "n1", "0007"), Some(7), "the senior copy wins");
    let written = desk.findings_file.clone().unwrap();
    let [Drift { id: 1, kept: Some(kept), lost, what, .. }] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!((kept.as_str(), lost.as_str()), ("n0", "n1"));
    let Drifted::Documents { differing, missing, extra, primary_key, .. } = what else { panic!("{what:?}") };
    let one = |key: &str| vec![key.to_owned()];
    assert_eq!((differing, missing, extra), (&one("0007"), &one("0008"), &one("more")));
    assert_eq!(primary_key, "id");
    let fetched = desk.nodes["n0"].copying.iter().filter_map(|action| match action {
        NodeAction::FetchPage { keys, .. } => Some(keys.len()),
        _ => None,
    });
    assert_eq!(fetched.sum::<usize>(), 2);
    assert_eq!(alerts(&desk, "replica_drift"), 1);
    let row = &desk.sequencer.scrub().findings[0];
    assert!(row.repaired_ms.is_some() && !row.acknowledged);
    assert_eq!((row.differing, row.missing, row.extra, row.documents.len()), (1, 1, 1, 3));

    desk.command(AdminCommand::AcknowledgeFindings);
    desk.restart();
    let row = &desk.sequencer.scrub().findings[0];
    assert!(row.repaired_ms.is_some() && row.acknowledged, "{row:?}");
    desk.wait(PASS * 2);
    assert_eq!(alerts(&desk, "replica_drift"), 1);
}

#[test]
fn nothing_is_repaired_that_cannot_be_written_down() {
    let mut desk = cluster(2, vec![0, 1]);
    drift(&mut desk, "n1", "0007", Some(99));
    desk.findings_file = None;
    desk.wait(PASS + 10_000);
    assert!(all_in_sync(&desk));
    assert_eq!((hash(&desk, "n1", "0007"), alerts(&desk, "finding_unwritten")), (Some(99), 1));
    assert_eq!(desk.sequencer.scrub().blocked.as_deref(), Some("no space"));
    desk.findings_file = Some(Vec::new());
    desk.wait(65_000);
    assert_eq!(hash(&desk, "n1", "0007"), Some(7));
    assert_eq!(desk.findings_file.as_ref().map(Vec::len), Some(1));
    assert_eq!(desk.sequencer.scrub().blocked, None);
}

#[test]
fn the_copy_that_has_been_in_sync_for_longest_wins_whoever_leads() {
    let mut desk = cluster(2, vec![0, 1]);
    // n1 misses a write and is repaired: n0 is senior. Then n0 is rebuilt from n1.
    missed_by_n1(&mut desk, "t1", "0042");
    desk.wait(2_000);
    let since = |desk: &Desk, node: &str| {
        let copies = desk.sequencer.copies();
        copies.iter().find(|copy| copy.node == node).map(|copy| copy.since).unwrap()
    };
    assert!(since(&desk, "n0") < since(&desk, "n1"));
    let uid = desk.add_task("n0", None, "documentDeletion", Some("a"), TaskStatus::Succeeded, Some(1));
    desk.wait(3_000);
    assert!(all_in_sync(&desk), "task {uid} was nobody's, and is repaired");
    assert!(since(&desk, "n1") < since(&desk, "n0"));
    desk.restart();
    drift(&mut desk, "n0", "0007", Some(99));
    drift(&mut desk, "n1", "0008", Some(99));
    desk.wait(PASS + 10_000);
    assert_eq!((hash(&desk, "n0", "0007"), hash(&desk, "n0", "0008")), (Some(7), Some(99)));
    assert_eq!(desk.nodes["n0"].documents, desk.nodes["n1"].documents);
    assert_eq!(desk.sequencer.scrub().findings[0].kept.as_deref(), Some("n1"));
}

#[test]
fn of_three_copies_both_others_are_made_equal_to_the_senior_one() {
    let mut desk = cluster(3, vec![0, 1, 2]);
    drift(&mut desk, "n0", "0007", Some(99));
    desk.wait(PASS + 10_000);
    assert!(all_in_sync(&desk));
    for node in ["n0", "n1", "n2"] {
        assert_eq!(hash(&desk, node, "0007"), Some(99), "{node}");
    }
    assert_eq!(desk.findings_file.as_ref().map(Vec::len), Some(2));
}

#[test]
fn what_audit_knows_is_no_finding() {
    let mut desk = cluster(2, vec![0, 1]);
    desk.wait(PASS - 3_000);
    // n0 is senior, and its own task tells that it deviates.
    desk.add_task("n0", None, "documentAdditionOrUpdate", Some("a"), TaskStatus::Succeeded, Some(1));
    drift(&mut desk, "n0", "0007", Some(99));
    desk.wait(10_000);
    assert_eq!((hash(&desk, "n0", "0007"), hash(&desk, "n1", "0007")), (Some(7), Some(7)));
    assert_eq!((alerts(&desk, "audit_foreign"), alerts(&desk, "replica_drift")), (1, 0));
    assert_eq!(desk.findings_file, Some(Vec::new()));
}

#[test]
fn what_is_being_written_is_no_finding() {
    let mut desk = cluster(2, vec![0, 1]);
    let begin = Begin { keys: Some(vec!["0007".to_owned()]), ..write("t1", &[0]) };
    let grant = desk.granted(begin);
    let add = "documentAdditionOrUpdate";
    let done = desk.add_task("n0", Some(&grant.metadata), add, Some("a"), TaskStatus::Succeeded, Some(1));
    let open = desk.add_task("n1", Some(&grant.metadata), add, Some("a"), TaskStatus::Enqueued, None);
    drift(&mut desk, "n0", "0007", Some(77));
    let parts = [("n0", PartOutcome::Accepted { uid: done }), ("n1", PartOutcome::Accepted { uid: open })];
    desk.commit(&grant, "t1", &parts);
    desk.wait(PASS + 5_000);
    assert!(all_in_sync(&desk));
    assert_eq!((alerts(&desk, "replica_drift"), desk.sequencer.scrub().row.pass), (0, 1));
    desk.end_task("n1", open, TaskStatus::Succeeded, Some(1));
    drift(&mut desk, "n1", "0007", Some(77));
    desk.wait(10_000);
    let view = desk.sequencer.scrub();
    assert_eq!((alerts(&desk, "replica_drift"), view.row.pass), (0, 2));
    assert_eq!(view.row.last.map(|last| last.tally.compared), Some(1));
}

#[test]
fn an_index_whose_writes_leave_no_moment_to_compare_it_is_left_to_the_next_pass() {
    let mut desk = cluster(2, vec![0, 1]);
    // What it touches is not known, and it does not end.
    let grant = desk.granted(write("t1", &[0]));
    let add = "documentAdditionOrUpdate";
    let done = desk.add_task("n0", Some(&grant.metadata), add, Some("a"), TaskStatus::Succeeded, Some(1));
    let open = desk.add_task("n1", Some(&grant.metadata), add, Some("a"), TaskStatus::Enqueued, None);
    let parts = [("n0", PartOutcome::Accepted { uid: done }), ("n1", PartOutcome::Accepted { uid: open })];
    desk.commit(&grant, "t1", &parts);
    desk.wait(PASS + 50_000);
    assert_eq!(desk.sequencer.scrub().row.pass, 1);
    desk.wait(20_000);
    let last = desk.sequencer.scrub().row.last.unwrap();
    assert_eq!((last.tally.undecided, last.tally.documents, last.tally.findings), (1, 0, 0));
}

#[test]
fn a_last_copy_is_never_given_up() {
    let mut desk = cluster(1, vec![0]);
    drift(&mut desk, "n0", "0007", Some(99));
    desk.wait(PASS * 2 + 1_000);
    assert!(all_in_sync(&desk));
    let last = desk.sequencer.scrub().row.last.unwrap();
    assert_eq!((last.tally.compared, last.tally.passed_over, last.tally.findings), (0, 1, 0));
}

#[test]
fn it_makes_way_and_goes_on_where_it_was() {
    let mut desk = cluster(2, vec![0, 1]);
    desk.wait(PASS / 2 + 1_000);
    assert_eq!(desk.sequencer.scrub().row.done, 1, "the indexes have been looked at");
    desk.restart();
    assert_eq!(desk.sequencer.scrub().row.done, 1);
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits { paused: true, ..SyncLimits::default() })));
    desk.wait(PASS);
    let view = desk.sequencer.scrub();
    assert_eq!((view.row.done, view.waiting.as_deref()), (1, Some("copying is paused")));
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits::default())));
    desk.wait(3_000);
    assert_eq!(desk.sequencer.scrub().row.last.map(|last| last.tally.compared), Some(1));
}

#[test]
fn nothing_is_decided_while_a_copy_moves() {
    let mut desk = cluster(3, vec![0, 1]);
    drift(&mut desk, "n1", "0007", Some(99));
    // A copy is filled, slowly, when the shard's turn comes.
    desk.wait(PASS - 8_000);
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits { documents_per_s: 20, ..SyncLimits::default() })));
    desk.send(Event::Sync(SyncCommand::Begin { placement: 0, shard: 0, to: "n2".into(), leaving: None }));
    desk.wait(10_000);
    assert_eq!(desk.sequencer.syncs().len(), 1, "it is under way");
    let view = desk.sequencer.scrub();
    assert_eq!((view.waiting.as_deref(), view.row.done), (Some("copies are being filled"), 1));
    assert_eq!((alerts(&desk, "replica_drift"), alerts(&desk, "copy_stale")), (0, 0));
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits::default())));
    desk.wait(10_000);
    assert!(all_in_sync(&desk) && desk.sequencer.copies().len() == 3);
    for node in ["n0", "n1", "n2"] {
        assert_eq!(hash(&desk, node, "0007"), Some(7), "{node}");
    }
    assert_eq!((alerts(&desk, "replica_drift"), alerts(&desk, "copy_stale")), (1, 1));
}

#[test]
fn it_keeps_to_the_pace_of_copying() {
    let mut desk = cluster(2, vec![0, 1]);
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits { documents_per_s: 50, ..SyncLimits::default() })));
    // The first pass began with the cluster, 2.6 s ago.
    desk.wait(PASS);
    let digests = |desk: &Desk| {
        let asked = desk.nodes["n0"].copying.iter().filter_map(|action| match action {
            NodeAction::Digests { keys: Some(keys), .. } => Some(keys.len()),
            _ => None,
        });
        asked.sum::<usize>()
    };
    let compared = digests(&desk);
    assert!((100..=150).contains(&compared), "{compared} documents in 2.6 s at 50 a second");
    desk.wait(10_000);
    assert_eq!(digests(&desk), 500);
}

fn patch() -> NodeStep {
    NodeStep {
        method: "PATCH".into(),
        path: "/indexes/a/settings".into(),
        body: None,
        task_type: "settingsUpdate".into(),
        task_index: Some("a".into()),
        tolerate: Vec::new(),
    }
}

#[test]
fn settings_that_a_foreign_task_changed_are_put_right_at_once() {
    let mut desk = cluster(2, vec![0, 1]);
    desk.drifted.insert("n1".into(), vec![patch()]);
    desk.add_task("n1", None, "settingsUpdate", Some("a"), TaskStatus::Succeeded, None);
    desk.wait(10_000);
    assert!(desk.drifted.is_empty(), "it has been told");
    assert!(all_in_sync(&desk));
    assert_eq!((alerts(&desk, "audit_foreign"), desk.findings_file), (1, Some(Vec::new())));
}

#[test]
fn settings_that_drifted_are_written_down_and_put_right() {
    let mut desk = cluster(2, vec![0, 1]);
    desk.drifted.insert("n1".into(), vec![patch()]);
    desk.wait(PASS);
    assert!(desk.drifted.is_empty(), "it has been told");
    let written = desk.findings_file.clone().unwrap();
    let [Drift { kept: None, lost, what: Drifted::Index, .. }] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!(lost, "n1");
    assert!(all_in_sync(&desk));
    assert_eq!((alerts(&desk, "replica_drift"), alerts(&desk, "copy_stale")), (1, 0));
    assert!(desk.sequencer.scrub().findings[0].repaired_ms.is_some());
}
