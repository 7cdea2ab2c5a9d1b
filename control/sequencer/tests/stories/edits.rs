//! Edits by function: a function that fails on one document fails the whole task of a node, with shards in which it did
//! not fail elsewhere.

use miroir_core::error::ErrorBody;
use miroir_core::hash::shard_of;
use miroir_core::wire::*;
use miroir_sequencer::{CopyState, TaskStatus};
use serde_json::json;

use crate::desk::{Desk, config, write};

/// Shard 0 on n0 and n1, shard 1 on n1 and n2, shard 2 on n2 and n0.
fn ring() -> Desk {
    let mut desk = Desk::new(config(3, vec![vec![0, 1], vec![1, 2], vec![2, 0]]), true);
    for node in desk.nodes.values_mut() {
        node.documents = (0..50).map(|at| (format!("{at:04}"), at)).collect();
    }
    desk.wait(10_000);
    desk
}

fn begin(attempt: &str) -> Begin {
    let edit = Edit { function: "doc.v += 1".into(), context: Some(json!({"by": 1})) };
    let original_filter = Some("\"v > 1\"".to_owned());
    let none = write(attempt, &[]);
    Begin {
        kind: WriteKind::Edit,
        primary_key: None,
        key_source: KeySource::None,
        edit: Some(Box::new(edit)),
        original_filter,
        ..none
    }
}

/// An edit that all nodes have accepted and none has done.
fn open(desk: &mut Desk, attempt: &str) -> (u32, Vec<(String, u32)>) {
    let grant = desk.granted(begin(attempt));
    let keys: Vec<&str> = grant.parts.iter().filter_map(|part| part.key.as_deref()).collect();
    assert_eq!(keys, ["n0-1-edit", "n1-1-edit", "n2-1-edit"]);
    let mut uids = Vec::new();
    for part in &grant.parts {
        let (kind, status) = ("documentEdition", TaskStatus::Enqueued);
        uids.push((part.node.clone(), desk.add_task(&part.node, Some(&grant.metadata), kind, Some("a"), status, None)));
    }
    let said: Vec<(&str, PartOutcome)> =
        uids.iter().map(|(node, uid)| (node.as_str(), PartOutcome::Accepted { uid: *uid })).collect();
    let request = desk.commit(&grant, attempt, &said);
    assert_eq!(desk.status(request), Some(202));
    (grant.ticket, uids)
}

fn end(desk: &mut Desk, (node, uid): &(String, u32), edited: Option<u64>) {
    let status = if edited.is_some() { TaskStatus::Succeeded } else { TaskStatus::Failed };
    desk.end_task(node, *uid, status, edited.or(Some(0)));
    if edited.is_none() {
        let error = ErrorBody::new("bad_request", "Index `a`: Runtime error: no (line 1, position 9)");
        desk.nodes.get_mut(node).unwrap().tasks[*uid as usize].error = Some(error);
    }
    desk.wait(300);
}

fn stale(desk: &Desk) -> Vec<(u32, String)> {
    let copies = desk.sequencer.copies().into_iter().filter(|copy| copy.state != CopyState::InSync);
    copies.map(|copy| (copy.shard, copy.node)).collect()
}

fn details(edited: u64, deleted: Option<u64>) -> Option<serde_json::Value> {
    Some(json!({
        "editedDocuments": edited,
        "deletedDocuments": deleted,
        "originalFilter": "\"v > 1\"",
        "context": {"by": 1},
        "function": "doc.v += 1",
    }))
}

#[test]
fn an_edit_counts_every_document_once() {
    let mut desk = ring();
    let (ticket, uids) = open(&mut desk, "t1");
    let task = desk.task(ticket);
    assert_eq!(
        (task.task_type.as_str(), task.details.as_ref().unwrap()["editedDocuments"].is_null()),
        ("documentEdition", true)
    );
    for (part, edited) in uids.iter().zip([5, 7, 8]) {
        end(&mut desk, part, Some(edited));
    }
    desk.wait(600);
    let task = desk.task(ticket);
    assert_eq!((task.status, task.details.clone()), (TaskStatus::Succeeded, details(10, Some(10))));
    assert!(stale(&desk).is_empty());
}

#[test]
fn a_function_that_fails_in_one_shard_leaves_no_pair_different_and_no_last_copy_stale() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut desk = ring();
        let (ticket, uids) = open(&mut desk, "t1");
        // It fails on a document of shard 0, and so on both nodes that have it; n2 has done it.
        let key =
            |shard| (0..50).map(|at| format!("{at:04}")).find(|key| shard_of(key.as_bytes(), 3) == shard).unwrap();
        for shard in [1, 2] {
            desk.nodes.get_mut("n2").unwrap().documents.insert(key(shard), 700);
        }
        for at in order {
            end(&mut desk, &uids[at], (uids[at].0 == "n2").then_some(12));
        }
        desk.wait(600);
        let task = desk.task(ticket);
        assert_eq!(task.status, TaskStatus::Failed, "{order:?}");
        assert_eq!(task.error.as_ref().unwrap().message, "Index `a`: Runtime error: no (line 1, position 9)");
        assert_eq!(task.details, details(12, None), "{order:?}");
        // Of shard 0 no copy has it, and both are as good as before; the others differ from n2, which has it.
        assert_eq!(stale(&desk), [(1, "n1".to_owned()), (2, "n0".to_owned())], "{order:?}");
        desk.repairs = true;
        desk.wait(60_000);
        assert!(stale(&desk).is_empty(), "{order:?}");
        let has = |node: &str, shard| desk.nodes[node].documents[&key(shard)];
        assert_eq!((has("n1", 1), has("n0", 2)), (700, 700), "{order:?}");
    }
}

#[test]
fn an_edit_that_fails_everywhere_leaves_all_copies_in_sync() {
    let mut desk = ring();
    let (ticket, uids) = open(&mut desk, "t1");
    uids.iter().for_each(|part| end(&mut desk, part, None));
    desk.wait(600);
    assert_eq!((desk.task(ticket).status, desk.task(ticket).details.clone()), (TaskStatus::Failed, details(0, None)));
    assert!(stale(&desk).is_empty() && !desk.alerts.contains(&"last_copy_damaged"), "{:?}", desk.alerts);
}

#[test]
fn what_all_nodes_refuse_alike_is_the_clients_answer() {
    let mut desk = ring();
    let grant = desk.granted(begin("t1"));
    let error = ErrorBody::new("bad_request", "Script is incomplete (line 1, position 8)");
    let refused = PartOutcome::Refused { status: 400, error: Some(error.clone()) };
    let said: Vec<(&str, PartOutcome)> = grant.parts.iter().map(|part| (part.node.as_str(), refused.clone())).collect();
    let request = desk.commit(&grant, "t1", &said);
    desk.wait(600);
    let Some(CommitAnswer::Reply(reply)) = desk.committed.get(&request) else { panic!("no reply") };
    assert_eq!((reply.status, reply.body.clone()), (400, serde_json::to_value(&error).ok()));
    assert!(stale(&desk).is_empty());
}

#[test]
fn an_edit_of_no_index_fails_as_the_engines() {
    let mut desk = ring();
    let reply = desk.answered(Begin { index: "none".into(), ..begin("t1") });
    assert_eq!(reply.status, 202);
    let uid = reply.body.unwrap()["taskUid"].as_u64().unwrap() as u32;
    let task = desk.task(uid);
    assert_eq!(task.error.as_ref().unwrap().code, "index_not_found");
    assert_eq!((task.status, task.details.clone()), (TaskStatus::Failed, details(0, None)));
}
