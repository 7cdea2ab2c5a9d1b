//! `--import-dump`: fills an empty cluster with what a dump holds, of a cluster or of one Meilisearch. It goes the way of
//! any client, through the same handlers, so that nothing comes in that a client could not have written. The history of
//! tasks is not taken over, nor are the times of indexes.

mod dump;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use miroir_core::wire::BULK_PREFIX;
use serde_json::{Value, json};
use tower::ServiceExt;
use tracing::{info, warn};

use crate::api::{self, Service};
use crate::cluster::{KeyRecord, Runtime};
use crate::tasks::filter::{TaskFilter, TaskPage};
use crate::{network, stats, webhooks};
use dump::Dump;

/// Documents that are sent at once.
const PAYLOAD_BYTES: usize = 16 << 20;
/// Longest wait for one task.
const TASK: Duration = Duration::from_secs(24 * 3600);
/// Attempts at a request that can be repeated, and the pause before each: nodes may not be ready yet.
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Imports a dump. `spool` is where it is unpacked.
///
/// # Errors
/// A cluster that is not empty; a file that is no dump, or one of an older format; a dump with tasks that were not over;
/// whatever is refused on the way: then the cluster holds a part of the dump.
pub async fn run(file: &Path, spool: &Path, service: Arc<Service>, ignore_if_not_empty: bool) -> anyhow::Result<()> {
    if !is_empty(&service).await? {
        ensure!(ignore_if_not_empty, "the cluster is not empty: a dump is imported into an empty one only");
        warn!("the cluster is not empty: the dump is not imported");
        return Ok(());
    }
    let (path, spool) = (file.to_owned(), spool.to_owned());
    let dump = tokio::task::spawn_blocking(move || Dump::open(&path, &spool)).await?;
    let dump = dump.with_context(|| format!("reading {}", file.display()))?;
    let open = dump.open_tasks()?;
    ensure!(
        open == 0,
        "{open} tasks of the dump were not over when it was made, and their documents would be lost: let the server \
         finish them, and make the dump anew"
    );
    info!(file = %file.display(), "importing a dump");
    let import = Import { public: api::public(service.clone()), internal: api::internal(service.clone()), service };
    import.all(&dump).await.context("the dump was imported in part; empty the cluster before trying again")?;
    info!("the dump is imported");
    Ok(())
}

async fn is_empty(service: &Service) -> anyhow::Result<bool> {
    let reader = service.cluster.store().reader().clone();
    let page = TaskPage { filter: TaskFilter::default(), limit: 1, from: None, reverse: false };
    let (_, tasks) = tokio::task::spawn_blocking(move || reader.page(&page, &|_| true, false)).await??;
    Ok(tasks == 0 && service.cluster.indexes().is_empty())
}

struct Import {
    public: Router,
    internal: Router,
    service: Arc<Service>,
}

impl Import {
    async fn all(&self, dump: &Dump) -> anyhow::Result<()> {
        self.features(&dump.json("experimental-features.json")?.unwrap_or_default()).await?;
        self.keys(&dump.lines("keys.jsonl")?).await?;
        let cluster = &self.service.cluster;
        let put = async |name: &str, value: Value| {
            cluster.put_value(name, value).await.map_err(|error| anyhow::anyhow!(error.message))
        };
        if let Some(webhooks) = dump.json("webhooks.json")? {
            let webhooks = webhooks::stored(webhooks.get("webhooks"));
            put(webhooks::STORED, serde_json::to_value(webhooks)?).await?;
        }
        if let Some(network) = dump.json("network.json")?.filter(Value::is_object) {
            put(network::STORED, network).await?;
        }
        for index in dump.indexes()? {
            self.index(dump, &index).await.with_context(|| format!("index {index}"))?;
        }
        Ok(())
    }

    /// One by one: what the cluster does not serve stays off.
    async fn features(&self, features: &Value) -> anyhow::Result<()> {
        for (name, _) in features.as_object().into_iter().flatten().filter(|(_, on)| **on == true) {
            let body = json!({ name: true });
            if let Err(error) = self.call(&self.public, "PATCH", "/experimental-features", body.to_string()).await {
                warn!(feature = name, "stays off: {error:#}");
            }
        }
        Ok(())
    }

    /// The dump's keys take the place of all that there are.
    async fn keys(&self, lines: &[Value]) -> anyhow::Result<()> {
        let cluster = &self.service.cluster;
        let failed = |error: miroir_core::error::ErrorBody| anyhow::anyhow!(error.message);
        let keys: Vec<KeyRecord> =
            lines.iter().map(|line| serde_json::from_value(named(line))).collect::<Result<_, _>>().context("keys")?;
        for key in cluster.keys().iter().filter(|known| keys.iter().all(|key| key.uid != known.uid)) {
            cluster.delete_key(key.uid).await.map_err(failed)?;
        }
        for key in keys {
            cluster.put_key(key).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn index(&self, dump: &Dump, uid: &str) -> anyhow::Result<()> {
        info!(index = uid, "importing");
        let metadata = dump.json(&format!("indexes/{uid}/metadata.json"))?.context("no metadata")?;
        let primary_key = metadata["primaryKey"].as_str();
        let body = json!({ "uid": uid, "primaryKey": primary_key });
        self.task(self.call(&self.public, "POST", "/indexes", body.to_string()).await?).await?;
        if let Some(mut settings) = dump.json(&format!("indexes/{uid}/settings.json"))? {
            // The engine writes them down also where their feature is off: then they stand for nothing.
            for (name, feature) in [("chat", "chatCompletions"), ("foreignKeys", "foreignKeys")] {
                if !stats::is_on(&*self.service.cluster, feature)
                    && let Some(settings) = settings.as_object_mut()
                {
                    settings.remove(name);
                }
            }
            let path = format!("/indexes/{uid}/settings");
            self.task(self.call(&self.public, "PATCH", &path, settings.to_string()).await?).await?;
        }
        let Some(primary_key) = primary_key else { return Ok(()) };
        let mut payloads = dump.payloads(uid, PAYLOAD_BYTES)?;
        let key: String = url(primary_key);
        let path = format!("{BULK_PREFIX}/indexes/{uid}/documents?primaryKey={key}");
        let mut tasks = Vec::new();
        while let Some(payload) = tokio::task::block_in_place(|| payloads.next()).transpose()? {
            tasks.push(self.call(&self.internal, "POST", &path, payload).await?);
        }
        for task in tasks {
            self.task(task).await?;
        }
        Ok(())
    }

    /// A request as a client with the master key sends it. What cannot be done now is tried again.
    async fn call(&self, router: &Router, method: &str, path: &str, body: String) -> anyhow::Result<Value> {
        let content_type = if path.starts_with(BULK_PREFIX) { "application/x-ndjson" } else { "application/json" };
        let mut attempt = 0;
        loop {
            let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content_type);
            request = request.header(header::CONTENT_LENGTH, body.len());
            if let Some(key) = &self.service.cluster.secrets().master_key {
                request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
            }
            let answer = router.clone().oneshot(request.body(Body::from(body.clone()))?).await?;
            let status = answer.status();
            let answer = to_bytes(answer.into_body(), usize::MAX).await?;
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            attempt += 1;
            match status.as_u16() {
                200..=299 => return Ok(answer),
                503 if attempt < ATTEMPTS => tokio::time::sleep(PAUSE).await,
                _ => bail!("{method} {path}: {status}: {}", answer["message"].as_str().unwrap_or_default()),
            }
        }
    }

    /// Waits for a task, which must succeed.
    async fn task(&self, summary: Value) -> anyhow::Result<()> {
        let uid = summary["taskUid"].as_u64().and_then(|uid| u32::try_from(uid).ok()).context("no task")?;
        self.service.cluster.wait_for_tasks(&[uid], TASK).await;
        let task = self.call(&self.public, "GET", &format!("/tasks/{uid}"), String::new()).await?;
        let error = task["error"]["message"].as_str().unwrap_or("it is not over");
        ensure!(task["status"] == "succeeded", "{}: {error}", task["type"].as_str().unwrap_or_default());
        Ok(())
    }
}

/// Members of a key as control names them: a dump has `expires_at`.
fn named(line: &Value) -> Value {
    let mut key = line.clone();
    for (dumped, own) in [("expires_at", "expiresAt"), ("created_at", "createdAt"), ("updated_at", "updatedAt")] {
        if let Some(value) = key.as_object_mut().and_then(|key| key.remove(dumped)) {
            key[own] = value;
        }
    }
    key
}

/// A value of a query string.
fn url(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_dump_are_keys_of_ours() {
        let line = json!({
            "uid": "6d69726f-6972-4b01-8001-64656661756c", "actions": ["search"], "indexes": ["*"],
            "expires_at": null, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
        });
        let key: KeyRecord = serde_json::from_value(named(&line)).unwrap();
        assert_eq!((key.name, key.actions.len(), key.expires_at), (None, 1, None));
        assert_eq!(key.updated_at.to_string(), "2026-01-02T00:00:00Z");
    }

    #[test]
    fn values_are_spelled_as_urls_want_them() {
        assert_eq!(url("a.b-_"), "a.b-_");
        assert_eq!(url("é &"), "%C3%A9%20%26");
    }
}
