//! The minor versions of Envoy before the one that all other tests run on: documents are written and found, and a node
//! that is killed is replaced by its replicas.

use std::path::PathBuf;
use std::process::Command;

use miroir_e2e::harness::{parts, scene};
use miroir_e2e::{Cluster, Options, turn};
use serde_json::json;

/// `1.39` of a program that says `… version: HASH/1.39.3/Clean/…`.
fn minor(program: &PathBuf) -> String {
    let said = Command::new(program).arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let version = said.split('/').find(|part| part.split('.').count() == 3 && part.starts_with(char::is_numeric));
    version.unwrap_or_else(|| panic!("{}: {said}", program.display())).rsplit_once('.').unwrap().0.to_owned()
}

async fn serves(envoy: PathBuf) {
    let control_settings = scene::QUICK.to_owned();
    let options = Options { envoy: Some(envoy), workers: 2, control_settings, ..Options::default() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();
    let found = client.post("/indexes/docs/search", &json!({"q": "first 42", "limit": 3})).await.unwrap();
    assert_eq!(found.json()["hits"][0]["id"], 42, "{}", found.text);
    cluster.nodes[1].kill();
    for _ in 0..20 {
        assert_eq!(scene::count(&client).await.unwrap(), 100);
    }
    let degraded = scene::write(&client, &json!([{"id": 200, "text": "while one is away"}])).await.unwrap();
    assert_eq!(degraded.status, 202);
    assert_eq!(scene::count(&client).await.unwrap(), 101);
    cluster.nodes[1].restart().unwrap();
    cluster.node_up(1).await.unwrap();
    cluster.whole(std::time::Duration::from_secs(60)).await.unwrap();
    assert_eq!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap().len(), 101);
}

#[tokio::test]
async fn the_two_minor_versions_before() {
    let _turn = turn().await;
    let older = parts::older_envoys().unwrap();
    let minors: Vec<String> = older.iter().map(minor).collect();
    assert_eq!(minors, ["1.39", "1.38"]);
    assert_eq!(minor(&parts::envoy().unwrap()), "1.40");
    for envoy in older {
        serves(envoy).await;
    }
}
