//! A node answers as no node should: each read is complete and right all the same, by the other replicas, and Envoy goes
//! on. With a single replica the client gets an error, and never a page that is wrong.

use miroir_e2e::harness::scene;
use miroir_e2e::{Client, turn};
use serde_json::{Value, json};

const DOCUMENTS: u64 = 80;
const KINDS: [&str; 10] =
    ["truncated", "cutOff", "empty", "html", "bare", "wrongTypes", "binary", "nested", "headless", "huge"];

/// The reads that all nodes are asked for.
async fn reads(client: &Client) -> Vec<(u16, Vec<u64>)> {
    let query = json!({"indexUid": "docs", "limit": 1000});
    let mut read = Vec::new();
    for (path, body, list) in [
        ("/indexes/docs/search", json!({"limit": 1000}), "/hits"),
        ("/indexes/docs/documents/fetch", json!({"limit": 1000}), "/results"),
        ("/multi-search", json!({"queries": [query]}), "/results/0/hits"),
    ] {
        let answer = client.post(path, &body).await.unwrap();
        let body = if answer.text.is_empty() { Value::Null } else { answer.json() };
        let documents = body.pointer(list).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut ids: Vec<u64> = documents.iter().filter_map(|document| document["id"].as_u64()).collect();
        ids.sort_unstable();
        assert!(answer.status == 200 || body["code"].is_string(), "{} {}", answer.status, answer.text);
        read.push((answer.status, ids));
    }
    read
}

#[tokio::test]
async fn never_make_a_wrong_page() {
    let _turn = turn().await;
    let all: Vec<u64> = (0..DOCUMENTS).collect();
    let mut cluster = scene::faulty(2).await.unwrap();
    scene::fill(&cluster.client(0), DOCUMENTS).await.unwrap();
    cluster.adopted().await.unwrap();
    let pids: Vec<_> = cluster.envoys.iter().map(|envoy| envoy.part.pid).collect();
    for kind in KINDS {
        for path in ["search", "fetch"] {
            cluster.plant(1, json!({"garble": kind, "path": path})).await.unwrap();
            for envoy in 0..2 {
                // More often than it takes until a node is left alone, and until it is tried again.
                for _ in 0..6 {
                    for (status, ids) in reads(&cluster.client(envoy)).await {
                        assert_eq!((status, &ids), (200, &all), "{kind} on {path}");
                    }
                }
            }
        }
    }
    cluster.plant_everywhere(&json!({})).await.unwrap();
    for envoy in 0..2 {
        assert!(reads(&cluster.client(envoy)).await.iter().all(|(status, ids)| *status == 200 && *ids == all));
    }
    assert_eq!(pids, cluster.envoys.iter().map(|envoy| envoy.part.pid).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_another_replica_they_are_an_error() {
    let _turn = turn().await;
    let all: Vec<u64> = (0..DOCUMENTS).collect();
    let mut cluster = scene::faulty(1).await.unwrap();
    scene::fill(&cluster.client(0), DOCUMENTS).await.unwrap();
    cluster.adopted().await.unwrap();
    for kind in KINDS.into_iter().filter(|kind| *kind != "headless") {
        cluster.plant(1, json!({"garble": kind})).await.unwrap();
        for (status, ids) in reads(&cluster.client(0)).await {
            assert_eq!((status, ids.len()), (503, 0), "{kind}");
        }
    }
    cluster.plant_everywhere(&json!({})).await.unwrap();
    miroir_e2e::until("the node to be asked again", std::time::Duration::from_secs(60), || async {
        let read = reads(&cluster.client(0)).await;
        read.iter().all(|(status, ids)| *status == 200 && *ids == all).then_some(())
    })
    .await
    .unwrap();
}
