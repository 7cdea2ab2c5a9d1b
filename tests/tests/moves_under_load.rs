//! A node joins and another one is drained while clients write in every way through two Envoys, and an index is deleted
//! and created again all the time: no update is lost, and nothing of an earlier life comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use miroir_e2e::chaos::Play;
use miroir_e2e::harness::scene;
use miroir_e2e::{Client, Cluster, turn, until};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const DOCUMENTS: u64 = 60;
/// Lives that an index must have while something moves.
const LIVES: u64 = 2;
/// Every form of write that must be taken in that time.
const FORMS: [&str; 8] = [
    "replace",
    "replace, skipCreation",
    "update",
    "update, skipCreation",
    "delete one",
    "delete batch",
    "delete by filter",
    "edit by function",
];
const SLOW: &[&str] = &["rebalance", "throttle", "--documents-per-second", "20"];
const FAST: &[&str] = &["rebalance", "throttle"];

/// An index that is created, filled and deleted, again and again.
struct Phoenix {
    life: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Phoenix {
    fn rise(clients: [Client; 2]) -> Self {
        let (life, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&life), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            loop {
                let life = counted.load(Ordering::SeqCst);
                live(&clients, life).await;
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                clients[1].succeeded(&clients[1].delete("/indexes/phoenix").await.unwrap()).await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { life, stop, task }
    }

    fn life(&self) -> u64 {
        self.life.load(Ordering::SeqCst)
    }

    /// Waits until the index has died and come back so many times more.
    async fn lives(&self, more: u64) {
        let wanted = self.life() + more;
        until("an index to die and come back", Duration::from_secs(180), || async {
            assert!(!self.task.is_finished(), "it ended by itself");
            (self.life() >= wanted).then_some(())
        })
        .await
        .unwrap();
    }

    /// Lets the last life be; which one that is.
    async fn rest(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.life.load(Ordering::SeqCst)
    }
}

/// One life: created, written, amended, and seen through both Envoys as it is.
async fn live([first, second]: &[Client; 2], life: u64) {
    first
        .succeeded(&first.post("/indexes", &json!({"uid": "phoenix", "primaryKey": "id"})).await.unwrap())
        .await
        .unwrap();
    let documents: Vec<Value> = (0..DOCUMENTS).map(|id| json!({"id": id, "life": life})).collect();
    let written = second.post("/indexes/phoenix/documents", &json!(documents)).await.unwrap();
    let amended: Vec<Value> = (0..DOCUMENTS).map(|id| json!({"id": id, "amended": life})).collect();
    let amended = first.json(Method::PUT, "/indexes/phoenix/documents", &json!(amended)).await.unwrap();
    first.succeeded(&written).await.unwrap();
    first.succeeded(&amended).await.unwrap();
    for client in [first, second] {
        let found = client.post("/indexes/phoenix/search", &json!({"limit": 1000})).await.unwrap();
        assert_eq!(found.status, 200, "{}", found.text);
        assert_is(life, found.json()["hits"].as_array().unwrap());
    }
}

fn assert_is<'a>(life: u64, documents: impl IntoIterator<Item = &'a Value>) {
    let mut count = 0;
    for document in documents {
        assert_eq!((&document["life"], &document["amended"]), (&json!(life), &json!(life)), "{document}");
        count += 1;
    }
    assert_eq!(count, DOCUMENTS, "in life {life}");
}

async fn pace(cluster: &Cluster, arguments: &[&str]) {
    assert_eq!(cluster.tool(arguments).await.unwrap().code, 0);
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_back() {
    let _turn = turn().await;
    let mut cluster = scene::moving(3, 2).await.unwrap();
    let mut play = Play::prepare(&cluster, 14).await.unwrap();
    let new = cluster.another_node().await.unwrap();
    let url = cluster.nodes[new].part.url.clone();
    play.begin(&cluster);
    let phoenix = Phoenix::rise([cluster.client(0), cluster.client(1)]);
    for change in [&["node", "add", "node-3", &url][..], &["node", "drain", "node-0"]] {
        pace(&cluster, SLOW).await;
        let job = cluster.job(change).await.unwrap();
        until("a copy to be filled", Duration::from_secs(180), || async {
            cluster.copies().await.ok()?.iter().any(|copy| copy.state == "dual").then_some(())
        })
        .await
        .unwrap();
        phoenix.lives(LIVES).await;
        assert_eq!(cluster.job_state(job).await.unwrap()["state"], "running", "the move is over too soon");
        pace(&cluster, FAST).await;
        cluster.job_done(job).await.unwrap();
    }
    let life = phoenix.rest().await;
    play.end(&mut cluster).await.unwrap();
    let tally = play.tally();
    assert!(tally.faults.is_empty(), "{:?}\n{}", tally.faults, tally.findings.join("\n"));
    assert!(tally.errors.is_empty(), "a move is no reason to refuse: {:?}", tally.errors);
    assert_eq!(tally.writes.keys().collect::<Vec<_>>(), ["acknowledged"], "{:?}", tally.writes);
    for form in FORMS {
        assert!(tally.forms.contains_key(form), "no {form} was written while something moved: {:?}", tally.forms);
    }
    let held = cluster.agreed(&[0, 1, 2, 3], "phoenix").await.unwrap();
    assert_is(life, held.values());
    assert!(cluster.copies().await.unwrap().iter().all(|copy| copy.node != 0), "node-0 is drained");
}
