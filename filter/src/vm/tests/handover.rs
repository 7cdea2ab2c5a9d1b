//! Who owns a call: Envoy's owner and the SDK's, and the way of a write from the one to the other.

use super::*;

const PATH: &str = "/indexes/m/documents";
const SEARCH: &str = "/indexes/m/search";
const JSON: [(&str, &str); 2] = [("content-type", "application/json"), ("content-length", "19")];

/// A write whose ring has not been heard yet.
fn written(bench: &mut Bench, stream: u32) {
    bench.head(stream, "POST", PATH, &JSON, false);
    bench.hold(stream, DOCUMENTS, true);
}

fn owners(bench: &Bench) -> Vec<u32> {
    bench.world.borrow().owners.values().copied().collect()
}

#[test]
fn a_write_begins_in_the_roots_callback() {
    let mut bench = Bench::new();
    written(&mut bench, 10);
    written(&mut bench, 11);
    assert!(bench.open().is_empty());
    assert_eq!(bench.world.borrow().rings, 1, "one callback begins all");
    bench.settle();
    assert_eq!(bench.open().len(), 2);
    assert_eq!(owners(&bench), [ROOT, ROOT]);
}

#[test]
fn the_timer_begins_what_no_ring_has() {
    let mut bench = Bench::new();
    written(&mut bench, 10);
    bench.world.borrow_mut().rings = 0;
    bench.sleep(10);
    assert_eq!(bench.look(BEGIN_PATH).0, ROOT);
    written(&mut bench, 11);
    assert_eq!(bench.world.borrow().rings, 1, "and the next write rings again");
}

#[test]
fn a_client_that_leaves_before_its_write_began_leaves_nothing_behind() {
    let mut bench = Bench::new();
    written(&mut bench, 10);
    bench.leave(10);
    bench.settle();
    assert!(bench.open().is_empty());
    assert_eq!((bench.vm.jobs.len(), bench.vm.held), (0, 0));
}

#[test]
fn the_bell_moves_to_a_new_root() {
    let mut bench = Bench::new();
    bench.configure(2, &shard_map(8));
    assert_eq!(bench.world.borrow().bell_root, None, "no queue before the first write");
    written(&mut bench, 10);
    bench.configure(3, &shard_map(9));
    assert_eq!(bench.world.borrow().bell_root, Some(3));
    bench.settle();
    assert_eq!(bench.look(BEGIN_PATH).0, 3);
}

#[test]
fn a_ring_that_an_old_root_hears_makes_calls_of_the_old_root() {
    let mut bench = Bench::new();
    written(&mut bench, 10);
    bench.configure(2, &shard_map(8));
    bench.activate(ROOT);
    bench.vm.on_queue_ready(ROOT, BELL);
    assert_eq!(bench.look(BEGIN_PATH).0, ROOT);
    assert!(!bench.vm.on_done(ROOT));
}

#[test]
fn a_read_calls_from_its_stream() {
    let mut bench = Bench::new();
    bench.post(10, SEARCH, r#"{"q":"a"}"#);
    assert!(owners(&bench).iter().all(|owner| *owner == 10));
    assert_eq!(bench.world.borrow().bell_root, None);
}

#[test]
fn a_reader_that_leaves_is_not_taken_for_a_node_that_hangs() {
    let mut bench = Bench::new();
    bench.post(10, SEARCH, r#"{"q":"a"}"#);
    let node = bench.open().remove(0).0;
    bench.leave(10);
    assert!(!bench.vm.on_done(ROOT), "its calls are still running");
    bench.configure(2, &shard_map(8));
    bench.answer(&node, 200, "{}");
    for _ in 0..70 {
        bench.sleep(1_000);
    }
    assert!(bench.vm.sent.values().all(|sent| sent.purpose == jobs::Purpose::Heartbeat));
    assert_eq!(bench.counted(&format!("miroir_calls_total.node.{node}.outcome.timeout")), 0);
    assert_eq!(bench.world.borrow().done_roots, [ROOT]);
}
