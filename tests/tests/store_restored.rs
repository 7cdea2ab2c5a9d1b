//! A backup of control's store is taken, more is written, the store is lost, the backup restored.

use std::collections::BTreeSet;
use std::time::Duration;

use miroir_e2e::harness::client::Client;
use miroir_e2e::harness::cluster::{Cluster, Options};
use miroir_e2e::harness::copies::Copy;
use miroir_e2e::harness::scene::{self, documents, done};
use miroir_e2e::turn;
use reqwest::Method;
use serde_json::{Value, json};

const DOCS: &str = "/indexes/docs/documents";

async fn key(client: &Client, name: &str, uid: &str) -> String {
    let body = json!({"uid": uid, "name": name, "actions": ["search"], "indexes": ["*"], "expiresAt": null});
    client.post("/keys", &body).await.unwrap().json()["key"].as_str().unwrap().to_owned()
}

/// What follows the backup. Returns the uid of the last task.
async fn go_on(client: &Client) -> u64 {
    done(client, &client.post(DOCS, &documents(0..10, "second")).await.unwrap()).await.unwrap();
    done(client, &client.post(DOCS, &documents(60..90, "later")).await.unwrap()).await.unwrap();
    let gone: Value = (50..60).collect();
    done(client, &client.post(&format!("{DOCS}/delete-batch"), &gone).await.unwrap()).await.unwrap();
    done(client, &client.post("/indexes", &json!({"uid": "books", "primaryKey": "isbn"})).await.unwrap())
        .await
        .unwrap();
    let books = json!([{"isbn": "a", "title": "one"}, {"isbn": "b", "title": "two"}]);
    done(client, &client.post("/indexes/books/documents", &books).await.unwrap()).await.unwrap();
    let settings = json!({"displayedAttributes": ["id", "text"], "stopWords": ["the"]});
    done(client, &client.json(Method::PATCH, "/indexes/docs/settings", &settings).await.unwrap()).await.unwrap()
}

/// Everything is as it was before the loss; returns the uid of a write afterwards.
async fn as_before(cluster: &mut Cluster, client: &Client) -> u64 {
    cluster.whole(Duration::from_secs(60)).await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 80);
    for id in 0..90 {
        let text = match id {
            0..10 => "second".to_owned(),
            60..90 => "later".to_owned(),
            _ => format!("first {id}"),
        };
        match held.get(&id.to_string()) {
            Some(document) => assert_eq!(document["text"], text, "{document}"),
            None => assert!((50..60).contains(&id), "document {id} is lost"),
        }
    }
    done(client, &scene::write(client, &documents(200..210, "after")).await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_no_number_is_given_twice() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 60).await.unwrap();
    let revoked = key(&client, "revoked", "6062abda-a5aa-4414-ac91-ecd7944c0f8d").await;
    let history = client.get("/tasks?limit=100").await.unwrap().json()["total"].as_u64().unwrap();
    let file = cluster.dir.join("backup.jsonl").to_string_lossy().into_owned();
    let ran = cluster.tool(&["backup", &file]).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = cluster.tool(&["backup", &file]).await.unwrap();
    assert_eq!(ran.code, 5, "a backup is not replaced unasked: {ran:?}");

    let newest = go_on(&client).await;
    client.delete("/keys/6062abda-a5aa-4414-ac91-ecd7944c0f8d").await.unwrap();
    let made = key(&client, "made", "7062abda-a5aa-4414-ac91-ecd7944c0f8d").await;
    cluster
        .noted(0, "displayedAttributes", |note| note["settings"]["docs"]["displayedAttributes"].is_array())
        .await
        .unwrap();
    let settings = client.get("/indexes/docs/settings").await.unwrap().json();
    let epoch = cluster.operator_client().get("/_miroir/status").await.unwrap().json()["epoch"].as_u64();
    cluster.control.kill();
    // Not over a store that is there, and not a backup that is not whole.
    let ran = cluster.control_verb("restore", &[&file]).await.unwrap();
    assert!(ran.code != 0 && ran.err.contains("not empty"), "{ran:?}");
    cluster.lose_store().unwrap();
    let whole = std::fs::read(&file).unwrap();
    let broken = format!("{file}.broken");
    std::fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let ran = cluster.control_verb("restore", &[&broken]).await.unwrap();
    assert!(ran.code != 0 && ran.err.contains("cut short"), "{ran:?}");

    let ran = cluster.control_verb("restore", &[&file]).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    let written = as_before(&mut cluster, &client).await;
    assert!(written > newest + 1_000, "{written} after {newest}");
    cluster.adopted().await.unwrap();
    assert_eq!(scene::count(&client).await.unwrap(), 90);
    assert_eq!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap().len(), 90);
    assert_eq!(client.get("/indexes/books/documents/b").await.unwrap().json()["title"], "two");
    assert_eq!(client.get("/indexes/docs/settings").await.unwrap().json(), settings);
    for (key, status) in [(&revoked, 403), (&made, 200)] {
        let found = client.with_key(Some(key)).post("/indexes/docs/search", &json!({})).await.unwrap();
        assert_eq!(found.status, status, "{}", found.text);
    }
    // The history up to the backup, and nobody's task under another's uid.
    let tasks = client.get("/tasks?limit=100").await.unwrap().json();
    assert_eq!(tasks["total"].as_u64(), Some(history + 1), "{tasks}");
    assert_eq!(client.get(&format!("/tasks/{newest}")).await.unwrap().status, 404);
    let status = cluster.tool(&["status", "--output", "json"]).await.unwrap();
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.json()["epoch"].as_u64() > epoch, "{status:?}");
}

#[tokio::test]
async fn a_redis_is_backed_up_and_restored_too() {
    let _turn = turn().await;
    let options = Options { controls: 2, control_settings: scene::QUICK.to_owned(), ..Options::default() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 60).await.unwrap();
    let file = cluster.dir.join("backup.jsonl").to_string_lossy().into_owned();
    let ran = cluster.tool(&["backup", &file]).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    let newest = go_on(&client).await;
    assert_eq!(cluster.leader().await.unwrap(), 0);
    cluster.control.kill();
    // Not while another one leads.
    assert_eq!(cluster.leader().await.unwrap(), 1);
    let ran = cluster.control_verb("restore", &[&file, "--force"]).await.unwrap();
    assert!(ran.code != 0 && ran.err.contains("a control leads"), "{ran:?}");
    cluster.standbys[0].kill();
    let ran = cluster.control_verb("restore", &[&file]).await.unwrap();
    assert!(ran.code != 0 && ran.err.contains("not empty"), "{ran:?}");
    let ran = cluster.control_verb("restore", &[&file, "--force"]).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    let written = as_before(&mut cluster, &client).await;
    assert!(written > newest + 1_000, "{written} after {newest}");
}

#[tokio::test]
async fn shards_that_moved_after_the_backup_stay_where_they_are() {
    let _turn = turn().await;
    let mut cluster = scene::moving(3, 2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 200).await.unwrap();
    let file = cluster.dir.join("backup.jsonl").to_string_lossy().into_owned();
    assert_eq!(cluster.tool(&["backup", &file]).await.unwrap().code, 0);
    let new = cluster.another_node().await.unwrap();
    let url = cluster.nodes[new].part.url.clone();
    let job = cluster.job(&["node", "add", "node-3", &url]).await.unwrap();
    cluster.job_done(job).await.unwrap();
    scene::write(&client, &documents(0..100, "second")).await.unwrap();
    let on_it = |copies: Vec<Copy>| copies.into_iter().filter(|copy| copy.node == new).map(|copy| copy.shard).collect();
    let before: BTreeSet<u64> = on_it(cluster.copies().await.unwrap());
    cluster.noted(0, "node-3", |note| note["read"][0]["node-3"].is_string()).await.unwrap();
    cluster.control.kill();
    cluster.lose_store().unwrap();

    // The configuration does not list it, and the backup does not know it: the note does.
    let ran = cluster.control_verb("restore", &[&file]).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    cluster.whole(Duration::from_secs(60)).await.unwrap();
    let after: BTreeSet<u64> = on_it(cluster.copies().await.unwrap());
    assert_eq!(after, before, "{ran:?}");
    cluster.adopted().await.unwrap();
    assert_eq!(scene::count(&client).await.unwrap(), 200);
    let held = cluster.agreed(&[0, 1, 2, 3], "docs").await.unwrap();
    assert_eq!(held.values().filter(|document| document["text"] == "second").count(), 100);
    assert_eq!(held.len(), 200);
}
