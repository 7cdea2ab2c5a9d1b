//! One Meilisearch under two ids would be two copies that are lost together: it is refused, or found out.

use std::time::Duration;

use miroir_e2e::harness::scene;
use miroir_e2e::{Cluster, Options, turn, until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// The condition, its reasons, and the node as `status` shows it.
async fn status(cluster: &Cluster, node: &str) -> (String, Option<Value>) {
    let status = cluster.tool(&["status", "-o", "json"]).await.unwrap().json();
    let found = status["nodes"].as_array().unwrap().iter().find(|shown| shown["id"] == node).cloned();
    (status["reasons"].to_string(), found)
}

async fn cluster() -> Cluster {
    let control_settings = scene::QUICK.to_owned();
    Cluster::start(Options { replication_factor: 2, control_settings, ..Options::default() }).await.unwrap()
}

#[tokio::test]
async fn a_members_address_is_refused_at_once() {
    let _turn = turn().await;
    let cluster = cluster().await;
    scene::fill(&cluster.client(0), 40).await.unwrap();
    let url = cluster.nodes[1].part.url.clone();
    for url in [format!("{url}/"), url.replace("http://", "HTTP://"), url.replace("http://", "https://")] {
        for more in [&["--yes", "--wait"][..], &["--dry-run"]] {
            let add = [&["node", "add", "node-9", url.as_str()], more].concat();
            let refused = cluster.tool(&add).await.unwrap();
            assert!(refused.code == 5 && refused.err.contains("is the address of node-1"), "{add:?} {refused:?}");
        }
        let replace = ["node", "replace", "node-0", "--with", "node-9", "--to", url.as_str(), "--yes"];
        let refused = cluster.tool(&replace).await.unwrap();
        assert!(refused.code == 5 && refused.err.contains("is the address of node-1"), "{refused:?}");
    }
    assert_eq!(status(&cluster, "node-9").await.1, None);
    assert_eq!(cluster.tool(&["rebalance", "wait"]).await.unwrap().out.trim(), "no jobs");
    assert_eq!(cluster.tool(&["status"]).await.unwrap().code, 0);
}

/// With documents on it, and as empty as a newcomer must be.
#[tokio::test]
async fn a_member_by_another_name_is_found_out_and_can_be_removed() {
    let _turn = turn().await;
    for documents in [40, 0] {
        let cluster = cluster().await;
        let client = cluster.client(0);
        if documents > 0 {
            scene::fill(&client, documents).await.unwrap();
        }
        let url = cluster.nodes[1].part.url.replace("127.0.0.1", "localhost");
        let add = cluster.tool(&["node", "add", "node-9", &url, "--yes", "--wait"]).await.unwrap();
        assert!(add.code == 3 && add.err.contains("was cancelled"), "nobody waits for ever: {add:?}");
        let skipped = "the Meilisearch of node-9 is another member's";
        assert!(add.out.contains(skipped), "{add:?}");
        let jobs = cluster.tool(&["rebalance", "status", "-o", "json"]).await.unwrap().json();
        let skip = &jobs["jobs"][0]["skips"][0];
        assert_eq!((&skip["why"], &skip["moves"]), (&json!(skipped), &jobs["jobs"][0]["movesSkipped"]), "{jobs}");
        let (reasons, node) = status(&cluster, "node-9").await;
        let why = "it is the Meilisearch of node-1, under another address";
        assert!(reasons.contains(&format!("node node-9 is down: {why}")), "{reasons}");
        assert!(node.as_ref().unwrap()["trouble"].as_str().unwrap().starts_with(why), "{node:?}");
        let removed = cluster.tool(&["node", "remove", "node-9", "--yes"]).await.unwrap();
        assert_eq!(removed.code, 0, "{removed:?}");
        until("the cluster to be whole", LIMIT, || async {
            (cluster.tool(&["status"]).await.ok()?.code == 0).then_some(())
        })
        .await
        .unwrap();
        if documents == 0 {
            scene::fill(&client, 40).await.unwrap();
        }
        assert_eq!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap().len(), 40, "node-1 has all its keys and copies");
    }
}
