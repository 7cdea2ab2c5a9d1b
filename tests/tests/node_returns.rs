//! A node that comes back under its id with an empty disk, or with an older copy of its disk: never read before it is repaired.

use std::time::Duration;

use miroir_e2e::harness::cluster::Cluster;
use miroir_e2e::harness::scene;
use miroir_e2e::{turn, until};
use serde_json::json;

/// How often control has met another disk under this node's id.
async fn incarnation(cluster: &Cluster, node: usize) -> Option<u64> {
    let status = cluster.operator_client().get("/_miroir/status").await.ok()?.json();
    status["nodes"][node]["incarnation"].as_u64()
}

/// Waits until control has seen that another disk came back, has repaired it, and the Envoys know.
async fn repaired(cluster: &mut Cluster, node: usize, before: Option<u64>) {
    until("the other disk to be noticed", Duration::from_secs(30), || async {
        let now = incarnation(cluster, node).await?;
        (Some(now) > before).then_some(())
    })
    .await
    .unwrap();
    cluster.whole(Duration::from_secs(60)).await.unwrap();
    cluster.adopted().await.unwrap();
}

#[tokio::test]
async fn with_an_empty_disk() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 60).await.unwrap();
    let before = incarnation(&cluster, 0).await;
    cluster.nodes[0].kill();
    cluster.wipe(0).unwrap();
    cluster.nodes[0].restart().unwrap();
    cluster.node_up(0).await.unwrap();
    // Complete from the first moment: a node without the index is passed over.
    for _ in 0..50 {
        assert_eq!(scene::count(&client).await.unwrap(), 60);
    }
    repaired(&mut cluster, 0, before).await;
    for _ in 0..50 {
        assert_eq!(scene::count(&client).await.unwrap(), 60);
    }
    scene::write(&client, &json!([{"id": 1, "text": "after"}])).await.unwrap();
    assert_eq!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap()["1"]["text"], "after");
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
    let before = incarnation(&cluster, 0).await;
    cluster.nodes[0].kill();
    cluster.restore_disk(0).unwrap();
    cluster.nodes[0].restart().unwrap();
    cluster.node_up(0).await.unwrap();
    repaired(&mut cluster, 0, before).await;
    for _ in 0..50 {
        let found = client.post("/indexes/docs/search", &json!({"limit": 100})).await.unwrap().json();
        let hits = found["hits"].as_array().unwrap();
        assert!(hits.len() == 60 && hits.iter().all(|hit| hit["text"] == "newer"), "{found}");
    }
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert!(held.len() == 60 && held.values().all(|document| document["text"] == "newer"));
}
