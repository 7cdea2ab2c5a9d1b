//! Health, version, stats, experimental features, dumps and snapshots.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use super::{body, enqueue};
use crate::answer::{Answer, no_index, ok, refuse};
use crate::auth::check;
use crate::clock;
use crate::node::{FEATURES, Shared};
use crate::shape;
use crate::task::Work;

/// `GET /`
pub(super) async fn home() -> Answer {
    ok(json!({"status": "Meilisearch is running"}))
}

/// `GET /health`
pub(super) async fn health() -> Answer {
    ok(json!({"status": "available"}))
}

/// `GET /version`
pub(super) async fn version(State(node): State<Shared>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "version", None)?;
    ok(json!({"commitSha": "miroir-standin", "commitDate": "unknown", "pkgVersion": node.version}))
}

/// `GET /stats`
pub(super) async fn stats(State(node): State<Shared>, headers: HeaderMap) -> Answer {
    let right = check(&node, &headers, "stats.get", None)?;
    let state = node.state();
    let seen = state.indexes.values().filter(|index| right.covers(&index.uid));
    let last = seen.clone().map(|index| index.updated_at).max();
    let indexes: Map<String, Value> =
        seen.map(|index| (index.uid.clone(), index.stats(state.indexing(&index.uid)))).collect();
    ok(json!({
        "databaseSize": 65_536,
        "usedDatabaseSize": 32_768,
        "lastUpdate": last.map(clock::text),
        "indexes": indexes,
    }))
}

/// `GET /indexes/{index}/stats`
pub(super) async fn index_stats(State(node): State<Shared>, Path(index): Path<String>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "stats.get", Some(&index))?;
    let state = node.state();
    let found = state.indexes.get(&index).ok_or_else(|| no_index(&index))?;
    ok(found.stats(state.indexing(&index)))
}

/// `GET /experimental-features`
pub(super) async fn features(State(node): State<Shared>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "experimental.get", None)?;
    ok(Value::Object(node.state().features.clone()))
}

/// `PATCH /experimental-features`
pub(super) async fn patch_features(State(node): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Answer {
    check(&node, &headers, "experimental.update", None)?;
    let change = body(&headers, &bytes)?;
    let fields: Vec<shape::Field> = FEATURES.iter().map(|name| (*name, shape::Is::Flag, "bad_request")).collect();
    shape::check(shape::object(&change)?, &fields, "").map_err(|refusal| refuse("bad_request", refusal.0.message))?;
    let mut state = node.state();
    state.put_features(change)?;
    ok(Value::Object(state.features.clone()))
}

/// `POST /dumps`
pub(super) async fn dump(State(node): State<Shared>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "dumps.create", None)?;
    enqueue(&node, 202, None, Work::Backup { kind: "dumpCreation".into() }, None)
}

/// `POST /snapshots`
pub(super) async fn snapshot(State(node): State<Shared>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "snapshots.create", None)?;
    enqueue(&node, 202, None, Work::Backup { kind: "snapshotCreation".into() }, None)
}
