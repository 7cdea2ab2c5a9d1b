//! `/webhooks`.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing;
use miroir_core::error::ErrorBody;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{STORED, Webhook, Webhooks, stored};
use crate::auth;
use crate::cluster::Handle;
use crate::settings::body::{Payload, answer, json as read_json, respond};
use crate::settings::shape::{Absent, Field, Shape, read};

/// Most webhooks.
const MOST: usize = 20;
/// Most headers of one.
const MOST_HEADERS: usize = 200;

/// One change at a time: each is made to what the one before has left.
static CHANGING: Mutex<()> = Mutex::const_new(());

const BODY: Shape = Shape::Object(&[
    Field::setting("url", &Shape::Text).code("invalid_webhook_url"),
    Field::setting("headers", &Shape::Table(&Shape::Nullable(&Shape::Text))).code("invalid_webhook_headers"),
    Field { name: "uuid", shape: Shape::Any, absent: Absent::Immutable("immutable_webhook_uuid"), code: None },
    Field {
        name: "isEditable",
        shape: Shape::Any,
        absent: Absent::Immutable("immutable_webhook_is_editable"),
        code: None,
    },
]);

/// The webhook routes.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/webhooks", routing::get(list).post(create))
        .route("/webhooks/{uuid}", routing::get(show).patch(change).delete(delete))
        .with_state(handle)
}

fn permit(handle: &Handle, headers: &HeaderMap, action: &str) -> Result<(), ErrorBody> {
    auth::permit(handle.as_ref(), headers, action, None).map(drop)
}

fn webhooks(handle: &Handle) -> Webhooks {
    stored(handle.value(STORED).as_ref())
}

async fn keep(handle: &Handle, webhooks: &Webhooks) -> Result<(), ErrorBody> {
    let value = serde_json::to_value(webhooks).map_err(|error| ErrorBody::new("internal", error.to_string()))?;
    handle.put_value(STORED, value).await
}

fn uuid(text: &str) -> Result<Uuid, ErrorBody> {
    Uuid::parse_str(text).map_err(|error| ErrorBody::new("invalid_webhook_uuid", format!("Invalid UUID: {error}")))
}

/// A webhook that can be changed: the engine has one, of the nil uuid, that only its command line can.
fn changeable(text: &str) -> Result<Uuid, ErrorBody> {
    let uuid = uuid(text)?;
    if !uuid.is_nil() {
        return Ok(uuid);
    }
    let message = format!(
        "Webhook `{uuid}` is immutable. The webhook defined from the command line cannot be modified using the API."
    );
    Err(ErrorBody::new("immutable_webhook", message))
}

fn not_found(uuid: Uuid) -> ErrorBody {
    ErrorBody::new("webhook_not_found", format!("Webhook `{uuid}` not found."))
}

async fn list(State(handle): State<Handle>, headers: HeaderMap) -> Response {
    respond((|| {
        permit(&handle, &headers, "webhooks.get")?;
        let results: Vec<Value> = webhooks(&handle).iter().map(|(uuid, webhook)| webhook.view(*uuid)).collect();
        Ok(answer(StatusCode::OK, &json!({ "results": results })))
    })())
}

async fn show(State(handle): State<Handle>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    respond((|| {
        permit(&handle, &headers, "webhooks.get")?;
        let uuid = uuid(&name)?;
        let found = webhooks(&handle).remove(&uuid).ok_or_else(|| not_found(uuid))?;
        Ok(answer(StatusCode::OK, &found.view(uuid)))
    })())
}

async fn create(State(handle): State<Handle>, headers: HeaderMap, Payload(body): Payload) -> Response {
    let result = async {
        permit(&handle, &headers, "webhooks.create")?;
        let body = read(&BODY, read_json(&headers, &body)?, "bad_request")?;
        let uuid = Uuid::new_v4();
        let given = body["headers"].as_object();
        if given.is_some_and(|headers| headers.len() > MOST_HEADERS) {
            return Err(too_many_headers(uuid));
        }
        let _one = CHANGING.lock().await;
        let mut webhooks = webhooks(&handle);
        if webhooks.len() >= MOST {
            let message = "Defining too many webhooks would crush the server. Please limit the number of webhooks to \
                           20. You may use a third-party proxy server to dispatch events to more than 20 endpoints.";
            return Err(ErrorBody::new("invalid_webhooks", message));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let headers: BTreeMap<String, String> =
            given.into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect();
        let url = body["url"].as_str().ok_or_else(|| missing_url(uuid))?.to_owned();
        let webhook = Webhook { url, headers };
        check(uuid, &webhook)?;
        let shown = webhook.view(uuid);
        webhooks.insert(uuid, webhook);
        keep(&handle, &webhooks).await?;
        Ok(answer(StatusCode::CREATED, &shown))
    };
    respond(result.await)
}

async fn change(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Response {
    let result = async {
        permit(&handle, &headers, "webhooks.update")?;
        let body = read(&BODY, read_json(&headers, &body)?, "bad_request")?;
        let uuid = changeable(&name)?;
        let _one = CHANGING.lock().await;
        let mut webhooks = webhooks(&handle);
        let webhook = changed(uuid, webhooks.remove(&uuid).ok_or_else(|| not_found(uuid))?, &body)?;
        check(uuid, &webhook)?;
        let shown = webhook.view(uuid);
        webhooks.insert(uuid, webhook);
        keep(&handle, &webhooks).await?;
        Ok(answer(StatusCode::OK, &shown))
    };
    respond(result.await)
}

async fn delete(State(handle): State<Handle>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let result = async {
        permit(&handle, &headers, "webhooks.delete")?;
        let uuid = changeable(&name)?;
        let _one = CHANGING.lock().await;
        let mut webhooks = webhooks(&handle);
        webhooks.remove(&uuid).ok_or_else(|| not_found(uuid))?;
        keep(&handle, &webhooks).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    respond(result.await)
}

/// The webhook after a change: headers are merged, and null takes one away.
fn changed(uuid: Uuid, mut webhook: Webhook, body: &Value) -> Result<Webhook, ErrorBody> {
    match body.get("url") {
        Some(Value::String(url)) => webhook.url.clone_from(url),
        Some(_) => return Err(missing_url(uuid)),
        None => {}
    }
    match body.get("headers") {
        Some(Value::Object(headers)) => {
            for (name, value) in headers {
                match value.as_str() {
                    Some(value) => drop(webhook.headers.insert(name.clone(), value.to_owned())),
                    None => drop(webhook.headers.remove(name)),
                }
            }
        }
        Some(_) => webhook.headers.clear(),
        None => {}
    }
    Ok(webhook)
}

fn missing_url(uuid: Uuid) -> ErrorBody {
    ErrorBody::new("invalid_webhook_url", format!("The URL for the webhook `{uuid}` is missing."))
}

fn too_many_headers(uuid: Uuid) -> ErrorBody {
    let message = format!(
        "Too many headers for the webhook `{uuid}`. Please limit the number of headers to 200. Hint: To remove an \
         already defined header set its value to `null`"
    );
    ErrorBody::new("invalid_webhook_headers", message)
}

fn check(uuid: Uuid, webhook: &Webhook) -> Result<(), ErrorBody> {
    if webhook.url.is_empty() {
        return Err(missing_url(uuid));
    }
    if webhook.headers.len() > MOST_HEADERS {
        return Err(too_many_headers(uuid));
    }
    for (name, value) in &webhook.headers {
        HeaderName::from_bytes(name.as_bytes()).map_err(|error| {
            ErrorBody::new("invalid_webhook_headers", format!("Invalid header name `{name}`: {error}"))
        })?;
        HeaderValue::from_str(value).map_err(|error| {
            ErrorBody::new("invalid_webhook_headers", format!("Invalid header value `{name}`: {error}"))
        })?;
    }
    reqwest::Url::parse(&webhook.url)
        .map(drop)
        .map_err(|error| ErrorBody::new("invalid_webhook_url", format!("Invalid URL `{}`: {error}", webhook.url)))
}
