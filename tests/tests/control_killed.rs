//! `kill -9` of control between begin and commit, and reads without control.

use std::time::Duration;

use miroir_e2e::harness::{load, scene};
use miroir_e2e::{turn, until};
use serde_json::json;

#[tokio::test]
async fn a_write_between_begin_and_commit_is_settled_after_the_restart() {
    let _turn = turn().await;
    let mut cluster = scene::faulty(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    let (decided, enqueued) = (cluster.decided().await.unwrap(), cluster.enqueued().await.unwrap());
    cluster.plant_everywhere(&json!({"answerDelayMs": 1500, "path": "/documents"})).await.unwrap();
    let writer = client.clone();
    let documents: Vec<_> = (0..40).map(|id| json!({"id": id, "text": "in between"})).collect();
    let request = tokio::spawn(async move { writer.post("/indexes/docs/documents", &json!(documents)).await });
    until("a node to have the write", Duration::from_secs(20), || async {
        (cluster.enqueued().await.ok()? > enqueued).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(cluster.decided().await.unwrap(), decided, "no node has answered, and so nothing can be committed");
    cluster.control.kill();
    assert!(!request.is_finished(), "its client waits");
    cluster.plant_everywhere(&json!({})).await.unwrap();
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();

    let answer = request.await.unwrap().unwrap();
    assert!([202, 503].contains(&answer.status), "{} {}", answer.status, answer.text);
    let mut written = "in between";
    if answer.status == 202 {
        client.succeeded(&answer).await.unwrap();
    } else {
        scene::write(&client, &json!([{"id": 0, "text": "after"}])).await.unwrap();
        written = "after";
    }
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 40);
    assert_eq!(held["0"]["text"], written);
    assert_eq!(scene::count(&client).await.unwrap(), 40);
}

#[tokio::test]
async fn searches_go_on_without_control_and_writes_are_refused() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    let reader = load::reader(client.clone(), "docs", 40);
    cluster.control.kill();
    let refused = client.post("/indexes/docs/documents", &json!([{"id": 1000}])).await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text);
    let so_far = reader.turns();
    until("searches without control", Duration::from_secs(30), || async {
        (reader.turns() > so_far + 100).then_some(())
    })
    .await
    .unwrap();
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    scene::write(&client, &json!([{"id": 1001}])).await.unwrap();
    reader.finish().await.unwrap();
    assert!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap().contains_key("1001"));
}
