//! Searches one after the other while a node is at fault: what they found, how long they took, and whether that node was
//! asked for them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use super::client::{Answer, Client};
use super::cluster::Cluster;
use super::load::Load;

/// One search.
#[derive(Clone, Debug)]
pub struct Search {
    /// When it was sent.
    pub sent: Instant,
    /// How long it took.
    pub took: Duration,
    /// Whether a call to the node was made while it ran.
    pub tried: bool,
    /// What was wrong with the answer.
    pub fault: Option<String>,
}

/// Searches through an Envoy without end, one at a time, and nobody else may search through it; each answer must be
/// complete and have exactly the documents of ids `0..count`. Calls to the node are Envoy's own count.
#[must_use]
pub fn watcher(cluster: &Cluster, envoy: usize, node: usize, index: &str, count: u64) -> Load<Vec<Search>> {
    let (client, admin) = (cluster.client(envoy), Client::new(&cluster.envoy_admins[envoy], None));
    let name = format!("miroir-node-{}", cluster.nodes[node].part.id);
    let stats = format!("/stats?filter=^cluster\\.{name}\\.(upstream_rq_total|upstream_cx_none_healthy)$");
    let path = format!("/indexes/{index}/search");
    Load::start(|stopped, counted| async move {
        let mut searches = Vec::new();
        let mut calls = calls(&admin, &stats).await?;
        while !stopped.load(Ordering::SeqCst) {
            let sent = Instant::now();
            // Queries that differ are covered by other copies; this says nothing where nothing is cropped.
            let query = json!({"limit": 10_000, "cropLength": searches.len() % 1000 + 1});
            let answer = client.post(&path, &query).await;
            let took = sent.elapsed();
            let now = self::calls(&admin, &stats).await?;
            let tried = now > calls;
            calls = now;
            searches.push(Search { sent, took, tried, fault: fault(answer, count) });
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Ok(searches)
    })
}

/// How often Envoy was asked to send something to the node, whether it could or not. Health checks do not count.
async fn calls(admin: &Client, stats: &str) -> anyhow::Result<u64> {
    let text = admin.get(stats).await?.text;
    let counts = text.lines().filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok());
    let counts: Vec<u64> = counts.collect();
    ensure!(counts.len() == 2, "Envoy does not count calls to the node: {text}");
    Ok(counts.iter().sum())
}

fn fault(answer: anyhow::Result<Answer>, count: u64) -> Option<String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Some(format!("no answer: {error:#}")),
    };
    if answer.status != 200 {
        return Some(format!("{} {}", answer.status, answer.text));
    }
    let shards = answer.header("x-miroir-shards").and_then(|shards| shards.split_once('/'));
    if shards.is_none_or(|(answered, total)| answered != total) {
        return Some(format!("incomplete: {shards:?}"));
    }
    let body = answer.json();
    let mut ids: Vec<u64> =
        body["hits"].as_array().into_iter().flatten().filter_map(|hit| hit["id"].as_u64()).collect();
    ids.sort_unstable();
    (!ids.iter().copied().eq(0..count)).then(|| format!("{} documents instead of {count}: {ids:?}", ids.len()))
}

/// What searches came to from a moment on.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// Searches.
    pub searches: usize,
    /// Those without a good answer, in words.
    pub faults: Vec<String>,
    /// Those for which the node was asked.
    pub tried: usize,
    /// From that moment until searches were sent for which the node was not asked, several in a row; none if there were
    /// none.
    pub untried: Option<Duration>,
    /// The slowest.
    pub slowest: Duration,
}

/// Searches in a row without the node that show that it is left alone: by chance a single one may do without it.
const IN_A_ROW: usize = 8;

/// Sums up the searches that were not over at a moment. With several watchers, the last one counts.
#[must_use]
pub fn sum<'a>(since: Instant, watchers: impl IntoIterator<Item = &'a Vec<Search>>) -> Sum {
    let mut sum = Sum { untried: Some(Duration::ZERO), ..Sum::default() };
    for searches in watchers {
        let after: Vec<&Search> = searches.iter().filter(|search| search.sent + search.took >= since).collect();
        let begun: Vec<&&Search> = after.iter().filter(|search| search.sent >= since).collect();
        let alone = begun.windows(IN_A_ROW).find(|row| row.iter().all(|search| !search.tried));
        let first = alone.map(|row| row[0].sent.duration_since(since));
        sum.untried = sum.untried.zip(first).map(|(left, right)| left.max(right));
        sum.searches += after.len();
        sum.tried += after.iter().filter(|search| search.tried).count();
        sum.faults.extend(after.iter().filter_map(|search| search.fault.clone()));
        sum.slowest = after.iter().map(|search| search.took).chain([sum.slowest]).max().unwrap_or_default();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(began: Instant, at: u64, took: u64, tried: bool) -> Search {
        let millis = Duration::from_millis;
        Search { sent: began + millis(at), took: millis(took), tried, fault: None }
    }

    #[test]
    fn the_last_watcher_tells_since_when_the_node_is_left_alone() {
        let began = Instant::now();
        let since = began + Duration::from_millis(100);
        let row = |first: u64| (0..12).map(|at| search(began, first + at * 10, 5, false)).collect::<Vec<_>>();
        let mut late = vec![search(began, 90, 40, true), search(began, 140, 5, true)];
        late.extend(row(150));
        let sum = sum(since, [&row(100), &late]);
        assert_eq!((sum.searches, sum.tried, sum.untried), (26, 2, Some(Duration::from_millis(50))));
        assert_eq!(sum.slowest, Duration::from_millis(40));
    }

    #[test]
    fn a_node_that_is_always_asked_is_never_left_alone() {
        let began = Instant::now();
        let searches: Vec<Search> = (0..40).map(|at| search(began, at * 10, 5, at % 5 == 0)).collect();
        assert_eq!(sum(began, [&searches]).untried, None);
    }
}
