//! Configurations, root contexts and heartbeats.

use super::*;

fn beat(bench: &mut Bench) -> Heartbeat {
    let (_, _, call) = bench.call(HEARTBEAT_PATH);
    serde_json::from_slice(&call.body).unwrap()
}

#[test]
fn a_bad_map_leaves_the_old_one_in_force() {
    let mut bench = Bench::new();
    let good = print(&shard_map(8)).unwrap();
    for bad in ["", "{}", "\u{FFFD}", &good.replace("n0", "n9"), &good.replace("\"schema\":1", "\"schema\":99")] {
        bench.configure_text(2, bad);
        bench.head(10, "GET", "/_miroir/filter", &[], true);
        assert_eq!(bench.world.borrow_mut().replies.remove(&10).unwrap().body, br#"{"epoch":7}"#);
    }
    bench.sleep(10);
    assert!(beat(&mut bench).rejected.is_some());
    bench.configure_text(3, &good);
    assert_eq!(bench.vm.map.as_ref().unwrap().map.epoch, 8);
}

#[test]
fn an_older_map_of_the_same_cluster_is_not_taken_back() {
    let mut bench = Bench::new();
    bench.configure(2, &shard_map(6));
    assert_eq!(bench.vm.map.as_ref().unwrap().map.epoch, 7);
    bench.configure(3, &ShardMap { cluster: "0ther000".into(), ..shard_map(1) });
    assert_eq!(bench.vm.map.as_ref().unwrap().map.epoch, 1);
}

#[test]
fn heartbeats_tell_the_epochs_in_use() {
    let mut bench = Bench::new();
    bench.post(10, "/indexes/m/documents", DOCUMENTS);
    bench.configure(2, &shard_map(8));
    bench.sleep(10);
    let first = beat(&mut bench);
    assert_eq!((first.epoch, first.oldest_epoch, first.rejected.as_deref()), (8, 7, None));
    assert_eq!((first.vm, first.envoy.as_deref()), (bench.vm.id.clone(), Some("edge-1")));
    bench.sleep(990);
    assert!(!bench.world.borrow().calls.iter().any(|(_, _, call)| call.path == HEARTBEAT_PATH), "one at a time");
}

/// A worker that control knows.
fn known() -> Bench {
    let mut bench = Bench::new();
    bench.sleep(10);
    bench.answer(HEARTBEAT_PATH, 200, r#"{"epoch":7}"#);
    bench
}

fn is_beating(bench: &Bench) -> bool {
    bench.world.borrow().calls.iter().any(|(_, _, call)| call.path == HEARTBEAT_PATH)
}

#[test]
fn a_worker_that_ends_says_goodbye_first() {
    let mut bench = known();
    let id = bench.vm.id.clone();
    assert!(!bench.vm.on_done(ROOT), "its call would be cut off");
    let last: Heartbeat = serde_json::from_slice(&bench.look(HEARTBEAT_PATH).1.body).unwrap();
    assert_eq!((last.vm, last.gone), (id.clone(), true));
    bench.sleep(10);
    assert!(bench.world.borrow().done_roots.is_empty());
    bench.answer(HEARTBEAT_PATH, 200, r#"{"epoch":7}"#);
    bench.sleep(10);
    assert_eq!(bench.world.borrow().done_roots, [ROOT]);
    // Envoy uses it once more.
    bench.configure(2, &shard_map(8));
    bench.sleep(10);
    let first = beat(&mut bench);
    assert!(first.vm != id && !first.gone && !bench.vm.heartbeats.confirmed);
}

#[test]
fn a_worker_that_ends_says_goodbye_when_its_requests_have_ended() {
    let mut bench = known();
    bench.post(10, "/indexes/m/search", r#"{"q":"a"}"#);
    assert!(!bench.vm.on_done(ROOT));
    bench.sleep(10);
    assert!(!is_beating(&bench), "a search reads by its map");
    bench.leave(10);
    for (node, _) in bench.open() {
        bench.answer(&node, 200, "{}");
    }
    for _ in 0..70 {
        bench.sleep(1_000);
    }
    assert!(beat(&mut bench).gone);
}

#[test]
fn nobody_says_goodbye_for_a_configuration_that_is_replaced_or_a_worker_that_nobody_knows() {
    let mut bench = known();
    bench.configure(2, &shard_map(8));
    assert!(bench.vm.on_done(ROOT));
    assert!(!is_beating(&bench));
    let mut bench = Bench::new();
    assert!(bench.vm.on_done(ROOT));
    assert!(!is_beating(&bench));
}

#[test]
fn a_search_whose_body_comes_late_reads_by_the_map_that_heartbeats_tell_of() {
    let mut bench = Bench::new();
    let body = r#"{"q":"a"}"#;
    let extra = [("content-type", "application/json"), ("content-length", "9")];
    bench.head(10, "POST", "/indexes/m/search", &extra, false);
    bench.configure(2, &shard_map(8));
    bench.body(10, body, true);
    bench.sleep(10);
    assert!(bench.open().iter().any(|(_, path)| path.contains("search")), "{:?}", bench.open());
    let told = beat(&mut bench);
    assert_eq!((told.epoch, told.oldest_epoch), (8, 8));
}

#[test]
fn a_map_that_is_behind_is_told() {
    let mut bench = Bench::new();
    let search = |bench: &mut Bench, stream| {
        bench.head(stream, "GET", "/health", &[], true);
        let reply = bench.reply(stream).unwrap();
        header(&reply.headers, "x-miroir-degraded").map(str::to_owned)
    };
    for stream in 10..14 {
        bench.sleep(1_100);
        bench.answer(HEARTBEAT_PATH, 200, r#"{"epoch":9}"#);
        let told = search(&mut bench, stream);
        assert_eq!(told.is_some(), stream > 11, "{stream}");
    }
    bench.configure(2, &shard_map(9));
    assert_eq!(search(&mut bench, 20), None);
}

#[test]
fn a_worker_reads_by_its_map_when_control_has_no_newer_one() {
    let mut bench = Bench::empty();
    bench.configure(ROOT, &shard_map(7));
    bench.sleep(10);
    bench.post(10, "/indexes/m/search", r#"{"q":"a"}"#);
    bench.head(11, "GET", "/health", &[], true);
    assert_eq!(bench.status(11), 200);
    assert!(bench.open().is_empty(), "another copy may have a write that this map does not know to be missing here");
    bench.answer(HEARTBEAT_PATH, 200, r#"{"epoch":8}"#);
    assert!(bench.open().is_empty(), "it does");
    bench.configure(2, &shard_map(8));
    bench.sleep(10);
    bench.answer(HEARTBEAT_PATH, 200, r#"{"epoch":8}"#);
    assert!(!bench.open().is_empty());
    bench.post(12, "/indexes/m/search", r#"{"q":"b"}"#);
    assert!(bench.open().len() > 1, "from then on control waits for this worker");
}

#[test]
fn without_a_word_of_control_a_new_worker_reads_nothing() {
    let mut bench = Bench::empty();
    bench.configure(ROOT, &shard_map(7));
    bench.post(10, "/indexes/m/search", r#"{"q":"a"}"#);
    bench.sleep(2_100);
    assert_eq!(bench.status(10), 503);
    assert_eq!(header(&bench.reply(10).unwrap().headers, "retry-after"), Some("1"));
}

#[test]
fn silence_of_control_is_told_and_changes_nothing_else() {
    let mut bench = Bench::new();
    bench.sleep(1_100);
    bench.answer(HEARTBEAT_PATH, 200, r#"{"epoch":7}"#);
    bench.sleep(12_000);
    bench.head(10, "GET", "/health", &[], true);
    let reply = bench.reply(10).unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(header(&reply.headers, "x-miroir-map-age"), Some("12"));
}

#[test]
fn health_is_told_from_what_control_sees_while_it_is_heard() {
    let mut bench = Bench::new();
    let health = |bench: &mut Bench, stream| {
        bench.head(stream, "GET", "/health", &[], true);
        bench.reply(stream).unwrap().status
    };
    assert_eq!(health(&mut bench, 10), 200);
    bench.sleep(1_100);
    bench.answer(HEARTBEAT_PATH, 200, r#"{"epoch":7,"unreachable":["n0","n1"]}"#);
    assert_eq!(health(&mut bench, 11), 503);
    bench.sleep(12_000);
    assert_eq!(health(&mut bench, 12), 200, "nobody can tell whether they are back");
}

#[test]
fn a_replaced_root_stays_until_its_calls_have_ended() {
    let mut bench = Bench::new();
    bench.post(10, "/indexes/m/documents", DOCUMENTS);
    bench.configure(2, &shard_map(8));
    bench.leave(10);
    assert!(!bench.vm.on_done(ROOT), "the write's call would be cut off with it");
    bench.grant();
    let (root, _) = bench.look("n0-w");
    assert_eq!(root, ROOT, "what follows from a call's end is made in the same callback, by the same root");
    bench.answer("n0-w", 202, ACCEPTED);
    bench.answer("n1-w", 202, ACCEPTED);
    assert!(bench.world.borrow().done_roots.is_empty());
    bench.commit();
    bench.sleep(10);
    assert_eq!(bench.world.borrow().done_roots, [ROOT]);
    bench.vm.on_root_deleted(ROOT);
    assert!(bench.vm.on_done(9), "a root without calls may go at once");
    bench.post(11, "/indexes/m/documents", DOCUMENTS);
    let (_, root, _) = bench.call(BEGIN_PATH);
    assert_eq!(root, 2, "new writes are the new root's");
}

#[test]
fn ticks_of_a_replaced_root_do_not_count() {
    let mut bench = Bench::new();
    bench.configure(2, &shard_map(8));
    bench.world.borrow_mut().now += 5_000;
    bench.activate(ROOT);
    bench.vm.on_tick(ROOT);
    assert!(bench.world.borrow().calls.is_empty());
    bench.activate(2);
    bench.vm.on_tick(2);
    assert_eq!(bench.world.borrow().calls.len(), 1);
}

#[test]
fn no_timer_outlives_its_root() {
    let mut bench = Bench::new();
    let ticks = |bench: &Bench, root| bench.world.borrow().ticks[&root];
    bench.configure(2, &shard_map(8));
    assert!(bench.vm.on_done(ROOT));
    assert_eq!((ticks(&bench, ROOT), ticks(&bench, 2)), (0, TICK_MS));
    bench.post(10, "/indexes/m/documents", DOCUMENTS);
    bench.configure(3, &shard_map(9));
    assert!(!bench.vm.on_done(2));
    assert_eq!((ticks(&bench, 2), ticks(&bench, 3)), (0, TICK_MS), "its calls need no timer of its own");
    assert!(!bench.vm.on_done(3));
    assert_eq!(ticks(&bench, 3), TICK_MS, "the last one wakes the writes that are open");
    bench.leave(10);
    bench.grant();
    bench.answer("n0-w", 202, ACCEPTED);
    bench.answer("n1-w", 202, ACCEPTED);
    bench.commit();
    bench.sleep(10);
    bench.sleep(10);
    assert_eq!((bench.world.borrow().done_roots.clone(), ticks(&bench, 3)), (vec![2, 3], 0));
}

#[test]
fn roots_go_one_a_tick_and_in_no_other_callback() {
    let mut bench = Bench::new();
    for (stream, root) in [(10, ROOT), (11, 2)] {
        bench.post(stream, "/indexes/m/documents", DOCUMENTS);
        bench.configure(root + 1, &shard_map(7 + u64::from(root)));
        bench.leave(stream);
        assert!(!bench.vm.on_done(root));
    }
    while let Some((cluster, _)) = bench.open().into_iter().next() {
        bench.answer(&cluster, 500, "");
        assert!(bench.world.borrow().done_roots.is_empty(), "Envoy may be about to delete another one");
    }
    bench.sleep(10);
    assert_eq!(bench.world.borrow().done_roots, [ROOT]);
    bench.sleep(10);
    assert_eq!(bench.world.borrow().done_roots, [ROOT, 2]);
}

#[test]
fn a_worker_that_ends_finishes_its_writes_first() {
    let mut bench = Bench::new();
    bench.post(10, "/indexes/m/documents", DOCUMENTS);
    bench.leave(10);
    assert!(!bench.vm.on_done(ROOT));
    bench.grant();
    bench.answer("n0-w", 202, ACCEPTED);
    bench.answer("n1-w", 202, ACCEPTED);
    bench.sleep(3_000);
    assert!(bench.world.borrow().done_roots.is_empty());
    bench.commit();
    bench.sleep(10);
    assert_eq!(bench.world.borrow().done_roots, [ROOT]);
    assert!(bench.open().is_empty(), "and sends no further signs of life");
}

#[test]
fn a_worker_that_vanishes_tells_control_of_its_writes() {
    let mut bench = Bench::new();
    bench.post(10, "/indexes/m/documents", DOCUMENTS);
    bench.post(11, "/indexes/m/documents", DOCUMENTS);
    bench.grant();
    bench.vm.on_root_deleted(ROOT);
    let paths: Vec<String> = bench.open().into_iter().map(|(_, path)| path).collect();
    assert!(paths.contains(&ABORT_PATH.to_owned()) && paths.contains(&ABANDON_PATH.to_owned()), "{paths:?}");
}
