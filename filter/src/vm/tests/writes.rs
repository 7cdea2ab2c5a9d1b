//! Writes from the client's bytes to the client's answer.

use super::*;

const PATH: &str = "/indexes/m/documents";

#[test]
fn a_write_goes_all_the_way() {
    let mut bench = Bench::new();
    assert_eq!(bench.post(10, PATH, DOCUMENTS), Step::Pause);
    assert_eq!(bench.open(), [("internal".into(), BEGIN_PATH.into())]);
    bench.grant();
    for node in ["n0-w", "n1-w"] {
        assert_eq!(bench.reply(10), None);
        let (root, call) = bench.look(node);
        assert_eq!(root, ROOT, "calls are the root's, so that their ends outlive the stream");
        assert_eq!(header(&call.headers, "x-request-id"), Some("r"));
        bench.answer(node, 202, ACCEPTED);
    }
    bench.commit();
    assert_eq!(bench.status(10), 202);
    assert_eq!((bench.vm.held, bench.vm.jobs.len(), bench.vm.sent.len()), (0, 0, 0));
    assert_eq!(bench.counted("miroir_requests_total.op.replace.outcome.2xx"), 1);
    assert_eq!(bench.counted("miroir_calls_total.node.n0.outcome.ok"), 1);
}

#[test]
fn a_client_that_leaves_does_not_stop_its_write() {
    for step in 0..3 {
        let mut bench = Bench::new();
        bench.post(10, PATH, DOCUMENTS);
        let leave = |at, bench: &mut Bench| {
            if at == step {
                bench.leave(10);
            }
        };
        leave(0, &mut bench);
        bench.grant();
        leave(1, &mut bench);
        bench.answer("n0-w", 202, ACCEPTED);
        bench.answer("n1-w", 202, ACCEPTED);
        leave(2, &mut bench);
        bench.commit();
        assert_eq!(bench.reply(10), None);
        assert_eq!((bench.vm.jobs.len(), bench.vm.held, bench.vm.streams.len()), (0, 0, 0));
        assert_eq!(bench.counted("miroir_clients_gone_total"), 1);
    }
}

#[test]
fn a_node_that_cannot_be_called_is_reported_as_not_sent() {
    let mut bench = Bench::new();
    bench.world.borrow_mut().refused_clusters.insert("n1-w".into());
    bench.post(10, PATH, DOCUMENTS);
    bench.grant();
    bench.answer("n0-w", 202, ACCEPTED);
    let (_, _, call) = bench.call(COMMIT_PATH);
    let commit: Commit = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(commit.parts[1].outcome, PartOutcome::NotSent);
}

#[test]
fn control_that_cannot_be_called_is_503_at_once() {
    let mut bench = Bench::new();
    bench.world.borrow_mut().refused_clusters.insert("internal".into());
    bench.post(10, PATH, DOCUMENTS);
    assert_eq!(bench.status(10), 503);
    assert_eq!(bench.vm.jobs.len(), 0);
}

#[test]
fn the_timer_ends_what_envoy_forgot() {
    let mut bench = Bench::new();
    bench.post(10, PATH, DOCUMENTS);
    bench.grant();
    for _ in 0..70 {
        bench.sleep(500);
    }
    assert_eq!(bench.status(10), 503);
    assert_eq!((bench.vm.jobs.len(), bench.vm.held), (0, 0));
}

#[test]
fn a_hung_node_costs_the_soft_limit() {
    let mut bench = Bench::new();
    bench.post(10, PATH, DOCUMENTS);
    bench.grant();
    bench.answer("n0-w", 202, ACCEPTED);
    bench.sleep(2_000);
    bench.commit();
    assert_eq!(bench.status(10), 202);
    bench.break_off("n1-w");
}

#[test]
fn faults_of_the_head_are_told_by_control_once_it_has_looked_at_the_key() {
    let mut bench = Bench::new();
    let json = [("content-type", "application/json"), ("content-length", "2")];
    for (stream, path, headers) in [(10, "/indexes/m/documents?nope=1", &json[..]), (11, PATH, &json[1..])] {
        assert_eq!(bench.head(stream, "POST", path, headers, false), Step::Continue);
        let target = bench.request_header(stream, ":path").unwrap();
        assert_eq!(target, format!("/internal/v1/bulk{path}"));
        assert_eq!(bench.request_header(stream, "x-miroir-cluster").as_deref(), Some("internal"));
        assert_eq!(bench.body(stream, "[]", true), Step::Continue);
    }
    assert!(bench.open().is_empty());
}

#[test]
fn faults_of_the_body_wait_for_the_word_about_the_key() {
    let mut bench = Bench::new();
    let headers = [("content-type", "application/json"), ("content-length", "1")];
    bench.head(10, "POST", PATH, &headers, false);
    bench.body(10, "[", true);
    let (_, _, call) = bench.call(AUTHORISE_PATH);
    let asked: Authorise = serde_json::from_slice(&call.body).unwrap();
    assert_eq!((asked.kind, asked.index.as_str()), (WriteKind::Replace, "m"));
}

#[test]
fn deletions_need_no_body() {
    let mut bench = Bench::new();
    bench.head(10, "DELETE", "/indexes/m/documents/1", &[], true);
    let (_, _, call) = bench.call(BEGIN_PATH);
    let begin: Begin = serde_json::from_slice(&call.body).unwrap();
    assert_eq!((begin.kind, begin.shards.len()), (WriteKind::DeleteOne, 1));
}
