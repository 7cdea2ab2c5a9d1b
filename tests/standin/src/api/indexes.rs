//! Index routes.

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::{body, check_uid, enqueue, uid_text, valid_uid};
use crate::answer::{Answer, no_index, ok, refuse};
use crate::auth::check;
use crate::node::Shared;
use crate::shape::{self, Field, Is};
use crate::task::Work;

const PAGE: &[Field] = &[("offset", Is::Count, "invalid_index_offset"), ("limit", Is::Count, "invalid_index_limit")];

const INDEX: &[Field] =
    &[("uid", Is::Text, "invalid_index_uid"), ("primaryKey", Is::Text, "invalid_index_primary_key")];

/// `GET /indexes`
pub(super) async fn list(State(node): State<Shared>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    let right = check(&node, &headers, "indexes.get", None)?;
    let page = shape::query(query.as_deref(), PAGE)?;
    let number = |name: &str, otherwise: u64| page.get(name).and_then(Value::as_u64).unwrap_or(otherwise);
    let (offset, limit) = (number("offset", 0), number("limit", 20));
    let state = node.state();
    let seen: Vec<Value> =
        state.indexes.values().filter(|index| right.covers(&index.uid)).map(|index| index.view()).collect();
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let take = usize::try_from(limit).unwrap_or(usize::MAX);
    let shown: Vec<&Value> = seen.iter().skip(skip).take(take).collect();
    ok(json!({"results": shown, "offset": offset, "limit": limit, "total": seen.len()}))
}

/// `POST /indexes`
pub(super) async fn create(State(node): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Answer {
    let right = check(&node, &headers, "indexes.create", None)?;
    let request = body(&headers, &bytes)?;
    let fields = shape::object(&request)?;
    shape::check(fields, INDEX, "")?;
    let Some(uid) = fields.get("uid").and_then(Value::as_str) else {
        return Err(refuse("missing_index_uid", "Missing field `uid`"));
    };
    if !valid_uid(uid) {
        return Err(refuse("invalid_index_uid", format!("Invalid value at `.uid`: {}", uid_text(uid))));
    }
    if !right.covers(uid) {
        return Err(refuse("invalid_api_key", "The provided API key is invalid."));
    }
    let primary_key = fields.get("primaryKey").and_then(Value::as_str).map(str::to_owned);
    enqueue(&node, 202, Some(uid), Work::Create { primary_key }, None)
}

/// `GET /indexes/{index}`
pub(super) async fn one(State(node): State<Shared>, Path(index): Path<String>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "indexes.get", Some(&index))?;
    check_uid(&index)?;
    let state = node.state();
    ok(state.indexes.get(&index).ok_or_else(|| no_index(&index))?.view())
}

/// `PATCH /indexes/{index}`
pub(super) async fn patch(
    State(node): State<Shared>,
    Path(index): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    check(&node, &headers, "indexes.update", Some(&index))?;
    check_uid(&index)?;
    let request = body(&headers, &bytes)?;
    let fields = shape::object(&request)?;
    for (name, code) in [("createdAt", "immutable_index_created_at"), ("updatedAt", "immutable_index_updated_at")] {
        if fields.contains_key(name) {
            return Err(refuse(code, format!("Immutable field `{name}`: expected one of `primaryKey`, `uid`")));
        }
    }
    shape::check(fields, &[INDEX[1], INDEX[0]], "")?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    text("uid").as_deref().map_or(Ok(()), check_uid)?;
    let work = Work::Update { primary_key: text("primaryKey"), old: index.clone(), uid: text("uid") };
    enqueue(&node, 202, Some(&index), work, None)
}

/// `DELETE /indexes/{index}`
pub(super) async fn delete(State(node): State<Shared>, Path(index): Path<String>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "indexes.delete", Some(&index))?;
    check_uid(&index)?;
    enqueue(&node, 202, Some(&index), Work::Drop, None)
}

/// `POST /swap-indexes`
pub(super) async fn swap(State(node): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Answer {
    let right = check(&node, &headers, "indexes.swap", None)?;
    let request = body(&headers, &bytes)?;
    let items = request.as_array().ok_or_else(|| shape::wrong_type("bad_request", "", "an array", &request))?;
    let mut pairs = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for item in items {
        let indexes: Vec<String> = item["indexes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|uid| uid.as_str().map(str::to_owned))
            .collect();
        let [left, right_index] = indexes.as_slice() else {
            let list = serde_json::to_string(&indexes).unwrap_or_default();
            return Err(refuse(
                "invalid_swap_indexes",
                format!(
                    "Two indexes must be given for each swap. The list `{list}` contains {} indexes.",
                    indexes.len()
                ),
            ));
        };
        for uid in [left, right_index] {
            if seen.contains(uid) {
                return Err(refuse(
                    "invalid_swap_duplicate_index_found",
                    format!("Indexes must be declared only once during a swap. `{uid}` was specified several times."),
                ));
            }
            if !right.covers(uid) {
                return Err(refuse("invalid_api_key", "The provided API key is invalid."));
            }
            seen.push(uid.clone());
        }
        pairs.push((left.clone(), right_index.clone(), item["rename"] == true));
    }
    enqueue(&node, 202, None, Work::Swap { pairs }, None)
}
