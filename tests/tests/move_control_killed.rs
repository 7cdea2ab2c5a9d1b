//! `kill -9` of control at every step of a move, under load; and moves that are paused, resumed and cancelled.

use std::time::Duration;

use miroir_e2e::chaos::Play;
use miroir_e2e::harness::copies::Copy;
use miroir_e2e::harness::scene;
use miroir_e2e::{Cluster, turn, until};

/// Slow enough for a move of some shards to be met at every step.
const PACE: &[&str] = &["rebalance", "throttle", "--documents-per-second", "60", "--moves", "2"];

async fn ran(cluster: &Cluster, arguments: &[&str]) {
    let ran = cluster.tool(arguments).await.unwrap();
    assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
}

/// Waits until the copies are as they should be; the copies.
async fn seen(cluster: &Cluster, what: &str, is_so: impl Fn(&[Copy]) -> bool) -> Vec<Copy> {
    until(what, Duration::from_secs(180), || async {
        let copies = cluster.copies().await.ok()?;
        is_so(&copies).then_some(copies)
    })
    .await
    .unwrap()
}

fn count(copies: &[Copy], node: usize, state: &str) -> usize {
    copies.iter().filter(|copy| copy.node == node && copy.state == state).count()
}

async fn restart_control(cluster: &mut Cluster) {
    cluster.control.kill();
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
}

#[tokio::test]
async fn at_every_step_and_the_move_goes_on() {
    let _turn = turn().await;
    let mut cluster = scene::moving(3, 2).await.unwrap();
    let mut play = Play::prepare(&cluster, 13).await.unwrap();
    let new = cluster.another_node().await.unwrap();
    ran(&cluster, PACE).await;
    play.begin(&cluster);
    let url = cluster.nodes[new].part.url.clone();
    let job = cluster.job(&["node", "add", "node-3", &url]).await.unwrap();
    // Before the first copy: the node may not even have been looked at.
    restart_control(&mut cluster).await;
    seen(&cluster, "a copy that is being filled", |copies| count(copies, new, "dual") > 0).await;
    restart_control(&mut cluster).await;
    let flipped =
        |copies: &[Copy]| count(copies, new, "inSync") > 0 && copies.iter().any(|copy| copy.state == "retiring");
    seen(&cluster, "a copy that has flipped, and one that leaves", flipped).await;
    restart_control(&mut cluster).await;
    seen(&cluster, "half of the copies to have flipped", |copies| count(copies, new, "inSync") >= 4).await;
    restart_control(&mut cluster).await;
    seen(&cluster, "the last copy to have flipped", |copies| {
        count(copies, new, "inSync") == 8 && copies.iter().any(|copy| copy.state == "retiring")
    })
    .await;
    restart_control(&mut cluster).await;
    let job = cluster.job_done(job).await.unwrap();
    assert_eq!((&job["movesDone"], &job["movesSkipped"]), (&8.into(), &0.into()), "{job}");
    play.end(&mut cluster).await.unwrap();
    let copies = cluster.copies().await.unwrap();
    assert_eq!((copies.len(), count(&copies, new, "inSync")), (32, 8), "{copies:?}");

    paused_and_cancelled(&mut cluster, &mut play).await;
    let tally = play.tally();
    assert!(tally.faults.is_empty(), "{:?}\n{}", tally.faults, tally.findings.join("\n"));
    assert!(tally.judged > 0 && tally.compared > 0 && tally.rounds == 2, "{tally:?}");
}

/// A drain that is paused in the middle stays so over a restart, goes on when told, and is taken back when told.
async fn paused_and_cancelled(cluster: &mut Cluster, play: &mut Play) {
    play.begin(cluster);
    let job = cluster.job(&["node", "drain", "node-0"]).await.unwrap();
    let number = job.to_string();
    seen(cluster, "a copy that has left", |copies| count(copies, 0, "inSync") < 8).await;
    ran(cluster, &["rebalance", "pause", &number]).await;
    let is_still = |copies: &[Copy]| copies.iter().all(|copy| copy.state == "inSync");
    let left = seen(cluster, "what was under way to end", is_still).await;
    assert!((1..8).contains(&count(&left, 0, "inSync")), "{left:?}");
    restart_control(cluster).await;
    assert_eq!(cluster.job_state(job).await.unwrap()["state"], "paused");
    let writes = play.tally().writes.values().sum::<usize>();
    until("writes while the job is paused", Duration::from_secs(30), || async {
        (play.tally().writes.values().sum::<usize>() > writes + 40).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(cluster.copies().await.unwrap(), left, "a paused job moves nothing");

    ran(cluster, &["rebalance", "resume", &number]).await;
    seen(cluster, "a further copy that is being filled", |copies| copies.iter().any(|copy| copy.state == "dual")).await;
    ran(cluster, &["rebalance", "cancel", &number]).await;
    assert_eq!(cluster.job_state(job).await.unwrap()["state"], "cancelled");
    let rest = seen(cluster, "what was begun to be taken back", is_still).await;
    assert_eq!(rest.len(), 32, "{rest:?}");
    assert!(count(&rest, 0, "inSync") > 0, "it was cancelled midway: {rest:?}");
    ran(cluster, &["rebalance", "throttle"]).await;
    play.end(cluster).await.unwrap();
    let nodes = cluster.tool(&["node", "list", "--output", "json"]).await.unwrap().json();
    assert_eq!(nodes["nodes"][0]["member"], "active", "{nodes}");
}
