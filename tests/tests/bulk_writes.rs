//! Writes that the filter does not split itself: Envoy streams them to control, which spools them and sends the parts.
//! The limit above which that happens is set so low that small bodies go this way.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use miroir_core::tag;
use miroir_e2e::harness::client::{Answer, Client};
use miroir_e2e::harness::cluster::{Cluster, Options};
use miroir_e2e::harness::engine::Engine;
use miroir_e2e::harness::{load, scene};
use miroir_e2e::{turn, until};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Body, Method};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const DOCUMENTS: &str = "/indexes/docs/documents";
/// Largest payload.
const MOST: usize = 20_000;

/// A cluster whose filter splits nothing above this many bytes.
async fn cluster(split_in_filter: usize, engine: Option<Engine>) -> Cluster {
    let limits = format!("[limits]\nsplit_in_filter_bytes = {split_in_filter}\nmax_body_bytes = {MOST}\n");
    let control_settings = format!("{}{limits}", scene::QUICK);
    Cluster::start(Options { envoys: 2, engine, control_settings, ..Options::default() }).await.unwrap()
}

/// Such a cluster with an index `docs` without documents.
async fn empty_index() -> (Cluster, Client, Expected) {
    let cluster = cluster(100, None).await;
    let client = cluster.client(0);
    let created = client.post("/indexes", &json!({"uid": "docs", "primaryKey": "id"})).await.unwrap();
    client.succeeded(&created).await.unwrap();
    (cluster, client, Expected::default())
}

/// Payload bytes that control has spooled so far.
async fn spooled(cluster: &Cluster) -> usize {
    let metrics = cluster.operator_client().get("/metrics").await.unwrap().text;
    let line = metrics.lines().find(|line| !line.starts_with('#') && line.contains("bulk_bytes_total"));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).expect("the metric of spooled bytes")
}

/// A body whose length nobody is told.
fn chunked(body: &[u8]) -> Body {
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = body.chunks(700).map(|piece| Ok(piece.to_vec())).collect();
    Body::wrap_stream(futures::stream::iter(pieces))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A request with a body.
struct Payload<'a> {
    method: Method,
    path: &'a str,
    content_type: &'a str,
    encoding: Option<&'a str>,
    body: Body,
}

impl Payload<'_> {
    async fn send(self, client: &Client) -> Answer {
        let mut request = client.request(self.method, self.path).header(CONTENT_TYPE, self.content_type);
        if let Some(encoding) = self.encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        client.send(request.body(self.body)).await.unwrap()
    }
}

fn post(content_type: &'static str, body: impl Into<Body>) -> Payload<'static> {
    Payload { method: Method::POST, path: DOCUMENTS, content_type, encoding: None, body: body.into() }
}

fn encoded(encoding: &'static str, body: impl Into<Body>) -> Payload<'static> {
    Payload { encoding: Some(encoding), ..post(JSON, body) }
}

/// What the index must hold.
#[derive(Default)]
struct Expected(BTreeMap<String, Value>);

impl Expected {
    /// Documents of these ids, as they are sent; remembered.
    fn add(&mut self, ids: std::ops::Range<u64>, text: &str) -> Vec<Value> {
        let documents: Vec<Value> =
            ids.clone().map(|id| json!({"id": id, "text": format!("{text} {id}"), "kept": id})).collect();
        self.0.extend(ids.map(|id| id.to_string()).zip(documents.iter().cloned()));
        documents
    }
}

/// What a document holds for its owner.
fn plain(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|name, _| name != tag::TAG_FIELD && name != "_vectors");
    }
    document
}

/// All replicas hold the same documents, and these.
async fn holds(cluster: &Cluster, index: &str, expected: &BTreeMap<String, Value>) {
    let held = cluster.agreed(&[0, 1, 2], index).await.unwrap();
    let held: BTreeMap<String, Value> = held.into_iter().map(|(id, document)| (id, plain(document))).collect();
    assert_eq!(&held, expected);
}

/// The write went through control's spool, whole and decoded, and its task succeeded.
async fn taken(cluster: &Cluster, client: &Client, before: usize, length: usize, answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(spooled(cluster).await - before, length, "bytes that were spooled");
    client.succeeded(answer).await.unwrap()
}

fn text(documents: &[Value]) -> Vec<u8> {
    json!(documents).to_string().into_bytes()
}

#[tokio::test]
async fn every_form_of_a_payload_arrives_whole_on_every_replica() {
    let _turn = turn().await;
    let (cluster, client, mut expected) = empty_index().await;

    let at = spooled(&cluster).await;
    let body = text(&expected.add(0..40, "sized"));
    let task = taken(&cluster, &client, at, body.len(), &post(JSON, body.clone()).send(&client).await).await;
    assert_eq!(task["details"]["indexedDocuments"], 40, "{task}");

    let at = spooled(&cluster).await;
    let body = text(&expected.add(30..70, "chunked"));
    taken(&cluster, &client, at, body.len(), &post(JSON, chunked(&body)).send(&client).await).await;

    let at = spooled(&cluster).await;
    let lines: String = expected.add(70..100, "line").iter().map(|document| format!("{document}\n")).collect();
    let answer = post("application/x-ndjson", chunked(lines.as_bytes())).send(&client).await;
    taken(&cluster, &client, at, lines.len(), &answer).await;

    let at = spooled(&cluster).await;
    let mut table = "id,text,kept:number\n".to_owned();
    for id in 100..130 {
        table.push_str(&format!("{id},\"a row, {id}\",{id}\n"));
        let document = json!({"id": id.to_string(), "text": format!("a row, {id}"), "kept": id});
        expected.0.insert(id.to_string(), document);
    }
    let answer = post("text/csv", table.clone()).send(&client).await;
    taken(&cluster, &client, at, table.len(), &answer).await;

    for (encoding, encode, ids) in
        [("gzip", gzip as fn(&[u8]) -> Vec<u8>, 130..160), ("deflate", deflate as fn(&[u8]) -> Vec<u8>, 160..190)]
    {
        let at = spooled(&cluster).await;
        let body = text(&expected.add(ids.clone(), encoding));
        let half = encode(&body);
        let broken = encoded(encoding, half[..half.len() / 2].to_vec()).send(&client).await;
        assert_eq!(
            (broken.status, &broken.json()["code"]),
            (400, &json!("bad_request")),
            "{encoding}: {}",
            broken.text
        );
        let answer = encoded(encoding, chunked(&encode(&body))).send(&client).await;
        taken(&cluster, &client, at, body.len(), &answer).await;
    }

    // A part of each document, and one document that is new.
    let at = spooled(&cluster).await;
    let parts: Vec<Value> = (0..20).chain([500]).map(|id| json!({"id": id, "text": format!("in part {id}")})).collect();
    for part in &parts {
        let document = expected.0.entry(part["id"].to_string()).or_insert_with(|| part.clone());
        document["text"] = part["text"].clone();
    }
    let body = text(&parts);
    let update = Payload { method: Method::PUT, ..post(JSON, chunked(&body)) };
    taken(&cluster, &client, at, body.len(), &update.send(&client).await).await;

    // Ids alone go this way where they are encoded.
    let at = spooled(&cluster).await;
    let ids = json!((60..80).collect::<Vec<u64>>()).to_string();
    let path = "/indexes/docs/documents/delete-batch";
    let deletion = Payload { path, ..encoded("gzip", gzip(ids.as_bytes())) };
    let task = taken(&cluster, &client, at, ids.len(), &deletion.send(&client).await).await;
    assert_eq!(task["details"]["deletedDocuments"], 20, "{task}");
    expected.0.retain(|id, _| !(60..80).contains(&id.parse::<u64>().unwrap()));

    holds(&cluster, "docs", &expected.0).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_what_is_sent_twice_is_written_once() {
    let _turn = turn().await;
    let (cluster, client, mut expected) = empty_index().await;
    let tasks = async || client.get("/tasks?limit=1").await.unwrap().json()["total"].as_u64().unwrap();
    let before = tasks().await;
    let large: Vec<Value> = (0..40).map(|id| json!({"id": id, "text": "large ".repeat(200)})).collect();
    let large = text(&large);
    assert!(large.len() > MOST && gzip(&large).len() < MOST);
    let refused = [post(JSON, large.clone()), post(JSON, chunked(&large)), encoded("gzip", gzip(&large))];
    for payload in refused {
        let answer = payload.send(&client).await;
        assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("payload_too_large")), "{}", answer.text);
    }
    assert_eq!(tasks().await, before, "a refused payload has left a task");

    // The same request twice, through two Envoys, is one write; another one under its key is refused.
    let body = text(&expected.add(0..40, "once"));
    let send = async |envoy: usize, body: &[u8]| {
        let client = cluster.client(envoy);
        let request = client.request(Method::POST, DOCUMENTS).header(CONTENT_TYPE, JSON);
        client.send(request.header("idempotency-key", "k").body(chunked(body))).await.unwrap()
    };
    let (first, second) = futures::join!(send(0, &body), send(1, &body));
    assert_eq!((first.status, second.status), (202, 202), "{} {}", first.text, second.text);
    assert_eq!(first.json()["taskUid"], second.json()["taskUid"]);
    client.succeeded(&first).await.unwrap();
    assert_eq!(send(0, &body).await.json()["taskUid"], first.json()["taskUid"]);
    let other = send(0, &text(&[json!({"id": 1, "text": "another payload under the same key ".repeat(5)})])).await;
    assert_eq!(other.status, 409, "{}", other.text);
    assert_eq!(tasks().await, before + 1);
    holds(&cluster, "docs", &expected.0).await;

    // A first write creates its index, and the documents name its key.
    let books: Vec<Value> = (0..30).map(|id| json!({"id": id, "title": format!("book {id}")})).collect();
    let new = Payload { path: "/indexes/books/documents", ..post(JSON, chunked(&text(&books))) };
    client.succeeded(&new.send(&client).await).await.unwrap();
    assert_eq!(client.get("/indexes/books").await.unwrap().json()["primaryKey"], "id");
    let books = books.into_iter().map(|book| (book["id"].to_string(), book)).collect();
    holds(&cluster, "books", &books).await;
}

#[tokio::test]
async fn a_node_that_dies_is_missed_and_gets_all_when_it_is_back() {
    let _turn = turn().await;
    let mut cluster = cluster(1, None).await;
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    let at = spooled(&cluster).await;
    let writers: Vec<_> = [0, 1].map(|at| load::writer(cluster.client(at), "docs", 1_000 * (at as u64 + 1))).into();
    for step in 0..3 {
        match step {
            1 => cluster.nodes[1].kill(),
            2 => {
                cluster.nodes[1].restart().unwrap();
                cluster.node_up(1).await.unwrap();
            }
            _ => {}
        }
        for writer in &writers {
            let so_far = writer.turns();
            until("the load to go on", Duration::from_secs(90), || async {
                (writer.turns() >= so_far + 8).then_some(())
            })
            .await
            .unwrap();
        }
    }
    let (mut acknowledged, mut degraded) = (Vec::new(), 0);
    for writer in writers {
        let written = writer.finish().await.unwrap();
        assert!(written.refused.is_empty(), "{:?}", written.refused);
        degraded += written.degraded;
        acknowledged.extend(written.acknowledged);
    }
    assert!(spooled(&cluster).await > at, "the writes went another way");
    assert!(degraded > 0, "no answer was marked degraded");
    for (id, task) in &acknowledged {
        assert_eq!(client.task(*task).await.unwrap()["status"], "succeeded", "document {id}");
    }
    cluster.whole(Duration::from_secs(60)).await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 40 + acknowledged.len());
    assert!(acknowledged.iter().all(|(id, _)| held.contains_key(&id.to_string())));
}

#[tokio::test]
async fn a_client_that_leaves_takes_what_it_has_not_sent_with_it_and_blocks_nobody() {
    let _turn = turn().await;
    let cluster = cluster(100, Some(Engine::standin().unwrap())).await;
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();

    // In the middle of its payload.
    let before = client.get("/tasks?limit=1").await.unwrap().json()["total"].clone();
    let (pieces, coming) = futures::channel::mpsc::unbounded::<Result<String, std::io::Error>>();
    pieces.unbounded_send(Ok("[{\"id\": 1000, \"text\": \"half\"},".to_owned())).unwrap();
    let request = client.request(Method::POST, DOCUMENTS).header(CONTENT_TYPE, JSON).body(Body::wrap_stream(coming));
    let sender = client.clone();
    let request = tokio::spawn(async move { sender.send(request).await });
    let admin = Client::new(&cluster.envoy_admins[0], None);
    let active = async || {
        let stats = admin.get("/stats?filter=cluster.miroir-control-internal.upstream_rq_active$").await.ok()?;
        stats.text.trim().rsplit_once(": ")?.1.parse::<u64>().ok()
    };
    let limit = Duration::from_secs(30);
    until("the payload to be on its way", limit, async || (active().await? > 0).then_some(())).await.unwrap();
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    until("the payload to be given up", limit, async || (active().await? == 0).then_some(())).await.unwrap();
    drop(pieces);
    assert_eq!(client.get("/tasks?limit=1").await.unwrap().json()["total"], before);

    // Between its payload and its answer.
    cluster.plant_everywhere(&json!({"answerDelayMs": 1000, "path": "/documents"})).await.unwrap();
    let with_nodes = async || {
        let tasks = cluster.node_client(0).get("/tasks?types=documentAdditionOrUpdate&limit=1").await.ok()?.json();
        tasks["total"].as_u64()
    };
    let enqueued = with_nodes().await.unwrap();
    let all: Vec<Value> = (0..40).map(|id| json!({"id": id, "text": "and gone"})).collect();
    let request = client.request(Method::POST, DOCUMENTS).header(CONTENT_TYPE, JSON).body(chunked(&text(&all)));
    let sender = client.clone();
    let request = tokio::spawn(async move { sender.send(request).await });
    until("the write to be with the nodes", limit, async || (with_nodes().await? > enqueued).then_some(()))
        .await
        .unwrap();
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled(), "answered too soon");
    cluster.plant_everywhere(&json!({})).await.unwrap();
    scene::write(&client, &json!([{"id": 7, "text": "newer"}])).await.unwrap();
    until("no open task", limit, async || {
        let open = client.get("/tasks?statuses=enqueued,processing").await.ok()?.json();
        (open["total"] == 0).then_some(())
    })
    .await
    .unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 40, "of a payload that broke off nothing is there");
    for (id, document) in &held {
        assert_eq!(document["text"], if id == "7" { "newer" } else { "and gone" }, "document {id}");
    }
}
