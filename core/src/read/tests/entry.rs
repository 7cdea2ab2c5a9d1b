//! From the request to the machine, with the real planners.

use super::super::{PARK_MS, early, waited};
use super::*;

fn compiled(map: ShardMap) -> Arc<CompiledMap> {
    Arc::new(CompiledMap::new(map))
}

fn run(map: ShardMap, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Drive {
    let request = ReadRequest {
        path: path.into(),
        headers: owned(headers),
        body: body.as_bytes().to_vec(),
        ..Default::default()
    };
    match decide(&compiled(map), &healthy(), &matched(method, path), request) {
        Decision::Machine(machine) => Drive::run(machine, 1_000),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_index_that_the_map_lacks_is_controls() {
    let map = compiled(shard_map(3, 2, 16));
    for (method, path) in
        [("POST", "/indexes/zz/search"), ("GET", "/indexes/zz/documents/1"), ("GET", "/indexes/zz/documents")]
    {
        assert!(
            matches!(early(&map, &matched(method, path), &[]), Some(Decision::Forward(cluster)) if cluster == "control")
        );
    }
    assert!(early(&map, &matched("POST", "/indexes/a/search"), &[]).is_none());
    assert!(early(&map, &matched("POST", "/multi-search"), &[]).is_none());
    assert!(early(&map, &matched("GET", "/tasks"), &[]).is_none());
}

#[test]
fn a_query_waits_while_its_index_is_swapped() {
    let mut map = shard_map(3, 2, 16);
    map.indexes.get_mut("a").unwrap().swapping = true;
    assert!(matches!(early(&compiled(map), &matched("GET", "/indexes/a/search"), &[]), Some(Decision::Park)));
    assert_eq!((waited().status, PARK_MS), (503, 2_000));
}

#[test]
fn health_is_told_from_the_map() {
    let status = |map: ShardMap| match early(&compiled(map), &matched("GET", "/health"), &[]) {
        Some(Decision::Reply(reply)) => (reply.status, String::from_utf8(reply.body).unwrap()),
        other => panic!("{other:?}"),
    };
    let mut map = shard_map(3, 2, 16);
    assert_eq!(status(map.clone()), (200, r#"{"status":"available"}"#.to_owned()));
    map.nodes[0].readable = false;
    assert_eq!(status(map.clone()).0, 200);
    map.nodes[1].readable = false;
    assert_eq!(status(map), (503, r#"{"status":"unavailable"}"#.to_owned()));
}

#[test]
fn health_heeds_nodes_that_control_has_lost() {
    let status = |replicas, lost: &[&str]| {
        let lost: Vec<String> = lost.iter().map(|id| (*id).to_owned()).collect();
        match early(&compiled(shard_map(3, replicas, 16)), &matched("GET", "/health"), &lost) {
            Some(Decision::Reply(reply)) => reply.status,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((status(1, &[]), status(1, &["n1"]), status(1, &["gone"])), (200, 503, 200));
    assert_eq!((status(2, &["n1"]), status(2, &["n1", "n2"])), (200, 503));
}

/// An answer with a document of which the tag says that it is of this shard of 16.
fn tagged(shard: u32) -> CallResult {
    answer(200, &format!(r#"{{"id":17,"title":"x","_miroir_shard":"{}"}}"#, tag::encode(shard, 16)))
}

/// The shard of document 17.
fn shard_of_17() -> u32 {
    crate::hash::shard_of(b"17", 16)
}

#[test]
fn a_document_is_read_from_one_copy_of_its_shard() {
    let path = "/indexes/a/documents/17?fields=title";
    let mut drive = run(shard_map(3, 2, 16), "GET", path, &[("authorization", "Bearer k")], "");
    assert_eq!(drive.calls.len(), 1);
    let asked = "/indexes/a/documents/17?fields=title,_miroir_shard";
    assert_eq!((drive.calls[0].method, drive.calls[0].path.as_str()), ("GET", asked));
    assert_eq!(drive.calls[0].headers, owned(&[("authorization", "Bearer k")]));
    drive.end_at(0, |_| tagged(shard_of_17()));
    assert_eq!(drive.reply().body, br#"{"id":17,"title":"x"}"#);
    assert_eq!(drive.reply_header("content-type"), Some("application/json"));
    assert_eq!(drive.reply_header("x-miroir-shards"), Some("1/1"));
}

#[test]
fn a_document_comes_from_the_next_copy_when_the_first_fails() {
    let mut drive = run(shard_map(3, 2, 16), "GET", "/indexes/a/documents/17", &[], "");
    let first = drive.calls[0].cluster.clone();
    drive.end_at(0, hung);
    assert_ne!(drive.calls[0].cluster, first);
    drive.end_at(0, |_| tagged(shard_of_17()));
    assert_eq!(drive.reply().status, 200);
}

#[test]
fn a_document_that_does_not_belong_where_it_lies_is_none() {
    let strange = [tagged((shard_of_17() + 1) % 16), answer(200, r#"{"id":17,"_miroir_shard":7}"#)];
    for strange in strange.into_iter().chain([answer(200, r#"{"id":17}"#)]) {
        let mut drive = run(shard_map(3, 2, 16), "GET", "/indexes/a/documents/17", &[], "");
        let first = drive.calls[0].cluster.clone();
        drive.end_at(0, |_| strange.clone());
        assert_ne!(drive.calls[0].cluster, first);
        drive.end_at(0, |_| tagged(shard_of_17()));
        assert_eq!(drive.reply().body, br#"{"id":17,"title":"x"}"#);

        let mut drive = run(shard_map(3, 2, 16), "GET", "/indexes/a/documents/17", &[], "");
        drive.end_at(0, |_| strange.clone());
        drive.end_at(0, |_| strange.clone());
        let (status, error) = drive.error();
        let told = (status, error.code.as_str(), error.message.as_str());
        assert_eq!(told, (404, "document_not_found", "Document `17` not found."));

        // The one that is not heard may have it.
        let mut drive = run(shard_map(3, 2, 16), "GET", "/indexes/a/documents/17", &[], "");
        drive.end_at(0, |_| strange.clone());
        drive.end_at(0, dead);
        assert_eq!(drive.error().0, 503);
    }
}

#[test]
fn one_node_that_holds_everything_may_have_documents_without_a_tag() {
    let mut drive = run(shard_map(1, 1, 16), "GET", "/indexes/a/documents/17", &[], "");
    drive.end_at(0, |_| answer(200, r#"{"id":17}"#));
    assert_eq!(drive.reply().body, br#"{"id":17}"#);
}

#[test]
fn a_missing_document_is_believed_from_a_copy_in_sync() {
    for id in ["17", "no%20id"] {
        let mut drive = run(shard_map(3, 2, 16), "GET", &format!("/indexes/a/documents/{id}"), &[], "");
        drive.end_at(0, |_| engine_error(404, "document_not_found", "Document `17` not found."));
        assert_eq!((drive.error().0, drive.error().1.code.as_str()), (404, "document_not_found"));
    }
    let mut drive = run(shard_map(3, 2, 16), "GET", "/indexes/a/documents/17", &[], "");
    drive.end_at(0, no_index);
    drive.end_at(0, |_| tagged(shard_of_17()));
    assert_eq!(drive.reply().status, 200);
}

#[test]
fn a_document_without_a_copy_names_its_shard() {
    let mut drive = run(shard_map(3, 2, 16), "GET", "/indexes/a/documents/17", &[("x-miroir-partial", "allow")], "");
    drive.end_all(dead);
    assert_eq!(drive.error().0, 503);
    assert!(drive.error().1.message.starts_with("Shards "));
}

#[test]
fn ids_of_one_document_go_to_one_shard() {
    let first = |id: &str| {
        run(shard_map(5, 1, 16), "GET", &format!("/indexes/a/documents/{id}"), &[], "").calls[0].cluster.clone()
    };
    assert_eq!(first("17"), first("%317"));
    let spread: std::collections::BTreeSet<String> = (0..50).map(|id| first(&id.to_string())).collect();
    assert_eq!(spread.len(), 5);
}

#[test]
fn documents_of_one_shard_are_read_from_all_its_copies() {
    let mut seen = std::collections::BTreeSet::new();
    for id in 0..50 {
        let id = id.to_string();
        let drive = run(shard_map(2, 2, 2), "GET", &format!("/indexes/a/documents/{id}"), &[], "");
        seen.insert((crate::hash::shard_of(id.as_bytes(), 2), drive.calls[0].cluster.clone()));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn a_body_that_is_not_declared_as_json_is_judged_by_a_node() {
    for (headers, code) in
        [(&[][..], "missing_content_type"), (&[("content-type", "text/plain")][..], "invalid_content_type")]
    {
        let mut drive = run(shard_map(3, 2, 16), "POST", "/indexes/a/search", headers, "{}");
        assert_eq!(drive.calls.len(), 1);
        assert_eq!(drive.calls[0].headers, owned(headers));
        assert_eq!((drive.calls[0].path.as_str(), drive.calls[0].body.as_slice()), ("/indexes/a/search", &b"{}"[..]));
        drive.end_at(0, |_| answer(200, r#"{"hits":[]}"#));
        assert_eq!((drive.error().0, drive.error().1.code.as_str()), (415, code), "a node's page is never relayed");
    }
    let mut drive = run(shard_map(3, 2, 16), "POST", "/multi-search", &[], "{}");
    drive.end_at(0, |_| engine_error(401, "missing_authorization_header", "m"));
    drive.end_at(0, |_| engine_error(401, "missing_authorization_header", "m"));
    assert_eq!(drive.error().0, 401, "the engine looks at the key first");
}

#[test]
fn real_plans_are_the_same_when_made_again() {
    let map = compiled(shard_map(3, 2, 16));
    let request = ReadRequest { path: "/indexes/a/documents/17".into(), ..Default::default() };
    let hash = || plan(&map, &matched("GET", &request.path), &request).unwrap().legs[0].gather.query_hash();
    assert_eq!(hash(), hash());
}
