//! A node is killed, hung, slow, full or unreachable while clients search and write: every search is complete and exact,
//! every write is taken, and the node is soon left alone. Prints figures (`--nocapture`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use miroir_e2e::bench::table;
use miroir_e2e::harness::load::Written;
use miroir_e2e::harness::traffic::Traffic;
use miroir_e2e::harness::unreachable::Unreachable;
use miroir_e2e::harness::watch::{self, Search};
use miroir_e2e::harness::{engine::Engine, scene};
use miroir_e2e::{Cluster, Options, turn};
use serde_json::json;

/// Documents that are searched; nobody writes to them.
const DOCUMENTS: u64 = 200;
/// Longest wait until all copies are in sync again.
const LIMIT: Duration = Duration::from_secs(90);
/// Goal for the time until a node at fault is left alone: a hung one is met first by a search that waits for it.
const LEFT_ALONE: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Hung,
    Slow,
    Full,
    Unreachable,
}

impl Fault {
    /// Brings it about; what holds it.
    async fn begin(self, cluster: &mut Cluster, node: usize) -> Option<Unreachable> {
        match self {
            Self::Killed => cluster.nodes[node].kill(),
            Self::Hung => cluster.nodes[node].stop().unwrap(),
            Self::Slow => cluster.plant(node, json!({"delayMs": 2000})).await.unwrap(),
            Self::Full => cluster.plant(node, json!({"refuse": 500, "writes": true})).await.unwrap(),
            Self::Unreachable => {
                let url: reqwest::Url = cluster.nodes[node].part.url.parse().unwrap();
                let address = SocketAddr::from(([127, 0, 0, 1], url.port().unwrap()));
                cluster.nodes[node].kill();
                return Some(Unreachable::hold(address).unwrap());
            }
        }
        None
    }

    async fn end(self, cluster: &mut Cluster, node: usize, held: Option<Unreachable>) {
        drop(held);
        match self {
            Self::Killed | Self::Unreachable => cluster.nodes[node].restart().unwrap(),
            Self::Hung => cluster.nodes[node].resume().unwrap(),
            Self::Slow | Self::Full => cluster.plant(node, json!({})).await.unwrap(),
        }
        cluster.node_up(node).await.unwrap();
    }

    /// Whether searches have to do without the node. One whose disk is full may go on answering.
    fn keeps_from_reading(self) -> bool {
        self != Self::Full
    }
}

fn millis(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| format!("{} ms", time.as_millis()))
}

/// One row of the table, and what must hold of it.
fn judge(name: &str, since: Instant, searches: &[Vec<Search>], written: &Written, leaves: bool) -> Vec<String> {
    let sum = watch::sum(since, searches);
    assert!(sum.faults.is_empty(), "{name}: {:#?}", sum.faults);
    assert!(written.refused.is_empty(), "{name}: {:#?}", written.refused);
    assert!(written.degraded > 0, "{name}: no write was marked degraded");
    assert!(!leaves || sum.untried.is_some_and(|time| time < LEFT_ALONE), "{name}: {sum:?}");
    vec![
        name.to_owned(),
        sum.searches.to_string(),
        sum.faults.len().to_string(),
        millis(sum.untried),
        sum.tried.to_string(),
        millis(Some(sum.slowest)),
        written.acknowledged.len().to_string(),
        written.degraded.to_string(),
        written.refused.len().to_string(),
    ]
}

async fn check_writes(cluster: &Cluster, acknowledged: &[u64]) {
    let held = cluster.agreed(&[0, 1, 2], "written").await.unwrap();
    let lost: Vec<&u64> = acknowledged.iter().filter(|id| !held.contains_key(&id.to_string())).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

#[tokio::test]
async fn rf_2_survives_any_one_and_rf_3_any_two() {
    let _turn = turn().await;
    let engine = Some(Engine::standin().unwrap());
    let control_settings = scene::QUICK.to_owned();
    let options =
        Options { replication_factor: 2, envoys: 2, workers: 2, engine, control_settings, ..Options::default() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, DOCUMENTS).await.unwrap();
    client
        .succeeded(&client.post("/indexes", &json!({"uid": "written", "primaryKey": "id"})).await.unwrap())
        .await
        .unwrap();

    let mut rows = Vec::new();
    let mut acknowledged: Vec<u64> = Vec::new();
    let mut next = 0;
    for (at, fault) in
        [Fault::Killed, Fault::Hung, Fault::Slow, Fault::Full, Fault::Unreachable].into_iter().enumerate()
    {
        let node = at % 3;
        let traffic = Traffic::start(&cluster, node, DOCUMENTS, next);
        traffic.goes_on().await.unwrap();
        let since = Instant::now();
        let held = fault.begin(&mut cluster, node).await;
        traffic.goes_on().await.unwrap();
        let (searches, written) = traffic.end().await.unwrap();
        rows.push(judge(&format!("RF 2, one {fault:?}"), since, &searches, &written, fault.keeps_from_reading()));
        next += 10_000;
        acknowledged.extend(written.acknowledged.iter().map(|(id, _)| id));
        fault.end(&mut cluster, node, held).await;
        cluster.whole(LIMIT).await.unwrap();
        cluster.adopted().await.unwrap();
        check_writes(&cluster, &acknowledged).await;
    }

    let job = cluster.job(&["rf", "3"]).await.unwrap();
    cluster.job_done(job).await.unwrap();
    cluster.adopted().await.unwrap();
    for (pair, faults) in [
        ([0, 1], [Fault::Killed, Fault::Killed]),
        ([1, 2], [Fault::Killed, Fault::Hung]),
        ([0, 2], [Fault::Unreachable, Fault::Slow]),
        ([0, 1], [Fault::Hung, Fault::Hung]),
        ([1, 2], [Fault::Full, Fault::Killed]),
    ] {
        let traffic = Traffic::start(&cluster, pair[1], DOCUMENTS, next);
        traffic.goes_on().await.unwrap();
        let mut held = Vec::new();
        let mut since = Instant::now();
        for (node, fault) in pair.into_iter().zip(faults) {
            since = Instant::now();
            held.push(fault.begin(&mut cluster, node).await);
        }
        traffic.goes_on().await.unwrap();
        let (searches, written) = traffic.end().await.unwrap();
        let name = format!("RF 3, {:?} and {:?}", faults[0], faults[1]);
        rows.push(judge(&name, since, &searches, &written, true));
        next += 10_000;
        acknowledged.extend(written.acknowledged.iter().map(|(id, _)| id));
        for ((node, fault), held) in pair.into_iter().zip(faults).zip(held) {
            fault.end(&mut cluster, node, held).await;
        }
        cluster.whole(LIMIT).await.unwrap();
        cluster.adopted().await.unwrap();
        check_writes(&cluster, &acknowledged).await;
    }
    let heads =
        ["fault", "searches", "failed", "left alone after", "asked", "slowest", "writes taken", "degraded", "refused"];
    table::print("Node faults under load; searches one at a time through each of two Envoys", &heads, &rows);
}
