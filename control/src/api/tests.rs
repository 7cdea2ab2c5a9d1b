//! Both listeners over a cluster whose nodes cannot be reached: what must work, and what must say so.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use miroir_core::route::Serve;
use miroir_core::wire::{
    BEGIN_PATH, Begin, BeginAnswer, HEARTBEAT_PATH, Heartbeat, KeySource, WIRE_VERSION, WriteKind,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::Service;
use crate::cluster::{self, Runtime};
use crate::config::File;
use crate::keys::default_keys;
use crate::settings::SettingsPlanner;
use crate::telemetry::Metrics;
use crate::xds::Tracker;

pub(crate) const KEY: &str = "masterkeymasterkey";

pub(crate) struct Listeners {
    pub(crate) public: Router,
    pub(crate) internal: Router,
    service: Arc<Service>,
    directory: TempDir,
}

async fn listeners_in(directory: TempDir) -> Listeners {
    listeners_with(directory, "").await
}

/// Listeners with further sections in their configuration.
pub(crate) async fn listeners_with(directory: TempDir, sections: &str) -> Listeners {
    let path = directory.path().display();
    let text = format!(
        "[cluster]\nshards = 4\nmaster_key = '{KEY}'\n[store]\npath = '{path}/s.sqlite'\n\
         [[nodes]]\nid = 'a'\nurl = 'http://127.0.0.1:1'\n[[nodes]]\nid = 'b'\nurl = 'http://127.0.0.1:2'\n{sections}"
    );
    let config = toml::from_str::<File>(&text).unwrap().check().unwrap();
    let metrics = Arc::new(Metrics::default());
    let running = cluster::start(
        &config,
        cluster::open_store(&config.store, None).await.unwrap(),
        Arc::new(SettingsPlanner),
        default_keys(),
        metrics.clone(),
    )
    .await
    .unwrap();
    let service = Arc::new(Service::new(running.cluster, metrics, Tracker::default(), &config).unwrap());
    Listeners { public: super::public(service.clone()), internal: super::internal(service.clone()), service, directory }
}

async fn listeners() -> Listeners {
    listeners_in(tempfile::tempdir().unwrap()).await
}

pub(crate) async fn ask(router: &Router, method: &str, path: &str, key: Option<&str>, body: Value) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn get(router: &Router, path: &str) -> (u16, Value) {
    ask(router, "GET", path, Some(KEY), Value::Null).await
}

fn begin() -> Begin {
    Begin {
        version: WIRE_VERSION,
        attempt: "00ff".repeat(8),
        vm: "vm".into(),
        epoch: 0,
        index: "films".into(),
        incarnation: None,
        kind: WriteKind::Replace,
        authorization: Some(format!("Bearer {KEY}")),
        primary_key: Some("id".into()),
        key_source: KeySource::Inferred,
        shards: vec![miroir_core::wire::ShardCount { shard: 1, keys: 1 }],
        keys: None,
        received: 1,
        bytes: 10,
        digest: "d".into(),
        idempotency_key: None,
        custom_metadata: None,
        skip_creation: false,
        original_filter: None,
        edit: None,
        fault: None,
    }
}

#[tokio::test]
async fn routes_are_the_engines() {
    let all = listeners().await;
    assert_eq!(get(&all.public, "/nothing").await, (404, json!("")));
    assert_eq!(ask(&all.public, "POST", "/tasks", Some(KEY), Value::Null).await.0, 405);
    assert_eq!(ask(&all.public, "HEAD", "/tasks", Some(KEY), Value::Null).await.0, 405);
    assert_eq!(get(&all.public, "//tasks/").await.0, 200);
    let (status, error) = ask(&all.public, "GET", "/tasks", None, Value::Null).await;
    assert_eq!((status, &error["code"]), (401, &json!("missing_authorization_header")));
}

#[tokio::test]
async fn every_route_that_control_serves_is_there() {
    let all = listeners().await;
    for rule in miroir_core::route::PATHS {
        let path: String = rule.pattern.replace("{index_uid}", "films").replace(['{', '}'], "");
        for method in rule.methods.iter().filter(|method| method.serve == Serve::Control) {
            let answer = ask(&all.public, method.method, &path, Some(KEY), Value::Null).await;
            assert_ne!(answer, (404, json!("")), "{} {path}", method.method);
            assert_ne!(answer.0, 405, "{} {path}", method.method);
        }
    }
    let running = json!({ "status": "Meilisearch is running" });
    assert_eq!(ask(&all.public, "GET", "/", None, Value::Null).await, (200, running));
}

#[tokio::test]
async fn reads_of_an_index_that_is_nowhere_are_refused_as_the_engine_does() {
    let all = listeners().await;
    let reads = [
        ("GET", "/search?q=a"),
        ("POST", "/search"),
        ("POST", "/facet-search"),
        ("GET", "/documents"),
        ("POST", "/documents/fetch"),
        ("GET", "/documents/1"),
    ];
    for (method, path) in reads {
        let (status, error) = ask(&all.public, method, &format!("/indexes/films{path}"), Some(KEY), json!({})).await;
        assert_eq!((status, &error["message"]), (404, &json!("Index `films` not found.")), "{method} {path}");
        let (status, error) = ask(&all.public, method, &format!("/indexes/films{path}"), Some("x"), json!({})).await;
        assert_eq!((status, &error["code"]), (403, &json!("invalid_api_key")), "{method} {path}");
    }
    let (status, error) = get(&all.public, "/indexes/no%20uid/search").await;
    assert_eq!((status, &error["code"]), (400, &json!("invalid_index_uid")));
}

#[tokio::test]
async fn tasks_are_numbered_kept_and_shown() {
    let all = listeners().await;
    let empty = json!({ "results": [], "total": 0, "limit": 20, "from": null, "next": null });
    assert_eq!(get(&all.public, "/tasks").await, (200, empty));
    let (status, first) = ask(&all.public, "DELETE", "/tasks?uids=*", Some(KEY), Value::Null).await;
    assert_eq!((status, &first["type"], &first["status"]), (200, &json!("taskDeletion"), &json!("enqueued")));
    let (_, second) = ask(&all.public, "DELETE", "/tasks?statuses=failed", Some(KEY), Value::Null).await;
    assert_eq!(second["taskUid"].as_u64(), first["taskUid"].as_u64().map(|uid| uid + 1));
    let (status, task) = get(&all.public, &format!("/tasks/{}", first["taskUid"])).await;
    assert_eq!((status, &task["status"]), (200, &json!("succeeded")));
    assert_eq!(task["details"]["originalFilter"], "?uids=*");
    assert!(task["startedAt"].is_string());
    let (_, page) = get(&all.public, "/tasks?limit=1").await;
    assert_eq!((&page["total"], &page["next"]), (&json!(2), &first["taskUid"]));
    assert_eq!(get(&all.public, "/batches").await.1["total"], 2);

    let (status, error) = get(&all.public, "/tasks/99").await;
    assert_eq!((status, &error["message"]), (404, &json!("Task `99` not found.")));
    let (status, error) = get(&all.public, "/tasks/x").await;
    assert_eq!((status, &error["code"]), (400, &json!("invalid_task_uids")));
}

#[tokio::test]
async fn tasks_and_identity_outlive_the_process() {
    let all = listeners().await;
    let (_, task) = ask(&all.public, "DELETE", "/tasks?uids=7", Some(KEY), Value::Null).await;
    let cluster = all.service.cluster.map().cluster.clone();
    let keys = all.service.cluster.keys();
    let Listeners { public, internal, service, directory } = all;
    drop((public, internal, service));
    let all = listeners_in(directory).await;
    assert_eq!(all.service.cluster.map().cluster, cluster);
    assert_eq!(all.service.cluster.keys(), keys);
    let (_, next) = ask(&all.public, "DELETE", "/tasks?uids=7", Some(KEY), Value::Null).await;
    assert!(next["taskUid"].as_u64() > task["taskUid"].as_u64());
    assert_eq!(get(&all.public, &format!("/tasks/{}", task["taskUid"])).await.0, 200);
}

#[tokio::test]
async fn a_write_is_authorised_before_anything_else() {
    let all = listeners().await;
    let mut message = begin();
    message.authorization = None;
    let (status, answer) = ask(&all.internal, "POST", BEGIN_PATH, None, json!(message)).await;
    let BeginAnswer::Reply(reply) = serde_json::from_value(answer).unwrap() else { panic!("granted") };
    assert_eq!((status, reply.status), (200, 401));
    message.version = 99;
    assert_eq!(ask(&all.internal, "POST", BEGIN_PATH, None, json!(message)).await.0, 400);
    assert_eq!(ask(&all.internal, "POST", BEGIN_PATH, None, json!({ "version": 1 })).await.0, 400);
}

#[tokio::test]
async fn probes_say_what_is_missing() {
    let all = listeners().await;
    for router in [&all.public, &all.internal] {
        assert_eq!(get(router, "/_miroir/health").await.0, 200);
        let (status, body) = get(router, "/_miroir/ready").await;
        assert_eq!(status, 503);
        assert_eq!(body["reasons"][0], "4 shards without a ready copy");
    }
    assert_eq!(get(&all.public, "/metrics").await.1["code"], "feature_not_enabled");
    let before = all.service.cluster.map().epoch;
    let beat = Heartbeat { vm: "v".into(), epoch: 1, oldest_epoch: 1, rejected: None, gone: false, envoy: None };
    let (status, answer) = ask(&all.internal, "POST", HEARTBEAT_PATH, None, json!(beat)).await;
    // The map may change meanwhile.
    let epoch = answer["epoch"].as_u64().unwrap();
    let after = all.service.cluster.look().await.unwrap().map.epoch;
    assert!(status == 200 && (before..=after).contains(&epoch), "{status} {answer}");
    let (_, metrics) = get(&all.internal, "/metrics").await;
    assert!(metrics.as_str().unwrap().contains("miroir_node_ready{node=\"a\"} 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_write_is_refused_in_the_engines_words() {
    let all = listeners().await;
    let path = "/internal/v1/bulk/indexes/films/documents";
    assert_eq!(ask(&all.internal, "POST", path, None, json!([{}])).await.0, 401);
    let (status, error) = ask(&all.internal, "POST", &format!("{path}?foo=1"), Some(KEY), json!([{}])).await;
    assert_eq!((status, &error["code"]), (400, &json!("bad_request")));
    let (status, error) = ask(&all.internal, "POST", path, Some(KEY), json!("text")).await;
    assert_eq!((status, &error["code"]), (400, &json!("malformed_payload")));
    assert_eq!(ask(&all.internal, "GET", "/internal/v1/bulk/indexes/films", Some(KEY), Value::Null).await.0, 404);
}

#[tokio::test]
async fn an_attempt_whose_handler_goes_away_is_given_up() {
    let all = listeners().await;
    let cluster = all.service.cluster.clone();
    let waiting = tokio::spawn(async move { cluster.begin(begin(), None, true).await });
    waiting.abort();
    let _ = waiting.await;
    assert_eq!(all.service.cluster.waiting(), 0);
}

#[tokio::test]
async fn a_closed_cluster_begins_no_write_and_refuses_those_that_wait() {
    let all = listeners().await;
    let cluster = &all.service.cluster;
    let ask = || ask(&all.internal, "POST", BEGIN_PATH, None, json!(begin()));
    let close = async {
        while cluster.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        cluster.close();
    };
    let (waited, ()) = futures::join!(ask(), close);
    for (status, answer) in [waited, ask().await] {
        let BeginAnswer::Reply(reply) = serde_json::from_value(answer).unwrap() else { panic!("granted") };
        assert_eq!((status, reply.status), (200, 503));
        assert_eq!(reply.headers, [("retry-after".to_owned(), "1".to_owned())]);
        assert!(reply.body.unwrap()["message"].as_str().unwrap().contains("Nothing was written"));
    }
    cluster.settled().await;
}
