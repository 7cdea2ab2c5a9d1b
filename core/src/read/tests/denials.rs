//! Refusals: whose fault they are, and what the client reads.

use super::*;

fn filter_fault(_: &Call) -> CallResult {
    engine_error(400, "invalid_search_filter", "about the rewritten request")
}

#[test]
fn a_fault_of_the_client_is_told_about_the_clients_own_request() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end("n2", filter_fault);
    assert_eq!(drive.asking(), ["n0", "n1", "n2"]);
    assert_eq!(drive.calls[2].path, "/replay");
    drive.end("n0", ok);
    drive.end("n1", hung);
    assert_eq!(drive.calls.len(), 1, "nothing else is asked any more");
    drive.end("n2", |_| engine_error(400, "invalid_search_filter", "about the client's request"));
    let (status, error) = drive.error();
    assert_eq!((status, error.code.as_str()), (400, "invalid_search_filter"));
    assert_eq!(error.message, "about the client's request");
}

#[test]
fn the_first_refusal_stands_where_the_replay_tells_nothing() {
    for replay in [dead, hung, broken, ok, no_index] as [fn(&Call) -> CallResult; 5] {
        let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
        drive.end("n0", filter_fault);
        drive.end("n0", replay);
        assert_eq!(drive.error().1.message, "about the rewritten request");
    }
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end("n0", filter_fault);
    drive.wake(31_000);
    assert_eq!(drive.error().1.message, "about the rewritten request");
}

#[test]
fn without_a_replay_the_refusal_is_relayed() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "noreplay");
    drive.end("n1", filter_fault);
    assert_eq!(drive.error().0, 400);
}

#[test]
fn one_node_that_forbids_alone_has_failed() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end_all(|call| if call.cluster == "n1" { forbidden(call) } else { ok(call) });
    drive.assert_whole(16);

    let mut drive = Drive::search(shard_map(2, 1, 4), &healthy(), &[], "");
    drive.end("n1", forbidden);
    assert!(!drive.done, "the other node tells whose fault it is");
    drive.end("n0", ok);
    assert_eq!(drive.error().0, 503);
}

#[test]
fn a_wrong_key_makes_no_more_calls_than_a_right_one() {
    for order in [[0, 0, 0], [2, 1, 0], [1, 0, 0]] {
        let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
        for at in order {
            if !drive.done {
                drive.end_at(at, forbidden);
            }
        }
        assert_eq!((drive.error().0, drive.asked.len()), (403, 3));
    }
}

#[test]
fn shards_of_a_node_that_forbids_wait_for_the_others() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end("n1", forbidden);
    assert_eq!(drive.asking(), ["n0", "n2"]);
    drive.end("n0", ok);
    drive.end("n2", ok);
    assert!(!drive.done && !drive.calls.is_empty());
    drive.end_all(ok);
    drive.assert_whole(16);

    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end("n1", forbidden);
    drive.wake(31_000);
    assert!(drive.done);
}

#[test]
fn two_nodes_that_forbid_are_right() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end("n0", ok);
    drive.end("n1", forbidden);
    drive.end("n2", forbidden);
    let (status, error) = drive.error();
    assert_eq!((status, error.message.as_str()), (403, "The provided API key is invalid."));
}

#[test]
fn the_only_node_is_right() {
    let mut drive = Drive::search(shard_map(1, 1, 4), &healthy(), &[], "");
    drive.end("n0", |_| engine_error(401, "missing_authorization_header", "m"));
    assert_eq!(drive.error().0, 401);
}

#[test]
fn a_refused_key_says_nothing_about_health() {
    let health = healthy();
    for _ in 0..10 {
        Drive::search(shard_map(3, 2, 16), &health, &[], "").end_all(forbidden);
    }
    assert_eq!(Drive::search(shard_map(3, 2, 16), &health, &[], "").asking(), ["n0", "n1", "n2"]);
}

#[test]
fn a_missing_index_is_believed_where_no_node_has_it() {
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], "");
    drive.end_all(no_index);
    assert_eq!((drive.error().0, drive.error().1.code.as_str()), (404, "index_not_found"));

    let mut drive = Drive::search(shard_map(2, 1, 4), &healthy(), &[], "");
    drive.end("n0", no_index);
    drive.end("n1", ok);
    assert_eq!(drive.error().0, 503);
}

#[test]
fn a_missing_index_beside_a_dead_node_is_not_believed() {
    let mut drive = Drive::search(shard_map(2, 1, 4), &healthy(), &[], "");
    drive.end("n0", no_index);
    drive.end("n1", dead);
    assert_eq!(drive.error().0, 503);
}

#[test]
fn partial_results_do_not_hide_a_refusal() {
    let allow = &[("x-miroir-partial", "allow")];
    let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), allow, "");
    drive.end("n0", ok);
    drive.end("n1", forbidden);
    drive.end("n2", forbidden);
    assert_eq!(drive.error().0, 403);
}

fn multi(health: &SharedHealth) -> Drive {
    Drive::fake(shard_map(3, 2, 16), health, &[], "", "/multi-search", 1_000)
}

#[test]
fn queries_of_a_multi_search_run_side_by_side_and_fail_over_alone() {
    let mut drive = multi(&healthy());
    assert_eq!(drive.asking(), ["n0", "n1", "n2", "n0", "n1", "n2"]);
    drive.end_at(4, hung);
    drive.end_all(ok);
    assert_eq!(drive.reply().status, 200);
    assert_eq!(drive.reply_header("x-miroir-shards"), Some("16/16"));
}

#[test]
fn a_refused_query_makes_one_node_judge_the_whole_multi_search() {
    for refusal in [filter_fault as fn(&Call) -> CallResult, no_index, forbidden] {
        let mut drive = multi(&healthy());
        while drive.calls.iter().all(|call| call.path != "/multi-search") {
            let at = drive.calls.iter().position(|call| call.path.contains("/b/")).unwrap();
            drive.end_at(at, refusal);
        }
        let at = drive.calls.iter().position(|call| call.path == "/multi-search").unwrap();
        drive.end_at(at, |_| engine_error(400, "invalid_search_filter", "Inside `.queries[1]`: wrong"));
        assert_eq!(drive.error().1.message, "Inside `.queries[1]`: wrong");
    }
}

#[test]
fn a_positioned_error_is_made_where_the_whole_cannot_be_judged() {
    let mut drive = multi(&healthy());
    while drive.calls.iter().all(|call| call.path != "/multi-search") {
        let at = drive.calls.iter().position(|call| call.path.contains("/b/")).unwrap();
        drive.end_at(at, no_index);
    }
    let at = drive.calls.iter().position(|call| call.path == "/multi-search").unwrap();
    drive.end_at(at, hung);
    let (status, error) = drive.error();
    assert_eq!((status, error.message.as_str()), (400, "Inside `.queries[1]`: Index `a` not found."));
}

#[test]
fn a_query_whose_shards_are_lost_fails_the_whole() {
    let mut drive = multi(&healthy());
    drive.end_all(|call| if call.path.contains("/b/") { dead(call) } else { ok(call) });
    assert_eq!(drive.error().0, 503);
    assert!(drive.error().1.message.contains("of index `b`"));
}

#[test]
fn who_may_not_ask_does_not_hear_of_lost_shards() {
    // All copies of some shards are gone; the nodes that live judge the key.
    let mut map = shard_map(3, 1, 6);
    map.stale.push(StaleMark { placement: 0, shard: 0, node: 0 });
    let ask = || Drive::search(map.clone(), &healthy(), &[], "");
    let mut drive = ask();
    drive.end("n1", forbidden);
    drive.end_all(forbidden);
    assert_eq!(drive.error().1.code, "invalid_api_key");
    let mut drive = ask();
    drive.end("n1", ok);
    assert_eq!(drive.error().0, 503);
}

#[test]
fn a_node_without_the_shard_is_asked_about_the_key() {
    let mut map = shard_map(2, 1, 1);
    map.stale.push(StaleMark { placement: 0, shard: 0, node: 0 });
    let ask = || Drive::search(map.clone(), &healthy(), &[], "");
    let mut drive = ask();
    assert_eq!(drive.asking().len(), 1);
    drive.end_all(forbidden);
    assert_eq!(drive.error().1.code, "invalid_api_key");
    for other in [ok, no_index, dead, hung] {
        let mut drive = ask();
        drive.end_all(other);
        assert_eq!(drive.error().0, 503);
    }
    let mut drive = ask();
    drive.end_all(|_| engine_error(404, "document_not_found", "Document `1` not found."));
    assert_eq!(drive.error().0, 503);
}

#[test]
fn rules_are_numbered_as_those_of_the_index_that_the_message_is_about() {
    let words = |number: u32| {
        format!("attribute matches rule #{number} in filterableAttributes. Hint: prepend another before rule #{number}")
    };
    let mut map = shard_map(3, 2, 16);
    map.indexes.get_mut("b").unwrap().view.tag_rule_first = true;
    for (path, said, expected) in [
        ("/indexes/a/search", words(3), words(3)),
        ("/indexes/b/search", words(3), words(2)),
        ("/indexes/b/search", format!("Index `b`: {}", words(3)), format!("Index `b`: {}", words(2))),
        ("/multi-search", format!("Inside `.queries[1]`: {}", words(3)), format!("Inside `.queries[1]`: {}", words(2))),
        ("/multi-search", format!("Inside `.queries[0]`: {}", words(3)), format!("Inside `.queries[0]`: {}", words(3))),
    ] {
        let mut drive = Drive::fake(map.clone(), &healthy(), &[], "", path, 1_000);
        drive.end("n0", filter_fault);
        let judged = drive.calls.len() - 1;
        drive.end_at(judged, |_| engine_error(400, "invalid_search_facets", &said));
        assert_eq!(drive.error().1.message, expected, "{path}");
    }
}
