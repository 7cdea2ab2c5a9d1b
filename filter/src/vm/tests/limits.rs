//! Bodies: how large, how many, and in how many pieces.

use super::*;

const PATH: &str = "/indexes/m/documents";
const SEARCH: &str = "/indexes/m/search";

#[test]
fn pieces_become_one_body() {
    let mut bench = Bench::new();
    let extra = [("content-type", "application/json"), ("content-length", "19")];
    assert_eq!(bench.head(10, "POST", PATH, &extra, false), Step::Pause);
    assert_eq!(bench.vm.held, 19);
    let (first, second) = DOCUMENTS.split_at(7);
    assert_eq!(bench.body(10, first, false), Step::Pause);
    assert!(bench.open().is_empty());
    assert_eq!(bench.body(10, second, true), Step::Pause);
    let (_, _, call) = bench.call(BEGIN_PATH);
    let begin: Begin = serde_json::from_slice(&call.body).unwrap();
    assert_eq!((begin.received, begin.bytes), (2, 19));
    assert_eq!(bench.vm.held, 19, "held until the write has ended");
}

#[test]
fn trailers_end_a_body_too() {
    let mut bench = Bench::new();
    let extra = [("content-type", "application/json"), ("content-length", "19")];
    bench.head(10, "POST", PATH, &extra, false);
    bench.body(10, DOCUMENTS, false);
    assert_eq!(bench.body(10, "", true), Step::Pause);
    assert_eq!(bench.open().len(), 1);
}

#[test]
fn a_large_or_unmeasured_payload_is_streamed_to_the_bulk_entry() {
    let mut bench = Bench::new();
    let json = ("content-type", "application/json");
    for (stream, extra) in [
        (10, vec![json, ("content-length", "501")]),
        (11, vec![json]),
        (12, vec![json, ("content-length", "20"), ("content-encoding", "gzip")]),
    ] {
        let step = bench.head(stream, "PUT", "/indexes//m/documents/?primaryKey=id", &extra, false);
        assert_eq!(step, Step::Continue);
        let path = bench.request_header(stream, ":path").unwrap();
        assert_eq!(path, "/internal/v1/bulk/indexes//m/documents/?primaryKey=id");
        assert_eq!(bench.request_header(stream, "x-miroir-cluster").as_deref(), Some("internal"));
        assert_eq!(bench.body(stream, "x", false), Step::Continue);
    }
    assert_eq!(bench.vm.held, 0);
}

#[test]
fn what_is_too_large_is_refused_in_the_engines_words() {
    let mut bench = Bench::new();
    let json = ("content-type", "application/json");
    bench.head(10, "POST", PATH, &[json, ("content-length", "1001")], false);
    bench.head(11, "POST", SEARCH, &[json, ("content-length", "1001")], false);
    bench.head(12, "POST", SEARCH, &[json], false);
    bench.body(12, &"x".repeat(600), false);
    assert_eq!(bench.reply(12), None);
    bench.body(12, &"x".repeat(600), false);
    bench.body(12, &"x".repeat(600), true);
    for stream in 10..=12 {
        assert_eq!(bench.status(stream), 413);
        let body = String::from_utf8(bench.reply(stream).unwrap().body).unwrap();
        assert!(body.contains("The provided payload reached the size limit"), "{body}");
    }
    assert_eq!(bench.vm.held, 0);
}

#[test]
fn a_worker_holds_no_more_than_its_budget() {
    let mut bench = Bench::new();
    let extra = [("content-type", "application/json"), ("content-length", "900")];
    bench.head(10, "POST", SEARCH, &extra, false);
    bench.head(11, "POST", SEARCH, &extra, false);
    assert_eq!(bench.status(11), 503);
    assert_eq!(header(&bench.reply(11).unwrap().headers, "retry-after"), Some("1"));
    bench.leave(10);
    assert_eq!(bench.vm.held, 0);
    bench.head(12, "POST", SEARCH, &extra, false);
    assert_eq!(bench.reply(12), None);
}

#[test]
fn a_length_that_lies_changes_nothing() {
    let mut bench = Bench::new();
    let extra = [("content-type", "application/json"), ("content-length", "5")];
    bench.head(10, "POST", PATH, &extra, false);
    bench.body(10, DOCUMENTS, true);
    assert_eq!(bench.vm.held, 19);
    bench.leave(10);
    bench.grant();
    bench.answer("n0-w", 202, ACCEPTED);
    bench.answer("n1-w", 202, ACCEPTED);
    bench.commit();
    assert_eq!(bench.vm.held, 0);
}
