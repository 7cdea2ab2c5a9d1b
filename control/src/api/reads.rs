//! Reads of indexes that an Envoy's map does not hold: its filter passes them on, since control may know more. Control
//! reads no documents itself; it says that there is no such index, or that the map that has it is on its way. The engine
//! looks at a request before it looks for the index, so a node is asked what is wrong with the request itself.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use miroir_core::call::Reply;
use miroir_core::error::ErrorBody;
use miroir_core::route::{self, Matched, Route};

use super::reply;
use crate::auth;
use crate::cluster::{Handle, NodeRequest};
use crate::indexes::valid_uid;
use crate::settings::body::{json, refusal, whole};
use crate::settings::not_found;

/// The read routes below an index.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/indexes/{uid}/search", get(absent).post(absent))
        .route("/indexes/{uid}/facet-search", post(absent))
        .route("/indexes/{uid}/similar", get(absent).post(absent))
        .route("/indexes/{uid}/fields", post(absent))
        .route("/indexes/{uid}/documents", get(absent))
        .route("/indexes/{uid}/documents/fetch", post(absent))
        .route("/indexes/{uid}/documents/{document}", get(absent))
        .with_state(handle)
}

async fn absent(State(handle): State<Handle>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match route::route(parts.method.as_str(), parts.uri.path()) {
        Route::Found(matched) => {
            let judged = judged(&handle, &matched, &parts, body).await;
            judged.map_or_else(|error| refusal(&error), reply::core)
        }
        other => other.dead_end().map_or_else(|| StatusCode::NOT_FOUND.into_response(), reply::core),
    }
}

async fn judged(handle: &Handle, matched: &Matched, parts: &Parts, body: Body) -> Result<Reply, ErrorBody> {
    let uid = matched.index().unwrap_or_default();
    auth::permit(handle.as_ref(), &parts.headers, matched.rule.action, Some(uid))?;
    valid_uid(uid)?;
    if handle.index(uid).is_none() {
        return match nodes_refusal(handle, parts, body).await? {
            Some(refusal) => Ok(refusal),
            None => Err(not_found(uid)),
        };
    }
    let message = format!("Index `{uid}` is new and not everywhere yet; try again.");
    let mut reply = ErrorBody::new("remote_could_not_send_request", message).reply_with_status(503);
    reply.headers.push(("retry-after".to_owned(), "1".to_owned()));
    Ok(reply)
}

/// What a node says against the client's request, other than that it has no such index.
async fn nodes_refusal(handle: &Handle, parts: &Parts, body: Body) -> Result<Option<Reply>, ErrorBody> {
    let body = match parts.method {
        Method::GET => None,
        _ => Some(json(&parts.headers, &whole(handle, body).await?)?),
    };
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let request = NodeRequest { method: parts.method.to_string(), path, body };
    let Some(node) = handle.nodes().into_iter().find(|node| node.reachable) else { return Ok(None) };
    let Ok(answer) = handle.node_request(&node.id, request).await else { return Ok(None) };
    let refused = (400..=499).contains(&answer.status);
    let error = serde_json::from_slice::<ErrorBody>(&answer.body).ok();
    let error = error.filter(|error| refused && error.code != "index_not_found");
    Ok(error.map(|error| error.reply_with_status(answer.status)))
}
