//! Settings routes.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::MethodRouter;
use serde_json::{Map, Value, json};

use super::{body, check_uid, enqueue, may_create};
use crate::answer::{Answer, no_index, ok};
use crate::auth::check;
use crate::node::{Node, Shared};
use crate::settings::{KEYS, check_all, check_one};
use crate::task::Work;

/// `GET /indexes/{index}/settings`
pub(super) async fn all(State(node): State<Shared>, Path(index): Path<String>, headers: HeaderMap) -> Answer {
    check(&node, &headers, "settings.get", Some(&index))?;
    let state = node.state();
    ok(state.indexes.get(&index).ok_or_else(|| no_index(&index))?.settings.view())
}

/// `PATCH /indexes/{index}/settings`
pub(super) async fn patch_all(
    State(node): State<Shared>,
    Path(index): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let changes = |bytes: &Bytes| check_all(&body(&headers, bytes)?);
    change(&node, &index, &headers, true, || changes(&bytes))
}

/// `DELETE /indexes/{index}/settings`
pub(super) async fn reset_all(State(node): State<Shared>, Path(index): Path<String>, headers: HeaderMap) -> Answer {
    let defaults = || KEYS.iter().map(|key| (key.name.to_owned(), reset_value(key.name))).collect();
    change(&node, &index, &headers, false, || Ok(defaults()))
}

/// What the task of a reset shows for a setting.
fn reset_value(name: &str) -> Value {
    match name {
        "displayedAttributes" | "searchableAttributes" => json!(["*"]),
        _ => Value::Null,
    }
}

fn change(
    node: &Node,
    index: &str,
    headers: &HeaderMap,
    creates: bool,
    changes: impl FnOnce() -> Result<Map<String, Value>, crate::answer::Refusal>,
) -> Answer {
    let right = check(node, headers, "settings.update", Some(index))?;
    check_uid(index)?;
    let work = Work::Settings { changes: changes()?, create_index: creates && may_create(&right, index) };
    enqueue(node, 202, Some(index), work, None)
}

/// The routes of one setting.
pub(super) fn routes(key: &'static crate::settings::Key) -> MethodRouter<Shared> {
    let read = move |State(node): State<Shared>, Path(index): Path<String>, headers: HeaderMap| async move {
        check(&node, &headers, "settings.get", Some(&index))?;
        let state = node.state();
        ok(state.indexes.get(&index).ok_or_else(|| no_index(&index))?.settings.get(key.name).clone())
    };
    let write = move |State(node): State<Shared>, Path(index): Path<String>, headers: HeaderMap, bytes: Bytes| async move {
        let one = |bytes: &Bytes| {
            let value = check_one(key, &body(&headers, bytes)?, "")?;
            Ok(Map::from_iter([(key.name.to_owned(), value)]))
        };
        change(&node, &index, &headers, true, || one(&bytes))
    };
    let reset = move |State(node): State<Shared>, Path(index): Path<String>, headers: HeaderMap| async move {
        change(&node, &index, &headers, false, || Ok(Map::from_iter([(key.name.to_owned(), reset_value(key.name))])))
    };
    let routes = axum::routing::get(read).delete(reset);
    if key.patch { routes.patch(write) } else { routes.put(write) }
}
