//! `miroirctl` against a real control with stand-in nodes: what it prints, and how it ends.

use std::time::Duration;

use miroir_e2e::harness::cluster::{ADMIN_KEY, Cluster};
use miroir_e2e::harness::engine::Engine;
use miroir_e2e::harness::process::{Part, Process};
use miroir_e2e::harness::{parts, ports, scene, tool};
use miroir_e2e::{Options, turn, until};
use reqwest::Method;
use serde_json::json;

async fn cluster() -> Cluster {
    let engine = Some(Engine::standin().unwrap());
    let control_settings = scene::QUICK.to_owned();
    Cluster::start(Options { engine, control_settings, ..Options::default() }).await.unwrap()
}

/// Waits until `status` ends with this code; what it printed then.
async fn status(cluster: &Cluster, code: i32) -> String {
    until(&format!("status to end with {code}"), Duration::from_secs(60), || async {
        let ran = cluster.tool(&["status"]).await.ok()?;
        (ran.code == code).then_some(ran.out)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_sound_cluster_is_shown_explained_and_compared() {
    let _turn = turn().await;
    let cluster = cluster().await;
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();

    let text = status(&cluster, 0).await;
    assert!(text.starts_with("fine ") && text.contains("16 of 16 with 2 copies, 0 with fewer, 0 down"), "{text}");

    let nodes = cluster.tool(&["node", "list", "--output", "json"]).await.unwrap();
    assert_eq!((nodes.code, nodes.json()["nodes"].as_array().unwrap().len()), (0, 3), "{nodes:?}");

    let grid = cluster.tool(&["shards"]).await.unwrap();
    let marks: usize =
        grid.out.lines().filter(|line| line.starts_with("node-")).map(|line| line.matches('#').count()).sum();
    assert_eq!((grid.code, marks), (0, 32), "{grid:?}");
    for form in ["text", "json"] {
        let none = cluster.tool(&["shards", "--placement", "7", "-o", form]).await.unwrap();
        assert!(none.code == 4 && none.out.is_empty() && none.err.contains("There is no placement 7"), "{none:?}");
    }

    let search = r#"{"limit": 7, "filter": "id >= 0"}"#;
    let settings = json!(["id"]);
    let put = client.json(Method::PUT, "/indexes/docs/settings/filterable-attributes", &settings).await.unwrap();
    client.succeeded(&put).await.unwrap();
    let explained = until("the settings to be known", Duration::from_secs(30), || async {
        let ran =
            cluster.tool(&["explain", "--index", "docs", "first", "--search", search, "-o", "json"]).await.ok()?;
        (ran.code == 0 && ran.json()["answer"]["status"] == 200).then_some(ran)
    })
    .await
    .unwrap();
    let explanation = explained.json();
    let mut shards: Vec<u64> = Vec::new();
    for call in explanation["calls"].as_array().unwrap() {
        assert_eq!(call["outcome"], "200", "{call}");
        assert!(call["filter"].as_str().unwrap().contains("id >= 0"), "{call}");
        assert!(call["tookMs"].as_f64().unwrap() > 0.0);
        shards.extend(call["shards"].as_array().unwrap().iter().filter_map(|shard| shard.as_u64()));
    }
    shards.sort_unstable();
    assert_eq!(shards, (0..16).collect::<Vec<_>>(), "each shard is asked for once");
    assert_eq!((&explanation["answer"]["hits"], &explanation["answer"]["shards"]), (&json!(7), &json!("16/16")));
    assert_eq!(explanation["answer"]["total"], 100);

    let compared = cluster.tool(&["verify"]).await.unwrap();
    assert_eq!(compared.code, 0, "{compared:?}");
    assert!(compared.out.contains("16 of 16 shards compared") && compared.out.contains("100 documents; 0 differences"));
    let last = cluster.tool(&["verify", "--last", "--output", "json"]).await.unwrap().json();
    assert_eq!((&last["documents"], &last["single"], &last["unanswered"]), (&json!(100), &json!(0), &json!(0)));
}

#[tokio::test]
async fn lost_nodes_show_in_the_exit_code() {
    let _turn = turn().await;
    let mut cluster = cluster().await;
    status(&cluster, 0).await;
    cluster.nodes[1].kill();
    let text = status(&cluster, 1).await;
    assert!(text.starts_with("degraded ") && text.contains("node node-1 is down"), "{text}");
    cluster.nodes[2].kill();
    let text = status(&cluster, 2).await;
    assert!(text.starts_with("down ") && text.contains("have no copy that can be read"), "{text}");
    let grid = cluster.tool(&["shards"]).await.unwrap();
    assert!(grid.out.contains("\ndown: "), "{}", grid.out);
}

/// A further stand-in node beside the cluster.
async fn another(cluster: &Cluster, id: &str) -> Process {
    let port = ports::free(1).unwrap()[0];
    let dir = cluster.dir.join(id);
    std::fs::create_dir_all(&dir).unwrap();
    let mut command = vec![parts::standin().unwrap().to_string_lossy().into_owned()];
    command.extend(["--http-addr".to_owned(), format!("127.0.0.1:{port}")]);
    command.extend(["--db-path".to_owned(), dir.join("data.ms").to_string_lossy().into_owned()]);
    command.extend(["--master-key".to_owned(), "a-master-key-for-tests".to_owned()]);
    let url = format!("http://127.0.0.1:{port}");
    let part = Part { id: id.to_owned(), url, pid: None, log: cluster.dir.join(format!("{id}.log")), command };
    Process::start(part).unwrap()
}

#[tokio::test]
async fn nodes_come_and_go_by_the_tool() {
    let _turn = turn().await;
    let cluster = cluster().await;
    let client = cluster.client(0);
    scene::fill(&client, 200).await.unwrap();
    status(&cluster, 0).await;
    let fourth = another(&cluster, "node-3").await;
    let run = async |arguments: &[&str]| cluster.tool(arguments).await.unwrap();

    let add = ["node", "add", "node-3", fourth.part.url.as_str()];
    let planned = run(&[&add[..], &["--dry-run", "--output", "json"]].concat()).await;
    let plan = &planned.json()["plan"];
    assert_eq!((planned.code, plan["copiesMade"].as_u64()), (0, Some(8)), "{planned:?}");
    assert_eq!(run(&["node", "list", "-o", "json"]).await.json()["nodes"].as_array().unwrap().len(), 3);

    let added = run(&[&add[..], &["--yes", "--wait"]].concat()).await;
    assert_eq!(added.code, 0, "{added:?}");
    let layout = run(&["shards", "--output", "json"]).await.json();
    let held = layout["shards"].as_array().unwrap().iter().flat_map(|shard| shard["copies"].as_array().unwrap());
    assert_eq!(held.filter(|copy| copy["node"] == "node-3" && copy["usable"] == true).count(), 8);
    assert_eq!(run(&[&add[..], &["--yes"]].concat()).await.code, 5, "it is a member already");

    assert_eq!(run(&["node", "remove", "node-3", "--yes"]).await.code, 5, "it serves shards");
    let drained = run(&["node", "drain", "node-3", "--yes", "--wait"]).await;
    assert_eq!(drained.code, 0, "{drained:?}");
    let removed = until("the last copies to be deleted", Duration::from_secs(60), || async {
        let ran = cluster.tool(&["node", "remove", "node-3", "--yes"]).await.ok()?;
        (ran.code == 0).then_some(ran)
    });
    removed.await.unwrap();
    let text = status(&cluster, 0).await;
    assert!(!text.contains("node-3"), "{text}");
    assert_eq!(run(&["verify"]).await.code, 0);
    assert_eq!(scene::count(&client).await.unwrap(), 200);
    assert_eq!(run(&["rebalance", "cancel", "1"]).await.code, 5, "the job is over");
    assert_eq!(run(&["rebalance", "throttle", "--moves", "1"]).await.code, 0);
    let forced = run(&["shard", "force-deletion", "--yes"]).await;
    assert_eq!((forced.code, forced.out.trim()), (0, "no copy waits for filters before it is deleted"));
    let forced = run(&["shard", "force-deletion", "--yes", "--output", "json"]).await.json();
    assert_eq!(forced, json!({ "message": "no copy waits for filters before it is deleted" }));
}

#[tokio::test]
async fn every_failure_has_its_code() {
    let _turn = turn().await;
    let cluster = cluster().await;
    let run = async |key: &str, arguments: &[&str]| tool::run(&cluster.internal, key, arguments).await.unwrap();
    let denied = run("another-key-for-tests", &["status"]).await;
    assert_eq!((denied.code, denied.out.as_str()), (8, ""), "{denied:?}");
    assert!(run("", &["status"]).await.err.contains("--admin-key-file"));
    assert_eq!(run(ADMIN_KEY, &["--url", &cluster.control.part.url, "status"]).await.code, 3, "the public listener");
    assert_eq!(run(ADMIN_KEY, &["--url", "http://127.0.0.1:1", "status"]).await.code, 7);
    assert_eq!(run(ADMIN_KEY, &["no-such-verb"]).await.code, 64);
    assert_eq!(run(ADMIN_KEY, &["explain", "--index", "nowhere"]).await.code, 4);
    assert_eq!(run(ADMIN_KEY, &["rebalance", "status", "99"]).await.code, 4);
    assert_eq!(run(ADMIN_KEY, &["verify", "--index", "nowhere"]).await.code, 4);
    let unconfirmed = run(ADMIN_KEY, &["node", "drain", "node-1"]).await;
    assert_eq!(unconfirmed.code, 5);
    assert!(unconfirmed.err.contains("--yes"), "{unconfirmed:?}");
    assert_eq!(run(ADMIN_KEY, &["shard", "force-deletion"]).await.code, 5);
    let map = run(ADMIN_KEY, &["shards", "--output", "json"]).await;
    let file = cluster.dir.join("map.json");
    std::fs::write(&file, &map.out).unwrap();
    let simulated = run("", &["simulate", "--map", file.to_str().unwrap(), "--add", "1", "-o", "json"]).await;
    assert_eq!((simulated.code, simulated.json()["copiesMade"].as_u64()), (0, Some(8)), "{simulated:?}");
}
