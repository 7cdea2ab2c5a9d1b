//! An Envoy that is stopped somewhere in a write, also with a grant in hand, and goes on after the ticket was resolved.

use std::time::Duration;

use miroir_e2e::harness::cluster::Cluster;
use miroir_e2e::harness::scene;
use miroir_e2e::{Client, turn, until};
use serde_json::{Value, json};

/// Where in the write the Envoy is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// The request waits in its socket: nobody has heard of the write.
    Unread,
    /// Control has given the ticket; what is dispatched by then is open.
    Granted,
    /// A node has the write, and its answer is under way.
    Dispatched,
}

/// Uid of the newest of these tasks, or how many there are.
async fn first(client: &Client, path: &str, what: &str) -> Option<u64> {
    let tasks = client.get(path).await.ok()?.json();
    if what == "total" { tasks["total"].as_u64() } else { tasks["results"][0]["uid"].as_u64() }
}

/// How many tasks the nodes were given.
async fn enqueued(cluster: &Cluster) -> u64 {
    let mut sum = 0;
    for node in 0..cluster.nodes.len() {
        sum += first(&cluster.node_client(node), "/tasks?limit=1", "total").await.unwrap();
    }
    sum
}

/// Sends a write through the first Envoy, and stops that at the point.
async fn stopped_at(
    point: Point,
    cluster: &Cluster,
    documents: Value,
) -> tokio::task::JoinHandle<anyhow::Result<miroir_e2e::Answer>> {
    let (paused, other) = (cluster.client(0), cluster.client(1));
    let limit = Duration::from_secs(20);
    let tickets = first(&other, "/tasks?limit=1", "total").await;
    cluster.drained(&[0, 1, 2]).await.unwrap();
    let before = enqueued(cluster).await;
    if point == Point::Unread {
        cluster.envoys[0].stop().unwrap();
    }
    if point == Point::Dispatched {
        cluster.plant_everywhere(&json!({"answerDelayMs": 60_000, "path": "/documents"})).await.unwrap();
    }
    let request = tokio::spawn(async move { paused.post("/indexes/docs/documents", &documents).await });
    match point {
        Point::Unread => return request,
        Point::Granted => until("the ticket", limit, || async {
            (first(&other, "/tasks?limit=1", "total").await > tickets).then_some(())
        })
        .await
        .unwrap(),
        Point::Dispatched => {
            until("a node to have the write", limit, || async { (enqueued(cluster).await > before).then_some(()) })
                .await
                .unwrap();
        }
    }
    cluster.envoys[0].stop().unwrap();
    cluster.plant_everywhere(&json!({})).await.unwrap();
    request
}

#[tokio::test]
async fn what_it_sends_late_undoes_nothing() {
    let _turn = turn().await;
    let cluster = scene::faulty(2).await.unwrap();
    let other = cluster.client(1);
    scene::fill(&other, 20).await.unwrap();
    for point in [Point::Unread, Point::Granted, Point::Dispatched, Point::Granted] {
        let all = |text: &str| json!((0..20).map(|id| json!({"id": id, "text": text})).collect::<Vec<_>>());
        let request = stopped_at(point, &cluster, all(&format!("old {point:?}"))).await;
        let answer = scene::write(&other, &all(&format!("new {point:?}"))).await.unwrap();
        let uid = answer.json()["taskUid"].as_u64().unwrap();
        cluster.envoys[0].resume().unwrap();
        let late = request.await.unwrap();
        if let Ok(late) = &late
            && late.status == 202
        {
            other.ended(late).await.unwrap();
        }
        let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
        let path = "/tasks?indexUids=docs&types=documentAdditionOrUpdate&statuses=succeeded&limit=1";
        let last = first(&other, path, "uid").await.unwrap();
        // A write that began only after the Envoy went on is simply the newer one.
        let expected = if last > uid { format!("old {point:?}") } else { format!("new {point:?}") };
        assert!(held.values().all(|document| document["text"] == expected), "{point:?}: {late:?}");
    }
}
