//! Key routes.

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::body;
use crate::answer::{Answer, Refusal, ok, refuse, with_status};
use crate::auth::check;
use crate::clock;
use crate::keys::{self, ACTIONS, Key};
use crate::node::{Node, Shared};
use crate::shape::{self, Field, Is};

const CREATE: &[Field] = &[
    ("description", Is::Text, "invalid_api_key_description"),
    ("name", Is::Text, "invalid_api_key_name"),
    ("uid", Is::Text, "invalid_api_key_uid"),
    ("actions", Is::Texts, "invalid_api_key_actions"),
    ("indexes", Is::Texts, "invalid_api_key_indexes"),
    ("expiresAt", Is::Text, "invalid_api_key_expires_at"),
];

fn view(node: &Node, key: &Key) -> Value {
    key.view(node.master.as_deref().unwrap_or_default())
}

fn find(node: &Node, name: &str) -> Result<Key, Refusal> {
    let master = node.master.as_deref().unwrap_or_default();
    let state = node.state();
    let found = state.keys.iter().find(|key| key.uid == name || keys::derive(master, &key.uid) == name);
    found.cloned().ok_or_else(|| refuse("api_key_not_found", format!("API key `{name}` not found.")))
}

/// `GET /keys`
pub(super) async fn list(State(node): State<Shared>, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    check(&node, &headers, "keys.get", None)?;
    let page = shape::query(
        query.as_deref(),
        &[("offset", Is::Count, "invalid_api_key_offset"), ("limit", Is::Count, "invalid_api_key_limit")],
    )?;
    let number = |name: &str, otherwise: u64| page.get(name).and_then(Value::as_u64).unwrap_or(otherwise);
    let (offset, limit) = (number("offset", 0), number("limit", 20));
    let mut all = node.state().keys.clone();
    all.sort_by_key(|key| std::cmp::Reverse(key.created_at));
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let take = usize::try_from(limit).unwrap_or(usize::MAX);
    let results: Vec<Value> = all.iter().skip(skip).take(take).map(|key| view(&node, key)).collect();
    ok(json!({"results": results, "offset": offset, "limit": limit, "total": all.len()}))
}

/// `GET /keys/{key}`
pub(super) async fn one(State(node): State<Shared>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "keys.get", None)?;
    ok(view(&node, &find(&node, &name)?))
}

/// `POST /keys`
pub(super) async fn create(State(node): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Answer {
    check(&node, &headers, "keys.create", None)?;
    let request = body(&headers, &bytes)?;
    let fields = shape::object(&request)?;
    shape::check(fields, CREATE, "")?;
    for (name, code) in [
        ("actions", "missing_api_key_actions"),
        ("expiresAt", "missing_api_key_expires_at"),
        ("indexes", "missing_api_key_indexes"),
    ] {
        if !fields.contains_key(name) {
            return Err(refuse(code, format!("Missing field `{name}`")));
        }
    }
    let texts = |name: &str| -> Vec<String> {
        let items = fields.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let actions = texts("actions");
    if let Some(position) = actions.iter().position(|action| !ACTIONS.contains(&action.as_str())) {
        let known: Vec<String> = ACTIONS.iter().map(|action| format!("`{action}`")).collect();
        return Err(refuse(
            "invalid_api_key_actions",
            format!(
                "Unknown value `{}` at `.actions[{position}]`: expected one of {}",
                actions[position],
                known.join(", ")
            ),
        ));
    }
    for (position, pattern) in texts("indexes").iter().enumerate() {
        let stem = pattern.strip_suffix('*').unwrap_or(pattern);
        if !(super::valid_uid(stem) || pattern == "*") {
            return Err(refuse(
                "invalid_api_key_indexes",
                format!(
                    "Invalid value at `.indexes[{position}]`: `{pattern}` is not a valid index uid pattern. Index uid patterns can be an integer or a string containing only alphanumeric characters, hyphens (-), underscores (_), and optionally end with a star (*)."
                ),
            ));
        }
    }
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let uid = match text("uid") {
        None => uuid::Uuid::new_v4(),
        Some(uid) => {
            uid.parse().map_err(|error| refuse("invalid_api_key_uid", format!("Invalid value at `.uid`: {error}")))?
        }
    };
    let expires_at = match text("expiresAt") {
        None => None,
        Some(text) => Some(clock::parse(&text).ok_or_else(|| {
            refuse(
                "invalid_api_key_expires_at",
                format!("Invalid value at `.expiresAt`: `{text}` is not a valid date. It should follow the RFC 3339 format to represents a date or datetime in the future or specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n"),
            )
        })?),
    };
    let at = clock::now();
    let key = Key {
        uid: uid.hyphenated().to_string(),
        name: text("name"),
        description: text("description"),
        actions,
        indexes: texts("indexes"),
        expires_at,
        created_at: at,
        updated_at: at,
    };
    let mut state = node.state();
    if state.keys.iter().any(|known| known.uid == key.uid) {
        return Err(refuse(
            "api_key_already_exists",
            format!("`uid` field value `{}` is already an existing API key.", key.uid),
        ));
    }
    state.put_key(key.clone()).map_err(|error| refuse("internal", error.to_string()))?;
    with_status(201, view(&node, &key))
}

/// `PATCH /keys/{key}`
pub(super) async fn patch(
    State(node): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    check(&node, &headers, "keys.update", None)?;
    let request = body(&headers, &bytes)?;
    let fields = shape::object(&request)?;
    for (field, code) in [
        ("uid", "immutable_api_key_uid"),
        ("actions", "immutable_api_key_actions"),
        ("indexes", "immutable_api_key_indexes"),
        ("expiresAt", "immutable_api_key_expires_at"),
        ("createdAt", "immutable_api_key_created_at"),
        ("updatedAt", "immutable_api_key_updated_at"),
        ("key", "immutable_api_key_key"),
    ] {
        if fields.contains_key(field) {
            return Err(refuse(code, format!("Immutable field `{field}`: expected one of `description`, `name`")));
        }
    }
    shape::check(fields, &CREATE[..2], "")?;
    let mut key = find(&node, &name)?;
    let text = |name: &str| fields.get(name).map(|value| value.as_str().map(str::to_owned));
    if let Some(text) = text("name") {
        key.name = text;
    }
    if let Some(text) = text("description") {
        key.description = text;
    }
    key.updated_at = clock::now();
    node.state().put_key(key.clone()).map_err(|error| refuse("internal", error.to_string()))?;
    ok(view(&node, &key))
}

/// `DELETE /keys/{key}`
pub(super) async fn delete(State(node): State<Shared>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "keys.delete", None)?;
    let key = find(&node, &name)?;
    node.state().drop_key(&key.uid)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
