//! What Envoy says by itself, where neither the filter nor a service answers: in the engine's shape too.

use miroir_e2e::harness::scene;
use miroir_e2e::{Client, turn};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn methods_that_nobody_knows_are_refused_as_the_engine_does() {
    let _turn = turn().await;
    let cluster = scene::sound(2).await.unwrap();
    for (path, status, allow) in [
        ("/health", 405, Some("GET")),
        ("/indexes", 405, Some("GET, POST")),
        ("/indexes/docs/search", 405, Some("GET, POST")),
        ("/nowhere", 404, None),
    ] {
        for method in ["FOO", "foo", "PROPFIND", "TRACE"] {
            let of_node = ask(&cluster.node_client(0), method, path).await;
            let found = ask(&cluster.client(0), method, path).await;
            assert_eq!(found, of_node, "{method} {path}: Envoy or the filter answers otherwise than a node");
            assert_eq!(found, (status, allow.map(str::to_owned), String::new()), "{method} {path}");
        }
    }
}

async fn ask(client: &Client, method: &str, path: &str) -> (u16, Option<String>, String) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let answer = client.send(client.request(method, path)).await.unwrap();
    (answer.status, answer.header("allow").map(str::to_owned), answer.text)
}

#[tokio::test]
async fn a_dead_control_is_told_in_the_engines_shape() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 10).await.unwrap();
    cluster.control.kill();
    for (method, path) in
        [(Method::GET, "/indexes"), (Method::GET, "/tasks"), (Method::PATCH, "/indexes/docs/settings")]
    {
        let answer = client.json(method, path, &json!({})).await.unwrap();
        assert_eq!(answer.status, 503, "{path}: {}", answer.text);
        let error = answer.json();
        let told = error["message"].as_str().unwrap_or_default();
        assert!(
            told.starts_with("The service that answers this request cannot be reached: "),
            "{path}: {}",
            answer.text
        );
        assert_eq!(error["code"], "remote_could_not_send_request");
        assert_eq!(error["type"], "system");
        assert_eq!(error["link"], "https://docs.meilisearch.com/errors#remote_could_not_send_request");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // The filter's own answers stay as they are.
    let refused = client.post("/indexes/docs/documents", &json!([{"id": 1}])).await.unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.text.contains("Writes are not possible at the moment"), "{}", refused.text);
    assert_eq!(scene::count(&client).await.unwrap(), 10);
}
