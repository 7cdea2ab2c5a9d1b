//! A task that fails on one replica only: the write has succeeded, and that replica is not read before it is repaired.

use std::time::Duration;

use miroir_e2e::harness::scene;
use miroir_e2e::turn;
use serde_json::json;

#[tokio::test]
async fn it_becomes_stale_and_nothing_is_lost() {
    let _turn = turn().await;
    let cluster = scene::faulty(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    cluster.plant(0, json!({"failTasks": 1, "failCode": "internal"})).await.unwrap();
    let all: Vec<_> = (0..40).map(|id| json!({"id": id, "text": "newer"})).collect();
    let answer = client.post("/indexes/docs/documents", &json!(all)).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text);
    let task = client.succeeded(&answer).await.unwrap();
    assert_eq!(task["details"], json!({"receivedDocuments": 40, "indexedDocuments": 40}));
    // Once the task is shown as succeeded, no Envoy reads the old copy.
    for turn in 0..60 {
        let found = cluster.client(turn % 2).post("/indexes/docs/search", &json!({"limit": 100, "offset": 0})).await;
        let found = found.unwrap().json();
        let hits = found["hits"].as_array().unwrap();
        assert!(hits.len() == 40 && hits.iter().all(|hit| hit["text"] == "newer"), "{found}");
    }
    cluster.whole(Duration::from_secs(60)).await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert!(held.len() == 40 && held.values().all(|document| document["text"] == "newer"));
}
