//! Copies are repaired, moved and deleted, with no more work than it takes.

use std::collections::VecDeque;

use miroir_core::error::ErrorBody;
use miroir_core::wire::*;
use miroir_sequencer::*;

use crate::desk::{Desk, config, write};

fn cluster(nodes: usize, documents: usize) -> Desk {
    let mut desk = Desk::new(config(nodes, vec![vec![0, 1]]), true);
    desk.repairs = true;
    for id in ["n0", "n1"] {
        let node = desk.nodes.get_mut(id).unwrap();
        node.documents = (0..documents).map(|at| (format!("{at:04}"), at as u128)).collect();
    }
    desk
}

/// A write of one key that n1 refuses.
pub fn missed_by_n1(desk: &mut Desk, attempt: &str, key: &str) {
    let begin = Begin { keys: Some(vec![key.to_owned()]), ..write(attempt, &[0]) };
    let grant = desk.granted(begin);
    let metadata = grant.metadata.clone();
    desk.nodes.get_mut("n0").unwrap().documents.insert(key.to_owned(), 7_777);
    let uid =
        desk.add_task("n0", Some(&metadata), "documentAdditionOrUpdate", Some("a"), TaskStatus::Succeeded, Some(1));
    let full = PartOutcome::Refused { status: 422, error: Some(ErrorBody::new("no_space_left_on_device", "full")) };
    desk.commit(&grant, attempt, &[("n0", PartOutcome::Accepted { uid }), ("n1", full)]);
}

fn states(desk: &Desk) -> Vec<(String, CopyState)> {
    desk.sequencer.copies().into_iter().map(|copy| (copy.node, copy.state)).collect()
}

fn all_in_sync(desk: &Desk) -> bool {
    states(desk).iter().all(|(_, state)| *state == CopyState::InSync)
}

/// Keys that were compared on a node, by request; none: the whole shard.
fn compared(desk: &Desk, node: &str) -> Vec<Option<Vec<String>>> {
    let asked = desk.nodes[node].copying.iter().filter_map(|action| match action {
        NodeAction::Digests { keys, .. } => Some(keys.clone()),
        NodeAction::ListKeys { .. } => Some(None),
        _ => None,
    });
    asked.collect()
}

fn written(desk: &Desk, node: &str) -> usize {
    desk.nodes[node].copying.iter().filter(|action| matches!(action, NodeAction::PutPage { .. })).count()
}

fn begin_move(desk: &mut Desk) {
    let (to, leaving) = ("n2".to_owned(), Some("n1".to_owned()));
    desk.send(Event::Sync(SyncCommand::Begin { placement: 0, shard: 0, to, leaving }));
}

#[test]
fn a_copy_that_missed_one_write_is_compared_in_that_key_alone() {
    let mut desk = cluster(2, 500);
    missed_by_n1(&mut desk, "t1", "0042");
    desk.wait(1_000);
    assert!(all_in_sync(&desk), "{:?}", states(&desk));
    assert_eq!(desk.nodes["n0"].documents, desk.nodes["n1"].documents);
    let one = Some(vec!["0042".to_owned()]);
    assert!(compared(&desk, "n1").iter().chain(&compared(&desk, "n0")).all(|keys| *keys == one));
    assert_eq!(written(&desk, "n1"), 1);
    assert!(desk.sequencer.map().stale.is_empty());
}

#[test]
fn what_a_leader_of_before_knew_is_found_by_comparing_and_only_that_is_written() {
    let mut desk = cluster(2, 500);
    let pause = SyncLimits { paused: true, ..SyncLimits::default() };
    desk.send(Event::Sync(SyncCommand::Limits(pause)));
    missed_by_n1(&mut desk, "t1", "0042");
    desk.restart();
    desk.wait(10_000);
    assert!(all_in_sync(&desk), "{:?}", states(&desk));
    assert_eq!(compared(&desk, "n1").first(), Some(&None), "the whole shard is compared");
    let fetched: Vec<&NodeAction> =
        desk.nodes["n0"].copying.iter().filter(|action| matches!(action, NodeAction::FetchPage { .. })).collect();
    let [NodeAction::FetchPage { keys, .. }] = fetched.as_slice() else { panic!("{fetched:?}") };
    assert_eq!(keys, &["0042"]);
}

#[test]
fn a_page_whose_outcome_is_unknown_takes_the_copy_out_of_the_write_sets_until_a_fence() {
    let mut desk = cluster(2, 5);
    desk.nodes.get_mut("n1").unwrap().swallows_pages = true;
    missed_by_n1(&mut desk, "t1", "0003");
    desk.wait(200);
    assert_eq!(written(&desk, "n1"), 1);
    let grant = desk.granted(write("t2", &[0]));
    assert_eq!(grant.parts.iter().map(|part| part.node.as_str()).collect::<Vec<_>>(), ["n0"]);
    let said = desk.accept_all(&grant, 1);
    let said: Vec<(&str, PartOutcome)> = said.iter().map(|(node, said)| (node.as_str(), said.clone())).collect();
    desk.commit(&grant, "t2", &said);
    desk.nodes.get_mut("n1").unwrap().swallows_pages = false;
    desk.wait(10_000);
    assert!(all_in_sync(&desk), "{:?}", states(&desk));
    assert_eq!(desk.nodes["n0"].documents, desk.nodes["n1"].documents);
}

#[test]
fn a_copy_that_moved_away_is_deleted_when_the_last_vm_reads_by_a_later_map() {
    let mut desk = cluster(3, 500);
    let before = desk.sequencer.epoch();
    desk.heartbeat("behind", None, before);
    begin_move(&mut desk);
    desk.wait(5_000);
    let find = |desk: &Desk, node: &str| states(desk).into_iter().find(|(id, _)| id == node).map(|(_, state)| state);
    assert_eq!((find(&desk, "n2"), find(&desk, "n1")), (Some(CopyState::InSync), Some(CopyState::Retiring)));
    assert_eq!(desk.nodes["n0"].documents, desk.nodes["n2"].documents);
    desk.wait(200_000);
    assert_eq!(desk.nodes["n1"].documents.len(), 500, "a VM may still read it");
    let grant = desk.granted(write("t1", &[0]));
    assert_eq!(grant.parts.len(), 3, "a retiring copy is still written");
    desk.commit(
        &grant,
        "t1",
        &[("n0", PartOutcome::NotSent), ("n1", PartOutcome::NotSent), ("n2", PartOutcome::NotSent)],
    );
    let after = desk.sequencer.epoch();
    let reading =
        Heartbeat { vm: "behind".into(), epoch: after, oldest_epoch: before, rejected: None, gone: false, envoy: None };
    desk.send(Event::Heartbeat(reading));
    desk.wait(60_000);
    assert_eq!(desk.nodes["n1"].documents.len(), 500, "a request of before is still under way");
    desk.heartbeat("behind", None, after);
    desk.wait(9_000);
    assert_eq!(desk.nodes["n1"].documents.len(), 500, "a VM that has just started may not have been heard yet");
    desk.nodes.get_mut("n1").unwrap().silent = Some(NodeFault::NotSent);
    desk.wait(2_000);
    assert_eq!(find(&desk, "n1"), Some(CopyState::Retiring), "what is still there is shown");
    desk.nodes.get_mut("n1").unwrap().silent = None;
    desk.wait(10_000);
    assert!(desk.nodes["n1"].documents.is_empty());
    assert_eq!(find(&desk, "n1"), None);
    assert!(desk.sequencer.retirements().is_empty());
    assert!(!desk.store.keys().any(|(kind, _)| *kind == "sync" || *kind == "retire"), "{:?}", desk.store.keys());
}

#[test]
fn what_the_good_copy_fails_to_do_after_all_is_compared_as_well() {
    for waits in [false, true] {
        let mut desk = cluster(2, 10);
        let begin = Begin { keys: Some(vec!["0001".to_owned()]), ..write("t1", &[0]) };
        let grant = desk.granted(begin);
        let add = "documentAdditionOrUpdate";
        let open = desk.add_task("n0", Some(&grant.metadata), add, Some("a"), TaskStatus::Enqueued, None);
        let done = desk.add_task("n1", Some(&grant.metadata), add, Some("a"), TaskStatus::Succeeded, Some(1));
        desk.nodes.get_mut("n1").unwrap().documents.insert("0001".to_owned(), 9_999);
        let said = [("n0", open), ("n1", done)].map(|(node, uid)| (node, PartOutcome::Accepted { uid }));
        desk.commit(&grant, "t1", &said);
        // Out of reach for a while, n0 is not waited for.
        desk.nodes.get_mut("n0").unwrap().silent = Some(NodeFault::NotSent);
        desk.wait(1_500);
        desk.nodes.get_mut("n0").unwrap().silent = None;
        desk.wait(12_000);
        assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
        desk.send(Event::Sync(SyncCommand::Limits(SyncLimits { paused: waits, ..SyncLimits::default() })));
        missed_by_n1(&mut desk, "t2", "0002");
        desk.wait(1_000);
        desk.end_task("n0", open, TaskStatus::Failed, Some(0));
        desk.wait(1_000);
        desk.send(Event::Sync(SyncCommand::Limits(SyncLimits::default())));
        desk.wait(5_000);
        assert!(all_in_sync(&desk), "{:?}", states(&desk));
        assert_eq!(desk.nodes["n0"].documents, desk.nodes["n1"].documents);
        assert_eq!(written(&desk, "n1"), 1, "nothing else was compared");
    }
}

/// Lets n2 take the place of n1, whose copy is about to be deleted in a second.
fn about_to_be_deleted() -> Desk {
    let mut desk = cluster(3, 10);
    begin_move(&mut desk);
    while desk.sequencer.retirements().first().is_none_or(|row| row.adopted_ms.is_none()) {
        desk.wait(100);
    }
    desk.wait(9_000);
    desk
}

fn deletions(desk: &Desk, node: &str) -> usize {
    desk.nodes[node].copying.iter().filter(|action| matches!(action, NodeAction::DeleteShard { .. })).count()
}

#[test]
fn a_copy_is_not_deleted_while_a_write_may_come_that_was_sent_to_it_once_more() {
    let mut desk = about_to_be_deleted();
    let grant = desk.granted(write("t1", &[0]));
    let add = "documentAdditionOrUpdate";
    let uid = desk.add_task("n2", Some(&grant.metadata), add, Some("a"), TaskStatus::Succeeded, Some(1));
    let taken = ("n2", PartOutcome::Accepted { uid });
    let refused = PartOutcome::Refused { status: 403, error: None };
    let first = [("n0", PartOutcome::Unknown), ("n1", refused), taken.clone()];
    let commit = desk.commit(&grant, "t1", &first);
    desk.wait(2_500);
    let Some(CommitAnswer::Resend(again)) = desk.committed.get(&commit).cloned() else { panic!("sent once more") };
    assert!(again.parts.iter().any(|part| part.node == "n1"));
    assert!(desk.sequencer.retirements()[0].deleting);
    let uid = desk.add_task("n0", Some(&grant.metadata), add, Some("a"), TaskStatus::Succeeded, Some(1));
    let commit =
        desk.commit(&again, "t1", &[("n0", PartOutcome::Accepted { uid }), ("n1", PartOutcome::Unknown), taken]);
    assert_eq!(desk.status(commit), Some(202));
    desk.wait(1_000);
    assert_eq!(deletions(&desk, "n1"), 0, "it is not fenced yet");
    desk.add_task("n1", Some(&grant.metadata), add, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.wait(10_000);
    assert_eq!((deletions(&desk, "n1"), desk.nodes["n1"].documents.len()), (1, 0));
}

#[test]
fn a_copy_on_a_node_that_lacks_the_index_is_deleted_all_the_same() {
    let mut desk = about_to_be_deleted();
    desk.nodes.get_mut("n1").unwrap().lacks_index = true;
    desk.wait(5_000);
    assert_eq!((states(&desk).len(), deletions(&desk, "n1")), (2, 1));
    assert!(desk.sequencer.retirements().is_empty());
}

#[test]
fn a_write_that_arrives_where_its_copy_has_been_deleted_is_cleared_away() {
    let mut desk = cluster(3, 10);
    let grant = desk.granted(write("t1", &[0]));
    desk.send(Event::Abandon(Abandon { attempt: "t1".into(), parts: vec![] }));
    desk.wait(2_200);
    begin_move(&mut desk);
    desk.wait(18_000);
    assert_eq!((states(&desk).len(), deletions(&desk, "n1")), (2, 1));
    desk.add_task("n1", Some(&grant.metadata), "documentAdditionOrUpdate", Some("a"), TaskStatus::Succeeded, Some(1));
    desk.wait(6_000);
    assert!(desk.alerts.contains(&"audit_late"));
    assert!(desk.nodes["n1"].told.iter().any(|step| step.task_type == "documentDeletion"));
}

#[test]
fn a_cancelled_move_leaves_the_owners_as_they_were() {
    let mut desk = cluster(3, 500);
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits { documents_per_s: 50, ..SyncLimits::default() })));
    begin_move(&mut desk);
    desk.wait(3_000);
    assert!(!desk.nodes["n2"].documents.is_empty(), "it is under way");
    desk.send(Event::Sync(SyncCommand::Cancel { placement: 0, shard: 0, to: "n2".into() }));
    desk.wait(60_000);
    assert!(desk.nodes["n2"].documents.is_empty());
    assert_eq!(states(&desk), [("n0".to_owned(), CopyState::InSync), ("n1".to_owned(), CopyState::InSync)]);
}

#[test]
fn a_move_goes_on_after_a_restart_and_writes_what_is_left() {
    let mut desk = cluster(3, 500);
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits { documents_per_s: 50, ..SyncLimits::default() })));
    begin_move(&mut desk);
    desk.wait(5_000);
    let copied = desk.nodes["n2"].documents.len();
    assert!((50..500).contains(&copied), "{copied}");
    desk.restart();
    desk.wait(10_000);
    assert_eq!(desk.nodes["n0"].documents, desk.nodes["n2"].documents);
    let state = states(&desk).into_iter().find(|(id, _)| id == "n2");
    assert_eq!(state, Some(("n2".to_owned(), CopyState::InSync)));
    let fetched = desk.nodes["n0"].copying.iter().chain(&desk.nodes["n1"].copying).filter_map(|action| match action {
        NodeAction::FetchPage { keys, .. } => Some(keys.len()),
        _ => None,
    });
    assert!(fetched.sum::<usize>() <= 550, "what had been copied is not copied again");
}

#[test]
fn copying_keeps_to_its_pace_and_stops_when_told() {
    let mut desk = cluster(3, 500);
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits { documents_per_s: 50, ..SyncLimits::default() })));
    begin_move(&mut desk);
    desk.wait(4_000);
    let copied = desk.nodes["n2"].documents.len();
    assert!((150..=300).contains(&copied), "{copied} documents in 4 s at 50 a second");
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits { paused: true, ..SyncLimits::default() })));
    desk.wait(10_000);
    assert!(desk.nodes["n2"].documents.len() <= copied + 50);
    desk.send(Event::Sync(SyncCommand::Limits(SyncLimits::default())));
    desk.wait(2_000);
    assert_eq!(desk.nodes["n2"].documents.len(), 500);
}

#[test]
fn copying_keeps_to_its_bytes_a_second() {
    // A document has 100 bytes here; a page is read whole, and then paid for.
    let copied = |bytes_per_s| {
        let mut desk = cluster(3, 20_000);
        desk.send(Event::Sync(SyncCommand::Limits(SyncLimits { bytes_per_s, ..SyncLimits::default() })));
        begin_move(&mut desk);
        desk.wait(4_000);
        desk.nodes["n2"].documents.len()
    };
    let (free, bound) = (copied(0), copied(100_000));
    assert!(free == 20_000 && (1..=10_000).contains(&bound), "{free} documents, and {bound} at 100 KB a second");
}

/// A client that deletes by filter without end: the next deletion is on its way before the nodes have carried out the
/// one before, so that no copy ever shows all that has been granted.
struct Storm {
    asked: Option<(String, u64)>,
    /// Tasks of each deletion with its turn, oldest first.
    open: VecDeque<(usize, Vec<(String, u32)>)>,
    granted: usize,
}

impl Storm {
    fn blow(&mut self, desk: &mut Desk, turn: usize) {
        while self.open.front().is_some_and(|(since, _)| since + 3 <= turn)
            && let Some((_, parts)) = self.open.pop_front()
        {
            parts.iter().for_each(|(node, uid)| desk.end_task(node, *uid, TaskStatus::Succeeded, Some(0)));
        }
        if self.asked.is_none() {
            let attempt = format!("storm-{turn}");
            let shards = vec![ShardCount { shard: 0, keys: 0 }];
            let begin = Begin { kind: WriteKind::DeleteByFilter, primary_key: None, shards, ..write(&attempt, &[0]) };
            self.asked = Some((attempt, desk.begin(begin)));
        }
        let Some((attempt, request)) = self.asked.take() else { return };
        let grant = match desk.begun.remove(&request) {
            Some(BeginAnswer::Grant(grant)) => grant,
            Some(BeginAnswer::Reply(refused)) => panic!("a deletion was refused: {refused:?}"),
            other => {
                assert!(other.is_none(), "{other:?}");
                self.asked = Some((attempt, request));
                return;
            }
        };
        self.granted += 1;
        let nodes: Vec<String> = grant.parts.iter().map(|part| part.node.clone()).collect();
        let enqueued: Vec<(String, u32)> = nodes
            .into_iter()
            .map(|node| {
                let (kind, open) = ("documentDeletion", TaskStatus::Enqueued);
                let uid = desk.add_task(&node, Some(&grant.metadata), kind, Some("a"), open, None);
                (node, uid)
            })
            .collect();
        let said: Vec<(&str, PartOutcome)> =
            enqueued.iter().map(|(node, uid)| (node.as_str(), PartOutcome::Accepted { uid: *uid })).collect();
        desk.commit(&grant, &attempt, &said);
        self.open.push_back((turn, enqueued));
    }
}

#[test]
fn a_move_ends_though_deletions_by_filter_never_pause() {
    let mut desk = cluster(3, 500);
    let mut storm = Storm { asked: None, open: VecDeque::new(), granted: 0 };
    begin_move(&mut desk);
    let moved = |desk: &Desk| states(desk).contains(&("n2".to_owned(), CopyState::InSync));
    let mut turn = 0;
    while !moved(&desk) {
        storm.blow(&mut desk, turn);
        desk.wait(100);
        turn += 1;
        assert!(turn < 300, "not moved after 30 s: {:?}", desk.sequencer.syncs());
    }
    assert!(turn > 50, "it was not held up at all");
    assert_eq!(desk.nodes["n0"].documents, desk.nodes["n2"].documents);
    assert!(storm.granted > turn / 2, "{} deletions in {turn} turns: the clients were held up", storm.granted);
}
