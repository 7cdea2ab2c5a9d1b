//! Gathers that ask their parts a second time, or find at the end that a part is of no use.

use super::*;

#[test]
fn every_part_is_asked_again_on_its_node() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "again");
    drive.end("n1", ok);
    drive.end("n0", ok);
    assert_eq!(drive.asking(), ["n2"], "no second round before the first is over");
    drive.end("n2", ok);
    let first: Vec<(String, Vec<u32>)> =
        drive.asked[..3].iter().map(|call| (call.cluster.clone(), shards_of(call))).collect();
    let mut second: Vec<(String, Vec<u32>)> =
        drive.calls.iter().map(|call| (call.cluster.clone(), shards_of(call))).collect();
    second.sort();
    assert_eq!(first, second);
    drive.end_all(ok);
    drive.assert_whole(16);
}

#[test]
fn a_node_that_dies_between_the_rounds_makes_all_start_anew_without_it() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "again");
    for node in ["n0", "n1", "n2"] {
        drive.end(node, ok);
    }
    drive.end("n1", dead);
    // Two answers of the old second round may still come; the new first round is under way.
    assert_eq!(drive.asking(), ["n0", "n2", "n0", "n2"]);
    drive.end_all(ok);
    drive.assert_whole(16);
}

#[test]
fn without_another_copy_the_second_round_fails_the_whole() {
    let mut drive = Drive::search(shard_map(2, 1, 4), &healthy(), &[], "again");
    drive.end("n0", ok);
    drive.end("n1", ok);
    drive.end("n1", dead);
    assert_eq!(drive.error().0, 503);
}

#[test]
fn the_deadline_in_the_second_round_gives_no_torn_page() {
    let mut drive = Drive::search(shard_map(2, 1, 4), &healthy(), &[("x-miroir-partial", "allow")], "again");
    drive.end("n0", ok);
    drive.end("n1", ok);
    drive.end("n0", ok);
    drive.wake(31_000);
    assert_eq!(drive.error().0, 503);
}

fn sour(call: &Call) -> CallResult {
    match ok(call) {
        CallResult::Answer { status, headers, body } => {
            CallResult::Answer { status, headers, body: [b" ".as_slice(), &body].concat() }
        }
        other => other,
    }
}

#[test]
fn an_answer_that_fails_at_the_end_makes_all_start_anew_without_its_node() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end("n0", ok);
    drive.end("n1", sour);
    drive.end("n2", ok);
    assert_eq!(drive.asking(), ["n0", "n2"]);
    drive.end_all(ok);
    drive.assert_whole(16);
}

#[test]
fn an_answer_that_fails_at_the_end_without_another_copy_fails_the_whole() {
    let mut drive = Drive::search(shard_map(2, 1, 4), &healthy(), &[], "");
    drive.end("n0", ok);
    drive.end("n1", sour);
    assert_eq!(drive.error().0, 503);
}
