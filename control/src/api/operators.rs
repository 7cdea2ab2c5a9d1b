//! What probes and collectors read without a key: `/_miroir/health`, `/_miroir/ready`, `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use miroir_core::error::ErrorBody;
use miroir_sequencer::CopyState;
use serde_json::json;

use super::{Service, reply};
use crate::admin;
use crate::telemetry::Measured;

/// Probes alone: for the public listener.
pub(super) fn probes(service: Arc<Service>) -> Router {
    Router::new().route("/_miroir/health", get(health)).route("/_miroir/ready", get(ready)).with_state(service)
}

/// Everything.
pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(service.clone()).merge(probes(service))
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

/// Ready: every shard has a copy that can be read and written, so that a client's first request succeeds.
async fn ready(State(service): State<Arc<Service>>) -> Response {
    let Some(look) = service.cluster.look().await else {
        return reply::json(503, &json!({ "status": "unavailable", "reasons": ["shutting down"] }));
    };
    let mut reasons = Vec::new();
    let down = admin::down(&admin::shards(&look));
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

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let Some(look) = service.cluster.look().await else {
        return reply::error(&ErrorBody::new("internal", "shutting down"));
    };
    let mut copies: BTreeMap<&'static str, usize> =
        ["inSync", "stale", "dual", "retiring"].into_iter().map(|state| (state, 0)).collect();
    look.copies.iter().for_each(|copy| *copies.entry(state(copy.state)).or_default() += 1);
    let mut syncs: BTreeMap<&'static str, usize> =
        ["waiting", "comparing", "copying", "closing"].into_iter().map(|phase| (phase, 0)).collect();
    look.syncs.iter().for_each(|sync| *syncs.entry(sync.phase).or_default() += 1);
    let measured = Measured {
        epoch: look.map.epoch,
        open_tasks: service.cluster.open_tasks(),
        waiting: service.cluster.waiting(),
        copies: copies.into_iter().collect(),
        copies_waiting: look.deletions.as_ref().map_or(0, |wait| wait.copies),
        filters_waited_for: look
            .deletions
            .as_ref()
            .map_or(0, |wait| wait.filters.iter().filter(|filter| filter.silent).count()),
        syncs: syncs.into_iter().collect(),
        findings: look.scrub.findings.iter().filter(|finding| !finding.acknowledged).count(),
        scrub_ended_ms: look.scrub.row.last.map_or(0, |last| last.ended_ms),
        nodes: look.nodes.iter().map(|node| (node.id.clone(), node.phase == "ready", node.open_tasks)).collect(),
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], service.metrics.text(&measured)).into_response()
}
