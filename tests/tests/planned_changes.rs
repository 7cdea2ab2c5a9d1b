//! Planned changes of a healthy cluster, under writes: what the answers to those say, and how well the plan foretold
//! what was copied.

use miroir_e2e::harness::{load, scene};
use miroir_e2e::{Cluster, turn};
use serde_json::{Value, json};

/// Carries a change out while documents are written; how many answers were marked degraded.
async fn marked(cluster: &Cluster, change: &[&str], first: u64) -> usize {
    let writer = load::writer(cluster.client(0), "docs", first);
    let job = cluster.job(change).await.unwrap();
    cluster.job_done(job).await.unwrap();
    let written = writer.finish().await.unwrap();
    assert!(written.refused.is_empty() && !written.acknowledged.is_empty(), "{change:?}: {:?}", written.refused);
    eprintln!("{change:?}: {} of {} writes degraded", written.degraded, written.acknowledged.len());
    written.degraded
}

#[tokio::test]
async fn only_too_few_copies_mark_a_write_degraded() {
    let _turn = turn().await;
    let mut cluster = scene::moving(3, 2).await.unwrap();
    scene::fill(&cluster.client(0), 400).await.unwrap();
    let mut urls = Vec::new();
    for _ in 0..2 {
        let new = cluster.another_node().await.unwrap();
        urls.push(cluster.nodes[new].part.url.clone());
    }
    for (at, change) in [
        vec!["node", "add", "node-3", &urls[0]],
        vec!["node", "replace", "node-1", "--with", "node-4", "--to", &urls[1]],
        vec!["node", "drain", "node-0"],
        vec!["rf", "1"],
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(marked(&cluster, change, 10_000 * (at as u64 + 1)).await, 0, "{change:?}: nothing has failed");
    }
    // Here some shards have fewer copies than they should, until the job is done.
    assert!(marked(&cluster, &["rf", "2"], 90_000).await > 0, "one copy was taken for two");
    let settled = scene::write(&cluster.client(0), &json!([{"id": 1, "text": "after it"}])).await.unwrap();
    assert_eq!(settled.header("x-miroir-degraded"), None);
}

/// A word of as many letters as the number says, between 1 and 1,000: sizes as different as those of real documents.
fn text(number: u64) -> String {
    "abcdefghij".chars().cycle().take(1 + (number * number * 7919 % 1000) as usize).collect()
}

#[tokio::test]
async fn a_plan_foretells_what_is_copied() {
    let _turn = turn().await;
    let mut cluster = scene::moving(3, 2).await.unwrap();
    let client = cluster.client(0);
    for (index, count) in [("films", 2_000u64), ("people", 1_000)] {
        let created = client.post("/indexes", &json!({"uid": index, "primaryKey": "id"})).await.unwrap();
        client.succeeded(&created).await.unwrap();
        let document = |id: u64| json!({"id": id, "Production Budget": id, "Title": text(id), "Rating": null});
        let documents: Vec<Value> = (0..count).map(document).collect();
        let written = client.post(&format!("/indexes/{index}/documents"), &Value::from(documents)).await.unwrap();
        client.succeeded(&written).await.unwrap();
    }
    let new = cluster.another_node().await.unwrap();
    let url = cluster.nodes[new].part.url.clone();
    let plan = cluster.tool(&["node", "add", "node-3", &url, "--dry-run", "-o", "json"]).await.unwrap().json();
    let job = cluster.job(&["node", "add", "node-3", &url]).await.unwrap();
    let job = cluster.job_done(job).await.unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as f64;
    for what in ["documents", "bytes"] {
        let (told, copied) = (number(&plan["plan"]["estimate"][what]), number(&job["copied"][what]));
        eprintln!("{what}: {told} planned, {copied} copied");
        assert!((told - copied).abs() <= copied / 10.0, "{what}: {told} planned, {copied} copied");
    }
}
