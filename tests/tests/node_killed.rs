//! `kill -9` of each node under read and write load, RF 2; and RF 1, where a dead node is told honestly.

use std::time::Duration;

use miroir_e2e::harness::{load, scene};
use miroir_e2e::{Client, turn, until};
use serde_json::json;

async fn survives(victim: usize) {
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();
    let readers = [load::reader(cluster.client(0), "docs", 100), load::reader(cluster.client(1), "docs", 100)];
    let writer = load::writer(cluster.client(1), "docs", 1000);
    let progress = |searches: usize, writes: usize| {
        (readers[0].turns() + searches, readers[1].turns() + searches, writer.turns() + writes)
    };
    for step in 0..3 {
        match step {
            1 => cluster.nodes[victim].kill(),
            2 => {
                cluster.nodes[victim].restart().unwrap();
                cluster.node_up(victim).await.unwrap();
            }
            _ => {}
        }
        let (first, second, third) = progress(40, 8);
        until("the load to go on", Duration::from_secs(90), || async {
            let on = readers[0].turns() >= first && readers[1].turns() >= second && writer.turns() >= third;
            on.then_some(())
        })
        .await
        .unwrap();
    }
    let written = writer.finish().await.unwrap();
    for reader in readers {
        reader.finish().await.unwrap();
    }
    assert!(written.refused.is_empty(), "{:?}", written.refused);
    assert!(written.degraded > 0, "no answer was marked degraded");
    for (_, task) in &written.acknowledged {
        assert_eq!(client.task(*task).await.unwrap()["status"], "succeeded");
    }
    cluster.whole(Duration::from_secs(60)).await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 100 + written.acknowledged.len());
    assert!(written.acknowledged.iter().all(|(id, _)| held.contains_key(&id.to_string())));
}

#[tokio::test]
async fn the_first_node() {
    let _turn = turn().await;
    survives(0).await;
}

#[tokio::test]
async fn the_second_node() {
    let _turn = turn().await;
    survives(1).await;
}

#[tokio::test]
async fn the_third_node() {
    let _turn = turn().await;
    survives(2).await;
}

async fn health_tells(client: &Client, status: u16) {
    until(&format!("/health to answer {status}"), Duration::from_secs(45), || async {
        (client.get("/health").await.ok()?.status == status).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn without_replicas_missing_shards_are_named() {
    let _turn = turn().await;
    let mut cluster = scene::sound(1).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();
    let lost: Vec<u64> =
        cluster.copies().await.unwrap().iter().filter(|copy| copy.node == 0).map(|copy| copy.shard).collect();
    cluster.nodes[0].kill();
    let refused = client.post("/indexes/docs/search", &json!({})).await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text);
    let message = refused.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(lost.iter().all(|shard| message.contains(&shard.to_string())), "{message}");
    let request = client.request(reqwest::Method::POST, "/indexes/docs/search");
    let request = request.header("x-miroir-partial", "allow").header("content-type", "application/json").body("{}");
    let partial = client.send(request).await.unwrap();
    assert_eq!(partial.status, 200, "{}", partial.text);
    assert!(partial.header("x-miroir-degraded").is_some());
    let total = cluster.shards();
    let answered = usize::try_from(total).unwrap() - lost.len();
    assert_eq!(partial.header("x-miroir-shards"), Some(format!("{answered}/{total}").as_str()));
    let all: Vec<_> = (0..100).map(|id| json!({"id": id, "text": "lost"})).collect();
    let write = client.post("/indexes/docs/documents", &json!(all)).await.unwrap();
    assert_eq!(write.status, 503, "{}", write.text);
    health_tells(&client, 503).await;
    cluster.nodes[0].restart().unwrap();
    cluster.node_up(0).await.unwrap();
    health_tells(&client, 200).await;
    until("the shards to be back", Duration::from_secs(45), || async {
        (scene::count(&client).await.ok()? == 100).then_some(())
    })
    .await
    .unwrap();
    scene::write(&client, &json!([{"id": 1, "text": "back"}])).await.unwrap();
}
