//! What operators and probes read: `/_miroir/health`, `/_miroir/ready`, `/_miroir/status`, `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use miroir_core::error::ErrorBody;
use miroir_sequencer::CopyState;
use serde_json::{Value, json};

use super::{Service, reply};
use crate::auth::authorise;
use crate::cluster::{Look, Runtime};
use crate::telemetry::Measured;

/// Probes alone: for the public listener.
pub(super) fn probes(service: Arc<Service>) -> Router {
    Router::new().route("/_miroir/health", get(health)).route("/_miroir/ready", get(ready)).with_state(service)
}

/// Everything.
pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/_miroir/status", get(status))
        .route("/metrics", get(metrics))
        .with_state(service.clone())
        .merge(probes(service))
}

async fn health() -> Response {
    reply::json(200, &json!({ "status": "available" }))
}

fn state(copy: CopyState) -> &'static str {
    match copy {
        CopyState::InSync => "inSync",
        CopyState::Stale => "stale",
        CopyState::Dual => "dual",
        CopyState::Retiring => "retiring",
    }
}

/// Shards that no node can serve now, by placement.
fn down(look: &Look) -> Vec<(u16, u32)> {
    let mut served: BTreeMap<(u16, u32), bool> = BTreeMap::new();
    for copy in &look.copies {
        let ready = look.nodes.iter().any(|node| node.id == copy.node && node.phase == "ready");
        *served.entry((copy.placement, copy.shard)).or_default() |= ready && copy.state == CopyState::InSync;
    }
    served.into_iter().filter(|(_, served)| !served).map(|(shard, _)| shard).collect()
}

/// Ready: every shard has a copy that can be read and written, so that a client's first request succeeds.
async fn ready(State(service): State<Arc<Service>>) -> Response {
    let Some(look) = service.cluster.look().await else {
        return reply::json(503, &json!({ "status": "unavailable", "reasons": ["shutting down"] }));
    };
    let mut reasons = Vec::new();
    let down = down(&look);
    if look.copies.is_empty() {
        reasons.push("no shard is placed yet".to_owned());
    } else if !down.is_empty() {
        reasons.push(format!("{} shards without a ready copy", down.len()));
    }
    if reasons.is_empty() {
        return reply::json(200, &json!({ "status": "ready", "epoch": look.map.epoch }));
    }
    let waiting = look.nodes.iter().filter(|node| node.phase != "ready");
    reasons.extend(waiting.map(|node| format!("node {} is {}", node.id, node.phase)));
    reply::json(503, &json!({ "status": "unavailable", "reasons": reasons }))
}

async fn status(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    if let Err(error) = authorise(&*service.cluster, authorization, "stats.get", None) {
        return reply::error(&error);
    }
    match service.cluster.look().await {
        Some(look) => reply::json(200, &describe(&service, &look)),
        None => reply::error(&ErrorBody::new("internal", "shutting down")),
    }
}

fn describe(service: &Service, look: &Look) -> Value {
    let cluster = &service.cluster;
    let views = cluster.nodes();
    let nodes: Vec<Value> = look
        .nodes
        .iter()
        .map(|node| {
            let view = views.iter().find(|view| view.id == node.id);
            let held = look.copies.iter().filter(|copy| copy.node == node.id);
            let mut copies: BTreeMap<&str, u32> = BTreeMap::new();
            held.for_each(|copy| *copies.entry(state(copy.state)).or_default() += 1);
            json!({
                "id": node.id,
                "url": view.map(|view| view.url.as_str()),
                "zone": view.and_then(|view| view.zone.as_deref()),
                "phase": node.phase,
                "version": node.version,
                "incarnation": node.incarnation,
                "generation": node.generation,
                "openTasks": node.open_tasks,
                "journal": node.journal,
                "copies": copies,
            })
        })
        .collect();
    let mut shards: BTreeMap<(u16, u32), Vec<Value>> = BTreeMap::new();
    for copy in &look.copies {
        let entry = json!({ "node": copy.node, "state": state(copy.state) });
        shards.entry((copy.placement, copy.shard)).or_default().push(entry);
    }
    let shards: Vec<Value> = shards
        .into_iter()
        .map(|((placement, shard), copies)| json!({ "placement": placement, "shard": shard, "copies": copies }))
        .collect();
    let stale: Vec<Value> = look
        .copies
        .iter()
        .filter(|copy| copy.state == CopyState::Stale)
        .map(|copy| json!({ "placement": copy.placement, "shard": copy.shard, "node": copy.node }))
        .collect();
    let down: Vec<Value> =
        down(look).into_iter().map(|(placement, shard)| json!({ "placement": placement, "shard": shard })).collect();
    json!({
        "cluster": look.map.cluster,
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": look.map.epoch,
        "shardCount": look.map.shards,
        "replicationFactor": look.map.replication_factor,
        // False: without a master key a request that a hung node carries out late cannot be kept out.
        "lateWritesFenced": cluster.secrets().master_key.is_some(),
        "nodes": nodes,
        "shards": shards,
        "staleCopies": stale,
        "downShards": down,
        "indexes": cluster.indexes().keys().collect::<Vec<_>>(),
        "openTasks": cluster.open_tasks(),
        "waitingRequests": cluster.waiting(),
        "envoys": service.tracker.envoys(),
        "filters": service.heartbeats.view(),
    })
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let Some(look) = service.cluster.look().await else {
        return reply::error(&ErrorBody::new("internal", "shutting down"));
    };
    let mut copies: BTreeMap<&'static str, usize> =
        ["inSync", "stale", "dual", "retiring"].into_iter().map(|state| (state, 0)).collect();
    look.copies.iter().for_each(|copy| *copies.entry(state(copy.state)).or_default() += 1);
    let measured = Measured {
        epoch: look.map.epoch,
        open_tasks: service.cluster.open_tasks(),
        waiting: service.cluster.waiting(),
        copies: copies.into_iter().collect(),
        nodes: look.nodes.iter().map(|node| (node.id.clone(), node.phase == "ready", node.open_tasks)).collect(),
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], service.metrics.text(&measured)).into_response()
}
