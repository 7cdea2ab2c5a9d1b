//! An index that is deleted and created again all the time, while its documents are written and read, nodes come and go,
//! and parts are killed. For the ledger its deletion is a write like any other: one that deletes every document.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use miroir_core::invariants::Change;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::history::Fault;
use super::ledger::{Answer, Entry, Fate};
use super::stage::Stage;
use super::tally;
use super::write::{REST, told};
use crate::Client;

/// Pause between two looks at a task.
const LOOK: Duration = Duration::from_millis(20);

/// Deletes the index and creates it again, through these clients, until the curtain falls.
pub async fn undertaker(stage: Arc<Stage>, clients: Vec<Client>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    while !stage.over() {
        // Some lives are too short for their documents to be indexed.
        let rest = Duration::from_millis(random.random_range(0..1500));
        let client = &clients[random.random_range(0..clients.len())];
        tokio::time::sleep(rest).await;
        match delete(&stage, client).await {
            Some((number, ticket)) => await_end(&stage, client, number, ticket).await,
            None => tokio::time::sleep(REST).await,
        }
        // Every other time a write creates it.
        if random.random_bool(0.5) {
            create(&stage, client).await;
        }
    }
}

/// Asks for the deletion; its number and task where it was acknowledged.
async fn delete(stage: &Stage, client: &Client) -> Option<(u32, u32)> {
    let number = {
        let mut ledger = stage.ledger();
        let now = stage.now();
        ledger.open(now, |_| (0..stage.keys).map(|key| (key, Change::Delete)).collect())
    };
    let answer = told(client.delete(&format!("/indexes/{}", stage.index)).await);
    let (word, ticket) = match &answer {
        Answer::Taken { ticket, .. } => ("deletion acknowledged".to_owned(), Some(*ticket)),
        Answer::Nothing(kind) => (format!("deletion without an answer ({kind})"), None),
        Answer::Refused(status, code) => (format!("deletion: {status} {code}"), None),
    };
    tally::count(&mut stage.tally().passing, word);
    stage.ledger().answered(number, answer);
    Some((number, ticket?))
}

/// Follows a deletion to its end, so that whoever reads later is held to it.
async fn await_end(stage: &Stage, client: &Client, number: u32, ticket: u32) {
    while !stage.over() {
        if let Ok(answer) = client.get(&format!("/tasks/{ticket}")).await
            && answer.status == 200
            && book(stage, &answer.json(), number)
        {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn create(stage: &Stage, client: &Client) {
    let answer = told(client.post("/indexes", &json!({"uid": stage.index, "primaryKey": "id"})).await);
    if let Answer::Taken { .. } = answer {
        tally::count(&mut stage.tally().passing, "creation acknowledged");
    }
}

/// Books a deletion as its task was just shown; true when it has ended.
fn book(stage: &Stage, task: &Value, number: u32) -> bool {
    let fate = match task["status"].as_str() {
        Some("succeeded") => Fate::Succeeded,
        Some("failed" | "canceled") => Fate::Failed,
        _ => return false,
    };
    let uid = task["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
    let now = stage.now();
    let (known, trouble) = {
        let mut ledger = stage.ledger();
        let known = ledger.entries().get(number as usize).is_some_and(|entry| entry.fate != Fate::Open);
        (known, ledger.ended(number, uid, fate, now))
    };
    if !known {
        let word = if fate == Fate::Succeeded { "deleted" } else { "deletion failed" };
        tally::count(&mut stage.tally().passing, word);
    }
    if let Some(words) = trouble {
        stage.tally().fault(Fault::Task, words);
    }
    true
}

fn is_deletion(stage: &Stage, entry: &Entry) -> bool {
    entry.changes.len() == stage.keys as usize && entry.changes.iter().all(|(_, change)| *change == Change::Delete)
}

/// Books what became of all deletions of the round: tasks of deletions carry nothing by which a client knows its own, so
/// that one which was never answered is known by a task that nobody else has.
pub(super) async fn book_deletions(stage: &Stage, client: &Client) -> anyhow::Result<()> {
    if !stage.passes() {
        return Ok(());
    }
    let answer = client.get(&format!("/tasks?limit=10000&types=indexDeletion&indexUids={}", stage.index)).await?;
    ensure!(answer.status == 200, "deletions: {} {}", answer.status, answer.text);
    let tasks = answer.json()["results"].as_array().cloned().context("a page of tasks without results")?;
    for task in tasks.iter().rev() {
        let uid = task["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
        let number = {
            let ledger = stage.ledger();
            let own = ledger.entries().iter().find(|entry| entry.ticket.is_some() && entry.ticket == uid);
            let deletions: BTreeSet<u32> =
                ledger.round().iter().filter(|entry| is_deletion(stage, entry)).map(|entry| entry.number).collect();
            own.map(|entry| entry.number).or_else(|| ledger.unanswered(&deletions))
        };
        match number {
            Some(number) => drop(book(stage, task, number)),
            None => stage.tally().fault(Fault::Task, format!("nobody asked for this deletion: {task}")),
        }
    }
    Ok(())
}

/// Makes the index anew where it is gone, so that what is there can be compared.
///
/// # Errors
/// When it is not there afterwards.
pub(super) async fn ensure_there(stage: &Stage, client: &Client) -> anyhow::Result<()> {
    if client.get(&format!("/indexes/{}", stage.index)).await?.status == 404 {
        client.succeeded(&client.post("/indexes", &json!({"uid": stage.index, "primaryKey": "id"})).await?).await?;
    }
    Ok(())
}
