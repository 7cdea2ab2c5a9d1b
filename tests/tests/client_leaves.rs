//! A client that leaves while its write is under way.

use std::time::Duration;

use miroir_e2e::harness::scene;
use miroir_e2e::{turn, until};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

#[tokio::test]
async fn its_write_is_settled_and_blocks_nobody() {
    let _turn = turn().await;
    let cluster = scene::faulty(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    cluster.plant_everywhere(&json!({"answerDelayMs": 1000, "path": "/documents"})).await.unwrap();
    let documents: Vec<_> = (0..40).map(|id| json!({"id": id, "text": "and gone"})).collect();
    let request = client
        .request(Method::POST, "/indexes/docs/documents")
        .header(CONTENT_TYPE, "application/json")
        .body(json!(documents).to_string())
        .timeout(Duration::from_millis(300));
    assert!(client.send(request).await.is_err(), "answered too soon");
    cluster.plant_everywhere(&json!({})).await.unwrap();

    scene::write(&client, &json!([{"id": 7, "text": "newer"}])).await.unwrap();
    until("no open task", Duration::from_secs(30), || async {
        let open = client.get("/tasks?statuses=enqueued,processing").await.ok()?.json();
        (open["total"] == 0).then_some(())
    })
    .await
    .unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held["7"]["text"], "newer");
    assert_eq!(held.len(), 40);
}
