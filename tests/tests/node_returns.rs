//! A node that comes back under its id with an empty disk, or with an older copy of its disk: never read as in sync.

use std::time::Duration;

use miroir_e2e::harness::cluster::Cluster;
use miroir_e2e::harness::scene;
use miroir_e2e::{turn, until};
use serde_json::json;

/// Waits until control has seen what came back, and the Envoys know.
async fn recognised(cluster: &mut Cluster, node: usize) {
    until("the node's copies to be stale", Duration::from_secs(30), || async {
        let copies = cluster.copies().await.ok()?;
        copies.iter().filter(|copy| copy.node == node).all(|copy| copy.state != "inSync").then_some(())
    })
    .await
    .unwrap();
    cluster.adopted().await.unwrap();
}

#[tokio::test]
async fn with_an_empty_disk() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 60).await.unwrap();
    cluster.nodes[0].kill();
    cluster.wipe(0).unwrap();
    cluster.nodes[0].restart().unwrap();
    cluster.node_up(0).await.unwrap();
    // Complete from the first moment: a node without the index is passed over.
    for _ in 0..50 {
        assert_eq!(scene::count(&client).await.unwrap(), 60);
    }
    recognised(&mut cluster, 0).await;
    for _ in 0..50 {
        assert_eq!(scene::count(&client).await.unwrap(), 60);
    }
    scene::write(&client, &json!([{"id": 1, "text": "after"}])).await.unwrap();
    assert_eq!(cluster.agreed(&[1, 2], "docs").await.unwrap()["1"]["text"], "after");
}

#[tokio::test]
async fn with_an_older_disk() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 30).await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    cluster.nodes[0].kill();
    cluster.keep_disk(0).unwrap();
    cluster.nodes[0].restart().unwrap();
    cluster.node_up(0).await.unwrap();
    let more: Vec<_> = (0..60).map(|id| json!({"id": id, "text": "newer"})).collect();
    until("all copies in sync", Duration::from_secs(30), || async {
        cluster.copies().await.ok()?.iter().all(|copy| copy.state == "inSync").then_some(())
    })
    .await
    .unwrap();
    scene::write(&client, &json!(more)).await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    cluster.nodes[0].kill();
    cluster.restore_disk(0).unwrap();
    cluster.nodes[0].restart().unwrap();
    cluster.node_up(0).await.unwrap();
    recognised(&mut cluster, 0).await;
    for _ in 0..50 {
        let found = client.post("/indexes/docs/search", &json!({"limit": 100})).await.unwrap().json();
        let hits = found["hits"].as_array().unwrap();
        assert!(hits.len() == 60 && hits.iter().all(|hit| hit["text"] == "newer"), "{found}");
    }
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert!(held.len() == 60 && held.values().all(|document| document["text"] == "newer"));
}
