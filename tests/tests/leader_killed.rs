//! Several controls that share a Redis: the leader is killed, or stopped and continued, under load.

use std::io::Write;
use std::time::{Duration, Instant};

use miroir_e2e::harness::client::Client;
use miroir_e2e::harness::cluster::{Cluster, Options};
use miroir_e2e::harness::{load, scene};
use miroir_e2e::{turn, until};
use serde_json::json;

/// A cluster with two controls and an index with 40 documents.
async fn two_controls() -> (Cluster, Client) {
    let control_settings = scene::QUICK.to_owned();
    let cluster = Cluster::start(Options { controls: 2, control_settings, ..Options::default() }).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    (cluster, client)
}

/// Waits until the writer has written `more` times since it had `so_far`.
async fn goes_on(writer: &load::Load<load::Written>, so_far: usize, more: usize) {
    until("writes", Duration::from_secs(30), || async { (writer.turns() > so_far + more).then_some(()) })
        .await
        .unwrap();
}

/// Tasks of all acknowledged writes end well, and all in-sync copies are equal and hold every document.
async fn nothing_is_lost(cluster: &mut Cluster, written: &load::Written) {
    let client = cluster.client(0);
    for (id, task) in &written.acknowledged {
        let ended = until("a task's end", Duration::from_secs(60), || async {
            let task = client.get(&format!("/tasks/{task}")).await.ok()?.json();
            ["succeeded", "failed", "canceled"].contains(&task["status"].as_str()?).then_some(task)
        });
        let task = ended.await.unwrap();
        assert_eq!(task["status"], "succeeded", "document {id}: {task}");
    }
    let leader = cluster.leader().await.unwrap();
    cluster.look_at(leader);
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    for (id, _) in &written.acknowledged {
        assert!(held.contains_key(&id.to_string()), "document {id} was acknowledged and is lost");
    }
}

#[tokio::test]
async fn another_one_leads_and_nothing_is_lost() {
    let _turn = turn().await;
    let (mut cluster, client) = two_controls().await;
    let reader = load::reader(client.clone(), "docs", 40);
    let writer = load::writer(client.clone(), "docs", 1_000);
    goes_on(&writer, 0, 20).await;

    let leader = cluster.leader().await.unwrap();
    cluster.controls().nth(leader).unwrap().kill();
    let killed = Instant::now();
    scene::write(&client, &json!([{"id": 999}])).await.unwrap();
    let pause = killed.elapsed();
    writeln!(std::io::stdout(), "writes paused for {} ms", pause.as_millis()).unwrap();
    assert_ne!(cluster.leader().await.unwrap(), leader);

    // The old one comes back and stands by.
    cluster.controls().nth(leader).unwrap().restart().unwrap();
    let back = cluster.controls().nth(leader).unwrap().part.url.clone();
    until("the old leader to stand by", Duration::from_secs(30), || async {
        let answer = reqwest::get(format!("{back}/_miroir/health")).await.ok()?;
        answer.text().await.ok()?.contains("standby").then_some(())
    })
    .await
    .unwrap();
    goes_on(&writer, writer.turns(), 20).await;
    let written = writer.finish().await.unwrap();
    assert!(reader.finish().await.unwrap() > 0);
    nothing_is_lost(&mut cluster, &written).await;
}

#[tokio::test]
async fn a_leader_that_was_stopped_does_nothing_when_it_goes_on() {
    let _turn = turn().await;
    let (mut cluster, client) = two_controls().await;
    let writer = load::writer(client.clone(), "docs", 1_000);
    goes_on(&writer, 0, 20).await;
    let leader = cluster.leader().await.unwrap();
    cluster.controls().nth(leader).unwrap().stop().unwrap();
    let other = cluster.controls().nth(1 - leader).unwrap().part.url.clone();
    until("the other one to lead", Duration::from_secs(60), || async {
        reqwest::get(format!("{other}/_miroir/ready")).await.ok().filter(|answer| answer.status() == 200)
    })
    .await
    .unwrap();
    scene::write(&client, &json!([{"id": 999}])).await.unwrap();

    let old = cluster.controls().nth(leader).unwrap();
    old.resume().unwrap();
    until("the old leader's end", Duration::from_secs(30), || {
        let ended = !cluster.controls().nth(leader).unwrap().runs();
        async move { ended.then_some(()) }
    })
    .await
    .unwrap();
    goes_on(&writer, writer.turns(), 20).await;
    let written = writer.finish().await.unwrap();
    nothing_is_lost(&mut cluster, &written).await;
}
