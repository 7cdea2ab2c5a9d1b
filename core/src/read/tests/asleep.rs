//! A worker that was stopped, with calls in flight, and goes on much later.

use super::*;

#[test]
fn timeouts_that_piled_up_while_the_worker_was_stopped_are_not_the_nodes_fault() {
    let health = healthy();
    let mut drive = Drive::search(shard_map(3, 2, 12), &health, &[], "");
    drive.now_ms += 31_000;
    for node in ["n0", "n1", "n2"] {
        drive.end(node, hung);
    }
    assert!(!drive.done && drive.calls.iter().all(|call| call.timeout_ms >= 1_000), "{:?}", drive.asking());
    drive.end_all(ok);
    drive.assert_whole(12);
    assert!(["n0", "n1", "n2"].iter().all(|node| !health.borrow().is_suspect(node)));
}

#[test]
fn a_deadline_that_nobody_kept_is_put_off_once() {
    let mut drive = Drive::search(shard_map(3, 2, 12), &healthy(), &[], "");
    let deadline = drive.wake_at.unwrap();
    drive.wake(deadline + 5_000);
    assert_eq!((drive.done, drive.wake_at), (false, Some(deadline + 10_000)));
    drive.end("n0", ok);
    drive.wake(deadline + 10_000);
    assert_eq!(drive.error().0, 503);
}

#[test]
fn a_node_is_pardoned_once() {
    let health = healthy();
    let mut drive = Drive::search(shard_map(1, 1, 4), &health, &[], "");
    drive.now_ms += 31_000;
    drive.end("n0", hung);
    drive.now_ms += 31_000;
    drive.end("n0", hung);
    assert_eq!(drive.error().0, 503);
    assert!(health.borrow().is_suspect("n0"));
}

#[test]
fn a_timeout_in_time_counts() {
    let health = healthy();
    let mut drive = Drive::search(shard_map(3, 2, 12), &health, &[], "");
    drive.now_ms += 5_000;
    drive.end("n0", hung);
    assert!(health.borrow().is_suspect("n0"));
    drive.end_all(ok);
    drive.assert_whole(12);
}
