//! Nodes whose engines are of different versions: one after the other is upgraded under load, and one of a version that
//! is not served takes no part.

use std::time::{Duration, Instant};

use miroir_e2e::harness::{load, scene, watch};
use miroir_e2e::{Client, Cluster, turn, until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// Three stand-ins, two copies of each shard, 50 documents.
async fn filled() -> (Cluster, Client) {
    let cluster = scene::faulty(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 50).await.unwrap();
    (cluster, client)
}

/// The same with one node that was started anew with this version.
async fn mixed(node: usize, version: &str) -> (Cluster, Client) {
    let (mut cluster, client) = filled().await;
    cluster.nodes[node].terminate().unwrap();
    start(&mut cluster, node, version).await;
    (cluster, client)
}

/// Starts a node that does not run with an engine of this version, on the data that it has.
async fn start(cluster: &mut Cluster, node: usize, version: &str) {
    let command = &mut cluster.nodes[node].part.command;
    let at = command.iter().position(|argument| argument == "--engine-version").unwrap_or(command.len());
    command.truncate(at);
    command.extend(["--engine-version", version, "--upgrade-db"].map(str::to_owned));
    cluster.nodes[node].restart().unwrap();
    cluster.node_up(node).await.unwrap();
}

/// The nodes as `status` shows them, once `is` holds of them.
async fn nodes(cluster: &Cluster, what: &str, is: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let operator = cluster.operator_client();
    until(what, LIMIT, || async {
        let nodes = operator.get("/_miroir/nodes").await.ok()?.json()["nodes"].as_array()?.clone();
        is(&nodes).then_some(nodes)
    })
    .await
    .unwrap()
}

fn upgraded(nodes: &[Value], node: usize) -> bool {
    nodes[node]["version"] == "1.51.0" && nodes.iter().all(|node| node["phase"] == "ready")
}

fn last_resorts(nodes: &[Value]) -> Vec<&str> {
    nodes.iter().filter(|node| node["lastResort"] == true).filter_map(|node| node["id"].as_str()).collect()
}

#[tokio::test]
async fn nodes_are_upgraded_one_after_the_other_under_load() {
    let _turn = turn().await;
    let (mut cluster, client) = filled().await;
    let reader = load::reader(cluster.client(0), "docs", 50);
    let writer = load::writer(cluster.client(0), "docs", 1000);
    for (node, aside) in [(0, vec!["node-0"]), (1, vec!["node-2"]), (2, vec![])] {
        cluster.nodes[node].terminate().unwrap();
        let (reads, writes) = (reader.turns() + 20, writer.turns() + 5);
        until("reads and writes without it", LIMIT, || async {
            (reader.turns() >= reads && writer.turns() >= writes).then_some(())
        })
        .await
        .unwrap();
        start(&mut cluster, node, "1.51.0").await;
        let seen = nodes(&cluster, "the upgraded node to take part", |nodes| upgraded(nodes, node)).await;
        assert_eq!(last_resorts(&seen), aside);
        cluster.whole(LIMIT).await.unwrap();
        let (reads, writes) = (reader.turns() + 20, writer.turns() + 5);
        until("reads and writes with it", LIMIT, || async {
            (reader.turns() >= reads && writer.turns() >= writes).then_some(())
        })
        .await
        .unwrap();
    }
    reader.finish().await.unwrap();
    let written = writer.finish().await.unwrap();
    assert!(written.refused.is_empty(), "{:?}", written.refused);
    for (_, task) in &written.acknowledged {
        assert_eq!(client.task(*task).await.unwrap()["status"], "succeeded");
    }
    cluster.whole(LIMIT).await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 50 + written.acknowledged.len());
    assert_eq!(client.get("/version").await.unwrap().json()["pkgVersion"], "1.51.0");
}

#[tokio::test]
async fn a_node_of_another_version_is_written_to_and_read_only_for_want_of_others() {
    let _turn = turn().await;
    let (mut cluster, client) = mixed(0, "1.51.0").await;
    nodes(&cluster, "the upgraded node to take part", |nodes| upgraded(nodes, 0)).await;
    cluster.whole(LIMIT).await.unwrap();
    cluster.adopted().await.unwrap();

    let status = cluster.tool(&["status"]).await.unwrap();
    let told = "node node-0 runs Meilisearch 1.51.0, unlike most nodes, and is read only where no other copy can be";
    assert!(status.out.contains(told) && status.out.contains("degraded"), "{status:?}");

    // Through the second Envoy nothing goes but what is watched.
    let since = Instant::now();
    let watcher = watch::watcher(&cluster, 1, 0, "docs", 50);
    until("searches", LIMIT, || async { (watcher.turns() >= 20).then_some(()) }).await.unwrap();
    let searches = watcher.finish().await.unwrap();
    let sum = watch::sum(since, [&searches]);
    assert_eq!((sum.faults.len(), sum.tried), (0, 0), "{:?}", sum.faults);

    scene::write(&client, &json!([{"id": 50, "text": "first 50"}])).await.unwrap();
    cluster.agreed(&[0, 1, 2], "docs").await.unwrap();

    // In the request that finds another node dead, it answers for the shards that they share.
    cluster.nodes[1].kill();
    let since = Instant::now();
    let watcher = watch::watcher(&cluster, 1, 0, "docs", 51);
    until("searches", LIMIT, || async { (watcher.turns() >= 10).then_some(()) }).await.unwrap();
    let searches = watcher.finish().await.unwrap();
    let sum = watch::sum(since, [&searches]);
    assert_eq!(sum.faults, [""; 0]);
    assert_eq!(sum.tried, sum.searches);
}

#[tokio::test]
async fn a_version_that_is_not_served_takes_no_part() {
    let _turn = turn().await;
    let (mut cluster, client) = mixed(2, "1.49.0").await;
    let why = "it runs Meilisearch 1.49.0, and 1.50 and later versions of 1 are served";
    nodes(&cluster, "the node to be refused", |nodes| nodes[2]["trouble"] == why && nodes[2]["phase"] == "down").await;
    let all = scene::documents(0..51, "first");
    let written = scene::write(&client, &all).await.unwrap();
    assert!(written.header("x-miroir-degraded").is_some(), "it was written to");
    assert_eq!(scene::count(&client).await.unwrap(), 51);

    cluster.nodes[2].terminate().unwrap();
    start(&mut cluster, 2, "1.50.0").await;
    cluster.whole(LIMIT).await.unwrap();
    assert_eq!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap().len(), 51);
}
