//! SIGTERM of control under load: writes that have a ticket get their outcome, all others are told that nothing was
//! written, and the process ends by itself.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use miroir_e2e::harness::client::{Answer, Client};
use miroir_e2e::harness::cluster::{Cluster, Options};
use miroir_e2e::harness::engine::Engine;
use miroir_e2e::harness::load::{self, Load, Written};
use miroir_e2e::harness::scene;
use miroir_e2e::{turn, until};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};
use serde_json::json;

/// No write waits longer for its answer, and the process not for its end. A write that nobody commits waits for 30 s,
/// and what is still under way at the end of the process for 10 s.
const SOON: Duration = Duration::from_secs(6);

/// Sends SIGTERM to a control; how it ended, and after how long. The load goes on meanwhile.
fn terminated(cluster: &mut Cluster, control: usize) -> (ExitStatus, Duration) {
    let began = Instant::now();
    let status = tokio::task::block_in_place(|| cluster.controls().nth(control).unwrap().terminate().unwrap());
    (status, began.elapsed())
}

/// Four writers through two Envoys, each with ids of its own.
fn writers(cluster: &Cluster) -> Vec<Load<Written>> {
    (0..4).map(|at| load::writer(cluster.client(at % 2), "docs", 1_000 * (at as u64 + 1))).collect()
}

/// Waits until each writer has got so many more answers.
async fn go_on(writers: &[Load<Written>], more: usize) {
    for writer in writers {
        let so_far = writer.turns();
        until("writes", Duration::from_secs(60), || async { (writer.turns() >= so_far + more).then_some(()) })
            .await
            .unwrap();
    }
}

/// Every answer came soon and was true; how many were refusals.
async fn told_the_truth(cluster: &Cluster, client: &Client, writers: Vec<Load<Written>>) -> usize {
    let mut all = Written::default();
    for writer in writers {
        let written = writer.finish().await.unwrap();
        all.slowest = all.slowest.max(written.slowest);
        all.acknowledged.extend(written.acknowledged);
        all.refused.extend(written.refused);
    }
    for (id, answer) in &all.refused {
        assert!(answer.starts_with("503 ") && answer.contains("othing was written"), "document {id}: {answer}");
    }
    assert!(all.slowest < SOON, "a write was answered after {:?}", all.slowest);
    for (id, task) in &all.acknowledged {
        let task = client.task(*task).await.unwrap();
        assert_eq!(task["status"], "succeeded", "document {id}: {task}");
    }
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    let mut ids: Vec<u64> = (0..40).chain(all.acknowledged.iter().map(|(id, _)| *id)).collect();
    ids.sort_unstable();
    let mut there: Vec<u64> = held.keys().map(|id| id.parse().unwrap()).collect();
    there.sort_unstable();
    assert_eq!(there, ids, "what was acknowledged is there, and nothing else");
    all.refused.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn open_writes_get_their_outcome_and_others_are_refused() {
    let _turn = turn().await;
    let mut cluster = scene::faulty(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    // At any time some writes are with the nodes.
    cluster.plant_everywhere(&json!({"answerDelayMs": 300, "path": "/documents"})).await.unwrap();
    let writers = writers(&cluster);
    go_on(&writers, 2).await;
    let (status, took) = terminated(&mut cluster, 0);
    assert!(status.success(), "control ended with {status}");
    assert!(took < SOON, "control ended after {took:?}");
    go_on(&writers, 2).await;
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    go_on(&writers, 3).await;
    cluster.plant_everywhere(&json!({})).await.unwrap();
    let refused = told_the_truth(&cluster, &client, writers).await;
    assert!(refused > 0, "nobody wrote while there was no control");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_ends_leaves_no_write_without_its_outcome() {
    let _turn = turn().await;
    let control_settings = scene::QUICK.to_owned();
    let engine = Some(Engine::standin().unwrap());
    let options = Options { controls: 2, envoys: 2, engine, control_settings, ..Options::default() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    cluster.plant_everywhere(&json!({"answerDelayMs": 300, "path": "/documents"})).await.unwrap();
    let writers = writers(&cluster);
    go_on(&writers, 2).await;
    let leader = cluster.leader().await.unwrap();
    let (status, took) = terminated(&mut cluster, leader);
    assert!(status.success(), "control ended with {status}");
    assert!(took < SOON, "control ended after {took:?}");
    cluster.look_at(1 - leader);
    until("another leader", Duration::from_secs(60), || async {
        let ready = cluster.operator_client().get("/_miroir/ready").await.ok()?;
        (ready.status == 200).then_some(())
    })
    .await
    .unwrap();
    scene::write(&client, &json!([{"id": 0, "text": "by another leader"}])).await.unwrap();
    go_on(&writers, 3).await;
    cluster.plant_everywhere(&json!({})).await.unwrap();
    told_the_truth(&cluster, &client, writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_that_have_not_begun_are_refused() {
    let _turn = turn().await;
    let engine = Some(Engine::standin().unwrap());
    let control_settings = format!("{}[limits]\nsplit_in_filter_bytes = 100\n", scene::QUICK);
    let options = Options { engine, control_settings, ..Options::default() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();

    // One that its client has not sent to its end.
    let (mut pieces, coming) = futures::channel::mpsc::unbounded::<Result<String, std::io::Error>>();
    pieces.start_send(Ok("[{\"id\": 1000}".to_owned())).unwrap();
    let slow = client.request(Method::POST, "/indexes/docs/documents").header(CONTENT_TYPE, "application/json");
    let (slow, sender) = (slow.body(Body::wrap_stream(coming)), client.clone());
    let slow = tokio::spawn(async move { sender.send(slow).await });
    // Two to all shards: one is with the nodes, and one waits for it.
    cluster.plant_everywhere(&json!({"answerDelayMs": 500, "path": "/documents"})).await.unwrap();
    let with_nodes = async || {
        let tasks = cluster.node_client(0).get("/tasks?types=documentAdditionOrUpdate&limit=1").await.ok()?.json();
        tasks["total"].as_u64()
    };
    let before = with_nodes().await.unwrap();
    let write = |text: &'static str| {
        let sender = client.clone();
        let documents: Vec<_> = (0..40).map(|id| json!({"id": id, "text": text})).collect();
        tokio::spawn(async move { sender.post("/indexes/docs/documents", &json!(documents)).await })
    };
    let writes = [write("left"), write("right")];
    until("a write to be with the nodes", Duration::from_secs(20), async || {
        (with_nodes().await? > before).then_some(())
    })
    .await
    .unwrap();
    let (status, took) = terminated(&mut cluster, 0);
    assert!(status.success(), "control ended with {status}");
    assert!(took < SOON, "control ended after {took:?}");

    // A client that still sends may find its connection closed before it reads why.
    if let Ok(answer) = slow.await.unwrap() {
        assert_eq!(answer.status, 503, "{}", answer.text);
    }
    let mut written: Vec<(Option<u64>, &str, Answer)> = Vec::new();
    for (write, text) in writes.into_iter().zip(["left", "right"]) {
        let answer = write.await.unwrap().unwrap();
        match answer.status {
            202 => written.push((answer.json()["taskUid"].as_u64(), text, answer)),
            503 => assert!(answer.text.contains("othing was written"), "{}", answer.text),
            other => panic!("{other} {}", answer.text),
        }
    }
    cluster.plant_everywhere(&json!({})).await.unwrap();
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    written.sort_by_key(|(task, ..)| *task);
    let (_, text, answer) = written.last().expect("one write was open");
    client.succeeded(answer).await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 40);
    assert!(held.values().all(|document| document["text"] == *text), "{held:?}");
    drop(pieces);
}
