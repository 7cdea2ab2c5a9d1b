//! An Envoy is killed, so that its filter says no goodbye: copies that leave are kept for it, and that is told.

use std::time::Duration;

use miroir_e2e::harness::scene;
use miroir_e2e::{Cluster, turn, until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(90);

/// Waits until all copies of a job are made, and those that leave are kept for the filter.
async fn kept(cluster: &Cluster, job: u64) -> Value {
    until("copies to wait for the filter", LIMIT, || async {
        let state = cluster.job_state(job).await.ok()?;
        let kept = state["deletions"]["copies"].as_u64().filter(|_| !state["deletions"]["command"].is_null());
        (kept.is_some() && kept == state["moves"].as_u64()).then_some(state)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn who_keeps_copies_from_being_deleted_is_named_and_jobs_behind_go_on() {
    let _turn = turn().await;
    let mut cluster = scene::moving(3, 1).await.unwrap();
    scene::fill(&cluster.client(0), 60).await.unwrap();
    let new = cluster.another_node().await.unwrap();
    let url = cluster.nodes[new].part.url.clone();
    cluster.envoys[0].kill();
    let join = cluster.job(&["node", "add", "node-3", &url]).await.unwrap();
    let drain = cluster.job(&["node", "drain", "node-0"]).await.unwrap();
    let waits = kept(&cluster, join).await;
    assert!(waits["state"] == "running" && waits["movesDone"] == 0, "{waits}");
    kept(&cluster, drain).await;

    // The other Envoy's workers may still be about to read by the newest map.
    let status = until("the silent ones alone to be named", LIMIT, || async {
        let status = cluster.operator_client().get("/_miroir/status").await.ok()?.json();
        let named = status["deletions"]["filters"].as_array()?;
        (!named.is_empty() && named.iter().all(|filter| filter["envoy"] == "envoy-0")).then_some(status)
    })
    .await
    .unwrap();
    let named = status["deletions"]["filters"].as_array().unwrap();
    assert_eq!(status["condition"], "degraded");
    let listed = |vm: &Value| status["filters"].as_array().unwrap().iter().any(|filter| filter["vm"] == *vm);
    assert!(named.iter().all(|filter| listed(&filter["vm"])), "{status}");
    for command in [&["status"][..], &["rebalance", "status"][..]] {
        let text = cluster.tool(command).await.unwrap().out;
        assert!(text.contains("that fell silent (Envoy envoy-0)"), "{text}");
        assert!(text.contains("miroirctl shard force-deletion"), "{text}");
    }

    assert_eq!(cluster.tool(&["shard", "force-deletion", "--yes"]).await.unwrap().code, 0);
    for job in [join, drain] {
        cluster.job_done(job).await.unwrap();
    }
    assert_eq!(scene::count(&cluster.client(1)).await.unwrap(), 60);
}
