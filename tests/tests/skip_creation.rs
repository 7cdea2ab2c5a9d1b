//! Documents that are made and at once replaced by a write that makes none: the engine drops some of them where both are
//! in one batch, and replicas batch differently.

use miroir_e2e::harness::scene;
use miroir_e2e::{Client, turn};
use serde_json::json;

const EACH: u64 = 30;

/// Makes and replaces documents without waiting; the last task.
async fn made_and_replaced(client: Client, first: u64) -> u64 {
    let mut task = 0;
    for id in first..first + EACH {
        for (path, version) in [("/indexes/docs/documents", 1), ("/indexes/docs/documents?skipCreation=true", 2)] {
            let answer = client.post(path, &json!([{"id": id, "version": version}])).await.unwrap();
            assert_eq!(answer.status, 202, "{}", answer.text);
            task = answer.json()["taskUid"].as_u64().unwrap();
        }
    }
    task
}

#[tokio::test]
async fn nothing_that_was_just_made_is_dropped() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    client
        .succeeded(&client.post("/indexes", &json!({"uid": "docs", "primaryKey": "id"})).await.unwrap())
        .await
        .unwrap();
    let writers =
        (0..4).map(|writer| tokio::spawn(made_and_replaced(cluster.client(writer % 2), writer as u64 * EACH)));
    let mut last = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        last.push(writer.await.unwrap());
    }
    // The nodes do these one by one, which takes a busy machine longer than a task is waited for.
    cluster.drained(&[0, 1, 2]).await.unwrap();
    for task in last {
        client.task(task).await.unwrap();
    }
    cluster.adopted().await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len() as u64, 4 * EACH);
    assert!(held.values().all(|document| document["version"] == 2), "{held:?}");
}

#[tokio::test]
async fn what_is_in_a_nodes_queue_is_made_in_another_batch_than_it_is_replaced() {
    let _turn = turn().await;
    let mut cluster = scene::faulty(2).await.unwrap();
    let client = cluster.client(0);
    client
        .succeeded(&client.post("/indexes", &json!({"uid": "docs", "primaryKey": "id"})).await.unwrap())
        .await
        .unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    cluster.plant(2, json!({"holdQueue": true})).await.unwrap();
    let documents = |version: u64| json!((0..EACH).map(|id| json!({"id": id, "version": version})).collect::<Vec<_>>());
    let made = client.post("/indexes/docs/documents", &documents(1)).await.unwrap();
    assert_eq!(made.status, 202, "{}", made.text);
    // The node has both in its queue before it does either.
    let replaced = client.post("/indexes/docs/documents?skipCreation=true", &documents(2)).await.unwrap();
    assert_eq!(replaced.status, 202, "{}", replaced.text);
    cluster.plant(2, json!({})).await.unwrap();
    client.succeeded(&replaced).await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    cluster.adopted().await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len() as u64, EACH);
    assert!(held.values().all(|document| document["version"] == 2), "{held:?}");
}
