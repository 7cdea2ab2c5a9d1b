//! Disks change and no task tells of it: the comparison in the background finds it, writes down what is lost, and makes
//! the replicas equal again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use miroir_e2e::harness::cluster::Cluster;
use miroir_e2e::harness::copies::Documents;
use miroir_e2e::harness::engine::Engine;
use miroir_e2e::harness::findings::UNWRITABLE;
use miroir_e2e::harness::scene;
use miroir_e2e::{Options, turn, until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);

/// Stand-ins, all of whose replicas are compared every other second, as fast as they answer.
async fn cluster(findings: &str) -> Cluster {
    cluster_of(2, findings).await
}

async fn cluster_of(replication_factor: u8, findings: &str) -> Cluster {
    let engine = Some(Engine::standin().unwrap());
    let scrub = format!("[scrub]\ninterval_ms = 2000\nbusy_percent = 100\n{findings}\n");
    let control_settings = format!("{}\n{scrub}", scene::QUICK);
    Cluster::start(Options { replication_factor, engine, control_settings, ..Options::default() }).await.unwrap()
}

/// Nodes of a shard, as control lists them: none has ever lost its place, so that the first is the senior one.
async fn owners(cluster: &Cluster) -> BTreeMap<u64, Vec<usize>> {
    let mut owners: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for copy in cluster.copies().await.unwrap() {
        owners.entry(copy.shard).or_default().push(copy.node);
    }
    owners
}

async fn findings(cluster: &Cluster) -> Vec<Value> {
    let answer = cluster.operator_client().get("/_miroir/findings").await.unwrap();
    answer.json()["findings"].as_array().unwrap().clone()
}

/// Waits until so many findings are there, and all have been put right.
async fn repaired(cluster: &Cluster, count: usize) -> Vec<Value> {
    until(&format!("{count} findings to be put right"), LIMIT, || async {
        let found = findings(cluster).await;
        (found.len() >= count && found.iter().all(|finding| !finding["repairedMs"].is_null())).then_some(found)
    })
    .await
    .unwrap()
}

async fn passes(cluster: &Cluster) -> u64 {
    scrub(cluster).await["last"]["pass"].as_u64().unwrap_or(0)
}

async fn scrub(cluster: &Cluster) -> Value {
    cluster.operator_client().get("/_miroir/status").await.unwrap().json()["scrub"].clone()
}

/// The findings file.
fn file(cluster: &Cluster) -> Vec<Value> {
    let text = std::fs::read_to_string(cluster.dir.join("miroir-findings.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
}

/// Its lines, by the id of the document.
fn lines(cluster: &Cluster) -> BTreeMap<String, Value> {
    file(cluster).into_iter().map(|line| (line["id"].as_str().unwrap_or_default().to_owned(), line)).collect()
}

async fn in_all(cluster: &Cluster) -> Documents {
    cluster.agreed(&[0, 1, 2], "docs").await.unwrap()
}

#[tokio::test]
async fn what_drifted_is_written_down_and_the_senior_replica_wins() {
    let _turn = turn().await;
    let cluster = cluster("").await;
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();
    let before = in_all(&cluster).await;
    let seen = passes(&cluster).await;
    until("a pass without a finding", LIMIT, || async { (passes(&cluster).await > seen + 1).then_some(()) })
        .await
        .unwrap();
    assert_eq!(findings(&cluster).await, Vec::<Value>::new());

    let owners = owners(&cluster).await;
    let [first, second, third, fourth, ..] = owners.keys().copied().collect::<Vec<_>>()[..] else {
        panic!("{owners:?}")
    };
    let some_of = async |shard: u64, place: usize| {
        let node = owners[&shard][place];
        let documents = cluster.documents_on(node, "docs").await.unwrap().remove(&shard).unwrap();
        let (id, document) = documents.into_iter().next().unwrap();
        (node, id, document)
    };
    // Three juniors: one has other content, one has lost a document, one has one too many. And a senior one with other
    // content, which nobody can tell from the truth.
    let (changed_on, changed, mut document) = some_of(first, 1).await;
    document["text"] = json!("second");
    cluster.drift(changed_on, json!({"index": "docs", "put": [document]})).await.unwrap();
    let (lost_on, lost, _) = some_of(second, 1).await;
    cluster.drift(lost_on, json!({"index": "docs", "delete": [lost]})).await.unwrap();
    let (extra_on, _, mut document) = some_of(third, 1).await;
    let extra = (1_000..).find(|id: &u64| shard_of(*id, &cluster) == third).unwrap();
    document["id"] = json!(extra);
    cluster.drift(extra_on, json!({"index": "docs", "put": [document]})).await.unwrap();
    let (senior_on, senior, mut document) = some_of(fourth, 0).await;
    document["text"] = json!("third");
    cluster.drift(senior_on, json!({"index": "docs", "put": [document]})).await.unwrap();

    let drifted_in = scrub(&cluster).await["pass"].as_u64().unwrap();
    until("all four to be found", LIMIT, || async { (findings(&cluster).await.len() >= 4).then_some(()) })
        .await
        .unwrap();
    let found_in = scrub(&cluster).await["pass"].as_u64().unwrap();
    // What the pass under way has left behind it is the next one's; a third one may have begun meanwhile.
    assert!(found_in <= drifted_in + 2, "drift in pass {drifted_in}, found in pass {found_in}");
    let found = repaired(&cluster, 4).await;
    assert_eq!(found.len(), 4, "{found:?}");
    let of = |shard: u64| found.iter().find(|finding| finding["shard"] == shard).unwrap();
    let node = |node: usize| json!(cluster.nodes[node].part.id);
    assert_eq!((&of(first)["differing"], &of(first)["lost"]), (&json!(1), &node(changed_on)));
    assert_eq!((&of(second)["missing"], &of(second)["documents"]), (&json!(1), &json!([lost])));
    assert_eq!((&of(third)["extra"], &of(third)["kept"]), (&json!(1), &node(owners[&third][0])));
    assert_eq!((&of(fourth)["kept"], &of(fourth)["lost"]), (&node(senior_on), &node(owners[&fourth][1])));

    let lines = lines(&cluster);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!((&lines[&changed]["what"], &lines[&changed]["document"]["text"]), (&json!("differs"), &json!("second")));
    assert_eq!((&lines[&lost]["what"], &lines[&lost]["document"]), (&json!("missing"), &Value::Null));
    let line = &lines[&extra.to_string()];
    assert_eq!(
        (&line["what"], &line["document"]["id"], &line["finding"]),
        (&json!("extra"), &json!(extra), &of(third)["id"])
    );
    assert_eq!(lines[&senior]["document"]["text"], before[&senior]["text"], "the version that was dropped");

    cluster.whole(LIMIT).await.unwrap();
    let after = in_all(&cluster).await;
    let mut expected = before.clone();
    expected.get_mut(&senior).unwrap()["text"] = json!("third");
    assert_eq!(after, expected);

    let status = cluster.tool(&["status"]).await.unwrap();
    assert!(status.code == 1 && status.out.contains("4 times replicas differed"), "{status:?}");
    let listed = cluster.tool(&["findings"]).await.unwrap();
    assert!(listed.code == 6 && listed.out.contains("1 missing") && listed.out.contains("miroir-findings.jsonl"));
    let metrics = cluster.operator_client().get("/metrics").await.unwrap().text;
    assert!(metrics.contains("miroir_alerts_total{kind=\"replica_drift\"} 4"), "{metrics}");
    assert_eq!(cluster.tool(&["findings", "--acknowledge"]).await.unwrap().code, 0);
    assert_eq!(cluster.tool(&["findings"]).await.unwrap().code, 0);
    until("nothing to be a reason any more", LIMIT, || async {
        let ran = cluster.tool(&["status"]).await.ok()?;
        (ran.code == 0).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(cluster.tool(&["verify"]).await.unwrap().code, 0);
}

#[tokio::test]
async fn nothing_is_dropped_that_cannot_be_written_down_and_control_may_start_again_meanwhile() {
    let _turn = turn().await;
    let mut cluster = cluster(UNWRITABLE).await;
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();
    in_all(&cluster).await;
    let (shard, owners) = owners(&cluster).await.pop_first().unwrap();
    let junior = owners[1];
    let documents = cluster.documents_on(junior, "docs").await.unwrap().remove(&shard).unwrap();
    let (id, mut document) = documents.into_iter().next().unwrap();
    document["text"] = json!("second");
    cluster.drift(junior, json!({"index": "docs", "put": [document]})).await.unwrap();
    cluster.findings_blocked(LIMIT).await.unwrap();
    // Whoever looks by hand finds the same.
    let verified = cluster.tool(&["verify", "--output", "json"]).await.unwrap();
    let by_hand = verified.json();
    assert_eq!((verified.code, &by_hand["findingsTotal"]), (6, &json!(1)), "{verified:?}");
    assert_eq!(by_hand["findings"][0]["shard"], shard);
    assert_eq!(by_hand["findings"][0]["document"], id);
    let held = |documents: BTreeMap<u64, Documents>| documents[&shard][&id]["text"].clone();
    assert_eq!(held(cluster.documents_on(junior, "docs").await.unwrap()), "second");
    assert!(cluster.copies().await.unwrap().iter().all(|copy| copy.state == "inSync"));

    // With another place for the file, a new leader goes on where the last one was.
    cluster.unblock_findings().await.unwrap();
    let found = repaired(&cluster, 1).await;
    assert_eq!((found.len(), &found[0]["shard"]), (1, &json!(shard)));
    assert_eq!(lines(&cluster)[&id]["document"]["text"], "second");
    assert_ne!(in_all(&cluster).await[&id]["text"], "second");
    assert_eq!(cluster.tool(&["verify"]).await.unwrap().code, 0);
}

/// Two equal replicas are no evidence: both may have missed the same write. What a task list tells is.
#[tokio::test]
async fn evidence_and_seniority_decide_and_the_majority_does_not() {
    let _turn = turn().await;
    let cluster = cluster_of(3, "").await;
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();
    let before = in_all(&cluster).await;
    let owners = owners(&cluster).await;
    let [first, second, third, ..] = owners.keys().copied().collect::<Vec<_>>()[..] else { panic!("{owners:?}") };
    let some_of = async |shard: u64, place: usize| {
        let node = owners[&shard][place];
        let documents = cluster.documents_on(node, "docs").await.unwrap().remove(&shard).unwrap();
        let (id, document) = documents.into_iter().next().unwrap();
        (node, id, document)
    };
    // The senior one alone differs, and nobody knows why: both others are made like it.
    let (_, senior, mut document) = some_of(first, 0).await;
    document["text"] = json!("second");
    cluster.drift(owners[&first][0], json!({"index": "docs", "put": [document]})).await.unwrap();
    // Both junior ones differ, each in its own way.
    let (_, changed, mut document) = some_of(second, 1).await;
    document["text"] = json!("third");
    cluster.drift(owners[&second][1], json!({"index": "docs", "put": [document]})).await.unwrap();
    cluster.drift(owners[&second][2], json!({"index": "docs", "delete": [changed]})).await.unwrap();

    let found = repaired(&cluster, 4).await;
    assert_eq!(found.len(), 4, "{found:?}");
    let lost = |shard: u64| {
        let here = found.iter().filter(|finding| finding["shard"] == shard);
        here.map(|finding| finding["lost"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let juniors = |shard: u64| {
        owners[&shard][1..].iter().map(|node| cluster.nodes[*node].part.id.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!((lost(first), lost(second)), (juniors(first), juniors(second)));
    let dropped = |id: &str| {
        let lines = file(&cluster).into_iter().filter(|line| line["id"] == id);
        lines.map(|line| line["document"]["text"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(dropped(&senior), [before[&senior]["text"].clone(), before[&senior]["text"].clone()]);
    let mut both = dropped(&changed);
    both.sort_by_key(Value::is_null);
    assert_eq!(both, [json!("third"), Value::Null]);

    // A task that is nobody's tells that the senior one deviated: no finding, and the others are right.
    let (node, told, mut document) = some_of(third, 0).await;
    document["text"] = json!("fourth");
    let direct = cluster.node_client(node).post("/indexes/docs/documents", &json!([document])).await.unwrap();
    assert_eq!(direct.status, 202, "{}", direct.text);
    until("the direct write to be undone", LIMIT, || async {
        let held = cluster.documents_on(node, "docs").await.ok()?;
        (held[&third][&told]["text"] == before[&told]["text"]).then_some(())
    })
    .await
    .unwrap();
    cluster.whole(LIMIT).await.unwrap();
    let mut expected = before.clone();
    expected.get_mut(&senior).unwrap()["text"] = json!("second");
    assert_eq!(in_all(&cluster).await, expected);
    assert_eq!(findings(&cluster).await.len(), 4);
    assert_eq!(cluster.tool(&["verify"]).await.unwrap().code, 0);
}

#[tokio::test]
async fn settings_that_drifted_are_put_right() {
    let _turn = turn().await;
    let cluster = cluster("").await;
    let client = cluster.client(0);
    scene::fill(&client, 100).await.unwrap();
    cluster.drift(1, json!({"index": "docs", "settings": {"stopWords": ["first"]}})).await.unwrap();
    let found = repaired(&cluster, 1).await;
    assert_eq!((found.len(), &found[0]["shard"], &found[0]["kept"]), (1, &Value::Null, &Value::Null));
    assert_eq!(found[0]["lost"], cluster.nodes[1].part.id);
    assert_eq!(lines(&cluster)[""]["settings"]["stopWords"], json!(["first"]));
    let settings = cluster.node_client(1).get("/indexes/docs/settings").await.unwrap().json();
    assert_eq!(settings["stopWords"], json!([]));
    assert_eq!(scene::count(&client).await.unwrap(), 100);
}

/// The shard of a document.
fn shard_of(id: u64, cluster: &Cluster) -> u64 {
    miroir_core::hash::shard_of(id.to_string().as_bytes(), cluster.shards()).into()
}
