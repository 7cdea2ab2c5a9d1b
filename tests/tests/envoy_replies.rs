//! What Envoy says by itself, where neither the filter nor a service answers: in the engine's shape too.

use miroir_e2e::harness::scene;
use miroir_e2e::turn;
use reqwest::Method;
use serde_json::json;

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
