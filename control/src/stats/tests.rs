//! The cluster as a whole, through its routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt;

use super::router;
use crate::settings::testing::{Fake, call, call_as};

/// Two nodes, four shards of which two have two copies; every copy of a shard holds ten documents.
async fn cluster(down: Option<&str>) -> Router {
    let fake = Fake::new(Some("masterkeymasterkey")).answering(|node, request| match request.path.as_str() {
        "/indexes/m/documents/fetch" => {
            let clause = request.body.as_ref().unwrap()["filter"].as_str().unwrap().to_owned();
            (200, json!({"results":[],"total": clause.matches('"').count() / 2 * 10}))
        }
        "/version" => (200, json!({"pkgVersion": if node == "node-0" { "1.50.0" } else { "1.9.3" }})),
        "/experimental-features" => (200, request.body.clone().unwrap()),
        path => {
            let index = json!({
                "numberOfDocuments":30,"rawDocumentDbSize":4096,"avgDocumentSize":100,"isIndexing":false,
                "numberOfEmbeddings":0,"numberOfEmbeddedDocuments":0,"fieldDistribution":{"id":30,"a":15,"_miroir_shard":30},
            });
            let all = json!({"databaseSize":1024,"usedDatabaseSize":512,"lastUpdate":null,"indexes":{"m":index.clone()}});
            (200, if path.starts_with("/indexes") { index } else { all })
        }
    });
    let fake = Arc::new(match down {
        Some(node) => fake.without_node(node),
        None => fake,
    });
    let indexes = crate::indexes::router(fake.clone());
    assert_eq!(call(&indexes, "POST", "/indexes", r#"{"uid":"m"}"#).await.0, 202);
    router(fake)
}

#[tokio::test]
async fn documents_are_counted_once_per_shard() {
    let router = cluster(None).await;
    let (status, stats) = call(&router, "GET", "/indexes/m/stats", "").await;
    assert_eq!(status, 200);
    assert_eq!(
        stats.to_string(),
        r#"{"numberOfDocuments":40,"rawDocumentDbSize":8192,"avgDocumentSize":100,"isIndexing":false,"numberOfEmbeddings":0,"numberOfEmbeddedDocuments":0,"fieldDistribution":{"a":20,"id":40}}"#
    );
    let (_, stats) = call(&router, "GET", "/stats?sizeFormat=human", "").await;
    assert_eq!((&stats["databaseSize"], &stats["usedDatabaseSize"]), (&json!("2 KiB"), &json!("1 KiB")));
    assert_eq!(stats["indexes"]["m"]["rawDocumentDbSize"], "8 KiB");
    assert_eq!(stats["lastUpdate"], "1970-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn nodes_that_have_not_come_to_an_index_yet_are_waited_for() {
    let message =
        "Attribute `_miroir_shard` is not filterable. This index does not have configured filterable attributes.";
    for (status, code, message) in
        [(404, "index_not_found", "Index `m` not found."), (400, "invalid_document_filter", message)]
    {
        let refused = AtomicUsize::new(0);
        let fake = Fake::new(None).answering(move |_, request| {
            if !request.path.ends_with("/documents/fetch") {
                return (200, json!({"numberOfDocuments":0,"fieldDistribution":{}}));
            }
            match refused.fetch_add(1, Ordering::Relaxed) {
                0..6 => (status, json!({"message":message,"code":code,"type":"invalid_request","link":""})),
                _ => (200, json!({"results":[],"total":0})),
            }
        });
        let fake = Arc::new(fake);
        assert_eq!(call(&crate::indexes::router(fake.clone()), "POST", "/indexes", r#"{"uid":"m"}"#).await.0, 202);
        let (status, stats) = call(&router(fake), "GET", "/indexes/m/stats", "").await;
        assert_eq!((status, &stats["numberOfDocuments"]), (200, &json!(0)), "{code}");
    }
}

#[tokio::test]
async fn the_cluster_is_as_healthy_as_its_worst_shard() {
    assert_eq!(call_as(&cluster(None).await, None, "GET", "/health", "").await, (200, json!({"status":"available"})));
    let router = cluster(Some("node-1")).await;
    assert_eq!(call_as(&router, None, "GET", "/health", "").await.0, 503);
    for path in ["/stats", "/indexes/m/stats"] {
        let request = Request::get(path).header("authorization", "Bearer masterkeymasterkey");
        let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let retry = answer.headers()["retry-after"].to_str().unwrap();
        assert_eq!((answer.status().as_u16(), retry), (503, "1"), "{path}");
        let (_, error) = call(&router, "GET", path, "").await;
        assert_eq!(error["code"], "remote_could_not_send_request", "{path}");
    }
}

#[tokio::test]
async fn the_version_is_the_lowest_of_the_nodes() {
    let router = cluster(None).await;
    assert_eq!(call(&router, "GET", "/version", "").await.1["pkgVersion"], "1.9.3");
}

#[tokio::test]
async fn features_that_nodes_serve_are_theirs_too() {
    let router = cluster(None).await;
    let (status, features) = call(&router, "PATCH", "/experimental-features", r#"{"containsFilter":true}"#).await;
    assert_eq!((status, &features["containsFilter"], &features["network"]), (200, &json!(true), &json!(false)));
    assert_eq!(call(&router, "GET", "/experimental-features", "").await.1, features);
    assert_eq!(call(&router, "PATCH", "/experimental-features", r#"{"foreignKeys":true}"#).await.0, 400);
}

#[tokio::test]
async fn parameters_are_judged_in_the_engines_words() {
    let router = cluster(None).await;
    for (path, code, message) in [
        (
            "/stats?sizeFormat=x",
            "invalid_stats_size_format",
            "Unknown value `x` for parameter `sizeFormat`: expected one of `human`, `raw`",
        ),
        (
            "/stats?a=x",
            "bad_request",
            "Unknown parameter `a`: expected one of `showInternalDatabaseSizes`, `sizeFormat`",
        ),
        (
            "/stats?showInternalDatabaseSizes=x",
            "invalid_stats_show_internal_database_sizes",
            "Invalid value in parameter `showInternalDatabaseSizes`: could not parse `x` as a boolean, expected either `true` or `false`",
        ),
    ] {
        let (_, error) = call(&router, "GET", path, "").await;
        assert_eq!((error["code"].as_str(), error["message"].as_str()), (Some(code), Some(message)));
    }
}
