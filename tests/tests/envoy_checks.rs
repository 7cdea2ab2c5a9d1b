//! Envoy's own checks hold nodes for bad that are well: they take seconds to see that a node is well again, and in that
//! time it may have the only copies.

use std::time::Duration;

use miroir_e2e::harness::{client::Client, scene};
use miroir_e2e::{turn, until};
use serde_json::json;

/// Longest wait for Envoy's checks to see what is so.
const CHECKED: Duration = Duration::from_secs(30);

#[tokio::test]
async fn last_copies_are_read_from_nodes_that_envoy_holds_for_bad() {
    let _turn = turn().await;
    let mut cluster = scene::faulty(1).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 60).await.unwrap();
    cluster.adopted().await.unwrap();
    // Reads need no control, and it is not to act on what the nodes are made to say here.
    cluster.control.kill();
    cluster.plant_everywhere(&json!({"refuse": 503, "path": "/health"})).await.unwrap();
    let admins: Vec<Client> = cluster.envoy_admins.iter().map(|url| Client::new(url, None)).collect();
    for admin in &admins {
        until("Envoy to hold all three nodes for bad", CHECKED, || async {
            (held_back(admin).await? == 3).then_some(())
        })
        .await
        .unwrap();
    }
    for envoy in 0..2 {
        let client = cluster.client(envoy);
        for _ in 0..20 {
            assert_eq!(scene::count(&client).await.unwrap(), 60);
            let document = client.get("/indexes/docs/documents/7").await.unwrap();
            assert_eq!(document.status, 200, "{}", document.text);
        }
    }
    for admin in &admins {
        assert_eq!(held_back(admin).await, Some(3), "a check was passed in between: nothing was shown");
    }
}

/// Nodes that this Envoy does not send reads to.
async fn held_back(admin: &Client) -> Option<usize> {
    let text = admin.get("/clusters").await.ok()?.text;
    let of_nodes = text.lines().filter(|line| line.starts_with("miroir-node-"));
    Some(of_nodes.filter(|line| line.contains("::health_flags::/failed_active_hc")).count())
}
