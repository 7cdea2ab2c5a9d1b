//! Workers of one Envoy, and what they tell each other.

use miroir_core::health::Admission;

use super::*;

const SEARCH: &str = "/indexes/m/search";

/// A second worker of the same process.
fn colleague(bench: &Bench) -> Bench {
    let other = Bench::empty();
    let shared = Rc::clone(&bench.world.borrow().shared);
    other.world.borrow_mut().shared = shared;
    // Names of workers are random.
    other.world.borrow_mut().ids = 77;
    let mut other = Bench { vm: Vm::new(Mock(Rc::clone(&other.world))), world: other.world };
    other.configure(ROOT, &shard_map(7));
    other.sleep(100);
    other
}

/// The nodes that a search asks first.
fn asked(bench: &mut Bench, stream: u32) -> Vec<String> {
    bench.post(stream, SEARCH, r#"{"q":"a"}"#);
    let nodes = bench.open().into_iter().map(|(node, _)| node).collect();
    bench.leave(stream);
    bench.world.borrow_mut().calls.clear();
    nodes
}

#[test]
fn a_node_that_one_worker_finds_dead_is_not_tried_by_the_others() {
    let mut one = Bench::new();
    one.sleep(100);
    let mut other = colleague(&one);
    let dead = "n0".to_owned();
    one.world.borrow_mut().refused_clusters.insert(dead.clone());
    for stream in 10..20 {
        asked(&mut one, stream);
    }
    assert!(one.vm.health.borrow().is_suspect(&dead));
    one.sleep(10);
    other.sleep(60);
    for stream in 20..30 {
        assert!(!asked(&mut other, stream).contains(&dead));
    }
    other.vm.health.borrow_mut().succeeded(&dead);
    other.sleep(10);
    one.sleep(60);
    let now = one.world.borrow().now;
    assert_eq!(one.vm.health.borrow_mut().admit(&dead, now), Admission::Trial, "it answers again: it may be tried");
}

#[test]
fn words_of_a_former_worker_are_old() {
    let one = Bench::new();
    let key = format!("miroir {} n0", shard_map(7).cluster);
    one.world.borrow().shared.borrow_mut().insert(key, b"-1 gone".to_vec());
    let other = colleague(&one);
    assert!(!other.vm.health.borrow().is_suspect("n0"));
}
