//! The admin API over a cluster whose nodes cannot be reached.

use axum::Router;
use miroir_admin::{Condition, Layout, NodeList, Status};
use serde_json::{Value, json};

use crate::api::tests::{KEY, Listeners, ask, listeners_with};

const ADMIN: &str = "adminkeyadminkey";

async fn listeners(sections: &str) -> Listeners {
    listeners_with(tempfile::tempdir().unwrap(), sections).await
}

async fn closed_by_default() -> Listeners {
    listeners(&format!("[admin]\nkey = '{ADMIN}'\n")).await
}

async fn read<T: serde::de::DeserializeOwned>(router: &Router, path: &str) -> T {
    let (status, body) = ask(router, "GET", path, Some(ADMIN), Value::Null).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_value(body).unwrap()
}

/// Every route of the document, with its methods.
fn routes() -> Vec<(String, String)> {
    let document = serde_json::to_value(super::openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path =
            path.replace("{node}", "a").replace("{job}", "1").replace("{placement}", "0").replace("{shard}", "1");
        assert!(!path.contains('{'), "{path}");
        for method in methods.as_object().unwrap().keys() {
            routes.push((method.to_uppercase(), path.clone()));
        }
    }
    assert!(routes.len() >= 4);
    routes.push(("GET".to_owned(), "/_miroir/openapi.json".to_owned()));
    routes
}

#[tokio::test]
async fn no_route_answers_without_the_admin_key() {
    let all = closed_by_default().await;
    for (method, path) in routes() {
        for (key, code) in [
            (None, "missing_authorization_header"),
            (Some("adminkeyadminke"), "invalid_api_key"),
            (Some(KEY), "invalid_api_key"),
            (Some(""), "invalid_api_key"),
        ] {
            let (status, error) = ask(&all.internal, &method, &path, key, json!({})).await;
            assert!(matches!(status, 401 | 403), "{method} {path} {status}");
            assert_eq!(error["code"], code, "{method} {path}");
        }
    }
}

#[test]
fn the_document_names_every_refusal_with_its_shape() {
    let document = serde_json::to_value(super::openapi()).unwrap();
    assert_eq!(document["components"]["schemas"]["Error"]["properties"]["code"]["type"], "string");
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            let takes = operation.get("requestBody").is_some() || path.contains('{');
            let wanted = ["401", "403", "503"].into_iter().chain(takes.then_some("400"));
            wanted.for_each(|status| assert!(responses.contains_key(status), "{method} {path}: no {status}"));
            for (status, response) in responses {
                assert!(response["description"].as_str().is_some_and(|words| !words.is_empty()), "{path} {status}");
                let shape = &response["content"]["application/json"]["schema"]["$ref"];
                let is_error = *shape == "#/components/schemas/Error";
                assert_eq!(is_error, !status.starts_with('2'), "{method} {path} {status}: {shape}");
            }
        }
    }
}

/// An error as the document describes it.
fn is_error(body: &Value) -> bool {
    serde_json::from_value::<miroir_admin::Error>(body.clone()).is_ok_and(|error| error.link.starts_with("https://"))
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_as_the_document_says() {
    let all = closed_by_default().await;
    for (method, path, body) in [
        ("GET", "/_miroir/jobs/first", Value::Null),
        ("POST", "/_miroir/jobs/-1/pause", Value::Null),
        ("POST", "/_miroir/jobs/x/resume", Value::Null),
        ("POST", "/_miroir/jobs/x/cancel", Value::Null),
        ("POST", "/_miroir/nodes?dryRun=perhaps", json!({})),
        ("POST", "/_miroir/nodes/a/drain?twice=true", Value::Null),
        ("PUT", "/_miroir/replication-factor", json!({ "copies": 2 })),
        ("PUT", "/_miroir/throttle", json!("fast")),
    ] {
        let (status, error) = ask(&all.internal, method, path, Some(ADMIN), body).await;
        assert!(status == 400 && is_error(&error), "{method} {path}: {status} {error}");
    }
    for key in [None, Some(KEY)] {
        let (status, error) = ask(&all.internal, "GET", "/_miroir/jobs", key, Value::Null).await;
        assert!(matches!(status, 401 | 403) && is_error(&error), "{status} {error}");
    }
}

#[tokio::test]
async fn without_an_admin_key_the_api_is_closed() {
    let all = listeners("").await;
    for (method, path) in routes() {
        for key in [None, Some(""), Some(KEY), Some(ADMIN)] {
            let (status, error) = ask(&all.internal, &method, &path, key, json!({})).await;
            assert_eq!(status, 403, "{method} {path}");
            assert!(error["message"].as_str().unwrap().contains("MIROIR_ADMIN_KEY_FILE"), "{error}");
        }
    }
}

#[tokio::test]
async fn clients_do_not_reach_it_unless_it_is_made_public() {
    let all = closed_by_default().await;
    for (method, path) in routes() {
        let (status, body) = ask(&all.public, &method, &path, Some(ADMIN), json!({})).await;
        assert_eq!((status, body), (404, json!("")), "{method} {path}");
    }
    let open = listeners(&format!("[admin]\nkey = '{ADMIN}'\npublic = true\n")).await;
    let _: Status = read(&open.public, "/_miroir/status").await;
    assert_eq!(ask(&open.public, "GET", "/_miroir/status", Some(KEY), Value::Null).await.0, 403);
    assert_eq!(ask(&open.public, "GET", "/_miroir/status", None, Value::Null).await.0, 401);
}

#[tokio::test]
async fn a_cluster_out_of_reach_is_down() {
    let all = closed_by_default().await;
    let status: Status = read(&all.internal, "/_miroir/status").await;
    assert_eq!(status.condition, Condition::Down);
    assert_eq!((status.coverage.total, status.coverage.down, status.down_shards.len()), (4, 4, 4));
    assert!(status.reasons[0].starts_with("4 of 4 shards"), "{:?}", status.reasons);
    assert!(status.late_writes_fenced);
    let list: NodeList = read(&all.internal, "/_miroir/nodes").await;
    assert_eq!(list.nodes, status.nodes);
    assert_eq!(list.nodes[0].url.as_deref(), Some("http://127.0.0.1:1"));
    let layout: Layout = read(&all.internal, "/_miroir/shards").await;
    assert_eq!((layout.shards.len(), layout.nodes.len()), (4, 2));
    assert!(layout.shards.iter().all(|shard| shard.copies.len() == 2 && !shard.copies[0].usable));
}

#[tokio::test]
async fn bad_questions_are_told_apart() {
    let all = closed_by_default().await;
    let explain = async |body| ask(&all.internal, "POST", "/_miroir/explain", Some(ADMIN), body).await;
    let (status, error) = explain(json!({ "index": "films" })).await;
    assert_eq!((status, &error["code"]), (404, &json!("index_not_found")));
    let (status, error) = explain(json!({ "q": "a" })).await;
    assert_eq!((status, &error["code"]), (400, &json!("bad_request")));
}

#[tokio::test]
async fn what_cannot_be_taken_back_has_to_be_confirmed() {
    let all = closed_by_default().await;
    let send = async |path: &str, body| ask(&all.internal, "POST", path, Some(ADMIN), body).await;
    for (path, body) in [
        ("/_miroir/shards/accept-loss", json!({ "node": "a", "shards": [0] })),
        ("/_miroir/shards/force-deletion", json!({})),
        ("/_miroir/shards/force-deletion", json!({ "confirm": false })),
    ] {
        let (status, error) = send(path, body).await;
        assert_eq!((status, &error["code"]), (409, &json!("not_confirmed")), "{path} {error}");
    }
    let (status, error) = send("/_miroir/shards/force-deletion", json!({ "force": true })).await;
    assert_eq!((status, &error["code"]), (400, &json!("bad_request")));
    let (status, done) = send("/_miroir/shards/force-deletion", json!({ "confirm": true })).await;
    assert_eq!((status, done), (200, json!({ "message": "no copy waits for filters before it is deleted" })));
}
