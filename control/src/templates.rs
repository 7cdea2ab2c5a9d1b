//! `/render-template` with what the request itself holds, which any node renders. Templates of an index are not the
//! client's own on nodes, and documents lie in shards: those are refused.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use miroir_core::error::ErrorBody;
use serde_json::Value;

use crate::auth;
use crate::cluster::{Handle, NodeRequest};
use crate::settings::body::{Payload, answer, json, respond};
use crate::stats::is_on;

/// Kinds of templates and inputs that need an index.
const OF_AN_INDEX: [&str; 5] =
    ["documentTemplate", "chatDocumentTemplate", "indexingFragment", "searchFragment", "indexDocument"];

/// The route.
pub fn router(handle: Handle) -> Router {
    Router::new().route("/render-template", post(render)).with_state(handle)
}

async fn render(State(handle): State<Handle>, headers: HeaderMap, Payload(body): Payload) -> Response {
    let result = async {
        auth::permit(handle.as_ref(), &headers, "settings.get", None)?;
        auth::permit(handle.as_ref(), &headers, "documents.get", None)?;
        if !is_on(&*handle, "renderRoute") {
            let message = "calling the /render-template route requires enabling the `render_route` experimental feature. See https://github.com/orgs/meilisearch/discussions/888";
            return Err(ErrorBody::new("feature_not_enabled", message));
        }
        let body = json(&headers, &body)?;
        let of_an_index = |part: &Value| part["kind"].as_str().is_some_and(|kind| OF_AN_INDEX.contains(&kind));
        if of_an_index(&body["template"]) || of_an_index(&body["input"]) {
            let message = "Miroir renders what the request itself holds: no template or document of an index.";
            return Ok(answer(StatusCode::NOT_IMPLEMENTED, &ErrorBody::new("feature_not_enabled", message)));
        }
        ask(&handle, &body).await
    };
    respond(result.await)
}

/// The answer of the first node that gives one.
async fn ask(handle: &Handle, body: &Value) -> Result<Response, ErrorBody> {
    for node in handle.nodes().into_iter().filter(|node| node.reachable) {
        let request =
            NodeRequest { method: "POST".to_owned(), path: "/render-template".to_owned(), body: Some(body.clone()) };
        let Ok(found) = handle.node_request(&node.id, request).await else { continue };
        let (Ok(status), Ok(body)) = (StatusCode::from_u16(found.status), serde_json::from_slice::<Value>(&found.body))
        else {
            continue;
        };
        return Ok(answer(status, &body));
    }
    Err(ErrorBody::new("remote_could_not_send_request", "No node can be asked to render."))
}
