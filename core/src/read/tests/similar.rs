//! Similar documents: the first round is asked with the cluster's own key, the second with the client's.

use super::*;

fn similar(map: ShardMap, reader_key: Option<&str>) -> Drive {
    let path = "/indexes/a/similar".to_owned();
    let headers = owned(&[("authorization", "Bearer client"), ("content-type", "application/json")]);
    let body = br#"{"id":7,"embedder":"e"}"#.to_vec();
    let request = ReadRequest { path: path.clone(), headers, body, reader_key: reader_key.map(Into::into) };
    match decide(&Arc::new(CompiledMap::new(map)), &healthy(), &matched("POST", &path), request) {
        Decision::Machine(machine) => Drive::run(machine, 1_000),
        other => panic!("{other:?}"),
    }
}

fn keys(drive: &Drive) -> Vec<&str> {
    drive.calls.iter().map(|call| header(&call.headers, "authorization").unwrap()).collect()
}

/// n1 has the document.
fn first_round(call: &Call) -> CallResult {
    let vectors = r#"{"id":7,"_vectors":{"e":{"embeddings":[[1.0]]}}}"#;
    answer(200, &format!("{{\"results\":[{}]}}", if call.cluster == "n1" { vectors } else { "" }))
}

fn end_first_round(drive: &mut Drive) {
    let mut nodes: Vec<String> = drive.asking().into_iter().map(str::to_owned).collect();
    nodes.drain(..).for_each(|node| drive.end(&node, first_round));
}

#[test]
fn a_key_that_opens_no_documents_will_do() {
    let mut drive = similar(shard_map(3, 2, 16), Some("reader"));
    assert_eq!(keys(&drive), ["Bearer reader"; 3]);
    end_first_round(&mut drive);
    assert_eq!(keys(&drive), ["Bearer client"; 3]);
    let none = r#"{"hits":[],"processingTimeMs":1,"estimatedTotalHits":1}"#;
    drive.end_all(|_| answer(200, none));
    assert_eq!(drive.reply().status, 200);
    let without = similar(shard_map(3, 2, 16), None);
    assert_eq!(keys(&without), ["Bearer client"; 3]);
}

#[test]
fn who_may_not_search_is_told_so_whatever_the_cluster_may_read() {
    for nodes in [3, 1] {
        let mut drive = similar(shard_map(nodes, 1, 16), Some("reader"));
        end_first_round_of(&mut drive);
        drive.end_all(forbidden);
        assert_eq!(drive.error().0, 403, "{nodes} nodes");
    }
}

/// As a node does: it knows the cluster's key, and never heard of the client's.
fn by_key(call: &Call) -> CallResult {
    match header(&call.headers, "authorization") {
        Some("Bearer reader") => first_round(call),
        _ => forbidden(call),
    }
}

#[test]
fn nodes_that_know_the_clusters_key_only_refuse_the_client_whatever_the_replicas() {
    for replicas in 1..=3 {
        let mut drive = similar(shard_map(3, replicas, 16), Some("reader"));
        drive.end_all(by_key);
        assert_eq!(drive.error().0, 403, "{replicas} replicas");
        assert_eq!(drive.asked.len(), 6, "one look at the document, one at the key: {replicas} replicas");
    }
}

#[test]
fn who_may_not_search_does_not_learn_of_lost_shards_either() {
    let mut drive = similar(shard_map(3, 1, 16), Some("reader"));
    drive.end("n0", broken);
    drive.end_all(by_key);
    assert_eq!(drive.error().0, 403);
}

#[test]
fn one_node_that_refuses_a_key_in_the_second_round_is_replaced() {
    let page = |call: &Call| match header(&call.headers, "authorization") {
        Some("Bearer reader") => first_round(call),
        _ if call.cluster == "n0" => forbidden(call),
        _ => answer(200, r#"{"hits":[],"processingTimeMs":1,"estimatedTotalHits":1}"#),
    };
    for (replicas, status) in [(1, 503), (2, 200)] {
        let mut drive = similar(shard_map(3, replicas, 16), Some("reader"));
        drive.end_all(page);
        assert_eq!(drive.reply().status, status, "{replicas} replicas");
    }
}

fn end_first_round_of(drive: &mut Drive) {
    if drive.calls.len() > 1 {
        return end_first_round(drive);
    }
    drive.end("n0", |_| answer(200, r#"{"results":[{"id":7,"_vectors":{"e":{"embeddings":[[1.0]]}}}]}"#));
}

#[test]
fn the_node_that_has_the_document_judges_the_request() {
    let mut drive = similar(shard_map(3, 2, 16), Some("reader"));
    end_first_round(&mut drive);
    drive.end("n0", |_| engine_error(400, "invalid_search_embedder", "about a search"));
    assert_eq!(drive.calls.last().unwrap().cluster, "n1");
    let at = drive.calls.len() - 1;
    drive.end_at(at, |_| engine_error(400, "invalid_similar_embedder", "about the client's request"));
    assert_eq!(drive.error().1.code, "invalid_similar_embedder");
}
