//! Writers: every write is booked before it is sent, and its task is followed to the end.

use std::sync::Arc;
use std::time::Duration;

use miroir_core::invariants::Change;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::history::Fault;
use super::ledger::{self, Answer, Fate, Key};
use super::stage::{GROUPS, Stage};
use super::tally;
use crate::Client;

/// Tasks that a writer leaves open while it goes on.
const OPEN: usize = 3;

/// Field to which edits by function add.
const EDITED: &str = "e";

/// How long a client rests that was refused or found nobody, as clients do.
pub const REST: Duration = Duration::from_millis(50);

/// A write, before it has a number.
#[derive(Clone, Debug)]
enum Plan {
    Replace(Vec<Key>),
    Update(Vec<Key>, &'static str),
    /// A replacement that makes no document (`skipCreation`).
    Supersede(Vec<Key>),
    /// An update that makes none.
    Amend(Vec<Key>, &'static str),
    DeleteOne(Key),
    DeleteBatch(Vec<Key>),
    DeleteGroup(Key),
    /// An edit by function: what was done twice shows.
    EditGroup(Key),
}

impl Plan {
    /// What is written next. An index that passes has no settings most of the time, so that its documents are not
    /// filtered.
    fn draw(random: &mut StdRng, stage: &Stage) -> Self {
        let most = if random.random_range(0..4) == 0 { 40 } else { 6 };
        let count = random.random_range(1..=most);
        let mut keys: Vec<Key> = (0..count).map(|_| random.random_range(0..stage.keys)).collect();
        keys.sort_unstable();
        keys.dedup();
        let one = keys.first().copied().unwrap_or_default();
        match random.random_range(0..if stage.passes() { 93 } else { 100 }) {
            0..40 => Self::Replace(keys),
            40..45 => Self::Supersede(keys),
            45..70 => Self::Update(keys, ["a", "b", "c"][random.random_range(0..3)]),
            70..80 => Self::Amend(keys, ["a", "b", "c"][random.random_range(0..3)]),
            80..88 => Self::DeleteOne(one),
            88..93 => Self::DeleteBatch(keys),
            93..97 => Self::EditGroup(one % GROUPS),
            _ => Self::DeleteGroup(one % GROUPS),
        }
    }

    /// What kind of write this is, in a word.
    fn form(&self) -> &'static str {
        match self {
            Self::Replace(_) => "replace",
            Self::Supersede(_) => "replace, skipCreation",
            Self::Update(..) => "update",
            Self::Amend(..) => "update, skipCreation",
            Self::DeleteOne(_) => "delete one",
            Self::DeleteBatch(_) => "delete batch",
            Self::DeleteGroup(_) => "delete by filter",
            Self::EditGroup(_) => "edit by function",
        }
    }

    fn changes(&self, number: u32, keys: Key) -> Vec<(Key, Change)> {
        let value = format!("w{number}");
        let group = |key: Key| ("g".to_owned(), format!("g{}", key % GROUPS));
        let with = |key: Key, name: &str| [group(key), (name.to_owned(), value.clone())].into();
        match self {
            Self::Replace(keys) => keys.iter().map(|key| (*key, Change::Replace(with(*key, "v")))).collect(),
            Self::Supersede(keys) => keys.iter().map(|key| (*key, Change::Supersede(with(*key, "v")))).collect(),
            Self::Update(keys, field) => keys.iter().map(|key| (*key, Change::Merge(with(*key, field)))).collect(),
            Self::Amend(keys, field) => keys.iter().map(|key| (*key, Change::Amend(with(*key, field)))).collect(),
            Self::DeleteOne(key) => vec![(*key, Change::Delete)],
            Self::DeleteBatch(keys) => keys.iter().map(|key| (*key, Change::Delete)).collect(),
            Self::DeleteGroup(group) => members(*group, keys).map(|key| (key, Change::Delete)).collect(),
            Self::EditGroup(group) => {
                members(*group, keys).map(|key| (key, Change::Append(EDITED.to_owned(), value.clone()))).collect()
            }
        }
    }

    fn request(&self, number: u32, stage: &Stage) -> (Method, String, Option<Value>) {
        let documents = || {
            let document = |(key, change): (Key, Change)| {
                let (Change::Replace(fields)
                | Change::Supersede(fields)
                | Change::Merge(fields)
                | Change::Amend(fields)) = change
                else {
                    return Value::Null;
                };
                let mut document = Map::from_iter([("id".to_owned(), json!(key))]);
                document.extend(fields.into_iter().map(|(name, text)| (name, Value::from(text))));
                Value::Object(document)
            };
            Value::Array(self.changes(number, stage.keys).into_iter().map(document).collect())
        };
        let (method, path, body) = match self {
            Self::Replace(_) | Self::Supersede(_) => (Method::POST, String::new(), Some(documents())),
            Self::Update(..) | Self::Amend(..) => (Method::PUT, String::new(), Some(documents())),
            Self::DeleteOne(key) => (Method::DELETE, format!("/{key}"), None),
            Self::DeleteBatch(keys) => (Method::POST, "/delete-batch".to_owned(), Some(json!(keys))),
            Self::DeleteGroup(group) => {
                (Method::POST, "/delete".to_owned(), Some(json!({"filter": format!("g = g{group}")})))
            }
            Self::EditGroup(group) => {
                let function = format!("if doc.{EDITED} == () {{ doc.{EDITED} = \"\" }} doc.{EDITED} += context.value");
                let edit = json!({
                    "filter": format!("g = g{group}"), "function": function, "context": {"value": format!("w{number}")},
                });
                (Method::POST, "/edit".to_owned(), Some(edit))
            }
        };
        let skips = if matches!(self, Self::Supersede(_) | Self::Amend(..)) { "&skipCreation=true" } else { "" };
        (method, format!("/indexes/{}/documents{path}?customMetadata=w{number}{skips}", stage.index), body)
    }
}

/// Documents of a group.
fn members(group: Key, keys: Key) -> impl Iterator<Item = Key> {
    (0..keys).filter(move |key| key % GROUPS == group)
}

/// Writes through these clients, one of each Envoy, until the curtain falls.
pub async fn writer(stage: Arc<Stage>, clients: Vec<Client>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut open: Vec<(u32, u32)> = Vec::new();
    while !stage.over() {
        let plan = Plan::draw(&mut random, &stage);
        let client = &clients[random.random_range(0..clients.len())];
        match send(&stage, client, &plan).await {
            Some(write) => open.push(write),
            None => tokio::time::sleep(REST).await,
        }
        while open.len() > OPEN && !stage.over() {
            let client = &clients[random.random_range(0..clients.len())];
            look(&stage, client, &mut open).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Sends a write; its number and task where it was acknowledged.
async fn send(stage: &Stage, client: &Client, plan: &Plan) -> Option<(u32, u32)> {
    let number = {
        let mut ledger = stage.ledger();
        let now = stage.now();
        ledger.open(now, |number| plan.changes(number, stage.keys))
    };
    let (method, path, body) = plan.request(number, stage);
    let answer = match &body {
        Some(body) => client.json(method, &path, body).await,
        None => client.send(client.request(method, &path)).await,
    };
    let answer = told(answer);
    let (kind, ticket) = match &answer {
        Answer::Nothing(kind) => (format!("no answer ({kind})"), None),
        Answer::Taken { ticket, degraded: false } => ("acknowledged".to_owned(), Some(*ticket)),
        Answer::Taken { ticket, degraded: true } => ("acknowledged, degraded".to_owned(), Some(*ticket)),
        Answer::Refused(status, code) => (format!("{status} {code}"), None),
    };
    tally::count(&mut stage.tally().writes, kind);
    if ticket.is_some() {
        tally::count(&mut stage.tally().forms, plan.form());
    }
    stage.ledger().answered(number, answer);
    Some((number, ticket?))
}

/// What a client was told.
pub fn told(answer: anyhow::Result<crate::Answer>) -> Answer {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Answer::Nothing(kind(&error)),
    };
    let uid = answer.json()["taskUid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
    match (answer.status, uid) {
        (202, Some(ticket)) => Answer::Taken { ticket, degraded: answer.header("x-miroir-degraded").is_some() },
        (202, None) => Answer::Refused(202, answer.text),
        (status, _) => Answer::Refused(status, answer.json()["code"].as_str().unwrap_or("no code").to_owned()),
    }
}

/// Looks at the tasks of open writes, and books those that have ended.
async fn look(stage: &Stage, client: &Client, open: &mut Vec<(u32, u32)>) {
    let mut left = Vec::new();
    for (number, ticket) in open.drain(..) {
        match client.get(&format!("/tasks/{ticket}")).await {
            Ok(answer) if answer.status == 200 => {
                if !book(stage, &answer.json(), Some((number, ticket))) {
                    left.push((number, ticket));
                }
            }
            Ok(answer) => {
                let code = answer.json()["code"].as_str().unwrap_or("no code").to_owned();
                tally::count(&mut stage.tally().errors, format!("task: {} {code}", answer.status));
                left.push((number, ticket));
            }
            Err(error) => {
                tally::count(&mut stage.tally().errors, format!("task: no answer ({})", kind(&error)));
                left.push((number, ticket));
            }
        }
    }
    *open = left;
}

/// Books a task as it was just shown; true when it has ended. `of`: the write and the uid that it should be.
pub fn book(stage: &Stage, task: &Value, of: Option<(u32, u32)>) -> bool {
    let fate = match task["status"].as_str() {
        Some("succeeded") => Fate::Succeeded,
        Some("failed" | "canceled") => Fate::Failed,
        _ => return false,
    };
    let now = stage.now();
    let named = task["customMetadata"].as_str().and_then(ledger::number);
    let uid = task["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
    let Some(number) = of.map(|(number, _)| number).or(named) else { return true };
    let mut trouble = stage.ledger().ended(number, uid, fate, now);
    if named != Some(number) {
        trouble = Some(format!("the task of w{number} belongs to {named:?}"));
    }
    let details = &task["details"];
    // Of what the deletion of its index absorbs, the engine does not say that it was indexed.
    if fate == Fate::Succeeded && !stage.passes() && details["receivedDocuments"] != details["indexedDocuments"] {
        trouble = Some(format!("not all documents were indexed: {task}"));
    }
    if fate == Fate::Failed && task["error"]["code"] != "internal" {
        tally::count(&mut stage.tally().errors, format!("task failed: {}", task["error"]["code"]));
    }
    if let Some(words) = trouble {
        stage.tally().fault(Fault::Task, words);
    }
    true
}

/// A failed request in one or two words.
pub fn kind(error: &anyhow::Error) -> String {
    let error = error.downcast_ref::<reqwest::Error>();
    let word = |error: &reqwest::Error| match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "connect",
        error if error.is_body() || error.is_decode() => "cut off",
        _ => "connection ended",
    };
    error.map_or("other", word).to_owned()
}
