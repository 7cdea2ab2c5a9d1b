//! Requests that others serve, or that need no node.

use super::*;

#[test]
fn before_the_first_map_everything_waits() {
    let mut bench = Bench::empty();
    bench.configure_text(ROOT, r#"{"ready":false}"#);
    for (stream, path) in [(10, "/indexes/m/search"), (11, "/_miroir/filter"), (12, "/health")] {
        assert_eq!(bench.head(stream, "GET", path, &[], true), Step::Pause);
        assert_eq!(bench.status(stream), 503);
        assert_eq!(header(&bench.reply(stream).unwrap().headers, "retry-after"), Some("1"));
    }
}

#[test]
fn the_filter_tells_its_epoch() {
    let mut bench = Bench::new();
    bench.head(10, "GET", "/_miroir/filter", &[], true);
    assert_eq!(bench.reply(10).unwrap().body, br#"{"epoch":7}"#);
}

#[test]
fn what_is_controls_goes_to_control() {
    let mut bench = Bench::new();
    for (stream, path) in
        [(10, "/indexes"), (11, "/_miroir/health"), (12, "/_miroir/v9/unheard?of=1"), (13, "/indexes/other/search")]
    {
        assert_eq!(bench.head(stream, "GET", path, &[], true), Step::Continue, "{path}");
        assert_eq!(bench.request_header(stream, "x-miroir-cluster").as_deref(), Some("control"));
        assert_eq!(bench.request_header(stream, ":path").as_deref(), Some(path));
    }
    assert_eq!(bench.counted("miroir_forwarded_total.op.control"), 4);
}

#[test]
fn the_internal_listener_is_out_of_reach() {
    let mut bench = Bench::new();
    let paths = [
        BEGIN_PATH,
        BULK_PREFIX,
        "//internal/v1/commit",
        "/%69nternal/v1/commit",
        "/_miroir/../internal/v1/begin",
        "/_miroir/%2e%2e/internal/v1/begin",
        "/_miroir/./x",
    ];
    for (stream, path) in (10..).zip(paths) {
        assert_eq!(bench.head(stream, "POST", path, &[], true), Step::Pause, "{path}");
        assert_eq!(bench.status(stream), 404, "{path}");
    }
}

#[test]
fn a_client_cannot_steer() {
    let mut bench = Bench::new();
    let forged = [
        ("x-miroir-cluster", "n0"),
        ("meili-proxy-search", "true"),
        ("x-envoy-retry-on", "5xx"),
        ("x-miroir-partial", "allow"),
    ];
    bench.head(10, "GET", "/indexes", &forged, true);
    assert_eq!(bench.request_header(10, "x-miroir-cluster").as_deref(), Some("control"));
    assert_eq!(bench.request_header(10, "meili-proxy-search"), None);
    assert_eq!(bench.request_header(10, "x-envoy-retry-on"), None);
    assert_eq!(bench.request_header(10, "x-miroir-partial").as_deref(), Some("allow"));
}

#[test]
fn dead_ends_answer_as_the_engine() {
    let mut bench = Bench::new();
    bench.head(10, "GET", "/nowhere", &[("origin", "http://a")], true);
    assert_eq!((bench.status(10), bench.reply(10).unwrap().body.len()), (404, 0));
    assert_eq!(header(&bench.reply(10).unwrap().headers, "access-control-allow-origin"), Some("*"));
    bench.head(11, "PUT", "/health", &[], true);
    assert_eq!(bench.status(11), 405);
    assert_eq!(header(&bench.reply(11).unwrap().headers, "allow"), Some("GET"));
}

#[test]
fn answers_of_others_are_open_to_all_origins_too() {
    let mut bench = Bench::new();
    bench.head(10, "GET", "/indexes", &[("origin", "http://a")], true);
    bench.vm.on_response_headers(10);
    let responses = bench.world.borrow().responses.clone();
    assert_eq!(responses.get("access-control-allow-origin").map(String::as_str), Some("*"));
    assert_eq!(responses.get("vary").map(String::as_str), Some(crate::cors::VARY));
}

#[test]
fn a_read_asks_nodes_and_never_control() {
    let mut bench = Bench::new();
    bench.world.borrow_mut().refused_clusters.insert("internal".into());
    bench.post(10, "/indexes/m/search", r#"{"q":"a"}"#);
    let open = bench.open();
    assert!(!open.is_empty() && open.iter().all(|(cluster, _)| cluster.starts_with('n')), "{open:?}");
    bench.leave(10);
}

#[test]
fn a_query_waits_for_the_end_of_a_swap() {
    let mut bench = Bench::new();
    let mut swapping = shard_map(8);
    swapping.indexes.get_mut("m").unwrap().swapping = true;
    bench.configure(2, &swapping);
    bench.post(10, "/indexes/m/search", "{}");
    bench.post(11, "/indexes/m/search", "{}");
    assert!(bench.open().is_empty());
    bench.leave(11);
    bench.configure(3, &shard_map(9));
    assert!(!bench.open().is_empty());
    bench.configure(4, &ShardMap { epoch: 10, ..swapping });
    bench.post(12, "/indexes/m/search", "{}");
    bench.sleep(2_000);
    assert_eq!(bench.status(12), 503);
}
