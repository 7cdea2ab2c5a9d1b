//! What moves and repairs ask of nodes, on the engine itself: keys, digests, pages, deletions, and what a node that is
//! not as it must be is told.

use std::collections::BTreeMap;
use std::time::Duration;

use miroir_control::cluster::{FoundIndex, IndexRow, Planner, Secrets};
use miroir_control::config::Node;
use miroir_control::node::{Client, Copied};
use miroir_control::settings::{Settings, SettingsPlanner, Update};
use miroir_core::hash::shard_of;
use miroir_core::tag::{TAG_FIELD, encode};
use miroir_e2e::scenario::MASTER_KEY;
use miroir_e2e::{Engine, Single};
use miroir_sequencer::{NodeAction, NodeAnswer};
use serde_json::{Value, json};

const SHARDS: u32 = 4;
const SHARD: u32 = 1;
const LIMIT: Duration = Duration::from_secs(30);

/// Two nodes, and control's client of them.
struct Pair {
    nodes: BTreeMap<&'static str, Single>,
    client: Client,
    copied: Copied,
}

impl Pair {
    async fn start(engine: &Engine) -> Self {
        let mut nodes = BTreeMap::new();
        for id in ["from", "to"] {
            nodes.insert(id, Single::start(engine, Some(MASTER_KEY)).await.unwrap());
        }
        let copied = Copied::default();
        let secrets = Secrets { master_key: Some(MASTER_KEY.to_owned()) };
        let client = Client::new(&secrets, "c0ffee00", SHARDS, copied.clone());
        let listed: Vec<Node> = nodes
            .iter()
            .map(|(id, node)| Node {
                id: (*id).to_owned(),
                url: node.client().base.parse().unwrap(),
                weight: 1.0,
                zone: None,
                tls_ca: None,
            })
            .collect();
        assert_eq!(client.set_nodes(&listed), []);
        Self { nodes, client, copied }
    }

    async fn act(&self, node: &str, action: NodeAction) -> NodeAnswer {
        self.client.act(node, action, LIMIT).await.unwrap()
    }

    /// Does something that makes a task, which must succeed; its `details` and `customMetadata`.
    async fn done(&self, node: &str, action: NodeAction) -> Value {
        let answer = self.act(node, action).await;
        let NodeAnswer::Enqueued { uid, enqueued_at } = answer else { panic!("{answer:?}") };
        let task = self.nodes[node].client().task(uid.into()).await.unwrap();
        assert_eq!(task["enqueuedAt"], *enqueued_at, "by which the disk is known again: {task}");
        assert_eq!(task["status"], "succeeded", "{task}");
        task
    }

    async fn send(&self, node: &str, method: &str, path: &str, body: &Value) {
        let client = self.nodes[node].client();
        let answer = client.json(method.parse().unwrap(), path, body).await.unwrap();
        client.succeeded(&answer).await.unwrap();
    }

    async fn keys(&self, node: &str) -> Vec<String> {
        let action = NodeAction::ListKeys { index: "i".into(), primary_key: "k.id".into(), shard: SHARD };
        let NodeAnswer::Keys(mut keys) = self.act(node, action).await else { panic!("no keys") };
        keys.sort();
        keys
    }

    async fn digests(&self, node: &str, keys: Option<&[String]>) -> BTreeMap<String, u128> {
        let keys = keys.map(<[String]>::to_vec);
        let action = NodeAction::Digests { index: "i".into(), primary_key: "k.id".into(), shard: SHARD, keys };
        let NodeAnswer::Digests(digests) = self.act(node, action).await else { panic!("no digests") };
        digests.into_iter().collect()
    }

    async fn count(&self, node: &str) -> u64 {
        let NodeAnswer::Count(count) = self.act(node, NodeAction::CountShard { index: "i".into(), shard: SHARD }).await
        else {
            panic!("no count")
        };
        count
    }
}

fn key() -> Option<String> {
    Some(MASTER_KEY.to_owned())
}

/// The document as a cluster would have stored it.
fn tagged(id: usize, mut document: Value) -> Value {
    let shard = shard_of(id.to_string().as_bytes(), SHARDS);
    document["k"] = json!({ "id": id });
    document[TAG_FIELD] = encode(shard, SHARDS).into();
    document
}

fn of_shard(id: usize) -> bool {
    shard_of(id.to_string().as_bytes(), SHARDS) == SHARD
}

fn index() -> IndexRow {
    let change = json!({"embedders": {
        "e": {"source": "userProvided", "dimensions": 2}, "f": {"source": "userProvided", "dimensions": 2},
    }});
    let settings = Settings::default().apply("i", &Update::of_all(change).unwrap()).unwrap();
    IndexRow {
        uid: "i".to_owned(),
        incarnation: 1,
        placement: 0,
        primary_key: Some("k.id".to_owned()),
        provisional: false,
        swapping: false,
        settings: settings.to_stored(),
        view: settings.search_view(),
        created_ms: 0,
        updated_ms: 0,
    }
}

async fn found(pair: &Pair, node: &str) -> Vec<FoundIndex> {
    pair.client.found_indexes(node, |_| true, LIMIT).await.unwrap()
}

/// Tells a node what it must be told.
async fn reconcile(pair: &Pair, node: &str) -> usize {
    let steps = SettingsPlanner.reconcile(&[index()], &found(pair, node).await);
    for step in &steps {
        pair.done(node, NodeAction::Request { key: key(), step: step.clone() }).await;
    }
    steps.len()
}

async fn an_empty_and_a_drifted_node_are_put_right(engine: &Engine) {
    let pair = Pair::start(engine).await;
    assert_eq!(reconcile(&pair, "from").await, 2);
    assert_eq!(reconcile(&pair, "from").await, 0);
    let drift = json!({"stopWords": ["the"], "embedders": {
        "e": null, "strange": {"source": "userProvided", "dimensions": 7},
    }});
    pair.send("from", "PATCH", "/indexes/i/settings", &drift).await;
    pair.send("from", "POST", "/indexes", &json!({"uid": "left", "primaryKey": "id"})).await;
    assert_eq!(reconcile(&pair, "from").await, 2);
    assert_eq!(reconcile(&pair, "from").await, 0);
    assert_eq!(found(&pair, "from").await.len(), 1);
}

async fn a_shard_is_copied_to_the_letter(engine: &Engine) {
    let pair = Pair::start(engine).await;
    for node in ["from", "to"] {
        reconcile(&pair, node).await;
    }
    let none = json!({"e": null, "f": null});
    let contents = [
        json!({"n": [18_446_744_073_709_551_615_u64, -5, 1.5, 1e300, "é\u{2028}", null, {"b": [], "a": {}}], "_vectors": none}),
        json!({"t": "plain", "_vectors": {"e": [0.1, 0.2], "f": {"embeddings": [[1, 2], [3, 4]], "regenerate": false}}}),
        json!({"t": "kept", "_vectors": {"e": {"embeddings": [[0.5, 0.25]], "regenerate": true}, "f": null, "g": [1]}}),
    ];
    // More than are read at once; few have vectors, which cost the engine time.
    let content = |id: usize| if id < 60 { contents[id % 3].clone() } else { contents[0].clone() };
    let documents: Vec<Value> = (0..2_400).map(|id| tagged(id, content(id))).collect();
    pair.send("from", "POST", "/indexes/i/documents?primaryKey=k.id", &json!(documents)).await;
    let keys = pair.keys("from").await;
    let mut expected: Vec<String> = (0..2_400).filter(|id| of_shard(*id)).map(|id| id.to_string()).collect();
    expected.sort();
    assert_eq!(keys, expected);
    assert_eq!(pair.count("from").await, keys.len() as u64);

    // What the target had before must leave nothing behind, not even vectors.
    let stale: usize = keys[0].parse().unwrap();
    let old = tagged(stale, json!({"old": true, "_vectors": {"e": [9, 9], "f": [8, 8]}}));
    pair.send("to", "POST", "/indexes/i/documents?primaryKey=k.id", &json!([old])).await;

    let asked: Vec<String> = keys.iter().cloned().chain(["no-such".to_owned()]).collect();
    let fetch = NodeAction::FetchPage { index: "i".into(), primary_key: "k.id".into(), keys: asked };
    let NodeAnswer::Page { page, keys: mut in_page, bytes } = pair.act("from", fetch).await else { panic!("no page") };
    in_page.sort();
    assert_eq!(in_page, keys);
    assert!(bytes > 0);
    let put = |without: Vec<String>| NodeAction::PutPage {
        key: key(),
        index: "i".into(),
        primary_key: "k.id".into(),
        page,
        without,
        metadata: "c0ffee00.1.7 &=é".into(),
    };
    let task = pair.done("to", put(keys[1..3].to_vec())).await;
    assert_eq!(task["details"]["indexedDocuments"], keys.len() - 2);
    assert_eq!(task["customMetadata"], "c0ffee00.1.7 &=é");
    assert_eq!(pair.copied.documents.get(), keys.len() as u64 - 2);
    let (left, right) = (pair.digests("from", None).await, pair.digests("to", None).await);
    let differing: Vec<&String> =
        left.iter().filter(|(key, digest)| right.get(*key) != Some(digest)).map(|at| at.0).collect();
    assert_eq!(differing, [&keys[1], &keys[2]]);
    pair.done("to", put(Vec::new())).await;
    assert_eq!(pair.digests("to", None).await, left);
    pair.client.drop_page(page);
    assert!(pair.client.act("to", put(Vec::new()), LIMIT).await.is_err());
    // Documents as clients would get them.
    for node in ["from", "to"] {
        let path = format!("/indexes/i/documents/{stale}?retrieveVectors=true");
        let document = pair.nodes[node].client().get(&path).await.unwrap().json();
        assert!(document.get("old").is_none(), "{document}");
    }

    // A change behind the back of one shows, and only that.
    let changed = tagged(stale, json!({"t": "changed", "_vectors": none}));
    pair.send("to", "POST", "/indexes/i/documents", &json!([changed])).await;
    let some = [keys[0].clone(), keys[1].clone(), "no-such".to_owned()];
    let now = pair.digests("to", Some(&some)).await;
    assert_eq!(now.len(), 2);
    assert_ne!(now[&keys[0]], left[&keys[0]]);
    assert_eq!(now[&keys[1]], left[&keys[1]]);

    let delete =
        NodeAction::DeleteKeys { key: key(), index: "i".into(), keys: keys[..2].to_vec(), metadata: "m1".into() };
    let task = pair.done("to", delete).await;
    assert_eq!((&task["details"]["deletedDocuments"], &task["customMetadata"]), (&json!(2), &json!("m1")));
    assert_eq!(pair.keys("to").await, keys[2..]);
    let other = tagged((0..).find(|id| !of_shard(*id)).unwrap(), contents[0].clone());
    pair.send("to", "POST", "/indexes/i/documents", &json!([other])).await;
    let delete = NodeAction::DeleteShard { key: key(), index: "i".into(), shard: SHARD, metadata: "m2".into() };
    assert_eq!(pair.done("to", delete).await["customMetadata"], "m2");
    assert_eq!(pair.count("to").await, 0);
    let stats = pair.nodes["to"].client().get("/indexes/i/stats").await.unwrap().json();
    assert_eq!(stats["numberOfDocuments"], 1);

    // Refusals are answers.
    let list = NodeAction::ListKeys { index: "none".into(), primary_key: "id".into(), shard: SHARD };
    let NodeAnswer::Refused { status: 404, error: Some(error) } = pair.act("to", list).await else { panic!("found") };
    assert_eq!(error.code, "index_not_found");
    let delete = NodeAction::DeleteKeys {
        key: Some("bad".into()),
        index: "i".into(),
        keys: vec!["1".into()],
        metadata: "m".into(),
    };
    assert!(matches!(pair.act("to", delete).await, NodeAnswer::Refused { status: 403, .. }));
}

#[tokio::test]
async fn an_empty_and_a_drifted_engine_are_put_right() {
    an_empty_and_a_drifted_node_are_put_right(&Engine::find().unwrap()).await;
}

#[tokio::test]
async fn an_empty_and_a_drifted_standin_are_put_right() {
    an_empty_and_a_drifted_node_are_put_right(&Engine::standin().unwrap()).await;
}

#[tokio::test]
async fn a_shard_is_copied_between_engines_to_the_letter() {
    a_shard_is_copied_to_the_letter(&Engine::find().unwrap()).await;
}

#[tokio::test]
async fn a_shard_is_copied_between_standins_to_the_letter() {
    a_shard_is_copied_to_the_letter(&Engine::standin().unwrap()).await;
}
