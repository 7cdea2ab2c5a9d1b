//! `/indexes`, `/indexes/{uid}`, `/swap-indexes`.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing;
use miroir_core::error::ErrorBody;
use serde_json::{Value, json};

use super::{moment, page, uid_rule, valid_uid};
use crate::auth::{self, Caller};
use crate::cluster::{Handle, IndexOperation, IndexRow, IndexSwap};
use crate::settings::body::{Payload, answer, json as read_json, respond};
use crate::settings::not_found;
use crate::settings::shape::{Absent, Field, Shape, read};

const UID: Shape = Shape::Checked(&Shape::Text, |value| {
    let uid = value.as_str().unwrap_or_default();
    if valid_uid(uid).is_ok() { Ok(()) } else { Err(uid_rule(uid)) }
});

const PRIMARY_KEY: Field = Field::setting("primaryKey", &Shape::Text).code("invalid_index_primary_key");

const CREATION: Shape = Shape::Object(&[
    Field {
        name: "uid",
        shape: UID,
        absent: Absent::Fault(Some("missing_index_uid")),
        code: Some("invalid_index_uid"),
    },
    PRIMARY_KEY,
]);

const CHANGE: Shape = Shape::Object(&[
    PRIMARY_KEY,
    Field::setting("uid", &Shape::Text).code("invalid_index_uid"),
    Field { name: "createdAt", shape: Shape::Any, absent: Absent::Immutable("immutable_index_created_at"), code: None },
    Field { name: "updatedAt", shape: Shape::Any, absent: Absent::Immutable("immutable_index_updated_at"), code: None },
]);

const SWAPS: Shape = Shape::List(&Shape::Object(&[
    Field {
        name: "indexes",
        shape: Shape::List(&UID),
        absent: Absent::Fault(Some("missing_swap_indexes")),
        code: Some("invalid_swap_indexes"),
    },
    Field { name: "rename", shape: Shape::Bool, absent: Absent::Default("false"), code: Some("invalid_swap_rename") },
]));

/// The index routes.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/indexes", routing::get(list).post(create))
        .route("/indexes/{uid}", routing::get(show).patch(change).delete(delete))
        .route("/indexes/{uid}/compact", routing::post(compact))
        .route("/swap-indexes", routing::post(swap))
        .with_state(handle)
}

fn permit(handle: &Handle, headers: &HeaderMap, action: &str, uid: Option<&str>) -> Result<Caller, ErrorBody> {
    auth::permit(handle.as_ref(), headers, action, uid)
}

async fn submit(handle: &Handle, operation: IndexOperation) -> Result<Response, ErrorBody> {
    Ok(answer(StatusCode::ACCEPTED, &handle.submit(operation).await?))
}

fn view(index: &IndexRow) -> Value {
    json!({
        "uid": index.uid,
        "createdAt": moment(index.created_ms),
        "updatedAt": moment(index.updated_ms),
        "primaryKey": index.primary_key,
    })
}

async fn list(State(handle): State<Handle>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    respond((|| {
        let caller = permit(&handle, &headers, "indexes.get", None)?;
        let page = page::read(query.as_deref(), "invalid_index_offset", "invalid_index_limit")?;
        let indexes = handle.indexes();
        let seen = indexes.values().filter(|index| caller.sees(&index.uid)).map(|index| view(index)).collect();
        Ok(answer(StatusCode::OK, &page.cut(seen)))
    })())
}

async fn show(State(handle): State<Handle>, Path(uid): Path<String>, headers: HeaderMap) -> Response {
    respond((|| {
        permit(&handle, &headers, "indexes.get", Some(&uid))?;
        valid_uid(&uid)?;
        let index = handle.index(&uid).ok_or_else(|| not_found(&uid))?;
        Ok(answer(StatusCode::OK, &view(&index)))
    })())
}

async fn create(State(handle): State<Handle>, headers: HeaderMap, Payload(body): Payload) -> Response {
    let result = async {
        let caller = permit(&handle, &headers, "indexes.create", None)?;
        let body = read(&CREATION, read_json(&headers, &body)?, "bad_request")?;
        let uid = body["uid"].as_str().unwrap_or_default().to_owned();
        let primary_key = body["primaryKey"].as_str().map(str::to_owned);
        if !caller.may_create(&uid) {
            return Err(auth::invalid());
        }
        submit(&handle, IndexOperation::Create { uid, primary_key }).await
    };
    respond(result.await)
}

async fn change(
    State(handle): State<Handle>,
    Path(uid): Path<String>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Response {
    let result = async {
        permit(&handle, &headers, "indexes.update", Some(&uid))?;
        let body = read(&CHANGE, read_json(&headers, &body)?, "bad_request")?;
        valid_uid(&uid)?;
        let new_uid = body["uid"].as_str().map(str::to_owned);
        new_uid.as_deref().map_or(Ok(()), valid_uid)?;
        let primary_key = body["primaryKey"].as_str().map(str::to_owned);
        submit(&handle, IndexOperation::Update { uid, primary_key, new_uid }).await
    };
    respond(result.await)
}

async fn delete(State(handle): State<Handle>, Path(uid): Path<String>, headers: HeaderMap) -> Response {
    let result = async {
        permit(&handle, &headers, "indexes.delete", Some(&uid))?;
        valid_uid(&uid)?;
        submit(&handle, IndexOperation::Delete { uid }).await
    };
    respond(result.await)
}

async fn compact(State(handle): State<Handle>, Path(uid): Path<String>, headers: HeaderMap) -> Response {
    let result = async {
        permit(&handle, &headers, "indexes.compact", Some(&uid))?;
        valid_uid(&uid)?;
        submit(&handle, IndexOperation::Compact { uid }).await
    };
    respond(result.await)
}

async fn swap(State(handle): State<Handle>, headers: HeaderMap, Payload(body): Payload) -> Response {
    let result = async {
        let caller = permit(&handle, &headers, "indexes.swap", None)?;
        let body = read(&SWAPS, read_json(&headers, &body)?, "bad_request")?;
        let swaps = swaps(&body, &caller)?;
        submit(&handle, IndexOperation::Swap { swaps }).await
    };
    respond(result.await)
}

/// The swaps of a body; what is wrong with them is found in the engine's order.
fn swaps(body: &Value, caller: &Caller) -> Result<Vec<IndexSwap>, ErrorBody> {
    let mut swaps = Vec::new();
    for swap in body.as_array().into_iter().flatten() {
        let names: Vec<String> = serde_json::from_value(swap["indexes"].clone()).unwrap_or_default();
        let [left, right] = names.as_slice() else {
            let message = format!(
                "Two indexes must be given for each swap. The list `{names:?}` contains {} indexes.",
                names.len()
            );
            return Err(ErrorBody::new("invalid_swap_indexes", message));
        };
        if !caller.sees(left) || !caller.sees(right) {
            return Err(auth::invalid());
        }
        swaps.push(IndexSwap { indexes: (left.clone(), right.clone()), rename: swap["rename"] == true });
    }
    let names = || swaps.iter().flat_map(|IndexSwap { indexes: (left, right), .. }| [left, right]);
    let mut repeated = names().filter(|name| names().filter(|other| other == name).count() > 1).collect::<Vec<_>>();
    repeated.sort_unstable();
    repeated.dedup();
    if !repeated.is_empty() {
        let quoted = repeated.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let was = if repeated.len() == 1 { "was" } else { "were" };
        let message =
            format!("Indexes must be declared only once during a swap. {quoted} {was} specified several times.");
        return Err(ErrorBody::new("invalid_swap_duplicate_index_found", message));
    }
    Ok(swaps)
}
