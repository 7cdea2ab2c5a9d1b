//! Control with a long list of tasks and many indexes: what it holds in memory, and how long it takes to answer.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use miroir_admin::backup::{Entry, Fault, Header, Seal, read};
use serde_json::{Value, json};

use super::{processes, table};
use crate::{Client, Cluster, Engine, Options};

const INDEXES: usize = 1_000;
const TASKS: u64 = 1_000_000;
/// Of so many tasks one has failed.
const FAILED: u64 = 100;
const TURNS: usize = 20;

/// Runs it and prints the tables.
pub(super) async fn run() -> anyhow::Result<()> {
    // What nodes do plays no part.
    let engine = Some(Engine::standin()?);
    let options = Options { nodes: 1, replication_factor: 1, engine, ..Options::default() };
    let mut cluster = Cluster::start(options).await?;
    let client = cluster.client(0);
    let mut last = None;
    for at in 0..INDEXES {
        last = Some(client.post("/indexes", &json!({"uid": format!("index-{at}"), "primaryKey": "id"})).await?);
    }
    client.succeeded(&last.context("an index")?).await?;
    let few = processes::resident(cluster.control.part.pid).0;

    let (short, long) = (cluster.dir.join("short.jsonl"), cluster.dir.join("long.jsonl"));
    let ran = cluster.tool(&["backup", &short.display().to_string()]).await?;
    ensure!(ran.code == 0, "{ran:?}");
    cluster.control.kill();
    lengthen(&short, &long)?;
    let began = Instant::now();
    let ran = cluster.control_verb("restore", &[&long.display().to_string(), "--force"]).await?;
    ensure!(ran.code == 0, "{ran:?}");
    let restored = began.elapsed();
    let began = Instant::now();
    cluster.control.restart()?;
    cluster.control_up().await?;
    let started = began.elapsed();
    let idle = processes::resident(cluster.control.part.pid).0;

    let control = cluster.control_client();
    let mut rows = Vec::new();
    for path in [
        "/tasks?limit=20",
        "/tasks?limit=1000",
        "/tasks?statuses=failed&limit=20",
        "/tasks?statuses=enqueued,processing&limit=20",
        "/tasks?indexUids=index-7&types=documentAdditionOrUpdate&limit=20",
        "/tasks?uids=777777",
        "/indexes?limit=1000",
        "/health",
    ] {
        rows.push(timed(&format!("GET {path}"), async || ok(control.get(path).await?, 200)).await?);
    }
    cluster.adopted().await?;
    let write = async || {
        let sent = post(&client).await?;
        ok(sent, 202)
    };
    rows.push(timed("POST of one document, through Envoy", write).await?);
    let (after, peak) = processes::resident(cluster.control.part.pid);
    let megabytes = |bytes: u64| format!("{} MB", bytes / 1_000_000);
    let size = std::fs::metadata(cluster.dir.join("control.sqlite"))?.len();
    table::print(
        &format!("control with {TASKS} tasks and {INDEXES} indexes: {TURNS} requests each"),
        &["request", "median", "slowest"],
        &rows,
    );
    table::print(
        "its memory, and how long it took",
        &["what", "figure"],
        &[
            vec!["resident with the indexes and their tasks alone".to_owned(), megabytes(few)],
            vec!["resident when it has started".to_owned(), megabytes(idle)],
            vec![
                "resident after these requests, peak".to_owned(),
                format!("{}, {}", megabytes(after), megabytes(peak)),
            ],
            vec!["SQLite file".to_owned(), megabytes(size)],
            vec!["restore of the backup".to_owned(), format!("{:.1} s", restored.as_secs_f64())],
            vec!["start until ready".to_owned(), format!("{:.1} s", started.as_secs_f64())],
        ],
    );
    Ok(())
}

async fn post(client: &Client) -> anyhow::Result<crate::Answer> {
    client.post("/indexes/index-7/documents", &json!([{"id": 1, "text": "one"}])).await
}

fn ok(answer: crate::Answer, status: u16) -> anyhow::Result<()> {
    ensure!(answer.status == status, "{} {}", answer.status, answer.text);
    Ok(())
}

async fn timed<F: Future<Output = anyhow::Result<()>>>(
    what: &str,
    request: impl Fn() -> F,
) -> anyhow::Result<Vec<String>> {
    let mut took = Vec::new();
    for _ in 0..TURNS {
        let began = Instant::now();
        request().await?;
        took.push(began.elapsed());
    }
    let median: Duration = table::quantile(&mut took, 0.5);
    Ok(vec![what.to_owned(), table::millis(median), table::millis(table::quantile(&mut took, 1.0))])
}

/// The same backup with as many tasks, made after one that it has.
fn lengthen(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut entries = Vec::new();
    let keep = |entry| {
        entries.push(entry);
        Ok::<_, Fault>(())
    };
    let header: Header = read(BufReader::new(File::open(from)?), keep)?;
    let model = entries.iter().find_map(|entry| match entry {
        Entry::Task(task) => Some(task.clone()),
        _ => None,
    });
    let model: Value = model.context("a task")?;
    let mut seal = Seal::default();
    let mut out = BufWriter::new(File::create(to)?);
    out.write_all(&seal.line(&header)?)?;
    let there = |entry: &&Entry| !matches!(entry, Entry::Task(_));
    for entry in entries.iter().filter(there) {
        out.write_all(&seal.line(entry)?)?;
    }
    for uid in 0..TASKS {
        out.write_all(&seal.line(&Entry::Task(task(&model, uid)))?)?;
    }
    let mut last = serde_json::to_vec(&seal.trailer())?;
    last.push(b'\n');
    out.write_all(&last)?;
    Ok(out.flush()?)
}

fn task(model: &Value, uid: u64) -> Value {
    let mut task = model.clone();
    task["uid"] = uid.into();
    task["task_type"] = "documentAdditionOrUpdate".into();
    let index = format!("index-{}", uid % INDEXES as u64);
    (task["indexes"], task["index"]) = (json!([index]), index.into());
    task["details"] = json!({"receivedDocuments": 10, "indexedDocuments": 10});
    if uid.is_multiple_of(FAILED) {
        task["status"] = "failed".into();
    }
    task
}
