//! Documents on a node that belong to none of its copies are written down before they go, and never take the place of the
//! document of their key.

use std::collections::BTreeSet;

use miroir_core::hash::shard_of;
use miroir_sequencer::*;

use crate::desk::{Desk, config};

const PASS: u64 = 60_000;

/// Two shards of which n1 has both, n0 the first and n2 the second; n0 and n1 are senior.
fn cluster() -> Desk {
    let scrub = ScrubPace { interval: PASS, ..ScrubPace::default() };
    let owners = vec![vec![0, 1], vec![1, 2]];
    let mut desk = Desk::new(Config { scrub, ..config(3, owners.clone()) }, true);
    desk.repairs = true;
    for at in 0..100u32 {
        let key = format!("{at:04}");
        for owner in &owners[shard_of(key.as_bytes(), 2) as usize] {
            let node = desk.nodes.get_mut(&format!("n{owner}")).unwrap();
            node.documents.insert(key.clone(), at.into());
        }
    }
    desk
}

/// A key of a shard.
fn key_of(shard: u32) -> String {
    (0..100).map(|at| format!("{at:04}")).find(|key| shard_of(key.as_bytes(), 2) == shard).unwrap()
}

/// Something else is written under a key, with the tag of a shard or none.
fn intrude(desk: &mut Desk, node: &str, key: &str, tag: Option<u32>) {
    let node = desk.nodes.get_mut(node).unwrap();
    node.documents.remove(key);
    node.outsiders.insert(key.to_owned(), tag);
}

/// All is as it was, and what was there instead has been written down, once.
fn is_mended(desk: &Desk, before: &Desk, node: &str, key: &str) {
    for id in ["n0", "n1", "n2"] {
        assert_eq!(desk.nodes[id].documents, before.nodes[id].documents, "{id}");
        assert!(desk.nodes[id].outsiders.is_empty(), "{id}");
    }
    assert!(desk.sequencer.copies().iter().all(|copy| copy.state == CopyState::InSync));
    let file = desk.findings_file.as_ref().unwrap();
    let [Drift { lost, kept: None, what: Drifted::Outsiders { keys, .. }, .. }] = file.as_slice() else {
        panic!("{file:?}")
    };
    assert_eq!((lost.as_str(), keys.as_slice()), (node, [key.to_owned()].as_slice()));
    let view = desk.sequencer.scrub();
    let [finding] = view.findings.as_slice() else { panic!("{view:?}") };
    assert_eq!((finding.shard, finding.extra, finding.lost.as_str()), (None, 1, node));
    assert!(finding.repaired_ms.is_some());
    assert_eq!(desk.alerts.iter().filter(|alert| **alert == "replica_drift").count(), 1);
}

#[test]
fn a_pass_finds_what_has_no_tag_or_that_of_a_shard_that_its_node_does_not_hold() {
    // Also on the senior copy; also where the node holds no copy of the key's shard.
    let cases =
        [("n1", 0, None), ("n0", 0, None), ("n1", 1, None), ("n0", 1, None), ("n0", 0, Some(1)), ("n2", 1, Some(0))];
    for (node, shard, tag) in cases {
        let (mut desk, before) = (cluster(), cluster());
        let key = key_of(shard);
        intrude(&mut desk, node, &key, tag);
        desk.wait(PASS * 2);
        is_mended(&desk, &before, node, &key);
    }
}

#[test]
fn what_has_another_tag_than_its_keys_is_never_copied_whoever_is_senior() {
    // n0 has no copy of the key's shard; n1 has, and is senior or junior there.
    for (node, shard, tag) in [("n0", 1, 0), ("n1", 1, 0), ("n1", 0, 1)] {
        let (mut desk, before) = (cluster(), cluster());
        let key = key_of(shard);
        intrude(&mut desk, node, &key, Some(tag));
        desk.wait(PASS * 2 + 10_000);
        is_mended(&desk, &before, node, &key);
    }
}

#[test]
fn nothing_goes_that_cannot_be_written_down() {
    let mut desk = cluster();
    intrude(&mut desk, "n1", &key_of(0), None);
    intrude(&mut desk, "n0", &key_of(1), Some(0));
    desk.findings_file = None;
    desk.wait(PASS * 3);
    assert!(!desk.nodes["n0"].outsiders.is_empty() && !desk.nodes["n1"].outsiders.is_empty());
    assert!(desk.alerts.contains(&"finding_unwritten"));
    assert!(
        desk.nodes["n0"].told.iter().chain(&desk.nodes["n1"].told).all(|step| step.task_type != "documentDeletion")
    );
    desk.findings_file = Some(Vec::new());
    desk.wait(PASS * 3);
    assert!(desk.nodes.values().all(|node| node.outsiders.is_empty()));
}

#[test]
fn more_than_can_be_written_down_at_once_go_bit_by_bit() {
    let mut desk = cluster();
    let all: BTreeSet<String> = (0..MOST_OUTSIDERS + 500).map(|at| format!("s{at}")).collect();
    for key in &all {
        intrude(&mut desk, "n0", key, None);
    }
    let mut went = false;
    for _ in 0..120 {
        desk.wait(3_000);
        let written: BTreeSet<&String> = desk
            .findings_file
            .iter()
            .flatten()
            .flat_map(|drift| match &drift.what {
                Drifted::Outsiders { keys, .. } => keys.as_slice(),
                _ => &[],
            })
            .collect();
        let left = &desk.nodes["n0"].outsiders;
        assert!(all.iter().all(|key| left.contains_key(key) || written.contains(key)));
        went |= (1..=MOST_OUTSIDERS).contains(&left.len());
    }
    assert!(went && desk.nodes["n0"].outsiders.is_empty(), "{}", desk.nodes["n0"].outsiders.len());
}

#[test]
fn what_a_foreign_write_left_is_looked_for_at_once() {
    let mut desk = cluster();
    desk.config.scrub.interval = 0;
    desk.restart();
    desk.wait(5_000);
    intrude(&mut desk, "n1", &key_of(0), None);
    intrude(&mut desk, "n1", "stranger", None);
    desk.add_task("n1", None, "documentAdditionOrUpdate", Some("a"), TaskStatus::Succeeded, Some(2));
    desk.wait(30_000);
    assert!(desk.alerts.contains(&"audit_foreign"));
    assert!(desk.nodes["n1"].outsiders.is_empty());
    let written = desk.findings_file.as_ref().unwrap();
    assert!(
        written.iter().any(
            |drift| matches!(&drift.what, Drifted::Outsiders { keys, .. } if keys.contains(&"stranger".to_owned()))
        )
    );
    assert_eq!(desk.nodes["n1"].documents, cluster().nodes["n1"].documents);
    assert!(desk.sequencer.copies().iter().all(|copy| copy.state == CopyState::InSync));
}

#[test]
fn a_source_that_has_something_else_under_a_key_does_not_take_the_proper_document_away() {
    let mut desk = cluster();
    let key = key_of(0);
    intrude(&mut desk, "n0", &key, None);
    // n1 is filled again from n0.
    desk.add_task("n1", None, "documentAdditionOrUpdate", Some("a"), TaskStatus::Succeeded, Some(1));
    desk.wait(20_000);
    assert!(desk.sequencer.copies().iter().all(|copy| copy.state == CopyState::InSync));
    assert!(desk.nodes["n1"].documents.contains_key(&key));
    desk.wait(PASS * 2);
    assert!(desk.nodes["n0"].documents.contains_key(&key) && desk.nodes["n0"].outsiders.is_empty());
}
