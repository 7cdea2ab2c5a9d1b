//! The end of a round: everything runs again, and the fate of every write is found out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use miroir_core::invariants;
use serde_json::Value;

use super::history::Fault;
use super::ledger::{self, Fate};
use super::passing;
use super::stage::Stage;
use super::write::book;
use crate::harness::copies::Copy;
use crate::{Cluster, until};

/// Longest wait until no task is open.
const TASKS_LIMIT: Duration = Duration::from_secs(120);
/// Longest wait until all copies are in sync.
const HEAL_LIMIT: Duration = Duration::from_secs(120);

/// Waits until all parts serve and no task is open, and books what became of all writes of the round.
///
/// # Errors
/// When a part does not come up or tasks cannot be listed.
pub async fn tasks(stage: &Stage, cluster: &mut Cluster) -> anyhow::Result<()> {
    for node in 0..cluster.nodes.len() {
        cluster.node_up(node).await?;
    }
    cluster.control_up().await?;
    for envoy in 0..cluster.envoys.len() {
        cluster.envoy_up(envoy).await?;
    }
    cluster.adopted().await?;
    let client = cluster.client(0);
    let ended = until("all tasks to end", TASKS_LIMIT, || async {
        let open = client.get("/tasks?statuses=enqueued,processing&limit=1").await.ok()?;
        (open.status == 200 && open.json()["total"] == 0).then_some(())
    })
    .await;
    if let Err(error) = ended {
        let open = client.get("/tasks?statuses=enqueued,processing&limit=20").await?;
        let left = [format!("{error:#}"), open.text];
        let breach = invariants::every_ticket_ends(&left, &[]);
        breach.into_iter().for_each(|breach| stage.tally().fault(Fault::Task, breach.text));
    }
    let first = stage.ledger().round().first().map(|entry| entry.number);
    let listed = listed(&client, stage.index, first.unwrap_or_default()).await?;
    for task in listed.values() {
        book(stage, task, None);
    }
    passing::book_deletions(stage, &client).await?;
    let now = stage.now();
    let mut ledger = stage.ledger();
    let without: Vec<_> = ledger.round().iter().filter(|entry| entry.fate == Fate::Open).cloned().collect();
    for entry in without {
        if entry.ticket.is_some() || listed.contains_key(&entry.number) {
            stage.tally().fault(Fault::Task, format!("acknowledged and without a fate: {entry}"));
        } else {
            ledger.ended(entry.number, None, Fate::Absent, now);
        }
    }
    let succeeded =
        |entry: &&ledger::Entry| entry.fate == Fate::Succeeded && matches!(entry.answer, ledger::Answer::Taken { .. });
    stage.tally().succeeded += ledger.round().iter().filter(succeeded).count();
    Ok(())
}

/// All tasks of writes to an index with numbers from `first` on, by number.
async fn listed(client: &crate::Client, index: &str, first: u32) -> anyhow::Result<BTreeMap<u32, Value>> {
    let mut tasks = BTreeMap::new();
    let mut path = format!("/tasks?limit=500&indexUids={index}");
    loop {
        let answer = client.get(&path).await?;
        ensure!(answer.status == 200, "tasks: {} {}", answer.status, answer.text);
        let page = answer.json();
        let results = page["results"].as_array().context("a page of tasks without results")?;
        let mut older = false;
        for task in results {
            match task["customMetadata"].as_str().and_then(ledger::number) {
                Some(number) if number >= first => drop(tasks.insert(number, task.clone())),
                Some(_) => older = true,
                None => {}
            }
        }
        match page["next"].as_u64() {
            Some(next) if !older => path = format!("/tasks?limit=500&indexUids={index}&from={next}"),
            _ => return Ok(tasks),
        }
    }
}

/// Waits until all copies are in sync; the copies. Those that do not get there are noted.
///
/// # Errors
/// When control cannot be asked.
pub async fn healed(stage: &Stage, cluster: &mut Cluster) -> anyhow::Result<Vec<Copy>> {
    let whole = cluster.whole(HEAL_LIMIT).await;
    cluster.adopted().await?;
    let copies = cluster.copies().await?;
    if let Err(error) = whole {
        let left: Vec<&Copy> = copies.iter().filter(|copy| copy.state != "inSync").collect();
        stage.tally().fault(Fault::Unhealed, format!("{error:#}: {left:?}"));
    }
    Ok(copies)
}
