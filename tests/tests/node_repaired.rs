//! A node that missed writes, or lost its disk, is brought back by itself, and only what it lacks is written.

use std::time::{Duration, Instant};

use miroir_e2e::harness::scene;
use miroir_e2e::{Client, Cluster, Options, turn, until};
use serde_json::{Value, json};

/// Longest wait for a repair.
const LIMIT: Duration = Duration::from_secs(60);

/// Longest wait for the repair of one missed write, from the moment the node answers again: seconds, on a busy machine too.
const SOON: Duration = Duration::from_secs(20);

/// Documents that a node was told to write, and tasks that it was given in all, in tasks above this uid.
async fn written(node: &Client, above: u64) -> (u64, usize) {
    let path = "/tasks?limit=1000&indexUids=docs&types=documentAdditionOrUpdate,documentDeletion";
    let tasks = node.get(path).await.unwrap().json();
    let newer = tasks["results"].as_array().unwrap().iter().filter(|task| task["uid"].as_u64() > Some(above));
    let additions = newer.clone().filter_map(|task| task["details"]["receivedDocuments"].as_u64());
    (additions.sum(), newer.count())
}

async fn newest(node: &Client) -> u64 {
    node.get("/tasks?limit=1").await.unwrap().json()["results"][0]["uid"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn after_one_missed_write_one_document_is_written() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 500).await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    let id = cluster.documents_on(1, "docs").await.unwrap().into_values().find_map(|copy| copy.into_keys().next());
    let id: u64 = id.unwrap().parse().unwrap();
    let before = newest(&cluster.node_client(1)).await;
    cluster.nodes[1].kill();
    let answer = scene::write(&client, &json!([{"id": id, "text": "missed"}])).await.unwrap();
    assert!(answer.header("x-miroir-degraded").is_some(), "{:?}", answer.headers);
    cluster.nodes[1].restart().unwrap();
    cluster.node_up(1).await.unwrap();
    let back = Instant::now();
    cluster.whole(SOON).await.unwrap();
    eprintln!("a missed write was repaired {} ms after the node was back", back.elapsed().as_millis());
    cluster.adopted().await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    let (documents, tasks) = written(&cluster.node_client(1), before).await;
    assert_eq!(documents, 1, "in {tasks} tasks");
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!((held.len(), &held[&id.to_string()]["text"]), (500, &Value::from("missed")));
}

#[tokio::test]
async fn an_empty_disk_is_filled_and_serves_alone() {
    let _turn = turn().await;
    let control_settings = scene::QUICK.to_owned();
    let options = Options { nodes: 2, replication_factor: 2, control_settings, ..Options::default() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 300).await.unwrap();
    let settings = json!({"filterableAttributes": ["text"], "sortableAttributes": ["id"]});
    let settings = client.json(reqwest::Method::PATCH, "/indexes/docs/settings", &settings).await.unwrap();
    client.succeeded(&settings).await.unwrap();
    cluster.nodes[0].kill();
    cluster.wipe(0).unwrap();
    cluster.nodes[0].restart().unwrap();
    cluster.node_up(0).await.unwrap();
    until("the loss to be noticed", Duration::from_secs(30), || async {
        cluster.copies().await.ok()?.iter().any(|copy| copy.node == 0 && copy.state != "inSync").then_some(())
    })
    .await
    .unwrap();
    scene::write(&client, &json!([{"id": 7, "text": "meanwhile"}])).await.unwrap();
    cluster.whole(LIMIT).await.unwrap();
    cluster.adopted().await.unwrap();
    assert_eq!(cluster.agreed(&[0, 1], "docs").await.unwrap().len(), 300);

    cluster.nodes[1].kill();
    until("searches from the rebuilt node alone", Duration::from_secs(30), || async {
        (scene::count(&client).await.ok()? == 300).then_some(())
    })
    .await
    .unwrap();
    let query = json!({"filter": "text = meanwhile", "sort": ["id:asc"]});
    let found = client.post("/indexes/docs/search", &query).await.unwrap().json();
    assert_eq!(found["hits"], json!([{"id": 7, "text": "meanwhile"}]));
}
