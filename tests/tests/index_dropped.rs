//! An index that is written to and deleted at once: nodes do both in one batch or one after the other, and neither is a
//! reason to trust a copy less.

use miroir_e2e::harness::scene;
use miroir_e2e::{Client, turn};
use serde_json::json;

const ROUNDS: usize = 12;

/// Makes an index by a write and deletes it, without waiting; the tasks.
async fn made_and_deleted(client: &Client) -> Vec<u64> {
    let documents = json!((0..60).map(|id| json!({"id": id})).collect::<Vec<_>>());
    let mut tasks = Vec::new();
    for _ in 0..ROUNDS {
        let added = client.post("/indexes/passing/documents?primaryKey=id", &documents).await.unwrap();
        let deleted = client.delete("/indexes/passing").await.unwrap();
        for answer in [added, deleted] {
            assert_eq!(answer.status, 202, "{}", answer.text);
            tasks.push(answer.json()["taskUid"].as_u64().unwrap());
        }
    }
    tasks
}

#[tokio::test]
async fn no_copy_is_given_up_for_what_its_deletion_absorbed() {
    let _turn = turn().await;
    let cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    for task in made_and_deleted(&client).await {
        let task = client.task(task).await.unwrap();
        assert_eq!(task["status"], "succeeded", "{task}");
    }
    cluster.drained(&[0, 1, 2]).await.unwrap();
    let copies = cluster.copies().await.unwrap();
    assert!(copies.iter().all(|copy| copy.state == "inSync"), "{copies:?}");
    let status = cluster.tool(&["status", "--output", "json"]).await.unwrap();
    assert_eq!(status.code, 0, "{status:?}");
}
