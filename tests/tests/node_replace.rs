//! A node is replaced under load: by another one, by an empty disk at its address, and by an empty disk elsewhere.

use std::time::Duration;

use miroir_e2e::chaos::Play;
use miroir_e2e::harness::scene;
use miroir_e2e::{Cluster, turn, until};

/// Waits until control takes a dead node for dead, and the replacement is accepted; the job.
async fn replaced(cluster: &Cluster, arguments: &[&str]) -> u64 {
    let replace = [&["node", "replace"], arguments].concat();
    let accepted = until("the replacement to be accepted", Duration::from_secs(30), || async {
        // Until then it is refused: the node may only be slow.
        let ran = cluster.tool(&[&replace[..], &["--yes", "--output", "json"]].concat()).await.ok()?;
        assert!(ran.code == 0 || ran.err.contains("is in contact"), "{ran:?}");
        (ran.code == 0).then_some(ran)
    });
    accepted.await.unwrap().json()["job"]["id"].as_u64().unwrap()
}

async fn nodes_with_copies(cluster: &Cluster) -> Vec<String> {
    let mut nodes: Vec<usize> = cluster.copies().await.unwrap().iter().map(|copy| copy.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes.into_iter().map(|node| cluster.nodes[node].part.id.clone()).collect()
}

#[tokio::test]
async fn in_three_ways_under_load() {
    let _turn = turn().await;
    let mut cluster = scene::moving(3, 2).await.unwrap();
    let mut play = Play::prepare(&cluster, 12).await.unwrap();

    let new = cluster.another_node().await.unwrap();
    let url = cluster.nodes[new].part.url.clone();
    play.begin(&cluster);
    let job = cluster.job(&["node", "replace", "node-1", "--with", "node-3", "--to", &url]).await.unwrap();
    let job = cluster.job_done(job).await.unwrap();
    assert_eq!(job["why"]["kind"], "replace", "{job}");
    play.end(&mut cluster).await.unwrap();
    assert_eq!(nodes_with_copies(&cluster).await, ["node-0", "node-2", "node-3"]);
    let tally = play.tally();
    assert!(tally.errors.is_empty(), "a move is no reason to refuse: {:?}", tally.errors);
    assert_eq!(tally.writes.keys().collect::<Vec<_>>(), ["acknowledged"], "{:?}", tally.writes);

    play.begin(&cluster);
    cluster.nodes[0].kill();
    cluster.wipe(0).unwrap();
    let job = replaced(&cluster, &["node-0"]).await;
    cluster.nodes[0].restart().unwrap();
    cluster.job_done(job).await.unwrap();
    play.end(&mut cluster).await.unwrap();

    play.begin(&cluster);
    cluster.nodes[2].kill();
    cluster.move_node(2).await.unwrap();
    let url = cluster.nodes[2].part.url.clone();
    let job = replaced(&cluster, &["node-2", "--to", &url]).await;
    cluster.job_done(job).await.unwrap();
    play.end(&mut cluster).await.unwrap();

    assert_eq!(nodes_with_copies(&cluster).await, ["node-0", "node-2", "node-3"]);
    let tally = play.tally();
    assert!(tally.faults.is_empty(), "{:?}\n{}", tally.faults, tally.findings.join("\n"));
    assert!(tally.judged > 0 && tally.compared > 0 && tally.rounds == 3, "{tally:?}");
}
