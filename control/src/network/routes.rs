//! The routes.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing;
use miroir_core::error::ErrorBody;
use tokio::sync::Mutex;

use super::{STORED, changed, stored};
use crate::auth;
use crate::cluster::Handle;
use crate::settings::body::{Payload, answer, json, respond};
use crate::settings::shape::{Field, Shape, read};
use crate::stats::is_on;

/// One change at a time: each is made to what the one before has left.
static CHANGING: Mutex<()> = Mutex::const_new(());

const REMOTE: Shape = Shape::Object(&[
    Field::setting("url", &Shape::Text).code("invalid_network_url"),
    Field::setting("searchApiKey", &Shape::Text).code("invalid_network_search_api_key"),
    Field::setting("writeApiKey", &Shape::Text).code("invalid_network_write_api_key"),
]);

const SHARD: Shape =
    Shape::Object(&[Field::setting("remotes", &Shape::Set(&Shape::Text)).code("invalid_network_shards")]);

const BODY: Shape = Shape::Object(&[
    Field::setting("remotes", &Shape::Table(&Shape::Nullable(&REMOTE))).code("invalid_network_remotes"),
    Field::setting("shards", &Shape::Table(&Shape::Nullable(&SHARD))).code("invalid_network_shards"),
    Field::setting("previousShards", &Shape::Any),
    Field::setting("self", &Shape::Text).code("invalid_network_self"),
    Field::setting("leader", &Shape::Text).code("invalid_network_leader"),
    Field::setting("previousRemotes", &Shape::Any),
]);

/// `/network`.
pub fn router(handle: Handle) -> Router {
    Router::new().route("/network", routing::get(show).patch(change)).with_state(handle)
}

fn permit(handle: &Handle, headers: &HeaderMap, action: &str) -> Result<(), ErrorBody> {
    auth::permit(handle.as_ref(), headers, action, None)?;
    if is_on(&**handle, "network") {
        return Ok(());
    }
    let message = "Using the /network route requires enabling the `network` experimental feature. See https://github.com/orgs/meilisearch/discussions/805";
    Err(ErrorBody::new("feature_not_enabled", message))
}

async fn show(State(handle): State<Handle>, headers: HeaderMap) -> Response {
    respond((|| {
        permit(&handle, &headers, "network.get")?;
        Ok(answer(StatusCode::OK, &stored(handle.value(STORED))))
    })())
}

async fn change(State(handle): State<Handle>, headers: HeaderMap, Payload(body): Payload) -> Response {
    let result = async {
        permit(&handle, &headers, "network.update")?;
        let body = read(&BODY, json(&headers, &body)?, "bad_request")?;
        let _one = CHANGING.lock().await;
        let network = changed(stored(handle.value(STORED)), &body)?;
        handle.put_value(STORED, network.clone()).await?;
        Ok(answer(StatusCode::OK, &network))
    };
    respond(result.await)
}
