//! Documents that somebody wrote to a node itself, without a tag or with one that does not fit their key: no client sees
//! them, they are written down and go, and never take the place of the document of their key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use miroir_core::tag::encode;
use miroir_e2e::harness::client::Client;
use miroir_e2e::harness::cluster::Cluster;
use miroir_e2e::harness::engine::Engine;
use miroir_e2e::harness::findings::UNWRITABLE;
use miroir_e2e::harness::scene;
use miroir_e2e::{Options, turn, until};
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);

async fn cluster(engine: Engine, findings: &str) -> Cluster {
    let scrub = format!("[scrub]\ninterval_ms = 2000\nbusy_percent = 100\n{findings}\n");
    let control_settings = format!("{}\n{scrub}", scene::QUICK);
    let options = Options { replication_factor: 2, engine: Some(engine), control_settings, ..Options::default() };
    Cluster::start(options).await.unwrap()
}

fn shard_of(id: u64, cluster: &Cluster) -> u64 {
    miroir_core::hash::shard_of(id.to_string().as_bytes(), cluster.shards()).into()
}

fn tag(shard: u64, cluster: &Cluster) -> String {
    encode(shard.try_into().unwrap(), cluster.shards())
}

/// Something to be written to a node itself.
struct Intruders {
    node: usize,
    /// A key that no document has, without a tag.
    new: u64,
    /// A document of a shard that the node does not hold, under the tag of one that it holds and is senior in.
    elsewhere: u64,
    /// A document of a shard that the node holds, without its tag.
    here: u64,
    documents: Vec<Value>,
}

async fn intruders(cluster: &Cluster) -> Intruders {
    let mut owners: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for copy in cluster.copies().await.unwrap() {
        owners.entry(copy.shard).or_default().push(copy.node);
    }
    let (held, senior) = owners.iter().map(|(shard, nodes)| (*shard, nodes[0])).next().unwrap();
    let on_node = |id: &u64| owners[&shard_of(*id, cluster)].contains(&senior);
    let elsewhere = (0..100).find(|id| !on_node(id)).unwrap();
    let here = (0..100).find(on_node).unwrap();
    let new = 90_006;
    let documents = vec![
        json!({"id": new, "text": "strange"}),
        json!({"id": elsewhere, "text": "strange", "_miroir_shard": tag(held, cluster)}),
        json!({"id": here, "text": "strange"}),
    ];
    Intruders { node: senior, new, elsewhere, here, documents }
}

/// What a node has that does not carry its key's tag.
async fn strange_on(cluster: &Cluster, node: usize) -> BTreeSet<u64> {
    let all = json!({"limit": 10_000});
    let answer = cluster.node_client(node).post("/indexes/docs/documents/fetch", &all).await.unwrap().json();
    let documents = answer["results"].as_array().unwrap().clone();
    let belongs = |document: &Value, id: u64| document["_miroir_shard"] == tag(shard_of(id, cluster), cluster).as_str();
    let ids = documents.iter().map(|document| (document, document["id"].as_u64().unwrap()));
    ids.filter(|(document, id)| !belongs(document, *id)).map(|(_, id)| id).collect()
}

/// The ids of documents in the findings file that belonged to no copy, with what they said.
fn written_down(cluster: &Cluster) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(cluster.dir.join("miroir-findings.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let outsiders = lines.filter(|line| line["what"] == "outsider");
    outsiders.map(|line| (line["id"].as_str().unwrap().to_owned(), line["document"].clone())).collect()
}

async fn text_of(client: &Client, id: u64) -> Option<Value> {
    let answer = client.get(&format!("/indexes/docs/documents/{id}")).await.unwrap();
    match answer.status {
        200 => Some(answer.json()["text"].clone()),
        404 => {
            assert_eq!(answer.json()["code"], "document_not_found");
            None
        }
        status => panic!("{status} {}", answer.text),
    }
}

/// All replicas have what they had before, and a partial update of a new key makes the same document everywhere.
async fn all_is_as_before(cluster: &Cluster, before: &BTreeMap<String, Value>, new: u64) {
    cluster.whole(LIMIT).await.unwrap();
    assert_eq!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap(), *before);
    let client = cluster.client(0);
    let update = client.json(Method::PUT, "/indexes/docs/documents", &json!([{"id": new, "x": 1}])).await.unwrap();
    client.succeeded(&update).await.unwrap();
    let after = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert!(after[&new.to_string()]["text"].is_null(), "{:?}", after[&new.to_string()]);
    assert_eq!(cluster.tool(&["verify"]).await.unwrap().code, 0);
}

#[tokio::test]
async fn what_is_written_to_a_node_itself_is_written_down_and_goes() {
    let _turn = turn().await;
    let cluster = cluster(Engine::find().unwrap(), "").await;
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();
    let before = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    let Intruders { node, new, elsewhere, here, documents } = intruders(&cluster).await;
    let direct = cluster.node_client(node).post("/indexes/docs/documents", &Value::from(documents)).await.unwrap();
    assert_eq!(direct.status, 202, "{}", direct.text);
    until("what is strange to be written down and go", LIMIT, || async {
        let written = written_down(&cluster);
        let all = [new, elsewhere].iter().all(|id| written.contains_key(&id.to_string()));
        (all && strange_on(&cluster, node).await.is_empty()).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(written_down(&cluster)[&new.to_string()]["text"], "strange");
    assert_eq!(text_of(&client, new).await, None);
    assert_eq!(text_of(&client, elsewhere).await, Some(json!(format!("first {elsewhere}"))));
    assert_eq!(text_of(&client, here).await, Some(json!(format!("first {here}"))));
    all_is_as_before(&cluster, &before, new).await;
}

#[tokio::test]
async fn what_no_task_tells_of_is_not_served_and_stays_until_it_is_written_down() {
    let _turn = turn().await;
    let mut cluster = cluster(Engine::standin().unwrap(), UNWRITABLE).await;
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();
    let before = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    let Intruders { node, new, elsewhere, here, documents } = intruders(&cluster).await;
    cluster.drift(node, json!({"index": "docs", "put": documents})).await.unwrap();
    cluster.findings_blocked(LIMIT).await.unwrap();
    assert_eq!(strange_on(&cluster, node).await, [new, elsewhere, here].into());
    for _ in 0..8 {
        assert_eq!(text_of(&client, new).await, None);
        assert_eq!(text_of(&client, elsewhere).await, Some(json!(format!("first {elsewhere}"))));
        assert_eq!(text_of(&client, here).await, Some(json!(format!("first {here}"))));
    }
    let verified = cluster.tool(&["verify", "--output", "json"]).await.unwrap();
    assert_eq!(verified.code, 6, "{verified:?}");
    let told = verified.json()["findings"].as_array().unwrap().clone();
    for id in [new, elsewhere, here] {
        let strange = |finding: &&Value| finding["document"] == id.to_string().as_str();
        assert!(told.iter().any(|finding| strange(&finding)), "{id}: {told:?}");
    }

    cluster.unblock_findings().await.unwrap();
    until("what is strange to go", LIMIT, || async { strange_on(&cluster, node).await.is_empty().then_some(()) })
        .await
        .unwrap();
    let written = written_down(&cluster);
    let ids: Vec<String> = [new, elsewhere, here].iter().map(u64::to_string).collect();
    assert_eq!(written.keys().collect::<BTreeSet<_>>(), ids.iter().collect());
    assert!(written.values().all(|document| document["text"] == "strange"), "{written:?}");
    all_is_as_before(&cluster, &before, new).await;
}
