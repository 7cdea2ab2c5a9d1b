//! `kill -9` of an Envoy after it has dispatched a write and before it has committed it.

use std::time::Duration;

use miroir_e2e::harness::scene;
use miroir_e2e::{turn, until};
use serde_json::json;

#[tokio::test]
async fn a_write_between_dispatch_and_commit_is_settled_on_all_replicas() {
    let _turn = turn().await;
    let mut cluster = scene::faulty(2).await.unwrap();
    scene::fill(&cluster.client(1), 40).await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    let before = cluster.enqueued().await.unwrap();
    cluster.plant_everywhere(&json!({"answerDelayMs": 60_000, "path": "/documents"})).await.unwrap();
    let doomed = cluster.client(0);
    let documents: Vec<_> = (0..40).map(|id| json!({"id": id, "text": "from the dead"})).collect();
    let request = tokio::spawn(async move { doomed.post("/indexes/docs/documents", &json!(documents)).await });
    until("the write to reach a node", Duration::from_secs(20), || async {
        (cluster.enqueued().await.ok()? > before).then_some(())
    })
    .await
    .unwrap();
    cluster.envoys[0].kill();
    assert!(request.await.unwrap().is_err(), "an answer from a dead Envoy");
    cluster.plant_everywhere(&json!({})).await.unwrap();

    let client = cluster.client(1);
    let documents: Vec<_> = (0..20).map(|id| json!({"id": id, "text": "from the living"})).collect();
    scene::write(&client, &json!(documents)).await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 40);
    for id in 0..20 {
        assert_eq!(held[&id.to_string()]["text"], "from the living");
    }
    assert_eq!(scene::count(&client).await.unwrap(), 40);
    let open = client.get("/tasks?statuses=enqueued,processing").await.unwrap().json();
    assert_eq!(open["total"], 0, "a ticket blocks: {open}");
}
