//! Reads of indexes that an Envoy's map does not hold: its filter passes them on, since control may know more. Control
//! reads no documents itself; it says that there is no such index, or that the map that has it is on its way.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use miroir_core::call::Reply;
use miroir_core::error::ErrorBody;
use miroir_core::route::{self, Matched, Route};

use super::reply;
use crate::auth::authorise;
use crate::cluster::Handle;
use crate::indexes::valid_uid;
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
    match route::route(request.method().as_str(), request.uri().path()) {
        Route::Found(matched) => {
            reply::core(judged(&handle, &matched, request.headers()).unwrap_or_else(|error| error.reply()))
        }
        other => other.dead_end().map_or_else(|| StatusCode::NOT_FOUND.into_response(), reply::core),
    }
}

fn judged(handle: &Handle, matched: &Matched, headers: &HeaderMap) -> Result<Reply, ErrorBody> {
    let uid = matched.index().unwrap_or_default();
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    authorise(handle.as_ref(), authorization, matched.rule.action, Some(uid))?;
    valid_uid(uid)?;
    handle.index(uid).ok_or_else(|| not_found(uid))?;
    let message = format!("Index `{uid}` is new and not everywhere yet; try again.");
    let mut reply = ErrorBody::new("remote_could_not_send_request", message).reply_with_status(503);
    reply.headers.push(("retry-after".to_owned(), "1".to_owned()));
    Ok(reply)
}
