//! A Meilisearch with data becomes a cluster of one node while it serves, and grows from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use miroir_e2e::harness::copies::Documents;
use miroir_e2e::harness::scene::{QUICK, done};
use miroir_e2e::{Client, Cluster, Options, turn, until};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(120);
const DOCS: u64 = 2_400;
const BOOKS: u64 = 300;
const KEY: &str = "6062abda-a5aa-4414-ac91-ecd7944c0f8d";

/// Control whose store is new, in front of nodes that are empty Meilisearches.
async fn bare(nodes: usize) -> anyhow::Result<Cluster> {
    let control_settings = format!("{QUICK}vm_silent_ms = 4000\n");
    let options = Options { nodes, replication_factor: 1, control_settings, ..Options::default() };
    let mut cluster = Cluster::start(options).await?;
    cluster.envoys[0].kill();
    cluster.control.kill();
    cluster.lose_store()?;
    for node in 0..nodes {
        cluster.nodes[node].kill();
        cluster.wipe(node)?;
        cluster.nodes[node].restart()?;
        cluster.node_up(node).await?;
    }
    Ok(cluster)
}

/// Control answers, but does not serve.
async fn waits(cluster: &mut Cluster) -> anyhow::Result<()> {
    cluster.control.restart()?;
    let client = cluster.control_client();
    let ready = until("control to wait", LIMIT, || async {
        let answer = client.get("/_miroir/ready").await.ok()?;
        (answer.json()["status"] == "waiting").then_some(answer)
    })
    .await?;
    ensure!(ready.status == 503 && ready.text.contains("miroirctl adopt"), "{ready:?}");
    Ok(())
}

fn doc(id: u64, text: &str) -> Value {
    json!({"id": id, "text": text, "genre": format!("g{}", id % 7), "hidden": id, "big": u64::MAX - id, "exact": 1.5e3})
}

fn book(id: u64) -> Value {
    let vector = [id as f64 / 10.0, 1.0, 2.0];
    json!({"id": format!("b-{id}"), "title": format!("title {id} of the words"), "year": 1_000 + id, "_vectors": {"own": vector}})
}

/// Two indexes with settings, and a key, on the node itself.
async fn load(node: &Client) -> anyhow::Result<()> {
    for uid in ["docs", "books"] {
        done(node, &node.post("/indexes", &json!({"uid": uid, "primaryKey": "id"})).await?).await?;
    }
    let settings = json!({
        "filterableAttributes": ["genre"], "displayedAttributes": ["id", "text", "genre", "big", "exact"], "stopWords": ["the"],
        "faceting": {"maxValuesPerFacet": 5, "sortFacetValuesBy": {"*": "count"}}, "pagination": {"maxTotalHits": 5_000},
    });
    done(node, &node.json(Method::PATCH, "/indexes/docs/settings", &settings).await?).await?;
    let settings = json!({
        "sortableAttributes": ["year"], "synonyms": {"tome": ["title"]},
        "filterableAttributes": [{
            "attributePatterns": ["*"], "features": {"facetSearch": true, "filter": {"equality": true, "comparison": true}},
        }],
        "embedders": {"own": {"source": "userProvided", "dimensions": 3}},
    });
    done(node, &node.json(Method::PATCH, "/indexes/books/settings", &settings).await?).await?;
    let docs: Value = (0..DOCS).map(|id| doc(id, &format!("first {id}"))).collect();
    done(node, &node.post("/indexes/docs/documents", &docs).await?).await?;
    let books: Value = (0..BOOKS).map(book).collect();
    done(node, &node.post("/indexes/books/documents", &books).await?).await?;
    let key = json!({"uid": KEY, "name": "mine", "actions": ["search"], "indexes": ["books"], "expiresAt": null});
    let made = node.post("/keys", &key).await?;
    ensure!(made.status == 201, "{made:?}");
    Ok(())
}

/// Questions about books, which nobody writes to; ties are broken by the year.
fn questions() -> Vec<(&'static str, Value)> {
    let page = |limit: u64| json!({"limit": limit, "sort": ["year:asc"]});
    let mut all = page(400);
    all["retrieveVectors"] = true.into();
    let mut some = page(50);
    some["filter"] = "year > 1100 AND year <= 1190".into();
    let mut word = page(30);
    (word["q"], word["facets"]) = ("tome 12".into(), json!(["year"]));
    vec![
        ("search", all),
        ("search", some),
        ("search", word),
        (
            "search",
            json!({"q": "title", "page": 2, "hitsPerPage": 20, "sort": ["year:desc"], "showRankingScore": true}),
        ),
        ("documents/fetch", json!({"ids": ["b-7", "b-200"], "retrieveVectors": true, "filter": "year > 1100"})),
    ]
}

/// What is answered without control, and without how long it took.
async fn answers_of_nodes(client: &Client) -> anyhow::Result<Vec<Value>> {
    let mut answers = Vec::new();
    for (route, question) in questions() {
        let answer = client.post(&format!("/indexes/books/{route}"), &question).await?;
        ensure!(answer.status == 200, "{question}: {} {}", answer.status, answer.text);
        let mut body = answer.json();
        for unequal in ["processingTimeMs", "requestUid"] {
            body.as_object_mut().context("an object")?.remove(unequal);
        }
        answers.push(body);
    }
    Ok(answers)
}

/// What is answered, also by control.
async fn answers(client: &Client) -> anyhow::Result<Vec<Value>> {
    let mut answers = answers_of_nodes(client).await?;
    let stats = client.get("/indexes/books/stats").await?.json();
    answers.push(json!([stats["numberOfDocuments"], stats["fieldDistribution"], stats["numberOfEmbeddedDocuments"]]));
    answers.push(client.get("/indexes/books/documents/b-42").await?.json());
    Ok(answers)
}

/// Asks again and again, until it is told to stop; how often.
fn ask(client: Client, expected: Vec<Value>, stop: Arc<AtomicBool>) -> JoinHandle<anyhow::Result<usize>> {
    tokio::spawn(async move {
        let mut turns = 0;
        while !stop.load(Ordering::SeqCst) {
            let got = answers_of_nodes(&client).await?;
            ensure!(got == expected[..got.len()], "turn {turns}: {}", differing(&expected, &got));
            turns += 1;
        }
        Ok(turns)
    })
}

fn differing(expected: &[Value], got: &[Value]) -> String {
    let differing = expected.iter().zip(got).find(|(left, right)| left != right);
    differing.map(|(left, right)| format!("{right}\ninstead of\n{left}")).unwrap_or_default()
}

/// Writes to docs again and again: new ones, changed ones (whole and in part), and some that go; what must be there.
fn write(client: Client, stop: Arc<AtomicBool>) -> JoinHandle<anyhow::Result<BTreeMap<u64, Value>>> {
    let mut held: BTreeMap<u64, Value> = (0..DOCS).map(|id| (id, doc(id, &format!("first {id}")))).collect();
    tokio::spawn(async move {
        const PATH: &str = "/indexes/docs/documents";
        // From the end: those are tagged last.
        for turn in 0..DOCS / 4 {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let at = DOCS - 1 - turn * 4;
            let new = doc(100_000 + turn, "new");
            let whole = doc(at, "whole");
            let part = json!({"id": at - 1, "text": "part"});
            accepted(&client, Method::POST, PATH, &json!([new, whole])).await?;
            accepted(&client, Method::PUT, PATH, &json!([part])).await?;
            accepted(&client, Method::POST, &format!("{PATH}/delete-batch"), &json!([at - 2])).await?;
            held.insert(100_000 + turn, new);
            held.insert(at, whole);
            held.get_mut(&(at - 1)).context("a document")?["text"] = "part".into();
            held.remove(&(at - 2));
        }
        Ok(held)
    })
}

/// Sends a write until it is taken: there is none while control is away.
async fn accepted(client: &Client, method: Method, path: &str, body: &Value) -> anyhow::Result<()> {
    until("a write to be taken", LIMIT, || async {
        let answer = client.json(method.clone(), path, body).await.ok()?;
        (answer.status == 202).then_some(())
    })
    .await
}

async fn tagging(cluster: &Cluster) -> Option<Value> {
    let answer = cluster.operator_client().get("/_miroir/status").await.ok()?;
    (answer.status == 200).then(|| answer.json()["tagging"].clone())
}

fn plain(held: &Documents) -> BTreeMap<String, Value> {
    let strip = |document: &Value| {
        let mut document = document.clone();
        for reserved in ["_miroir_shard", "_vectors"] {
            document.as_object_mut().map(|fields| fields.remove(reserved));
        }
        document
    };
    held.iter().map(|(id, document)| (id.clone(), strip(document))).collect()
}

#[tokio::test]
async fn a_node_with_data_becomes_a_cluster_and_grows_while_it_serves() {
    let _turn = turn().await;
    let mut cluster = bare(1).await.unwrap();
    let node = cluster.node_client(0);
    load(&node).await.unwrap();
    let before = answers(&node).await.unwrap();
    let settings =
        async |client: &Client, uid: &str| client.get(&format!("/indexes/{uid}/settings")).await.unwrap().json();
    let (docs, books) = (settings(&node, "docs").await, settings(&node, "books").await);
    let key = node.get(&format!("/keys/{KEY}")).await.unwrap().json()["key"].as_str().unwrap().to_owned();
    let keys = node.get("/keys?limit=100").await.unwrap().json();
    let tasks =
        async |cluster: &Cluster| cluster.node_client(0).get("/tasks?limit=1").await.unwrap().json()["total"].clone();

    waits(&mut cluster).await.unwrap();
    assert_eq!(cluster.tool(&["status"]).await.unwrap().code, 7);
    let looked = tasks(&cluster).await;
    let ran = cluster.tool(&["adopt", "--dry-run"]).await.unwrap();
    assert!(ran.code == 0 && ran.out.contains("books") && ran.out.contains("2,400"), "{ran:?}");
    assert_eq!(cluster.tool(&["adopt", "node-7", "--yes"]).await.unwrap().code, 5);
    assert_eq!(tasks(&cluster).await, looked, "a look changes nothing");
    let ran = cluster.tool(&["adopt", "node-0", "--yes"]).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    let operator = cluster.operator_client();
    // Two pages, and pauses long enough to do things meanwhile.
    let slowly = json!({"documentsPerSecond": 60});
    until("control to serve", LIMIT, || async {
        let answer = operator.json(Method::PUT, "/_miroir/throttle", &slowly).await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await
    .unwrap();
    cluster.control_up().await.unwrap();
    cluster.envoys[0].restart().unwrap();
    cluster.envoy_up(0).await.unwrap();
    let client = cluster.client(0);
    until("the filter to have the map", LIMIT, || async {
        (client.get("/indexes/books/documents/b-1").await.ok()?.status == 200).then_some(())
    })
    .await
    .unwrap();

    // At once, and all the while.
    let got = answers(&client).await.unwrap();
    assert!(got == before, "{}", differing(&before, &got));
    let stop = Arc::new(AtomicBool::new(false));
    let (reader, writer) = (ask(client.clone(), before.clone(), stop.clone()), write(client.clone(), stop.clone()));
    assert_eq!((settings(&client, "docs").await, settings(&client, "books").await), (docs.clone(), books.clone()));
    let found = client.with_key(Some(&key)).post("/indexes/books/search", &json!({"q": "title"})).await.unwrap();
    assert_eq!(found.status, 200, "{}", found.text);
    let denied = client.with_key(Some(&key)).post("/indexes/docs/search", &json!({})).await.unwrap();
    assert_eq!(denied.status, 403);
    let names = |keys: &Value| -> Vec<Value> {
        keys["results"].as_array().unwrap().iter().map(|key| json!([key["uid"], key["key"], key["name"]])).collect()
    };
    let kept = client.get("/keys?limit=100").await.unwrap().json();
    assert!(names(&keys).iter().all(|key| names(&kept).contains(key)), "{kept}");

    // It grows when all are tagged, and not before.
    let progress = until("a page", LIMIT, || async {
        let tagging = tagging(&cluster).await?;
        (tagging["tagged"].as_u64() > Some(0) && tagging["left"].as_u64() > Some(0)).then_some(tagging)
    })
    .await
    .unwrap();
    let first = cluster.another_node().await.unwrap();
    let url = cluster.nodes[first].part.url.clone();
    let job = cluster.job(&["node", "add", "node-1", &url]).await.unwrap();
    let waiting = until("a reason", LIMIT, || async {
        cluster.job_state(job).await.ok()?["waiting"].as_str().filter(|why| why.contains("tag")).map(str::to_owned)
    })
    .await
    .unwrap();
    assert!(waiting.contains("have none"), "{waiting}; {progress}");
    assert!(cluster.tool(&["status"]).await.unwrap().out.contains("tagging"));

    // Control dies in the middle; what is left is done by the next one.
    cluster.control.kill();
    let got = answers_of_nodes(&client).await.unwrap();
    assert!(got == before[..5], "{}", differing(&before, &got));
    cluster.control.restart().unwrap();
    cluster.control_up().await.unwrap();
    assert_eq!(cluster.job_state(job).await.unwrap()["movesDone"], 0);
    let fast = json!({});
    assert_eq!(operator.json(Method::PUT, "/_miroir/throttle", &fast).await.unwrap().status, 200);
    until("all documents to be tagged", LIMIT, || async { tagging(&cluster).await.filter(Value::is_null) })
        .await
        .unwrap();
    cluster.job_done(job).await.unwrap();
    stop.store(true, Ordering::SeqCst);
    let expected = writer.await.unwrap().unwrap();
    assert!(reader.await.unwrap().unwrap() > 3);
    let second = cluster.another_node().await.unwrap();
    let url = cluster.nodes[second].part.url.clone();
    let job = cluster.job(&["node", "add", "node-2", &url]).await.unwrap();
    cluster.job_done(job).await.unwrap();
    let job = cluster.job(&["rf", "2"]).await.unwrap();
    cluster.job_done(job).await.unwrap();

    // Every document, and nothing but them.
    cluster.whole(LIMIT).await.unwrap();
    let held = plain(&cluster.agreed(&[0, 1, 2], "docs").await.unwrap());
    let expected: BTreeMap<String, Value> =
        expected.into_iter().map(|(id, document)| (id.to_string(), document)).collect();
    let odd: Vec<_> = expected.iter().filter(|(id, document)| held.get(*id) != Some(document)).take(3).collect();
    assert!(odd.is_empty(), "{odd:?} instead of {:?}", odd.iter().map(|(id, _)| held.get(*id)).collect::<Vec<_>>());
    assert_eq!(held.len(), expected.len());
    assert_eq!(cluster.agreed(&[0, 1, 2], "books").await.unwrap().len() as u64, BOOKS);
    assert_eq!((settings(&client, "docs").await, settings(&client, "books").await), (docs, books));

    // The node on which it all began may go.
    cluster.adopted().await.unwrap();
    cluster.nodes[0].kill();
    let got = answers_of_nodes(&client).await.unwrap();
    assert!(got[..2] == before[..2], "{}", differing(&before[..2], &got[..2]));
    let all = client.post("/indexes/docs/search", &json!({"page": 1, "hitsPerPage": 1})).await.unwrap();
    assert_eq!(all.header("x-miroir-shards"), Some("16/16"), "{}", all.text);
    assert_eq!(all.json()["totalHits"].as_u64(), Some(expected.len() as u64));
}

#[tokio::test]
async fn a_cluster_never_begins_over_somebodys_indexes() {
    let _turn = turn().await;
    let mut cluster = bare(2).await.unwrap();
    let node = cluster.node_client(1);
    done(&node, &node.post("/indexes/mine/documents", &json!([{"id": 1}])).await.unwrap()).await.unwrap();
    waits(&mut cluster).await.unwrap();
    let ran = cluster.tool(&["adopt", "--yes"]).await.unwrap();
    assert!(ran.code == 5 && ran.out.contains("several nodes"), "{ran:?}");
    let refused = cluster.operator_client().json(Method::POST, "/_miroir/adopt", &json!({})).await.unwrap();
    assert_eq!((refused.status, refused.json()["code"].clone()), (409, json!("not_adoptable")), "{}", refused.text);
    let closed = cluster.operator_client().with_key(None).get("/_miroir/adopt").await.unwrap();
    assert_eq!(closed.status, 401);
    assert_eq!(node.get("/indexes/mine/documents/1").await.unwrap().status, 200);
    // When they are gone it begins by itself, and there is nothing to adopt any more.
    done(&node, &node.delete("/indexes/mine").await.unwrap()).await.unwrap();
    cluster.control_up().await.unwrap();
    let ran = cluster.tool(&["adopt", "--yes"]).await.unwrap();
    assert!(ran.code == 5 && ran.err.contains("already"), "{ran:?}");
}
