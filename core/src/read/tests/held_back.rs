//! Nodes that the proxy's own checks hold for bad, and that may be well again.

use super::*;
use crate::health::PAST_CHECKS_PAUSE_MS;

#[test]
fn the_last_copy_is_tried_past_the_checks() {
    let health = healthy();
    let mut drive = Drive::search(shard_map(3, 1, 6), &health, &[], "again");
    drive.end_all(held_back);
    drive.assert_whole(6);
    // Both rounds of each node went past the checks.
    assert_eq!(drive.asked.iter().filter(|call| call.cluster.ends_with("-write")).count(), 6);
    // The next request does as well: it answered.
    let mut drive = Drive::search(shard_map(3, 1, 6), &health, &[], "");
    drive.end_all(held_back);
    drive.assert_whole(6);
}

#[test]
fn other_copies_come_first() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end("n1", held_back);
    drive.end_all(ok);
    drive.assert_whole(16);
    assert!(drive.asked.iter().all(|call| !call.cluster.ends_with("-write")));
}

#[test]
fn a_node_that_is_bad_indeed_is_not_tried_by_every_request() {
    let hung_and_known = |call: &Call| if call.cluster.ends_with("-write") { hung(call) } else { held_back(call) };
    let health = healthy();
    let request = |now_ms: u64| {
        let mut drive = Drive::fake(shard_map(1, 1, 4), &health, &[], "", "/indexes/a/search", now_ms);
        drive.end_all(hung_and_known);
        assert_eq!(drive.error().0, 503);
        drive.asked.len()
    };
    assert_eq!(request(1_000), 2);
    assert_eq!(request(1_100), 1, "just now it was in vain");
    assert_eq!(request(1_001 + PAST_CHECKS_PAUSE_MS), 2);
}

#[test]
fn going_past_the_checks_is_short() {
    let mut drive = Drive::search(shard_map(1, 1, 4), &healthy(), &[], "");
    drive.end("n0", held_back);
    assert_eq!(drive.calls[0].cluster, "n0-write");
    assert_eq!(drive.calls[0].timeout_ms, crate::health::TRIAL_TIMEOUT_MS);
}

#[test]
fn nobody_home_past_the_checks_either() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end_all(|_| CallResult::NotSent(NotSent::NoHealthyHost));
    assert_eq!(drive.error().0, 503);
}
