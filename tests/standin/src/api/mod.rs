//! The routes.

mod documents;
mod fault;
mod indexes;
mod keys;
mod methods;
mod misc;
mod search;
mod settings;
mod tasks;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, header};
use axum::middleware;
use axum::routing::{get, post};
use miroir_core::media;
use serde_json::Value;

use crate::answer::{Answer, Refusal, refuse, with_status};
use crate::auth::Right;
use crate::node::{Node, Shared};
use crate::task::Work;

/// Payload limit, as the engine's default.
const PAYLOAD_LIMIT: usize = 100 * 1024 * 1024;

/// All routes of a node.
pub(crate) fn router(node: Shared) -> Router {
    let mut router = Router::new()
        .route("/", get(misc::home))
        .route("/health", get(misc::health))
        .route("/version", get(misc::version))
        .route("/stats", get(misc::stats))
        .route("/experimental-features", get(misc::features).patch(misc::patch_features))
        .route("/dumps", post(misc::dump))
        .route("/snapshots", post(misc::snapshot))
        .route("/swap-indexes", post(indexes::swap))
        .route("/multi-search", post(search::multi))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{key}", get(keys::one).patch(keys::patch).delete(keys::delete))
        .route("/tasks", get(tasks::list).delete(tasks::delete))
        .route("/tasks/cancel", post(tasks::cancel))
        .route("/tasks/{uid}", get(tasks::one))
        .route("/indexes", get(indexes::list).post(indexes::create))
        .route("/indexes/{index}", get(indexes::one).patch(indexes::patch).delete(indexes::delete))
        .route("/indexes/{index}/stats", get(misc::index_stats))
        .route("/indexes/{index}/search", get(search::by_url).post(search::by_body))
        .route("/indexes/{index}/facet-search", post(search::facet))
        .route(
            "/indexes/{index}/documents",
            get(documents::list).post(documents::replace).put(documents::update).delete(documents::clear),
        )
        .route("/indexes/{index}/documents/fetch", post(documents::fetch))
        .route("/indexes/{index}/documents/delete", post(documents::delete_by_filter))
        .route("/indexes/{index}/documents/delete-batch", post(documents::delete_batch))
        .route("/indexes/{index}/documents/edit", post(documents::edit))
        .route("/indexes/{index}/documents/{id}", get(documents::one).delete(documents::delete))
        .route("/indexes/{index}/settings", get(settings::all).patch(settings::patch_all).delete(settings::reset_all))
        .route("/_standin/drift", post(fault::drift))
        .route("/_standin/faults", get(fault::get).post(fault::set).delete(fault::clear));
    for key in crate::settings::KEYS {
        router = router.route(&format!("/indexes/{{index}}/settings/{}", key.route), settings::routes(key));
    }
    let router = router
        .layer(middleware::from_fn_with_state(node.clone(), crate::fault::inject))
        .layer(DefaultBodyLimit::max(PAYLOAD_LIMIT))
        .with_state(node);
    // Around the whole, since `Allow` is added last.
    Router::new().fallback_service(router).layer(middleware::from_fn(methods::refuse))
}

/// Enqueues a task and answers with its summary.
fn enqueue(node: &Node, status: u16, index: Option<&str>, work: Work, metadata: Option<String>) -> Answer {
    with_status(status, node.enqueue(index, work, metadata)?.summary())
}

/// Whether a write under this right may create an index.
fn may_create(right: &Right, index: &str) -> bool {
    right.may("indexes.create") && right.covers(index)
}

/// Refuses uids that no index can have.
fn check_uid(uid: &str) -> Result<(), Refusal> {
    if valid_uid(uid) { Ok(()) } else { Err(refuse("invalid_index_uid", uid_text(uid))) }
}

fn valid_uid(uid: &str) -> bool {
    !uid.is_empty() && uid.len() <= 400 && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn uid_text(uid: &str) -> String {
    format!(
        "`{uid}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
    )
}

/// A JSON body, by content type and content.
fn body(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Refusal> {
    let sent = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    media::require_json(sent).map_err(|error| refuse(&error.code, error.message))?;
    if bytes.is_empty() {
        return Err(refuse("missing_payload", "A json payload is missing."));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| refuse("malformed_payload", format!("The json payload provided is malformed. `{error}`.")))
}
