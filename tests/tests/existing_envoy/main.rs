//! The example bootstraps of `envoy/existing`, each really started in front of a cluster: documents are written and
//! found through it, a node joins, and what the Envoy had before goes on beside it.

mod management;
mod module;

use std::path::Path;
use std::time::Duration;

use miroir_e2e::harness::existing::{Bootstrap, Existing};
use miroir_e2e::harness::{parts, ports, scene};
use miroir_e2e::{Client, Cluster, Engine, Options, turn, until};
use serde_json::json;

const HOST: &str = "search.example.com";
const LISTENER: &str = "0.0.0.0:8080";

fn example(name: &str) -> Bootstrap {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/existing").join(name);
    Bootstrap::read(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Nodes and control, without an Envoy.
async fn behind(settings: &str) -> Cluster {
    let control_settings = format!("{}vm_silent_ms = 4000\n{settings}", scene::QUICK);
    let engine = Some(Engine::standin().unwrap());
    Cluster::start(Options { envoys: 0, engine, control_settings, ..Options::default() }).await.unwrap()
}

/// `[envoy]` of control's configuration.
fn envoy_section(keys: &[(&str, &str)]) -> String {
    let keys = keys.iter().map(|(key, value)| format!("{key} = {value:?}\n"));
    format!("[envoy]\n{}", keys.collect::<String>())
}

fn filter() -> String {
    parts::filter().unwrap().to_string_lossy().into_owned()
}

/// Miroir is there, whole, and follows changes of the map; the shop on the same listener is as it was.
async fn serves(cluster: &mut Cluster, envoy: &Existing) {
    let client = envoy.mapped(cluster, HOST).await.unwrap();
    // An index is made: the map changes, and the change arrives.
    scene::fill(&client, 60).await.unwrap();
    assert_eq!(scene::count(&client).await.unwrap(), 60);
    let found = client.post("/indexes/docs/search", &json!({"q": "first 7"})).await.unwrap();
    assert_eq!(found.json()["hits"][0]["id"], 7, "{}", found.text);

    // A node joins: a cluster that was not there before, and shards that are read from it.
    let fourth = cluster.another_node().await.unwrap();
    let url = cluster.nodes[fourth].part.url.clone();
    let join = cluster.job(&["node", "add", "node-3", &url]).await.unwrap();
    until("the new node to be asked", Duration::from_secs(30), || async {
        assert_eq!(scene::count(&client).await.unwrap(), 60);
        (envoy.sent_to("miroir-node-node-3").await.unwrap() > 0).then_some(())
    })
    .await
    .unwrap();
    // Nothing keeps the copies that leave: where Envoy fetches the module, the VMs of the first map go, and say so.
    cluster.job_done(join).await.unwrap();
    let more: Vec<_> = (60..100).map(|id| json!({"id": id, "text": "after the join"})).collect();
    scene::write(&client, &json!(more)).await.unwrap();
    assert!(envoy.sent_to("miroir-node-node-3-write").await.unwrap() > 0);
    assert_eq!(scene::count(&client).await.unwrap(), 100);

    // A node dies: its replicas answer.
    cluster.nodes[0].kill();
    for _ in 0..20 {
        assert_eq!(scene::count(&client).await.unwrap(), 100);
    }
    shop(envoy).await;
}

async fn shop(envoy: &Existing) {
    let answer = Client::new(&envoy.process.part.url, None).post("/indexes/docs/search", &json!({})).await.unwrap();
    assert_eq!((answer.status, answer.text.as_str()), (200, "the shop"));
    assert!(answer.header("x-miroir-shards").is_none());
}

#[tokio::test]
async fn ads_from_control() {
    let _turn = turn().await;
    let mut cluster = behind(&envoy_section(&[("filter_module", &filter())])).await;
    let bootstrap = example("ads.yaml").address("control:7703", &cluster.xds);
    let envoy = Existing::start(&cluster.dir, "edge", bootstrap, LISTENER).await.unwrap();
    serves(&mut cluster, &envoy).await;
}

#[tokio::test]
async fn files_that_control_writes() {
    let _turn = turn().await;
    let shared = tempfile::tempdir().unwrap();
    let files = shared.path().join("envoy");
    let settings = envoy_section(&[("filter_module", &filter()), ("files", &files.to_string_lossy())]);
    let mut cluster = behind(&settings).await;
    until("the files", Duration::from_secs(10), || async { files.join("filter.pb").is_file().then_some(()) })
        .await
        .unwrap();
    let bootstrap = example("files.yaml").place("/var/lib/miroir/envoy", &files);
    let envoy = Existing::start(&cluster.dir, "edge", bootstrap, LISTENER).await.unwrap();
    serves(&mut cluster, &envoy).await;
}

#[tokio::test]
async fn beside_another_management_server() {
    let _turn = turn().await;
    let mut cluster = behind(&envoy_section(&[("filter_module", &filter())])).await;
    let port = ports::free(1).unwrap()[0];
    let management = management::start(port).await;
    let bootstrap =
        example("beside.yaml").address("control:7703", &cluster.xds).address("management:18000", &management);
    let envoy = Existing::start(&cluster.dir, "edge", bootstrap, LISTENER).await.unwrap();
    let theirs = Client::new(&format!("http://127.0.0.1:{port}"), None);
    let answers = || async { (theirs.get("/").await.ok()?.text == management::WORDS).then_some(()) };
    until("the other server's listener", Duration::from_secs(30), answers).await.unwrap();
    serves(&mut cluster, &envoy).await;
    assert_eq!(theirs.get("/").await.unwrap().text, management::WORDS);
}

#[tokio::test]
async fn the_module_by_https() {
    let _turn = turn().await;
    let dir = tempfile::tempdir().unwrap();
    let files = module::serve(dir.path()).await;
    let ca = files.ca.to_string_lossy().into_owned();
    let keys =
        [("filter_module", files.url.as_str()), ("filter_sha256", &files.sha256), ("filter_tls_ca", ca.as_str())];
    let mut cluster = behind(&envoy_section(&keys)).await;
    let bootstrap = example("ads.yaml").address("control:7703", &cluster.xds);
    let envoy = Existing::start(&cluster.dir, "edge", bootstrap, LISTENER).await.unwrap();
    serves(&mut cluster, &envoy).await;
}

#[tokio::test]
async fn a_module_that_hashes_to_something_else_is_not_run() {
    let _turn = turn().await;
    let dir = tempfile::tempdir().unwrap();
    let files = module::serve(dir.path()).await;
    let (ca, other) = (files.ca.to_string_lossy().into_owned(), "0".repeat(64));
    let keys = [("filter_module", files.url.as_str()), ("filter_sha256", &other), ("filter_tls_ca", ca.as_str())];
    let cluster = behind(&envoy_section(&keys)).await;
    let bootstrap = example("ads.yaml").address("control:7703", &cluster.xds);
    let envoy = Existing::start(&cluster.dir, "edge", bootstrap, LISTENER).await.unwrap();
    let answer = envoy.through(&cluster, HOST).get("/indexes").await.unwrap();
    assert!(matches!(answer.status, 500 | 503), "{} {}", answer.status, answer.text);
    assert_eq!(envoy.sent_to("miroir-node-node-0").await.unwrap(), 0);
    shop(&envoy).await;
}

#[tokio::test]
async fn without_control_the_other_hosts_are_served() {
    let _turn = turn().await;
    let dir = tempfile::tempdir().unwrap();
    let nobody = format!("127.0.0.1:{}", ports::free(1).unwrap()[0]);
    let bootstrap = example("ads.yaml").address("control:7703", &nobody);
    let envoy = Existing::start(dir.path(), "edge", bootstrap, LISTENER).await.unwrap();
    shop(&envoy).await;
    let refused = Client::new("http://unused", None).at(&envoy.process.part.url, HOST).get("/indexes").await.unwrap();
    assert_eq!(refused.status, 500, "{}", refused.text);
}
