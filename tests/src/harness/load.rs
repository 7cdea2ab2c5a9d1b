//! Writers and readers that run while something is broken.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::client::Client;

/// A load in the background.
#[derive(Debug)]
pub struct Load<T> {
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicUsize>,
    task: JoinHandle<anyhow::Result<T>>,
}

impl<T: Send + 'static> Load<T> {
    /// Starts a load: `run` gets what tells it to stop, and what counts its turns.
    pub(super) fn start<F>(run: impl FnOnce(Arc<AtomicBool>, Arc<AtomicUsize>) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn(run(Arc::clone(&stop), Arc::clone(&turns)));
        Self { stop, turns, task }
    }

    /// How often the load has gone round.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.turns.load(Ordering::SeqCst)
    }

    /// Ends the load; what it did.
    ///
    /// # Errors
    /// What went wrong in it.
    pub async fn finish(self) -> anyhow::Result<T> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.context("the load died")?
    }
}

/// What became of the writes of a writer.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Ids of documents whose write was answered 202, with the task.
    pub acknowledged: Vec<(u64, u64)>,
    /// Ids of documents whose write was answered otherwise, with the answer.
    pub refused: Vec<(u64, String)>,
    /// How many answers said that a replica was missed.
    pub degraded: usize,
    /// The longest wait for an answer.
    pub slowest: Duration,
}

/// Writes one new document after the other, ids from `first` on.
#[must_use]
pub fn writer(client: Client, index: &str, first: u64) -> Load<Written> {
    let path = format!("/indexes/{index}/documents");
    Load::start(|stopped, counted| async move {
        let mut written = Written::default();
        let mut id = first;
        while !stopped.load(Ordering::SeqCst) {
            let body = json!([{"id": id, "text": format!("written {id}")}]);
            let sent = Instant::now();
            let answer = client.post(&path, &body).await;
            written.slowest = written.slowest.max(sent.elapsed());
            match answer {
                Ok(answer) if answer.status == 202 => {
                    let task = answer.json()["taskUid"].as_u64().context("a 202 without task")?;
                    written.degraded += usize::from(answer.header("x-miroir-degraded").is_some());
                    written.acknowledged.push((id, task));
                }
                Ok(answer) => written.refused.push((id, format!("{} {}", answer.status, answer.text))),
                Err(error) => written.refused.push((id, format!("{error:#}"))),
            }
            counted.fetch_add(1, Ordering::SeqCst);
            id += 1;
        }
        Ok(written)
    })
}

/// Reads without end, in turns by search, by listing, by id and by multi-search; each answer must be complete, show no
/// document twice, and all of ids `0..least`, which [`super::scene::fill`] has written. Others may write more than a
/// search shows: searches ask for the words of the former. Returns the number of reads.
#[must_use]
pub fn reader(client: Client, index: &str, least: u64) -> Load<usize> {
    let index = index.to_owned();
    Load::start(|stopped, counted| async move {
        while !stopped.load(Ordering::SeqCst) {
            let turn = counted.fetch_add(1, Ordering::SeqCst) as u64;
            read(&client, &index, least, turn).await?;
        }
        Ok(counted.load(Ordering::SeqCst))
    })
}

async fn read(client: &Client, index: &str, least: u64, turn: u64) -> anyhow::Result<()> {
    let query = json!({"indexUid": index, "q": "first", "limit": 1000});
    let answer = match turn % 4 {
        0 => client.post(&format!("/indexes/{index}/search"), &json!({"q": "first", "limit": 1000})).await?,
        1 => client.post(&format!("/indexes/{index}/documents/fetch"), &json!({"limit": 100_000})).await?,
        2 => client.post("/multi-search", &json!({"queries": [query, query]})).await?,
        _ => client.get(&format!("/indexes/{index}/documents/{}", turn % least)).await?,
    };
    ensure!(answer.status == 200, "a read failed: {} {}", answer.status, answer.text);
    let shards = answer.header("x-miroir-shards").context("no x-miroir-shards")?;
    let (answered, total) = shards.split_once('/').context("x-miroir-shards")?;
    ensure!(answered == total, "an incomplete answer: {shards}");
    let body = answer.json();
    match turn % 4 {
        0 => all_once(&body["hits"], least),
        1 => {
            ensure!(body["total"].as_u64() == body["results"].as_array().map(|all| all.len() as u64), "{body}");
            all_once(&body["results"], least)
        }
        2 => body["results"].as_array().context("no results")?.iter().try_for_each(|one| all_once(&one["hits"], least)),
        _ => {
            ensure!(body["id"] == turn % least, "another document: {body}");
            Ok(())
        }
    }
}

/// Whether a list has each document once, and all of ids `0..least`.
fn all_once(documents: &Value, least: u64) -> anyhow::Result<()> {
    let ids: Vec<u64> =
        documents.as_array().context("no list")?.iter().filter_map(|document| document["id"].as_u64()).collect();
    let distinct: BTreeSet<u64> = ids.iter().copied().collect();
    ensure!(distinct.len() == ids.len(), "a document is there twice: {ids:?}");
    let missing: Vec<u64> = (0..least).filter(|id| !distinct.contains(id)).collect();
    ensure!(missing.is_empty(), "not there: {missing:?}");
    Ok(())
}
