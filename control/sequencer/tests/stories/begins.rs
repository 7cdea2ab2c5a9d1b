//! Begin, grant, commit: what clients are told.

use miroir_core::error::ErrorBody;
use miroir_core::wire::*;
use miroir_sequencer::{Event, IndexOperation, NodeFault, TaskStatus};

use crate::desk::{Desk, config, write};

fn pair() -> Desk {
    Desk::new(config(2, vec![vec![0, 1], vec![1, 0]]), false)
}

fn accepted(desk: &mut Desk, grant: &Grant, count: u64) -> Vec<(String, PartOutcome)> {
    desk.accept_all(grant, count)
}

fn commit(desk: &mut Desk, grant: &Grant, attempt: &str, parts: &[(String, PartOutcome)]) -> u64 {
    let parts: Vec<(&str, PartOutcome)> = parts.iter().map(|(node, said)| (node.as_str(), said.clone())).collect();
    desk.commit(grant, attempt, &parts)
}

#[test]
fn a_write_goes_to_all_replicas_and_becomes_a_task() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0, 1]));
    assert_eq!(grant.primary_key.as_deref(), Some("id"));
    assert_eq!(grant.parts.len(), 2);
    assert!(grant.parts.iter().all(|part| part.shards.len() == 2 && part.shards.iter().all(|shard| shard.counts)));
    assert_eq!(grant.parts[0].key.as_deref(), Some("n0-1"));
    let parts = accepted(&mut desk, &grant, 2);
    let request = commit(&mut desk, &grant, "t1", &parts);
    assert_eq!(desk.status(request), Some(202));
    desk.wait(200);
    let task = desk.task(grant.ticket);
    assert_eq!(task.status, TaskStatus::Succeeded);
    assert_eq!(task.details, Some(serde_json::json!({ "receivedDocuments": 2, "indexedDocuments": 2 })));
    let again = commit(&mut desk, &grant, "t1", &parts);
    assert_eq!(desk.status(again), Some(202), "a repeated commit gets the same answer");
}

#[test]
fn tickets_that_share_a_shard_wait_and_others_do_not() {
    let mut desk = pair();
    let first = desk.granted(write("t1", &[0]));
    let second = desk.begin(write("t2", &[0]));
    assert!(!desk.begun.contains_key(&second));
    desk.granted(write("t3", &[1]));
    let parts = accepted(&mut desk, &first, 1);
    commit(&mut desk, &first, "t1", &parts);
    assert!(matches!(desk.begun.get(&second), Some(BeginAnswer::Grant(_))));
}

#[test]
fn a_begin_does_not_wait_for_ever() {
    let mut desk = pair();
    desk.granted(write("t1", &[0]));
    let second = desk.begin(write("t2", &[0]));
    desk.wait(9_100);
    assert!(matches!(desk.begun.get(&second), Some(BeginAnswer::Reply(reply)) if reply.status == 503));
}

#[test]
fn an_abort_frees_the_shards_without_a_fence_and_is_remembered() {
    let mut desk = pair();
    desk.granted(write("t1", &[0]));
    desk.send(Event::Abort(Abort { attempt: "t1".into() }));
    desk.granted(write("t2", &[0]));
    desk.send(Event::Abort(Abort { attempt: "t3".into() }));
    assert_eq!(desk.answered(write("t3", &[1])).status, 503, "the abort was faster than its begin");
    assert_eq!(desk.nodes["n0"].fences.len(), 1);
}

#[test]
fn a_replica_that_refuses_misses_the_write_and_is_stale() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    let uid = desk.add_task(
        "n0",
        Some(&grant.metadata),
        "documentAdditionOrUpdate",
        Some("a"),
        TaskStatus::Succeeded,
        Some(1),
    );
    let full = PartOutcome::Refused { status: 422, error: Some(ErrorBody::new("no_space_left_on_device", "full")) };
    let request = desk.commit(&grant, "t1", &[("n0", PartOutcome::Accepted { uid }), ("n1", full)]);
    let Some(CommitAnswer::Reply(reply)) = desk.committed.get(&request) else { panic!("no answer") };
    assert_eq!(reply.status, 202);
    assert!(reply.headers.iter().any(|(name, _)| name == "x-miroir-degraded"));
    let map = desk.sequencer.map();
    assert_eq!(map.stale.len(), 1);
    assert_eq!((map.stale[0].shard, map.stale[0].node), (0, 1));
    let next = desk.granted(write("t2", &[0]));
    // Its repair may have begun: then it gets the write, and nobody relies on it.
    let relied: Vec<&str> = next
        .parts
        .iter()
        .filter(|part| part.shards.iter().any(|shard| shard.counts))
        .map(|part| part.node.as_str())
        .collect();
    assert_eq!(relied, ["n0"]);
}

#[test]
fn a_fault_of_the_request_goes_to_the_client() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    let refused = PartOutcome::Refused { status: 400, error: Some(ErrorBody::new("invalid_document_filter", "bad")) };
    let request = desk.commit(&grant, "t1", &[("n0", refused.clone()), ("n1", refused)]);
    assert_eq!(desk.status(request), Some(400));
    assert!(desk.sequencer.map().stale.is_empty());
    assert!(!desk.tasks.contains_key(&grant.ticket));
}

#[test]
fn an_unknown_part_is_fenced_and_sent_once_more() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    let uid = desk.add_task(
        "n0",
        Some(&grant.metadata),
        "documentAdditionOrUpdate",
        Some("a"),
        TaskStatus::Succeeded,
        Some(1),
    );
    let parts = [("n0", PartOutcome::Accepted { uid }), ("n1", PartOutcome::Unknown)];
    let request = desk.commit(&grant, "t1", &parts);
    assert_eq!(desk.committed.get(&request), None);
    desk.wait(2_100);
    let Some(CommitAnswer::Resend(again)) = desk.committed.get(&request).cloned() else { panic!("no resend") };
    assert_eq!((again.ticket, again.parts.len(), again.parts[0].key.as_deref()), (grant.ticket, 1, Some("n1-2")));
    let uid = desk.add_task(
        "n1",
        Some(&grant.metadata),
        "documentAdditionOrUpdate",
        Some("a"),
        TaskStatus::Succeeded,
        Some(1),
    );
    let request = desk.commit(&grant, "t1", &[parts[0].clone(), ("n1", PartOutcome::Accepted { uid })]);
    assert_eq!(desk.status(request), Some(202));
    assert!(desk.sequencer.map().stale.is_empty());
}

#[test]
fn a_part_that_was_enqueued_after_all_is_found() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    let parts = accepted(&mut desk, &grant, 1);
    let request = commit(&mut desk, &grant, "t1", &[parts[0].clone(), ("n1".into(), PartOutcome::Unknown)]);
    assert_eq!(desk.status(request), Some(202), "its task is in the list");
    assert_eq!(desk.nodes["n1"].fences.len(), 1);
}

#[test]
fn a_fenced_key_is_renewed() {
    let mut desk = pair();
    let lost = desk.granted(write("t1", &[0]));
    let grant = desk.granted(write("t2", &[1]));
    desk.send(Event::Abandon(Abandon { attempt: "t1".into(), parts: vec![] }));
    let request = desk.renew(&grant, "t2", &["n0", "n1"]);
    let Some(RenewAnswer::Grant(renewed)) = desk.renewed.get(&request) else { panic!("no renewal") };
    assert!(renewed.parts.iter().all(|part| part.key.as_deref().is_some_and(|key| key.ends_with("-2"))));
    let _ = lost;
}

#[test]
fn an_abandoned_ticket_is_resolved_and_frees_its_shards() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    desk.send(Event::Abandon(Abandon { attempt: "t1".into(), parts: vec![] }));
    let next = desk.begin(write("t2", &[0]));
    assert!(!desk.begun.contains_key(&next), "not before the nodes are fenced");
    desk.wait(2_200);
    assert!(matches!(desk.begun.get(&next), Some(BeginAnswer::Grant(_))));
    assert!(!desk.tasks.contains_key(&grant.ticket));
    assert!(desk.nodes.values().all(|node| node.fences == [1, 2]));
}

#[test]
fn an_abandoned_ticket_that_one_node_has_goes_forward() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    desk.add_task("n1", Some(&grant.metadata), "documentAdditionOrUpdate", Some("a"), TaskStatus::Succeeded, Some(1));
    desk.send(Event::Abandon(Abandon { attempt: "t1".into(), parts: vec![] }));
    desk.wait(15_000);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
    let map = desk.sequencer.map();
    assert_eq!(map.stale.iter().map(|mark| (mark.shard, mark.node)).collect::<Vec<_>>(), [(0, 0)]);
}

/// Its commit has come before: there is nobody left to send a part again.
#[test]
fn a_commit_whose_filter_vanishes_is_decided_without_it() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    let (metadata, kind) = (Some(grant.metadata.as_str()), "documentAdditionOrUpdate");
    let uid = desk.add_task("n0", metadata, kind, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.commit(&grant, "t1", &[("n0", PartOutcome::Accepted { uid }), ("n1", PartOutcome::Unknown)]);
    desk.send(Event::Abandon(Abandon { attempt: "t1".into(), parts: vec![] }));
    let next = desk.begin(write("t2", &[0]));
    desk.wait(2_200);
    assert!(matches!(desk.begun.get(&next), Some(BeginAnswer::Grant(_))), "its shards are free");
    assert!(!desk.committed.values().any(|answer| matches!(answer, CommitAnswer::Resend(_))));
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
}

#[test]
fn a_ticket_without_commit_is_resolved_after_its_deadline() {
    let mut desk = pair();
    desk.granted(write("t1", &[0]));
    desk.wait(24_000);
    desk.granted(write("t2", &[0]));
}

#[test]
fn idempotency_gives_the_same_task_and_refuses_another_request() {
    let mut desk = pair();
    let keyed = |attempt: &str, digest: &str| Begin {
        idempotency_key: Some("k".into()),
        digest: digest.into(),
        ..write(attempt, &[0])
    };
    let grant = desk.granted(keyed("t1", "d1"));
    let follower = desk.begin(keyed("t2", "d1"));
    assert!(!desk.begun.contains_key(&follower), "waits for the first");
    assert_eq!(desk.answered(keyed("t3", "d2")).status, 409);
    let parts = accepted(&mut desk, &grant, 1);
    commit(&mut desk, &grant, "t1", &parts);
    let uid = |reply: &ControlReply| reply.body.as_ref().and_then(|body| body["taskUid"].as_u64());
    let Some(BeginAnswer::Reply(reply)) = desk.begun.get(&follower) else { panic!("no answer") };
    assert_eq!(uid(reply), Some(grant.ticket.into()));
    desk.restart();
    desk.wait(2_500);
    assert_eq!(uid(&desk.answered(keyed("t4", "d1"))), Some(grant.ticket.into()), "also across a restart");
}

#[test]
fn min_accept_of_two_refuses_where_one_copy_is_left() {
    let mut desk = Desk::new(miroir_sequencer::Config { min_accept: 2, ..config(2, vec![vec![0, 1]]) }, false);
    desk.nodes.get_mut("n1").unwrap().silent = Some(NodeFault::NotSent);
    desk.wait(2_000);
    let reply = desk.answered(write("t1", &[0]));
    assert_eq!(reply.status, 503);
}

#[test]
fn a_reserved_key_holds_other_candidates_until_it_is_settled() {
    let mut desk = pair();
    let grant = desk.granted(write("t1", &[0]));
    let other = Begin { primary_key: Some("sku".into()), ..write("t2", &[1]) };
    let waits = desk.begin(other.clone());
    assert!(!desk.begun.contains_key(&waits));
    let parts: Vec<(String, PartOutcome)> = grant
        .parts
        .iter()
        .map(|part| {
            let kind = "documentAdditionOrUpdate";
            let uid = desk.add_task(&part.node, Some(&grant.metadata), kind, Some("a"), TaskStatus::Failed, Some(0));
            (part.node.clone(), PartOutcome::Accepted { uid })
        })
        .collect();
    commit(&mut desk, &grant, "t1", &parts);
    desk.wait(200);
    let Some(BeginAnswer::Grant(second)) = desk.begun.get(&waits).cloned() else { panic!("the key is free again") };
    let parts = accepted(&mut desk, &second, 1);
    commit(&mut desk, &second, "t2", &parts);
    desk.wait(200);
    assert_eq!(desk.sequencer.index("a").unwrap().primary_key.as_deref(), Some("sku"));
    let late = desk.begin(write("t3", &[0]));
    assert!(matches!(desk.begun.get(&late), Some(BeginAnswer::Resplit { primary_key, .. }) if primary_key == "sku"));
    let named = desk.answered(Begin { key_source: KeySource::Parameter, ..write("t4", &[0]) });
    let uid = named.body.unwrap()["taskUid"].as_u64().unwrap() as u32;
    assert_eq!(desk.task(uid).error.as_ref().unwrap().code, "index_primary_key_already_exists");
}

#[test]
fn a_key_stays_with_its_documents_when_their_index_gets_another_name_before_their_task_ends() {
    for restarts in [false, true] {
        let mut desk = pair();
        desk.ask_to_create("b");
        desk.wait(100);
        // It has not read the map with the new index: the write's task waits for it.
        let behind =
            Heartbeat { vm: "behind".into(), epoch: 0, oldest_epoch: 0, rejected: None, gone: false, envoy: None };
        desk.send(Event::Heartbeat(behind.clone()));
        let grant = desk.granted(write("t1", &[0]));
        let parts = accepted(&mut desk, &grant, 1);
        commit(&mut desk, &grant, "t1", &parts);
        desk.wait(200);
        assert_eq!(desk.task(grant.ticket).status, TaskStatus::Enqueued);
        let swap = desk.operate(IndexOperation::exchange("a", "b"));
        desk.wait(2_000);
        assert_eq!(desk.task(swap).status, TaskStatus::Processing, "it is behind with this as well");
        if restarts {
            desk.restart();
        }
        desk.wait(30_000);
        assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
        assert_eq!(desk.sequencer.index("b").unwrap().primary_key.as_deref(), Some("id"));
        assert_eq!(desk.sequencer.index("a").unwrap().primary_key, None);
    }
}

#[test]
fn a_first_write_creates_the_index_on_all_nodes_first() {
    let mut desk = Desk::bare(config(3, vec![vec![0, 1]]));
    desk.wait(2_500);
    let request = desk.begin(write("t1", &[0]));
    assert!(matches!(desk.begun.get(&request), Some(BeginAnswer::Grant(_))));
    assert!(desk.nodes.values().all(|node| node.tasks[0].task_type == "indexCreation"));
    assert!(desk.tasks.is_empty(), "the creation has no task of its own");
}

#[test]
fn a_key_that_is_named_is_judged_before_the_documents() {
    let mut desk = Desk::new(config(1, vec![vec![0]]), true);
    let fault = ErrorBody::new("missing_document_id", "no `sku`");
    let key = |name: &str| Some(name.to_owned());
    let wrong = |attempt: &str, key| Begin {
        fault: Some(fault.clone()),
        shards: vec![],
        primary_key: key,
        key_source: KeySource::Parameter,
        ..write(attempt, &[])
    };
    let code = |desk: &mut Desk, begin| {
        let uid = desk.answered(begin).body.unwrap()["taskUid"].as_u64().unwrap() as u32;
        desk.task(uid).error.as_ref().unwrap().code.clone()
    };
    assert_eq!(code(&mut desk, wrong("t1", key("sku"))), "index_primary_key_already_exists");
    assert_eq!(code(&mut desk, wrong("t2", key("id"))), "missing_document_id");
    let mut desk = Desk::new(config(1, vec![vec![0]]), false);
    assert_eq!(code(&mut desk, wrong("t3", key("sku"))), "missing_document_id");
    let first = desk.granted(write("t4", &[0]));
    let waits = desk.begin(wrong("t5", key("sku")));
    assert!(!desk.begun.contains_key(&waits), "the key is only reserved");
    let parts = desk.accept_all(&first, 1);
    desk.commit(&first, "t4", &[("n0", parts[0].1.clone())]);
    desk.wait(100);
    let Some(BeginAnswer::Reply(reply)) = desk.begun.get(&waits) else { panic!("no answer") };
    let uid = reply.body.as_ref().unwrap()["taskUid"].as_u64().unwrap() as u32;
    assert_eq!(desk.task(uid).error.as_ref().unwrap().code, "index_primary_key_already_exists");
}

#[test]
fn faults_and_empty_payloads_become_tasks_without_any_node() {
    let mut desk = pair();
    let fault = ErrorBody::new("missing_document_id", "no id");
    let reply = desk.answered(Begin { fault: Some(fault.clone()), shards: vec![], ..write("t1", &[]) });
    let uid = reply.body.unwrap()["taskUid"].as_u64().unwrap() as u32;
    assert_eq!((desk.task(uid).status, desk.task(uid).error.clone()), (TaskStatus::Failed, Some(fault)));
    let reply = desk.answered(Begin { primary_key: None, key_source: KeySource::None, ..write("t2", &[]) });
    let uid = reply.body.unwrap()["taskUid"].as_u64().unwrap() as u32;
    assert_eq!(desk.task(uid).status, TaskStatus::Succeeded);
    let gone = Begin {
        index: "nowhere".into(),
        kind: WriteKind::DeleteAll,
        primary_key: None,
        shards: vec![],
        ..write("t3", &[])
    };
    let reply = desk.answered(gone);
    let uid = reply.body.unwrap()["taskUid"].as_u64().unwrap() as u32;
    assert_eq!(desk.task(uid).error.as_ref().unwrap().code, "index_not_found");
}

/// The engine drops a document that one task of a batch makes and the next replaces with `skipCreation`: whether it is
/// there would depend on how each node batches.
#[test]
fn a_replacement_that_makes_nothing_is_kept_out_of_the_batch_of_what_came_before() {
    let mut desk = pair();
    let first = desk.granted(write("t1", &[0]));
    let open = |desk: &mut Desk, node: &str| {
        desk.add_task(node, Some(&first.metadata), "documentAdditionOrUpdate", Some("a"), TaskStatus::Enqueued, None)
    };
    let tasks = [("n0", open(&mut desk, "n0")), ("n1", open(&mut desk, "n1"))];
    let between = |desk: &Desk, node: &str| {
        let of_first = desk.nodes[node].tasks.iter().position(|task| task.metadata.as_ref() == Some(&first.metadata));
        let behind = desk.nodes[node].tasks.iter().skip(of_first.unwrap());
        behind.filter(|task| task.task_type == "documentDeletion").count()
    };
    let parts = tasks.map(|(node, uid)| (node, PartOutcome::Accepted { uid }));
    let request = desk.commit(&first, "t1", &parts);
    assert_eq!(desk.status(request), Some(202));

    let skips = |attempt: &str, shard: u32| Begin { skip_creation: true, ..write(attempt, &[shard]) };
    let waits = desk.begin(skips("t2", 0));
    desk.granted(skips("t3", 1));
    let update = desk.begin(Begin { kind: WriteKind::Update, ..skips("t4", 0) });
    assert_eq!((between(&desk, "n0"), between(&desk, "n1")), (1, 1));
    let Some(BeginAnswer::Grant(grant)) = desk.begun.remove(&waits) else { panic!("not granted") };
    let is_open = |(node, uid): (&str, u32)| desk.nodes[node].tasks[uid as usize].status == TaskStatus::Enqueued;
    assert!(tasks.into_iter().all(is_open), "nodes need not be done with what is before");
    let parts = accepted(&mut desk, &grant, 1);
    commit(&mut desk, &grant, "t2", &parts);
    assert!(matches!(desk.begun.get(&update), Some(BeginAnswer::Grant(_))), "an update needs nothing between");
    assert_eq!((between(&desk, "n0"), between(&desk, "n1")), (1, 1));
    assert!(!desk.alerts.contains(&"audit_foreign"), "{:?}", desk.alerts);
}
