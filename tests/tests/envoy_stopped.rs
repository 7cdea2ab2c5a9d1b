//! An Envoy that is stopped somewhere in a write, also with a grant in hand, and goes on after the ticket was resolved.

use std::time::Duration;

use miroir_e2e::harness::cluster::Cluster;
use miroir_e2e::harness::scene;
use miroir_e2e::{Client, turn, until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

/// Where in the write the Envoy is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// The request waits in its socket: nobody has heard of the write.
    Unread,
    /// Control has given the ticket to an Envoy that has stopped: nothing is dispatched.
    Granted,
    /// A node has the write, and its answer is under way.
    Dispatched,
}

/// How long the nodes hold the write back that keeps the shards while the next one waits for its ticket.
const HELD_MS: u64 = 2_000;

/// Uid of the newest of these tasks.
async fn first(client: &Client, path: &str) -> Option<u64> {
    client.get(path).await.ok()?.json()["results"][0]["uid"].as_u64()
}

/// How many requests wait for an answer of control: for their ticket, or for the decision.
async fn waiting(cluster: &Cluster) -> Option<u64> {
    cluster.tool(&["status", "--output", "json"]).await.ok()?.json()["waitingRequests"].as_u64()
}

/// All documents, to all shards.
fn all(text: &str) -> Value {
    json!((0..20).map(|id| json!({"id": id, "text": text})).collect::<Vec<_>>())
}

/// Sends a write through the first Envoy, and stops that at the point.
async fn stopped_at(
    point: Point,
    cluster: &Cluster,
    documents: Value,
) -> tokio::task::JoinHandle<anyhow::Result<miroir_e2e::Answer>> {
    let (paused, other) = (cluster.client(0), cluster.client(1));
    cluster.drained(&[0, 1, 2]).await.unwrap();
    let (decided, before) = (cluster.decided().await.unwrap(), cluster.enqueued().await.unwrap());
    let has_write = || async {
        let what = "a node to have a write";
        until(what, LIMIT, || async { (cluster.enqueued().await.ok()? > before).then_some(()) }).await.unwrap();
    };
    let send = |documents: Value| {
        let paused = paused.clone();
        tokio::spawn(async move { paused.post("/indexes/docs/documents", &documents).await })
    };
    match point {
        Point::Unread => {
            cluster.envoys[0].stop().unwrap();
            send(documents)
        }
        Point::Granted => {
            // Another write has the shards, so that this one waits for its ticket, with which its Envoy does nothing.
            cluster.plant_everywhere(&json!({"answerDelayMs": HELD_MS, "path": "/documents"})).await.unwrap();
            let holder = tokio::spawn(async move { other.post("/indexes/docs/documents", &all("held")).await });
            has_write().await;
            let request = send(documents);
            until("the write to wait for its ticket", LIMIT, || async { (waiting(cluster).await? == 1).then_some(()) })
                .await
                .unwrap();
            assert!(!holder.is_finished(), "the shards were free before it waited");
            cluster.envoys[0].stop().unwrap();
            cluster.plant_everywhere(&json!({})).await.unwrap();
            assert_eq!(holder.await.unwrap().unwrap().status, 202);
            let taken = cluster.enqueued().await.unwrap();
            until("the ticket", LIMIT, || async { (waiting(cluster).await? == 0).then_some(()) }).await.unwrap();
            assert_eq!(cluster.decided().await.unwrap(), decided + 1, "only the other write is decided");
            assert_eq!(cluster.enqueued().await.unwrap(), taken, "nothing is dispatched");
            request
        }
        Point::Dispatched => {
            cluster.plant_everywhere(&json!({"answerDelayMs": 60_000, "path": "/documents"})).await.unwrap();
            let request = send(documents);
            has_write().await;
            cluster.envoys[0].stop().unwrap();
            assert_eq!(cluster.decided().await.unwrap(), decided, "no node has answered");
            cluster.plant_everywhere(&json!({})).await.unwrap();
            request
        }
    }
}

#[tokio::test]
async fn what_it_sends_late_undoes_nothing() {
    let _turn = turn().await;
    let cluster = scene::faulty(2).await.unwrap();
    let other = cluster.client(1);
    scene::fill(&other, 20).await.unwrap();
    for point in [Point::Unread, Point::Granted, Point::Dispatched, Point::Granted] {
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
        let last = first(&other, path).await.unwrap();
        // A write that began only after the Envoy went on is simply the newer one.
        let expected = if last > uid { format!("old {point:?}") } else { format!("new {point:?}") };
        assert!(held.values().all(|document| document["text"] == expected), "{point:?}: {late:?}");
    }
}
