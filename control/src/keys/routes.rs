//! `/keys`.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing;
use miroir_core::error::ErrorBody;
use serde_json::Value;
use uuid::Uuid;

use super::view;
use crate::auth::{self, find_key};
use crate::cluster::{Handle, KeyRecord};
use crate::indexes::page;
use crate::settings::body::{Payload, answer, json, respond};

/// The key routes.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/keys", routing::get(list).post(create))
        .route("/keys/{key}", routing::get(show).patch(change).delete(delete))
        .with_state(handle)
}

async fn list(State(handle): State<Handle>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    respond((|| {
        let master_key = permit(&handle, &headers, "keys.get")?;
        let page = page::read(query.as_deref(), "invalid_api_key_offset", "invalid_api_key_limit")?;
        let mut keys = handle.keys().as_ref().clone();
        keys.sort_by_key(|key| std::cmp::Reverse(key.created_at));
        Ok(answer(StatusCode::OK, &page.cut(keys.iter().map(|key| view::show(key, &master_key)).collect())))
    })())
}

async fn create(State(handle): State<Handle>, headers: HeaderMap, Payload(body): Payload) -> Response {
    let result = async {
        let master_key = permit(&handle, &headers, "keys.create")?;
        let key = view::create(json(&headers, &body)?)?;
        if handle.keys().iter().any(|other| other.uid == key.uid) {
            let message = format!("`uid` field value `{}` is already an existing API key.", key.uid);
            return Err(ErrorBody::new("api_key_already_exists", message));
        }
        let shown = view::show(&key, &master_key);
        handle.put_key(key).await?;
        Ok(answer(StatusCode::CREATED, &shown))
    };
    respond(result.await)
}

async fn show(State(handle): State<Handle>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    respond((|| {
        let master_key = permit(&handle, &headers, "keys.get")?;
        let key = find(&handle, &master_key, &name)?;
        Ok(answer(StatusCode::OK, &view::show(&key, &master_key)))
    })())
}

async fn change(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Response {
    let result = async {
        let master_key = permit(&handle, &headers, "keys.update")?;
        let body: Value = view::read_change(json(&headers, &body)?)?;
        let key = view::change(&find(&handle, &master_key, &name)?, &body);
        let shown = view::show(&key, &master_key);
        handle.put_key(key).await?;
        Ok(answer(StatusCode::OK, &shown))
    };
    respond(result.await)
}

async fn delete(State(handle): State<Handle>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let result = async {
        let master_key = permit(&handle, &headers, "keys.delete")?;
        let uid = find(&handle, &master_key, &name)?.uid;
        handle.delete_key(uid).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    respond(result.await)
}

/// Judges the caller; the answer is the master key, without which there are no key routes.
fn permit(handle: &Handle, headers: &HeaderMap, action: &str) -> Result<String, ErrorBody> {
    auth::permit(handle.as_ref(), headers, action, None)?;
    Ok(handle.secrets().master_key.clone().unwrap_or_default())
}

/// The key of a uid or a value.
fn find(handle: &Handle, master_key: &str, name: &str) -> Result<KeyRecord, ErrorBody> {
    let keys = handle.keys();
    let (found, shown) = match Uuid::parse_str(name) {
        Ok(uid) => (keys.iter().find(|key| key.uid == uid), uid.to_string()),
        Err(_) => (find_key(&keys, master_key, name), name.to_owned()),
    };
    found.cloned().ok_or_else(|| ErrorBody::new("api_key_not_found", format!("API key `{shown}` not found.")))
}
