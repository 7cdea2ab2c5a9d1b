//! How tasks end, and what they say.

use miroir_core::error::ErrorBody;
use miroir_core::wire::*;
use miroir_sequencer::{IndexOperation, IndexSwap, TaskStatus};
use serde_json::json;

use crate::desk::{Desk, config, write};

const ADD: &str = "documentAdditionOrUpdate";

fn pair() -> Desk {
    Desk::new(config(2, vec![vec![0, 1], vec![1, 0]]), true)
}

/// A committed write whose parts are still waiting; returns its grant and its node task uids.
fn open(desk: &mut Desk, begin: Begin, task_type: &str) -> (Grant, Vec<(String, u32)>) {
    let attempt = begin.attempt.clone();
    let grant = desk.granted(begin);
    let mut uids = Vec::new();
    for part in &grant.parts {
        let uid = desk.add_task(&part.node, Some(&grant.metadata), task_type, Some("a"), TaskStatus::Enqueued, None);
        uids.push((part.node.clone(), uid));
    }
    let said: Vec<(&str, PartOutcome)> =
        uids.iter().map(|(node, uid)| (node.as_str(), PartOutcome::Accepted { uid: *uid })).collect();
    let request = desk.commit(&grant, &attempt, &said);
    assert_eq!(desk.status(request), Some(202));
    (grant, uids)
}

#[test]
fn one_replica_that_fails_a_task_is_stale_and_the_task_succeeds() {
    let mut desk = pair();
    desk.wait(10_000);
    let (grant, uids) = open(&mut desk, write("t1", &[0]), ADD);
    desk.end_task(&uids[0].0, uids[0].1, TaskStatus::Failed, Some(0));
    desk.wait(600);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Enqueued, "the other one decides");
    desk.end_task(&uids[1].0, uids[1].1, TaskStatus::Succeeded, Some(1));
    desk.wait(600);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
    assert_eq!(desk.sequencer.map().stale.len(), 1);
}

#[test]
fn on_an_idle_cluster_a_task_is_seen_done_within_50_ms_however_long_it_took() {
    for took in [0, 1, 7, 30, 90, 400, 1_700, 9_000, 60_000] {
        let mut desk = pair();
        desk.wait(10_000);
        let (grant, uids) = open(&mut desk, write("t1", &[0]), ADD);
        desk.wait(took);
        for (node, uid) in uids {
            desk.end_task(&node, uid, TaskStatus::Succeeded, Some(1));
        }
        desk.wait(50);
        assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded, "after {took} ms");
    }
}

#[test]
fn a_node_whose_tasks_carry_megabytes_is_read_less_often() {
    let mut desk = pair();
    desk.nodes.get_mut("n0").unwrap().list_bytes = 2_000_000;
    open(&mut desk, write("t1", &[0]), ADD);
    desk.wait(500);
    let reads = |desk: &Desk| ["n0", "n1"].map(|node| desk.nodes[node].reads);
    let before = reads(&desk);
    desk.wait(2_000);
    let [heavy, light] = [0, 1].map(|at| reads(&desk)[at] - before[at]);
    assert!((1..=5).contains(&heavy) && light > 50, "{heavy} and {light} reads in two seconds");
}

#[test]
fn a_task_that_a_node_works_on_is_processing_from_then_on() {
    let mut desk = pair();
    let (grant, uids) = open(&mut desk, write("t1", &[0]), ADD);
    let set = |desk: &mut Desk, at: usize, status, started_ms| {
        let (node, uid) = &uids[at];
        let task = &mut desk.nodes.get_mut(node).unwrap().tasks[*uid as usize];
        (task.status, task.started_ms) = (status, started_ms);
    };
    desk.wait(600);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Enqueued);
    let begun = desk.now;
    set(&mut desk, 0, TaskStatus::Processing, Some(begun));
    desk.wait(600);
    let task = desk.task(grant.ticket).clone();
    assert_eq!((task.status, task.started_ms, task.finished_ms), (TaskStatus::Processing, Some(begun), None));
    set(&mut desk, 1, TaskStatus::Processing, Some(begun + 300));
    desk.wait(600);
    assert_eq!(*desk.task(grant.ticket), task, "it is said once");
    desk.restart();
    // Given up by the node that was at work, and taken up again by its next process.
    set(&mut desk, 0, TaskStatus::Enqueued, None);
    desk.wait(5_000);
    assert_eq!(*desk.task(grant.ticket), task, "it never goes back");
    uids.iter().for_each(|(node, uid)| desk.end_task(node, *uid, TaskStatus::Succeeded, Some(1)));
    desk.wait(15_000);
    let task = desk.task(grant.ticket);
    assert_eq!((task.status, task.started_ms), (TaskStatus::Succeeded, Some(begun)));
}

#[test]
fn an_operation_on_an_index_is_processing_while_nodes_have_not_done_it() {
    let mut desk = pair();
    desk.nodes.get_mut("n1").unwrap().silent = Some(miroir_sequencer::NodeFault::Unknown);
    let uid = desk.operate(IndexOperation::Delete { uid: "a".into() });
    assert_eq!(desk.task(uid).status, TaskStatus::Processing);
    assert!(desk.task(uid).started_ms.is_some());
}

#[test]
fn a_task_that_all_replicas_fail_fails_and_nobody_is_stale() {
    let mut desk = pair();
    let (grant, uids) = open(&mut desk, write("t1", &[0]), ADD);
    uids.iter().for_each(|(node, uid)| desk.end_task(node, *uid, TaskStatus::Failed, Some(0)));
    desk.wait(600);
    let task = desk.task(grant.ticket);
    assert_eq!(task.status, TaskStatus::Failed);
    assert_eq!(task.details, Some(json!({ "receivedDocuments": 1, "indexedDocuments": 0 })));
    assert!(desk.sequencer.map().stale.is_empty());
}

#[test]
fn what_nodes_say_of_the_tag_is_not_stored() {
    let mut desk = pair();
    let filter = Begin { kind: WriteKind::DeleteByFilter, shards: vec![], primary_key: None, ..write("t1", &[]) };
    let (grant, uids) = open(&mut desk, filter, "documentDeletion");
    let text = "Attribute `id` is not filterable. Available filterable attribute patterns are: `_miroir_shard`.";
    for (node, uid) in &uids {
        desk.end_task(node, *uid, TaskStatus::Failed, Some(0));
        let task = &mut desk.nodes.get_mut(node).unwrap().tasks[*uid as usize];
        task.error = Some(miroir_core::error::ErrorBody::new("invalid_document_filter", text));
    }
    desk.wait(600);
    let error = desk.task(grant.ticket).error.clone().expect("an error");
    assert_eq!(error.code, "invalid_document_filter");
    assert!(!error.message.contains("_miroir"), "{}", error.message);
}

#[test]
fn a_success_without_its_documents_is_none() {
    let mut desk = pair();
    desk.wait(10_000);
    let (grant, uids) = open(&mut desk, write("t1", &[0]), ADD);
    desk.end_task(&uids[0].0, uids[0].1, TaskStatus::Succeeded, Some(0));
    desk.end_task(&uids[1].0, uids[1].1, TaskStatus::Succeeded, Some(1));
    desk.wait(600);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
    assert_eq!(desk.sequencer.map().stale.len(), 1);
}

#[test]
fn an_addition_that_a_later_clear_absorbed_counts_as_done() {
    let mut desk = pair();
    let (first, added) = open(&mut desk, write("t1", &[0]), ADD);
    let clear = Begin { kind: WriteKind::DeleteAll, shards: vec![], primary_key: None, ..write("t2", &[]) };
    let (second, cleared) = open(&mut desk, clear, "documentDeletion");
    for (node, uid) in &added {
        desk.end_task(node, *uid, TaskStatus::Succeeded, None);
    }
    for (node, uid) in &cleared {
        desk.end_task(node, *uid, TaskStatus::Succeeded, Some(7));
    }
    desk.wait(600);
    assert_eq!(desk.task(first.ticket).details, Some(json!({ "receivedDocuments": 1, "indexedDocuments": null })));
    assert_eq!(desk.task(second.ticket).details, Some(json!({ "deletedDocuments": 7 })), "two copies, counted once");
    assert!(desk.sequencer.map().stale.is_empty());
}

#[test]
fn an_addition_that_the_deletion_of_its_index_absorbed_counts_as_done() {
    let mut desk = pair();
    let (first, added) = open(&mut desk, write("t1", &[0]), ADD);
    let deletion = desk.operate(IndexOperation::Delete { uid: "a".into() });
    desk.wait(600);
    // One node did it before, the other in one batch with the deletion.
    let counts = [1, 0];
    for ((node, uid), count) in added.iter().zip(counts) {
        desk.end_task(node, *uid, TaskStatus::Succeeded, Some(count));
    }
    desk.wait(15_000);
    assert_eq!(desk.task(first.ticket).status, TaskStatus::Succeeded, "{:?}", desk.task(first.ticket));
    assert_eq!(desk.task(first.ticket).details, Some(json!({ "receivedDocuments": 1, "indexedDocuments": 0 })));
    assert_eq!(desk.task(deletion).status, TaskStatus::Succeeded);
    assert!(desk.sequencer.map().stale.is_empty(), "{:?}", desk.alerts);
}

#[test]
fn a_clear_that_absorbs_additions_is_known_to_the_next_leader() {
    let mut desk = pair();
    let (first, added) = open(&mut desk, write("t1", &[0]), ADD);
    let clear = Begin { kind: WriteKind::DeleteAll, shards: vec![], primary_key: None, ..write("t2", &[]) };
    let (_, cleared) = open(&mut desk, clear, "documentDeletion");
    desk.wait(600);
    desk.restart();
    for (node, uid) in added.iter().chain(&cleared) {
        desk.end_task(node, *uid, TaskStatus::Succeeded, None);
    }
    desk.wait(15_000);
    assert_eq!(desk.task(first.ticket).status, TaskStatus::Succeeded, "{:?}", desk.task(first.ticket));
    assert!(desk.sequencer.map().stale.is_empty());
    assert!(!desk.store[&("node", "n0".to_owned())].contains(r#""cleared":{"a""#), "nothing rests on it any more");
}

#[test]
fn success_waits_until_live_filters_know_of_a_stale_replica() {
    let mut desk = pair();
    desk.wait(10_000);
    let epoch = desk.sequencer.epoch();
    desk.heartbeat("vm1", None, epoch);
    let grant = desk.granted(write("t1", &[0]));
    let uid = desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    let refused = PartOutcome::Refused { status: 413, error: None };
    desk.commit(&grant, "t1", &[("n0", PartOutcome::Accepted { uid }), ("n1", refused)]);
    desk.wait(600);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Enqueued);
    let epoch = desk.sequencer.epoch();
    desk.heartbeat("vm1", None, epoch);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
}

#[test]
fn a_silent_filter_does_not_hold_success_for_ever() {
    let mut desk = pair();
    desk.wait(10_000);
    desk.heartbeat("vm1", None, 0);
    let grant = desk.granted(write("t1", &[0]));
    let uid = desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    let refused = PartOutcome::Refused { status: 413, error: None };
    desk.commit(&grant, "t1", &[("n0", PartOutcome::Accepted { uid }), ("n1", refused)]);
    desk.wait(13_000);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
}

#[test]
fn a_first_write_is_done_only_when_live_filters_know_its_index() {
    let mut desk = pair();
    desk.wait(10_000);
    let epoch = desk.sequencer.epoch();
    desk.heartbeat("vm1", None, epoch);
    let grant = desk.granted(Begin { index: "b".into(), ..write("t1", &[0]) });
    let parts: Vec<(String, PartOutcome)> = ["n0", "n1"]
        .map(|node| {
            let uid = desk.add_task(node, Some(&grant.metadata), ADD, Some("b"), TaskStatus::Succeeded, Some(1));
            (node.to_owned(), PartOutcome::Accepted { uid })
        })
        .into();
    let said: Vec<(&str, PartOutcome)> = parts.iter().map(|(node, said)| (node.as_str(), said.clone())).collect();
    desk.commit(&grant, "t1", &said);
    desk.wait(600);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Enqueued);
    let epoch = desk.sequencer.epoch();
    desk.heartbeat("vm1", None, epoch);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
}

#[test]
fn a_first_write_of_nothing_is_answered_at_once_and_done_when_live_filters_know_its_index() {
    let fault = ErrorBody::new("missing_document_id", "no id");
    for (fault, end) in [(None, TaskStatus::Succeeded), (Some(fault), TaskStatus::Failed)] {
        let mut desk = pair();
        desk.wait(10_000);
        let before = desk.sequencer.epoch();
        desk.heartbeat("vm1", None, before);
        let empty = || Begin { index: "b".into(), fault: fault.clone(), ..write("t1", &[]) };
        let reply = desk.answered(empty());
        let uid = reply.body.clone().unwrap()["taskUid"].as_u64().unwrap() as u32;
        desk.wait(600);
        assert_eq!((desk.task(uid).status, desk.task(uid).finished_ms), (TaskStatus::Enqueued, None));
        assert_eq!(desk.answered(empty()).body, reply.body, "the first answer was lost");
        // Nothing else waits for it.
        assert_eq!(desk.granted(Begin { index: "b".into(), ..write("t2", &[0]) }).ticket, uid + 1);
        desk.restart();
        for _ in 0..4 {
            desk.heartbeat("vm1", None, before);
            desk.wait(5_000);
        }
        assert_eq!(desk.task(uid).status, TaskStatus::Enqueued);
        let epoch = desk.sequencer.epoch();
        desk.heartbeat("vm1", None, epoch);
        assert_eq!((desk.task(uid).status, desk.task(uid).error.clone()), (end, fault));
        assert!(!desk.store.contains_key(&("ticket", uid.to_string())), "{:?}", desk.store.keys());
    }
}

#[test]
fn a_canceled_task_is_canceled_on_all_nodes() {
    let mut desk = pair();
    let (grant, _) = open(&mut desk, write("t1", &[0]), ADD);
    let cancelation = desk.cancel(vec![grant.ticket]);
    desk.wait(600);
    let task = desk.task(grant.ticket);
    assert_eq!((task.status, task.canceled_by), (TaskStatus::Canceled, Some(cancelation)));
    let details = json!({ "matchedTasks": 1, "canceledTasks": 1, "originalFilter": "?uids=x" });
    assert_eq!(desk.task(cancelation).details, Some(details));
    assert_eq!(desk.task(cancelation).status, TaskStatus::Succeeded);
}

#[test]
fn index_operations_fail_as_the_engines_do() {
    let mut desk = pair();
    let code = |desk: &Desk, uid: u32| desk.task(uid).error.as_ref().map(|error| error.code.clone());
    let again = desk.operate(IndexOperation::Create { uid: "a".into(), primary_key: None });
    assert_eq!(code(&desk, again).as_deref(), Some("index_already_exists"));
    let gone = desk.operate(IndexOperation::Delete { uid: "b".into() });
    assert_eq!(code(&desk, gone).as_deref(), Some("index_not_found"));
    let swap = desk.operate(IndexOperation::exchange("a", "b"));
    assert_eq!(code(&desk, swap).as_deref(), Some("index_not_found"));
}

#[test]
fn a_deleted_index_is_another_one_when_it_is_created_again() {
    let mut desk = pair();
    let before = desk.sequencer.index("a").unwrap().incarnation;
    let deleted = desk.operate(IndexOperation::Delete { uid: "a".into() });
    desk.wait(600);
    assert_eq!(desk.task(deleted).status, TaskStatus::Succeeded);
    assert!(desk.sequencer.index("a").is_none());
    desk.operate(IndexOperation::Create { uid: "a".into(), primary_key: Some("id".into()) });
    desk.wait(600);
    assert!(desk.sequencer.index("a").unwrap().incarnation > before);
    let old = Begin {
        incarnation: Some(before),
        key_source: KeySource::Map,
        primary_key: Some("sku".into()),
        ..write("t1", &[0])
    };
    let request = desk.begin(old);
    assert!(matches!(desk.begun.get(&request), Some(BeginAnswer::Resplit { primary_key, .. }) if primary_key == "id"));
}

#[test]
fn a_swap_waits_for_open_writes_and_exchanges_the_rows() {
    let mut desk = pair();
    desk.operate(IndexOperation::Create { uid: "b".into(), primary_key: Some("sku".into()) });
    desk.wait(600);
    let (_, uids) = open(&mut desk, write("t1", &[0]), ADD);
    let swap = desk.operate(IndexOperation::exchange("a", "b"));
    desk.wait(600);
    assert_ne!(desk.task(swap).status, TaskStatus::Succeeded);
    for (node, uid) in &uids {
        desk.end_task(node, *uid, TaskStatus::Succeeded, Some(1));
    }
    desk.wait(2_000);
    assert_eq!(desk.task(swap).status, TaskStatus::Succeeded);
    assert_eq!(desk.sequencer.index("a").unwrap().primary_key.as_deref(), Some("sku"));
    assert_eq!(desk.sequencer.index("b").unwrap().primary_key.as_deref(), Some("id"));
    assert!(!desk.sequencer.map().indexes["a"].swapping);
}

#[test]
fn a_swap_is_done_only_when_live_filters_know_the_new_names() {
    let mut desk = pair();
    desk.wait(10_000);
    let renamed = rename(&mut desk, "a", "b");
    let coming = desk.sequencer.epoch();
    desk.heartbeat("vm1", None, coming);
    desk.wait(600);
    assert!(desk.sequencer.index("b").is_some() && desk.sequencer.epoch() > coming);
    assert_ne!(desk.task(renamed).status, TaskStatus::Succeeded, "a filter still holds queries of `a` back");
    let epoch = desk.sequencer.epoch();
    desk.heartbeat("vm1", None, epoch);
    assert_eq!(desk.task(renamed).status, TaskStatus::Succeeded);
}

fn rename(desk: &mut Desk, from: &str, to: &str) -> u32 {
    let (uid, new_uid) = (from.to_owned(), Some(to.to_owned()));
    desk.operate(IndexOperation::Update { uid, primary_key: None, new_uid })
}

#[test]
fn a_new_name_waits_for_open_writes_and_takes_the_row_along() {
    let mut desk = pair();
    let before = desk.sequencer.index("a").unwrap().clone();
    let (_, uids) = open(&mut desk, write("t1", &[0]), ADD);
    let renamed = rename(&mut desk, "a", "b");
    desk.wait(600);
    assert_eq!(desk.sequencer.map().indexes.keys().collect::<Vec<_>>(), ["a"]);
    for (node, uid) in &uids {
        desk.end_task(node, *uid, TaskStatus::Succeeded, Some(1));
    }
    desk.wait(2_000);
    let task = desk.task(renamed);
    assert_eq!((task.status, task.index.as_deref()), (TaskStatus::Succeeded, Some("a")));
    assert_eq!(task.details, Some(json!({ "primaryKey": null, "oldIndexUid": "a", "newIndexUid": "b" })));
    let map = desk.sequencer.map();
    assert_eq!(map.indexes.keys().collect::<Vec<_>>(), ["b"]);
    assert!(!map.indexes["b"].swapping && map.indexes["b"].incarnation > before.incarnation);
    assert_eq!(desk.sequencer.index("b").unwrap().primary_key, before.primary_key);
    // The old name is free.
    desk.operate(IndexOperation::Create { uid: "a".into(), primary_key: None });
    desk.wait(600);
    assert_eq!(desk.sequencer.map().indexes.len(), 2);
}

#[test]
fn a_name_that_is_taken_is_given_to_nobody() {
    let mut desk = pair();
    desk.operate(IndexOperation::Create { uid: "b".into(), primary_key: None });
    desk.wait(600);
    let code = |desk: &Desk, uid: u32| desk.task(uid).error.as_ref().map(|error| error.code.clone());
    let taken = rename(&mut desk, "a", "b");
    assert_eq!(code(&desk, taken).as_deref(), Some("index_already_exists"));
    let missing = rename(&mut desk, "none", "b");
    assert_eq!(code(&desk, missing).as_deref(), Some("index_not_found"));
    let indexes = ("a".to_owned(), "b".to_owned());
    let swap = desk.operate(IndexOperation::Swap { swaps: vec![IndexSwap { indexes, rename: true }] });
    assert_eq!(code(&desk, swap).as_deref(), Some("index_already_exists"));
    assert!(desk.sequencer.map().indexes.values().all(|index| !index.swapping));
    let same = rename(&mut desk, "a", "a");
    desk.wait(600);
    assert_eq!(desk.task(same).status, TaskStatus::Succeeded);
    assert_eq!(desk.sequencer.map().indexes.len(), 2);
}

#[test]
fn a_compaction_is_one_task_of_all_nodes() {
    let mut desk = pair();
    let missing = desk.operate(IndexOperation::Compact { uid: "b".into() });
    assert_eq!(desk.task(missing).status, TaskStatus::Failed);
    let incarnation = desk.sequencer.index("a").unwrap().incarnation;
    let compacted = desk.operate(IndexOperation::Compact { uid: "a".into() });
    desk.wait(600);
    assert_eq!(desk.task(compacted).status, TaskStatus::Succeeded);
    assert_eq!(desk.sequencer.index("a").unwrap().incarnation, incarnation);
}

#[test]
fn finished_tickets_leave_memory_and_the_store() {
    let mut desk = pair();
    for at in 0..20 {
        let attempt = format!("t{at}");
        let (_, uids) = open(&mut desk, write(&attempt, &[0, 1]), ADD);
        for (node, uid) in uids {
            desk.end_task(&node, uid, TaskStatus::Succeeded, Some(2));
        }
        desk.wait(100);
    }
    desk.wait(60_000);
    assert_eq!(desk.sequencer.tickets().count(), 0);
    assert!(desk.store.keys().all(|(kind, _)| *kind != "ticket"));
    assert!(desk.tasks.values().filter(|task| task.index.is_some()).all(|task| task.status == TaskStatus::Succeeded));
}
