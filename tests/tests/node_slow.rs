//! A node of the engine that is there answers two seconds late: searches stay complete, and only the first ones wait.
//! Prints figures (`--nocapture`).

use std::time::{Duration, Instant};

use miroir_e2e::bench::table;
use miroir_e2e::harness::scene;
use miroir_e2e::harness::traffic::Traffic;
use miroir_e2e::harness::watch::{self, Search};
use miroir_e2e::{Cluster, Options, turn};
use serde_json::json;

const DOCUMENTS: u64 = 200;
const LATE: Duration = Duration::from_secs(2);
/// Longest wait until all copies are in sync again.
const LIMIT: Duration = Duration::from_secs(90);

/// How long the searches took that were sent between two moments.
fn took(searches: &[Vec<Search>], from: Instant, to: Instant) -> Vec<Duration> {
    let sent = searches.iter().flatten().filter(|search| (from..to).contains(&search.sent));
    sent.map(|search| search.took).collect()
}

#[tokio::test]
async fn searches_do_not_wait_for_a_slow_node_for_long() {
    let _turn = turn().await;
    let control_settings = scene::QUICK.to_owned();
    let options = Options { replication_factor: 2, envoys: 2, workers: 2, control_settings, ..Options::default() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, DOCUMENTS).await.unwrap();
    let written = client.post("/indexes", &json!({"uid": "written", "primaryKey": "id"})).await.unwrap();
    client.succeeded(&written).await.unwrap();
    let way = cluster.detour(1).await.unwrap();
    cluster.whole(LIMIT).await.unwrap();
    cluster.adopted().await.unwrap();

    let began = Instant::now();
    let traffic = Traffic::start(&cluster, 1, DOCUMENTS, 0);
    traffic.goes_on().await.unwrap();
    way.delay(LATE);
    let slow = Instant::now();
    traffic.goes_on().await.unwrap();
    let known = Instant::now();
    traffic.goes_on().await.unwrap();
    let end = Instant::now();
    let (searches, written) = traffic.end().await.unwrap();
    way.delay(Duration::ZERO);

    let sum = watch::sum(slow, &searches);
    assert!(sum.faults.is_empty() && written.refused.is_empty(), "{:#?} {:#?}", sum.faults, written.refused);
    let mut rows = Vec::new();
    let mut halves = Vec::new();
    for (when, from, to) in [("before", began, slow), ("slow, at first", slow, known), ("slow, later", known, end)] {
        let mut times = took(&searches, from, to);
        let (p50, p99) = (table::quantile(&mut times, 0.5), table::quantile(&mut times, 0.99));
        rows.push(vec![when.to_owned(), times.len().to_string(), table::millis(p50), table::millis(p99)]);
        halves.push(p50);
    }
    let alone = sum.untried.map_or_else(|| "never".to_owned(), table::millis);
    table::print(
        &format!(
            "A node answers 2 s late, RF 2: searches one at a time through each of two Envoys; left alone after {alone}"
        ),
        &["when", "searches", "p50", "p99"],
        &rows,
    );
    assert!(sum.untried.is_some(), "the node is never left alone");
    assert!(halves[1] < LATE / 2 && halves[2] < LATE / 2, "half of the searches wait: {halves:?}");

    cluster.whole(LIMIT).await.unwrap();
    cluster.adopted().await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "written").await.unwrap();
    let lost: Vec<u64> =
        written.acknowledged.iter().map(|(id, _)| *id).filter(|id| !held.contains_key(&id.to_string())).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}
