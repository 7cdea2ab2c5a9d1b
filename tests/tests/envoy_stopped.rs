//! An Envoy that is stopped somewhere in a write, also with a grant in hand, and goes on after the ticket was resolved.

use std::time::Duration;

use miroir_e2e::harness::scene;
use miroir_e2e::turn;
use serde_json::{Value, json};

const ATTEMPTS: u64 = 6;

/// Uid of the newest additions' task that has succeeded.
fn newest(tasks: &Value) -> u64 {
    tasks["results"][0]["uid"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn what_it_sends_late_undoes_nothing() {
    let _turn = turn().await;
    let cluster = scene::faulty(2).await.unwrap();
    let (paused, other) = (cluster.client(0), cluster.client(1));
    scene::fill(&other, 20).await.unwrap();
    for attempt in 0..ATTEMPTS {
        let slow = paused.clone();
        let old: Vec<_> = (0..20).map(|id| json!({"id": id, "text": format!("old {attempt}")})).collect();
        let request = tokio::spawn(async move { slow.post("/indexes/docs/documents", &json!(old)).await });
        // Each attempt stops the Envoy at another point: before begin, with the grant, after the dispatch.
        tokio::time::sleep(Duration::from_millis(1 + attempt * 2)).await;
        cluster.envoys[0].stop().unwrap();
        let new: Vec<_> = (0..20).map(|id| json!({"id": id, "text": format!("new {attempt}")})).collect();
        let answer = scene::write(&other, &json!(new)).await.unwrap();
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
        let last = newest(&other.get(path).await.unwrap().json());
        // A write that began only after the Envoy went on is simply the newer one.
        let expected = if last > uid { format!("old {attempt}") } else { format!("new {attempt}") };
        assert!(held.values().all(|document| document["text"] == expected), "attempt {attempt}: {late:?}");
    }
}
