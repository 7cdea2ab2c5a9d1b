//! A node joins: only the shards whose owners change move, and hardly more documents are copied than must be.

use miroir_e2e::harness::scene;
use miroir_e2e::{Cluster, Options, turn};

const DOCUMENTS: u64 = 2000;
const COPIES: u64 = 2;

#[tokio::test]
async fn hardly_more_than_its_share_is_copied() {
    let _turn = turn().await;
    let control_settings = scene::QUICK.to_owned();
    let options = Options { replication_factor: 2, shards: 64, control_settings, ..Options::default() };
    let mut cluster = Cluster::start(options).await.unwrap();
    scene::fill(&cluster.client(0), DOCUMENTS).await.unwrap();
    let before = cluster.copies().await.unwrap();
    let new = cluster.another_node().await.unwrap();
    let url = cluster.nodes[new].part.url.clone();
    let job = cluster.job(&["node", "add", "node-3", &url]).await.unwrap();
    let job = cluster.job_done(job).await.unwrap();
    cluster.adopted().await.unwrap();

    let after = cluster.copies().await.unwrap();
    let stayed = |node: usize, shard: u64| before.iter().any(|copy| copy.node == node && copy.shard == shard);
    assert!(after.iter().all(|copy| copy.node == new || stayed(copy.node, copy.shard)), "an old node got a shard");
    assert_eq!(after.iter().filter(|copy| copy.node == new).count(), 64 * 2 / 4);

    let least = DOCUMENTS * COPIES / 4;
    let copied = job["copied"]["documents"].as_u64().unwrap();
    eprintln!("{copied} documents were copied, at least {least} must be");
    assert!(copied * 10 <= least * 12, "{copied} documents for a share of {least}: {job}");
    let held = cluster.documents_on(new, "docs").await.unwrap().into_values().map(|shard| shard.len() as u64);
    assert_eq!(held.sum::<u64>(), copied, "each was copied once");
    assert_eq!(cluster.agreed(&[0, 1, 2, 3], "docs").await.unwrap().len() as u64, DOCUMENTS);
}
