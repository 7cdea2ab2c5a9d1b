//! Control's store is lost: made anew from the nodes alone.

use std::collections::BTreeSet;
use std::time::Duration;

use miroir_e2e::harness::client::Client;
use miroir_e2e::harness::cluster::Cluster;
use miroir_e2e::harness::copies::Documents;
use miroir_e2e::harness::scene::{self, documents, done};
use miroir_e2e::{turn, until};
use reqwest::Method;
use serde_json::{Value, json};

const DOCS: &str = "/indexes/docs/documents";

/// An index `docs` with ids 0 to 59, of which 0 to 9 were written anew and 50 to 59 deleted, with settings of its own.
async fn fill(client: &Client) -> u64 {
    scene::fill(client, 60).await.unwrap();
    done(client, &client.post(DOCS, &documents(0..10, "second")).await.unwrap()).await.unwrap();
    let gone: Value = (50..60).collect();
    done(client, &client.post(&format!("{DOCS}/delete-batch"), &gone).await.unwrap()).await.unwrap();
    let settings =
        json!({"displayedAttributes": ["id", "text"], "filterableAttributes": ["text"], "stopWords": ["the"]});
    done(client, &client.json(Method::PATCH, "/indexes/docs/settings", &settings).await.unwrap()).await.unwrap()
}

fn texts(held: &Documents, text: &str) -> BTreeSet<String> {
    held.iter().filter(|(_, document)| document["text"] == text).map(|(id, _)| id.clone()).collect()
}

fn names(ids: impl IntoIterator<Item = u64>) -> BTreeSet<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

async fn recovered(cluster: &mut Cluster, arguments: &[&str]) -> String {
    let ran = cluster.control_verb("recover", arguments).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    ran.out
}

/// Waits until all is in sync and served.
async fn settled(cluster: &mut Cluster) {
    cluster.whole(Duration::from_secs(60)).await.unwrap();
    cluster.adopted().await.unwrap();
}

async fn settings(client: &Client) -> Value {
    client.get("/indexes/docs/settings").await.unwrap().json()
}

#[tokio::test]
async fn everything_that_nodes_tell_is_served_again() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    let newest = fill(&client).await;
    let key = json!({"uid": "6062abda-a5aa-4414-ac91-ecd7944c0f8d", "name": "mine", "actions": ["search"],
        "indexes": ["docs"], "expiresAt": null});
    let key = client.post("/keys", &key).await.unwrap().json()["key"].as_str().unwrap().to_owned();
    let before = settings(&client).await;
    cluster
        .noted(0, "displayedAttributes", |note| note["settings"]["docs"]["displayedAttributes"].is_array())
        .await
        .unwrap();
    let tasks =
        async |cluster: &Cluster| cluster.node_client(0).get("/tasks?limit=1").await.unwrap().json()["total"].clone();

    // Not while control runs.
    let ran = cluster.control_verb("recover", &[]).await.unwrap();
    assert!(ran.code != 0 && ran.err.contains("must not run"), "{ran:?}");
    cluster.control.kill();
    // Nor over a store that is there.
    let ran = cluster.control_verb("recover", &[]).await.unwrap();
    assert!(ran.code != 0 && ran.err.contains("not empty"), "{ran:?}");
    cluster.lose_store().unwrap();
    let looked = tasks(&cluster).await;
    let ran = cluster.control_verb("recover", &["--dry-run"]).await.unwrap();
    assert!(ran.code == 0 && ran.out.contains("index docs: 50 documents"), "{ran:?}");
    assert!(!cluster.dir.join("control.sqlite").exists() && tasks(&cluster).await == looked, "{ran:?}");

    let said = recovered(&mut cluster, &[]).await;
    assert!(said.contains("16 of 16 shards have 2 equal copies"), "{said}");
    settled(&mut cluster).await;
    assert_eq!(scene::count(&client).await.unwrap(), 50);
    assert_eq!(settings(&client).await, before);
    let found =
        client.with_key(Some(&key)).post("/indexes/docs/search", &json!({"filter": "text = second"})).await.unwrap();
    assert_eq!(found.json()["hits"].as_array().map(Vec::len), Some(10), "{}", found.text);
    let written = done(&client, &scene::write(&client, &documents(100..120, "after")).await.unwrap()).await.unwrap();
    assert!(written > newest + 1_000, "{written} after {newest}");
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 70);
    assert_eq!((texts(&held, "second"), texts(&held, "after")), (names(0..10), names(100..120)));
    let status = cluster.tool(&["status"]).await.unwrap();
    assert_eq!(status.code, 0, "{status:?}");
    // And it stands a restart.
    cluster.control.kill();
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    settled(&mut cluster).await;
    assert_eq!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap().len(), 70);
}

#[tokio::test]
async fn a_node_that_is_away_must_be_left_out_by_name() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    fill(&client).await;
    cluster.noted(0, "all members", |note| note["members"].as_array().is_some_and(|all| all.len() == 3)).await.unwrap();
    cluster.control.kill();
    cluster.lose_store().unwrap();
    cluster.nodes[1].kill();
    let ran = cluster.control_verb("recover", &[]).await.unwrap();
    assert!(ran.code != 0 && ran.err.contains("--without node-1"), "{ran:?}");
    let ran = cluster.control_verb("recover", &["--without", "node-0"]).await.unwrap();
    assert!(ran.code != 0 && ran.err.contains("node-0"), "{ran:?}");
    // With two nodes away there are shards of which no copy is there.
    cluster.nodes[2].kill();
    let both = ["--without", "node-1", "--without", "node-2"];
    let ran = cluster.control_verb("recover", &both).await.unwrap();
    assert!(ran.code != 0 && ran.err.contains("--accept-loss"), "{ran:?}");
    cluster.nodes[2].restart().unwrap();
    cluster.node_up(2).await.unwrap();

    recovered(&mut cluster, &["--without", "node-1"]).await;
    scene::write(&client, &documents(100..120, "after")).await.unwrap();
    assert_eq!(scene::count(&client).await.unwrap(), 70);
    let status = cluster.tool(&["status"]).await.unwrap();
    assert_eq!(status.code, 1, "it is said that copies are missing: {status:?}");
    cluster.nodes[1].restart().unwrap();
    cluster.node_up(1).await.unwrap();
    settled(&mut cluster).await;
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!((held.len(), texts(&held, "second"), texts(&held, "after")), (70, names(0..10), names(100..120)));
}

#[tokio::test]
async fn a_copy_that_was_known_to_have_missed_writes_does_not_count() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 60).await.unwrap();
    cluster.nodes[1].kill();
    scene::write(&client, &documents(0..50, "second")).await.unwrap();
    let gone: Value = (50..60).collect();
    done(&client, &client.post(&format!("{DOCS}/delete-batch"), &gone).await.unwrap()).await.unwrap();
    cluster.noted(0, "node-1 is not read", |note| note["read"][0]["node-1"].is_null()).await.unwrap();
    cluster.control.kill();
    cluster.lose_store().unwrap();
    cluster.nodes[1].restart().unwrap();
    cluster.node_up(1).await.unwrap();

    recovered(&mut cluster, &[]).await;
    settled(&mut cluster).await;
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!((held.len(), texts(&held, "second")), (50, names(0..50)), "what was deleted is there again");
    // What the copies had that do not count can be looked up, and somebody has to take note.
    let lines = std::fs::read_to_string(cluster.dir.join("miroir-findings.jsonl")).unwrap();
    assert!(lines.lines().filter(|line| line.contains("\"lost\":\"node-1\"")).count() > 0, "{lines}");
    let status = cluster.tool(&["status"]).await.unwrap();
    assert_eq!(status.code, 1, "{status:?}");
    cluster.tool(&["findings", "--acknowledge"]).await.unwrap();
    let status = cluster.tool(&["status"]).await.unwrap();
    assert_eq!(status.code, 0, "{status:?}");
}

#[tokio::test]
async fn of_copies_that_differ_for_no_known_reason_nothing_is_dropped() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 60).await.unwrap();
    cluster.noted(0, "docs are read", |note| note["read"][0]["node-1"].is_string()).await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    cluster.control.kill();
    cluster.lose_store().unwrap();
    // Of one shard each copy lacks a document that the other has, and a third one differs.
    let (left, right) =
        (cluster.documents_on(0, "docs").await.unwrap(), cluster.documents_on(1, "docs").await.unwrap());
    let (_, shared) = left.iter().find(|(shard, held)| held.len() > 2 && right.contains_key(shard)).unwrap();
    let mut shared = shared.values().cloned();
    for node in [0, 1] {
        let node = cluster.node_client(node);
        let gone = json!([shared.next().unwrap()["id"]]);
        done(&node, &node.post(&format!("{DOCS}/delete-batch"), &gone).await.unwrap()).await.unwrap();
    }
    let mut changed = shared.next().unwrap();
    changed["text"] = "changed".into();
    let node = cluster.node_client(0);
    done(&node, &node.post(DOCS, &json!([changed])).await.unwrap()).await.unwrap();

    let said = recovered(&mut cluster, &[]).await;
    assert!(said.contains("2 documents that not all copies have"), "{said}");
    settled(&mut cluster).await;
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.keys().cloned().collect::<BTreeSet<_>>(), names(0..60));
    let lines = std::fs::read_to_string(cluster.dir.join("miroir-findings.jsonl")).unwrap();
    let id = changed["id"].to_string();
    let other = if held[&id]["text"] == "changed" { "first" } else { "changed" };
    let found: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let dropped = |line: &Value| {
        line["id"] == id.as_str() && line["document"]["text"].as_str().is_some_and(|text| text.starts_with(other))
    };
    assert!(found.iter().any(dropped), "{lines}");
}

#[tokio::test]
async fn shards_that_were_being_moved_are_made_whole() {
    let _turn = turn().await;
    let mut cluster = scene::moving(3, 2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 400).await.unwrap();
    let new = cluster.another_node().await.unwrap();
    let url = cluster.nodes[new].part.url.clone();
    let slowly = ["rebalance", "throttle", "--documents-per-second", "15"];
    assert_eq!(cluster.tool(&slowly).await.unwrap().code, 0);
    let job = cluster.job(&["node", "add", "node-3", &url]).await.unwrap();
    until("some moves", Duration::from_secs(60), || async {
        let state = cluster.job_state(job).await.ok()?;
        (state["movesDone"].as_u64()? > 0 && state["state"] == "running").then_some(())
    })
    .await
    .unwrap();
    scene::write(&client, &documents(0..100, "second")).await.unwrap();
    cluster.noted(0, "node-3", |note| note["members"].as_array().is_some_and(|all| all.len() == 4)).await.unwrap();
    assert_eq!(cluster.job_state(job).await.unwrap()["state"], "running");
    cluster.control.kill();
    cluster.lose_store().unwrap();

    recovered(&mut cluster, &[]).await;
    settled(&mut cluster).await;
    assert_eq!(scene::count(&client).await.unwrap(), 400);
    let held = cluster.agreed(&[0, 1, 2, 3], "docs").await.unwrap();
    assert_eq!((held.len(), texts(&held, "second")), (400, names(0..100)));
}
