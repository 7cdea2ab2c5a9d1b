//! Nodes that fail, and copies that stand in for them within the same request.

use super::*;

const ALLOW: &[(&str, &str)] = &[("x-miroir-partial", "allow")];

#[test]
fn healthy_nodes_are_asked_once_for_each_shard() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    assert_eq!(drive.asking(), ["n0", "n1", "n2"]);
    drive.end_all(ok);
    drive.assert_whole(16);
    assert_eq!(drive.asked.len(), 3);
}

#[test]
fn answers_may_come_in_any_order() {
    for order in [["n0", "n1", "n2"], ["n2", "n0", "n1"], ["n1", "n2", "n0"], ["n2", "n1", "n0"]] {
        let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
        for node in order {
            drive.end(node, ok);
        }
        drive.assert_whole(16);
    }
}

#[test]
fn exactly_the_failed_shards_are_asked_elsewhere() {
    for failure in [dead, hung, broken, no_index, overloaded] as [fn(&Call) -> CallResult; 5] {
        let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
        let lost = shards_of(&drive.calls[1]);
        drive.end("n1", failure);
        let mut again: Vec<u32> = drive.calls[2..].iter().flat_map(shards_of).collect();
        again.sort_unstable();
        assert_eq!(again, lost);
        assert!(drive.calls.iter().all(|call| call.cluster != "n1"));
        drive.end_all(ok);
        drive.assert_whole(16);
    }
}

/// What a node says whose queue still holds the first settings of the index.
fn unprepared(_: &Call) -> CallResult {
    let message = "Attribute `_miroir_shard` is not filterable. This index does not have configured filterable attributes.\n1:14 _miroir_shard IN [\"x\"]";
    answer(400, &serde_json::to_string(&ErrorBody::new("invalid_document_filter", message)).unwrap())
}

#[test]
fn a_node_without_the_settings_of_a_new_index_is_passed_over() {
    let health = healthy();
    let mut drive = Drive::search(shard_map(3, 2, 16), &health, &[], "");
    drive.end("n1", unprepared);
    drive.end_all(ok);
    drive.assert_whole(16);
    // It is no sign of ill health: the next request asks the node as usual.
    assert_eq!(Drive::search(shard_map(3, 2, 16), &health, &[], "").asking(), ["n0", "n1", "n2"]);

    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end_all(unprepared);
    let [reply] = drive.replies.as_slice() else { panic!("{:?}", drive.calls) };
    assert_eq!((reply.status, header(&reply.headers, "retry-after")), (503, Some("1")));
    let body = String::from_utf8(reply.body.clone()).unwrap();
    assert!(body.contains("has not taken the settings of the index yet") && !body.contains("_miroir"), "{body}");
}

#[test]
fn an_answer_that_is_none_is_a_failure() {
    for body in ["", "[0,", "{}", "null", "[\"x\"]", "<html>"] {
        let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
        drive.end("n2", |_| answer(200, body));
        drive.end_all(ok);
        drive.assert_whole(16);
    }
    for status in [204, 302, 404, 405, 500, 502] {
        let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
        drive.end("n2", |_| answer(status, "oops"));
        drive.end_all(ok);
        drive.assert_whole(16);
    }
}

#[test]
fn several_failures_are_survived_as_long_as_a_copy_is_left() {
    let mut drive = Drive::search(shard_map(4, 3, 16), &healthy(), &[], "");
    drive.end_all(|call| if ["n0", "n1"].contains(&call.cluster.as_str()) { hung(call) } else { ok(call) });
    drive.assert_whole(16);
}

#[test]
fn a_connection_that_broke_once_is_tried_once_more_where_no_copy_is_left() {
    let mut drive = Drive::search(shard_map(2, 1, 16), &healthy(), &[], "");
    drive.end("n0", broken);
    drive.end_all(ok);
    drive.assert_whole(16);

    let mut drive = Drive::search(shard_map(2, 1, 16), &healthy(), &[], "");
    drive.end("n0", broken);
    drive.end("n0", broken);
    drive.end("n1", ok);
    assert_eq!(drive.error().0, 503);
}

#[test]
fn when_no_copy_is_left_the_shards_are_named() {
    let mut drive = Drive::search(shard_map(2, 1, 4), &healthy(), &[], "");
    drive.end("n1", hung);
    drive.end("n0", ok);
    let (status, error) = drive.error();
    assert_eq!((status, error.code.as_str()), (503, "remote_could_not_send_request"));
    assert_eq!(error.message, "Shards 1,3 of index `a` cannot be read: `n1` did not answer in time.");
    assert_eq!(drive.reply_header("retry-after"), Some("1"));
}

#[test]
fn partial_results_are_given_where_asked_for() {
    let mut drive = Drive::search(shard_map(2, 1, 4), &healthy(), ALLOW, "");
    drive.end("n1", dead);
    assert!(!drive.done, "the other node's answer is worth waiting for");
    drive.end("n0", ok);
    assert_eq!(merged(drive.reply()), [0, 2]);
    assert_eq!(drive.reply_header("x-miroir-shards"), Some("2/4"));
    assert_eq!(drive.reply_header("x-miroir-degraded"), Some("missing-shards=1,3"));
}

#[test]
fn the_policy_of_the_map_can_be_overruled_both_ways() {
    let mut map = shard_map(2, 1, 4);
    map.policies.partial_results = true;
    let mut drive = Drive::search(map.clone(), &healthy(), &[], "");
    drive.end_all(|call| if call.cluster == "n0" { dead(call) } else { ok(call) });
    assert_eq!(drive.reply().status, 200);
    let mut drive = Drive::search(map, &healthy(), &[("x-miroir-partial", "refuse")], "");
    drive.end_all(|call| if call.cluster == "n0" { dead(call) } else { ok(call) });
    assert_eq!(drive.reply().status, 503);
}

#[test]
fn a_partial_answer_without_any_shard_is_none() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), ALLOW, "");
    drive.end_all(dead);
    assert_eq!(drive.error().0, 503);
}

#[test]
fn stale_copies_and_unreadable_nodes_are_never_asked() {
    let mut map = shard_map(3, 2, 16);
    map.stale = (0..16).map(|shard| StaleMark { placement: 0, shard, node: 1 }).collect();
    let mut drive = Drive::search(map, &healthy(), &[], "");
    drive.end_all(|call| if call.cluster == "n0" { dead(call) } else { ok(call) });
    assert!(drive.asked.iter().all(|call| call.cluster != "n1"));
    assert_eq!(drive.error().0, 503);

    let mut map = shard_map(3, 2, 16);
    map.indexes.get_mut("a").unwrap().unreadable = vec![2];
    let mut drive = Drive::search(map, &healthy(), &[], "");
    drive.end_all(ok);
    drive.assert_whole(16);
    assert!(drive.asked.iter().all(|call| call.cluster != "n2"));
}

#[test]
fn a_shard_without_a_readable_copy_fails_with_the_first_proper_answer() {
    let mut map = shard_map(2, 1, 4);
    map.nodes[0].readable = false;
    let mut drive = Drive::search(map, &healthy(), &[], "");
    drive.end("n1", ok);
    assert_eq!(drive.error().1.message, "Shards 0,2 of index `a` cannot be read: no copy in sync.");
}

#[test]
fn what_one_request_learns_the_next_ones_know() {
    let health = healthy();
    let mut drive = Drive::search(shard_map(3, 2, 16), &health, &[], "");
    drive.end("n1", hung);
    drive.end_all(ok);
    let mut next = Drive::search(shard_map(3, 2, 16), &health, &[], "");
    assert_eq!(next.asking(), ["n0", "n2"]);
    next.end_all(ok);
    next.assert_whole(16);
}

#[test]
fn one_request_tries_a_suspect_node_and_waits_less_for_it() {
    let health = healthy();
    Drive::search(shard_map(3, 2, 16), &health, &[], "").end("n1", hung);
    let trial = Drive::fake(shard_map(3, 2, 16), &health, &[], "", "/indexes/a/search", 2_000);
    assert_eq!(trial.asking(), ["n0", "n1", "n2"]);
    assert_eq!(trial.calls.iter().map(|call| call.timeout_ms).collect::<Vec<_>>(), [5_000, 1_000, 5_000]);
    let other = Drive::fake(shard_map(3, 2, 16), &health, &[], "", "/indexes/a/search", 2_001);
    assert_eq!(other.asking(), ["n0", "n2"]);
}

#[test]
fn all_queries_of_a_request_share_its_trial() {
    let health = healthy();
    Drive::search(shard_map(3, 2, 16), &health, &[], "").end("n1", hung);
    let trial = Drive::fake(shard_map(3, 2, 16), &health, &[], "", "/multi-search", 2_000);
    assert_eq!(trial.asking(), ["n0", "n1", "n2", "n0", "n1", "n2"]);
}

#[test]
fn a_client_that_leaves_gives_its_trial_back() {
    let health = healthy();
    Drive::search(shard_map(3, 2, 16), &health, &[], "").end("n1", hung);
    let mut trial = Drive::fake(shard_map(3, 2, 16), &health, &[], "", "/indexes/a/search", 2_000);
    trial.leave();
    assert!(trial.done && trial.replies.is_empty());
    let other = Drive::fake(shard_map(3, 2, 16), &health, &[], "", "/indexes/a/search", 2_001);
    assert_eq!(other.asking(), ["n0", "n1", "n2"]);
}

#[test]
fn a_suspect_node_is_asked_where_it_holds_the_only_copy() {
    let health = healthy();
    Drive::search(shard_map(2, 1, 4), &health, &[], "").end("n1", dead);
    let mut drive = Drive::search(shard_map(2, 1, 4), &health, &[], "");
    assert_eq!(drive.asking(), ["n0", "n1"]);
    drive.end_all(ok);
    drive.assert_whole(4);
    assert!(!health.borrow().is_suspect("n1"));
}

#[test]
fn fail_over_from_slow_nodes_ends_with_the_reserve() {
    let health = healthy();
    while health.borrow_mut().spend() {}
    let mut drive = Drive::search(shard_map(3, 2, 16), &health, &[], "");
    drive.end("n1", overloaded);
    assert_eq!(drive.error().1.code, "too_many_search_requests");
    assert_eq!(drive.reply_header("retry-after"), Some("10"));
    // A dead node costs no other node's time twice: it needs no reserve.
    let mut drive = Drive::search(shard_map(3, 2, 16), &health, &[], "");
    drive.end("n1", dead);
    drive.end_all(ok);
    drive.assert_whole(16);
}

#[test]
fn load_shed_by_all_copies_is_relayed_with_its_pause() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end_all(overloaded);
    assert_eq!((drive.error().0, drive.error().1.code.as_str()), (503, "too_many_search_requests"));
    assert_eq!(drive.reply_header("retry-after"), Some("10"));
}

#[test]
fn the_deadline_ends_what_nobody_answers() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    assert_eq!(drive.wake_at, Some(31_000));
    drive.wake(2_000);
    assert!(!drive.done);
    drive.wake(31_000);
    assert_eq!(drive.error().0, 503);

    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), ALLOW, "");
    drive.end("n0", ok);
    drive.wake(31_000);
    assert_eq!(drive.reply().status, 200);
    assert!(drive.reply_header("x-miroir-degraded").is_some());
}

#[test]
fn calls_never_outlast_the_deadline() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.now_ms = 30_400;
    drive.end("n0", dead);
    assert!(drive.calls[2..].iter().all(|call| call.timeout_ms == 600));
    drive.now_ms = 31_000;
    drive.end_all(dead);
    assert_eq!(drive.error().0, 503);
}

#[test]
fn late_answers_are_ignored() {
    let mut drive = Drive::search(shard_map(3, 1, 6), &healthy(), &[], "");
    drive.end("n1", dead);
    drive.end("n0", ok);
    assert!(drive.done);
    drive.end("n2", ok);
    drive.wake(99_000);
    drive.leave();
    assert_eq!(drive.replies.len(), 1);
}

#[test]
fn only_the_headers_that_nodes_need_are_passed_on() {
    let sent = [
        ("authorization", "Bearer k"),
        ("cookie", "c"),
        ("x-request-id", "r"),
        ("traceparent", "t"),
        ("x-miroir-partial", "allow"),
        ("meili-proxy-search", "true"),
    ];
    let drive = Drive::search(shard_map(1, 1, 4), &healthy(), &sent, "");
    let expected = [
        ("authorization", "Bearer k"),
        ("x-request-id", "r"),
        ("traceparent", "t"),
        ("content-type", "application/json"),
    ];
    assert_eq!(drive.calls[0].headers, owned(&expected));
}
