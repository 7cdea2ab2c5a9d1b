//! Dumps: one file of the whole cluster, for one Meilisearch or for another cluster.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use miroir_e2e::{Client, Cluster, Engine, Options, Single, turn};
use serde_json::{Value, json};

/// What a client sees of an index and of what is beside it.
#[derive(Debug, PartialEq)]
struct Seen {
    primary_keys: BTreeMap<String, Value>,
    settings: BTreeMap<String, Value>,
    documents: BTreeMap<String, Vec<String>>,
    keys: Vec<Value>,
    features: Value,
}

/// Its members in one order, numbers to the letter.
fn sorted(document: &str) -> String {
    let members: BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(document).unwrap();
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}={value}")).collect();
    members.join(" ")
}

fn raw_documents(answer: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Page {
        results: Vec<Box<serde_json::value::RawValue>>,
    }
    let page: Page = serde_json::from_str(answer).unwrap();
    let mut documents: Vec<String> = page.results.iter().map(|document| sorted(document.get())).collect();
    documents.sort();
    documents
}

async fn seen(client: &Client) -> Seen {
    let (mut primary_keys, mut settings, mut documents) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for index in client.get("/indexes").await.unwrap().json()["results"].as_array().unwrap() {
        let uid = index["uid"].as_str().unwrap().to_owned();
        primary_keys.insert(uid.clone(), index["primaryKey"].clone());
        settings.insert(uid.clone(), client.get(&format!("/indexes/{uid}/settings")).await.unwrap().json());
        let body = json!({ "limit": 100_000, "retrieveVectors": true });
        let all = client.post(&format!("/indexes/{uid}/documents/fetch"), &body).await.unwrap();
        documents.insert(uid, raw_documents(&all.text));
    }
    let mut keys = client.get("/keys?limit=100").await.unwrap().json()["results"].as_array().unwrap().clone();
    keys.sort_by_key(|key| key["uid"].to_string());
    let features = client.get("/experimental-features").await.unwrap().json();
    Seen { primary_keys, settings, documents, keys, features }
}

/// Indexes of every kind: with settings, with vectors and odd numbers, with another key, with nothing.
async fn fill(client: &Client) {
    let task = |answer| async move { client.succeeded(&answer).await.unwrap() };
    let settings = json!({
        "filterableAttributes": ["genre"],
        "rankingRules": ["words", "typo"],
        "synonyms": { "film": ["movie"] },
        "embedders": { "mine": { "source": "userProvided", "dimensions": 2 } },
        "faceting": { "maxValuesPerFacet": 7 },
    });
    let answer = client.json(reqwest::Method::PATCH, "/indexes/films/settings", &settings).await.unwrap();
    task(answer).await;
    let films: Vec<Value> = (0..700)
        .map(|id| json!({ "id": id, "title": format!("Film {id}"), "genre": id % 7, "_vectors": { "mine": [id, 1] } }))
        .collect();
    task(client.post("/indexes/films/documents", &films.into()).await.unwrap()).await;
    let odd = r#"[{"sku":"a","n":9007199254740993,"x":1.0,"y":[1e3,{"z":null}],"t":"é\"\n"},{"sku":-5,"empty":{}}]"#;
    let request = client.request(reqwest::Method::POST, "/indexes/things/documents?primaryKey=sku");
    let answer = client.send(request.header("content-type", "application/json").body(odd)).await.unwrap();
    task(answer).await;
    task(client.post("/indexes", &json!({ "uid": "nothing" })).await.unwrap()).await;
    let key = json!({ "uid": "01b4bc42-eb33-4041-b481-254d00cce834", "name": "Films", "actions": ["search"],
        "indexes": ["films"], "expiresAt": "2099-01-01T00:00:00Z" });
    assert_eq!(client.post("/keys", &key).await.unwrap().status, 201);
    let features = json!({ "containsFilter": true });
    client.json(reqwest::Method::PATCH, "/experimental-features", &features).await.unwrap();
}

fn options() -> Options {
    Options { shards: 8, ..Options::default() }
}

async fn dumped(cluster: &Cluster) -> PathBuf {
    let client = cluster.client(0);
    let answer = client.post("/dumps", &json!({})).await.unwrap();
    let summary = answer.json();
    assert_eq!(
        (answer.status, &summary["type"], &summary["status"]),
        (202, &json!("dumpCreation"), &json!("enqueued"))
    );
    let task = client.succeeded(&answer).await.unwrap();
    let uid = task["details"]["dumpUid"].as_str().unwrap().to_owned();
    assert_eq!(task["indexUid"], Value::Null);
    cluster.dir.join("miroir-dumps").join(format!("{uid}.dump"))
}

fn unpacked(dump: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(dump).unwrap()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string().trim_start_matches("./").to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name, text);
    }
    files
}

#[tokio::test]
async fn a_dump_holds_what_clients_see_and_nothing_of_miroir() {
    let _turn = turn().await;
    let cluster = Cluster::start(options()).await.unwrap();
    let client = cluster.client(0);
    fill(&client).await;
    let before = seen(&client).await;
    let files = unpacked(&dumped(&cluster).await);
    assert!(files.values().all(|text| !text.contains("_miroir_shard")), "a tag is left");
    for (uid, documents) in &before.documents {
        let mut lines: Vec<String> = files[&format!("indexes/{uid}/documents.jsonl")].lines().map(sorted).collect();
        lines.sort();
        let shown: Vec<String> = documents.iter().map(|document| document.replace(" _vectors={}", "")).collect();
        let shown: Vec<String> = shown.iter().map(|document| document.replace("_vectors={} ", "")).collect();
        assert_eq!(lines, shown, "{uid}");
        let metadata: Value = serde_json::from_str(&files[&format!("indexes/{uid}/metadata.json")]).unwrap();
        assert_eq!((&metadata["uid"], &metadata["primaryKey"]), (&json!(uid), &before.primary_keys[uid]));
    }
    let metadata: Value = serde_json::from_str(&files["metadata.json"]).unwrap();
    assert_eq!(metadata["dumpVersion"], "V6");
    assert_eq!(files["keys.jsonl"].lines().count(), before.keys.len());
    assert!(files["tasks/queue.jsonl"].lines().count() >= 4);
}

/// Whatever was acknowledged before the dump was asked for is in it, though nobody has waited for its task; and nobody
/// sees less than a whole document, though all are written over and over meanwhile.
#[tokio::test]
async fn a_dump_under_writes_has_every_document_whole() {
    let _turn = turn().await;
    let cluster = Cluster::start(options()).await.unwrap();
    let client = cluster.client(0);
    let documents = |round: u32| -> Value {
        (0..600).map(|id| json!({ "id": id, "round": round, "again": round })).collect::<Vec<_>>().into()
    };
    for round in 0..3 {
        assert_eq!(client.post("/indexes/a/documents", &documents(round)).await.unwrap().status, 202);
    }
    let writer = async {
        for round in 3..8 {
            let answer = client.post("/indexes/a/documents", &documents(round)).await.unwrap();
            client.succeeded(&answer).await.unwrap();
        }
    };
    let (dump, ()) = tokio::join!(dumped(&cluster), writer);
    let files = unpacked(&dump);
    let mut ids = Vec::new();
    for line in files["indexes/a/documents.jsonl"].lines() {
        let document: Value = serde_json::from_str(line).unwrap();
        assert_eq!(document["round"], document["again"], "half a document");
        assert!(document["round"].as_u64().unwrap() >= 2, "an acknowledged write is missing: {line}");
        ids.push(document["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..600).collect::<Vec<_>>());
}

/// The dump waits for the documents, and control is killed meanwhile: nobody waits for the task for ever, and no half of a
/// file looks like a dump.
/// They are made one after the other, and none waits for one that waits for it.
#[tokio::test]
async fn dumps_that_are_asked_for_at_once_are_all_made() {
    let _turn = turn().await;
    let cluster = Cluster::start(options()).await.unwrap();
    let client = cluster.client(0);
    fill(&client).await;
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(client.post("/dumps", &json!({})).await.unwrap());
    }
    let mut made = std::collections::BTreeSet::new();
    for answer in &asked {
        made.insert(client.succeeded(answer).await.unwrap()["details"]["dumpUid"].to_string());
    }
    assert_eq!(made.len(), 3);
}

#[tokio::test]
async fn a_dump_that_control_did_not_live_to_finish_has_failed() {
    let _turn = turn().await;
    let mut cluster = Cluster::start(options()).await.unwrap();
    let client = cluster.client(0);
    let many: Vec<Value> = (0..3_000).map(|id| json!({ "id": id, "text": format!("word {id} of many") })).collect();
    assert_eq!(client.post("/indexes/a/documents", &many.into()).await.unwrap().status, 202);
    let asked = client.post("/dumps", &json!({})).await.unwrap();
    cluster.control.kill();
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    let task = client.ended(&asked).await.unwrap();
    assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!("internal")), "{task}");
    let made = std::fs::read_dir(cluster.dir.join("miroir-dumps")).into_iter().flatten().flatten();
    assert_eq!(made.filter(|file| file.path().extension().is_some_and(|end| end == "dump")).count(), 0);
    assert!(dumped(&cluster).await.is_file());
}

fn importing(dump: &Path) -> String {
    format!("[dumps]\nimport = {:?}\n", dump.to_str().unwrap())
}

#[tokio::test]
async fn a_cluster_starts_from_the_dump_of_another() {
    let _turn = turn().await;
    let first = Cluster::start(options()).await.unwrap();
    fill(&first.client(0)).await;
    let before = seen(&first.client(0)).await;
    let dump = dumped(&first).await;
    let settings = Options { control_settings: importing(&dump), nodes: 2, replication_factor: 1, ..options() };
    let mut second = Cluster::start(settings).await.unwrap();
    assert_eq!(seen(&second.client(0)).await, before);
    // Another time the cluster is not empty.
    second.control.terminate().unwrap();
    second.control.restart().unwrap();
    let refused = second.control_up().await.unwrap_err();
    assert!(format!("{refused:?}").contains("the cluster is not empty"), "{refused:?}");
    assert_eq!(seen(&first.client(0)).await, before, "the first one is as it was");
}

/// Both ways between one Meilisearch and a cluster; with the stand-in there is no engine to ask.
#[tokio::test]
async fn one_engine_takes_the_dump_of_a_cluster_and_a_cluster_that_of_an_engine() {
    let _turn = turn().await;
    let engine = Engine::find().unwrap();
    if engine.standin {
        return;
    }
    let cluster = Cluster::start(options()).await.unwrap();
    fill(&cluster.client(0)).await;
    let before = seen(&cluster.client(0)).await;
    let dump = dumped(&cluster).await;
    let single = Single::start_from(&engine, Some("a-master-key-for-tests"), &dump).await.unwrap();
    assert_eq!(seen(&single.client()).await, before);
    let tasks = |list: Value| -> Vec<Value> {
        let shown = |task: &Value| json!([task["uid"], task["type"], task["status"], task["details"], task["error"]]);
        list["results"].as_array().unwrap().iter().map(shown).collect()
    };
    let history = "/tasks?limit=100&types=documentAdditionOrUpdate,settingsUpdate,indexCreation";
    let history_of = async |client: &Client| tasks(client.get(history).await.unwrap().json());
    assert_eq!(history_of(&single.client()).await, history_of(&cluster.client(0)).await);

    let answer = single.client().post("/dumps", &json!({})).await.unwrap();
    let task = single.client().succeeded(&answer).await.unwrap();
    let back = single.dump(task["details"]["dumpUid"].as_str().unwrap());
    let settings = Options { control_settings: importing(&back), ..options() };
    let second = Cluster::start(settings).await.unwrap();
    assert_eq!(seen(&second.client(0)).await, before);
}
