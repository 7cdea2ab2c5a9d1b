//! `/`, `/stats`, `/indexes/{uid}/stats`, `/health`, `/version`, `/experimental-features`.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing;
use futures::future::try_join_all;
use miroir_core::error::ErrorBody;
use serde_json::{Map, Value, json};

use super::gather::{Form, Sums, available, count, every_node};
use super::{features, features_request, size};
use crate::auth::{self, Caller};
use crate::cluster::Handle;
use crate::indexes::{moment, query, valid_uid};
use crate::settings::body::{Payload, answer, json as read_json, respond};
use crate::settings::not_found;

/// The routes about the cluster as a whole.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/", routing::get(status_line))
        .route("/stats", routing::get(stats))
        .route("/indexes/{uid}/stats", routing::get(index_stats))
        .route("/health", routing::get(health))
        .route("/version", routing::get(version))
        .route("/experimental-features", routing::get(show_features).patch(change_features))
        .with_state(handle)
}

/// What clients that look whether a server is there get to see.
async fn status_line() -> Response {
    answer(StatusCode::OK, &json!({ "status": "Meilisearch is running" }))
}

fn permit(handle: &Handle, headers: &HeaderMap, action: &str, uid: Option<&str>) -> Result<Caller, ErrorBody> {
    auth::permit(handle.as_ref(), headers, action, uid)
}

fn form(raw: Option<&str>) -> Result<Form, ErrorBody> {
    let mut form = Form::default();
    for (name, value) in query::pairs(raw) {
        match name.as_str() {
            "showInternalDatabaseSizes" => {
                form.internal = query::boolean(&name, &value, "invalid_stats_show_internal_database_sizes")?;
            }
            "sizeFormat" => {
                query::choice(&name, &value, "invalid_stats_size_format", &["human", "raw"])?;
                form.human = value == "human";
            }
            _ => return Err(query::unknown(&name, &["showInternalDatabaseSizes", "sizeFormat"])),
        }
    }
    Ok(form)
}

/// Nodes are always asked for bytes, which can be added.
fn asked(path: String, form: Form) -> String {
    if form.internal { path + "?showInternalDatabaseSizes=true" } else { path }
}

async fn index_stats(
    State(handle): State<Handle>,
    Path(uid): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Response {
    let result = async {
        permit(&handle, &headers, "stats.get", Some(&uid))?;
        let form = form(raw.as_deref())?;
        valid_uid(&uid)?;
        handle.index(&uid).ok_or_else(|| not_found(&uid))?;
        let mut sums = Sums::default();
        for stats in every_node(&handle, &asked(format!("/indexes/{uid}/stats"), form)).await {
            sums.add(&stats);
        }
        let documents = count(&handle, &uid).await?;
        Ok(answer(StatusCode::OK, &sums.view(documents, handle.is_indexing(&uid), form)))
    };
    respond(result.await)
}

async fn stats(State(handle): State<Handle>, RawQuery(raw): RawQuery, headers: HeaderMap) -> Response {
    let result = async {
        let caller = permit(&handle, &headers, "stats.get", None)?;
        let form = form(raw.as_deref())?;
        let (mut database, mut used) = (0, 0);
        let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
        for stats in every_node(&handle, &asked("/stats".to_owned(), form)).await {
            database += stats["databaseSize"].as_u64().unwrap_or_default();
            used += stats["usedDatabaseSize"].as_u64().unwrap_or_default();
            for (uid, stats) in stats["indexes"].as_object().into_iter().flatten() {
                sums.entry(uid.clone()).or_default().add(stats);
            }
        }
        let seen = handle.indexes().values().filter(|index| caller.sees(&index.uid)).cloned().collect::<Vec<_>>();
        let counts = try_join_all(seen.iter().map(|index| count(&handle, &index.uid))).await?;
        let last_update = seen.iter().map(|index| index.updated_ms).max().map(moment);
        let indexes = seen.iter().zip(counts).map(|(index, documents)| {
            let sums = sums.remove(&index.uid).unwrap_or_default();
            (index.uid.clone(), sums.view(documents, handle.is_indexing(&index.uid), form))
        });
        let indexes: Map<String, Value> = indexes.collect();
        Ok(answer(
            StatusCode::OK,
            &json!({
                "databaseSize": size::shown(database, form.human),
                "usedDatabaseSize": size::shown(used, form.human),
                "lastUpdate": last_update,
                "indexes": indexes,
            }),
        ))
    };
    respond(result.await)
}

/// Open to everybody, as the engine's.
async fn health(State(handle): State<Handle>) -> Response {
    if available(&handle) {
        answer(StatusCode::OK, &json!({ "status": "available" }))
    } else {
        answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unavailable" }))
    }
}

async fn version(State(handle): State<Handle>, headers: HeaderMap) -> Response {
    let result = async {
        permit(&handle, &headers, "version", None)?;
        let number = |version: &Value| {
            let text = version["pkgVersion"].as_str().unwrap_or_default().to_owned();
            text.split(['.', '-']).map(|part| part.parse::<u64>().unwrap_or_default()).collect::<Vec<_>>()
        };
        let lowest = every_node(&handle, "/version").await.into_iter().min_by_key(number);
        let lowest = lowest
            .ok_or_else(|| ErrorBody::new("remote_could_not_send_request", "No node can be asked for its version."))?;
        Ok(answer(StatusCode::OK, &lowest))
    };
    respond(result.await)
}

async fn show_features(State(handle): State<Handle>, headers: HeaderMap) -> Response {
    respond((|| {
        permit(&handle, &headers, "experimental.get", None)?;
        Ok(answer(StatusCode::OK, &features::view(handle.value(features::STORED).as_ref())))
    })())
}

async fn change_features(State(handle): State<Handle>, headers: HeaderMap, Payload(body): Payload) -> Response {
    let result = async {
        permit(&handle, &headers, "experimental.update", None)?;
        let after = features::change(handle.value(features::STORED).as_ref(), read_json(&headers, &body)?)?;
        // Nodes that cannot be reached get it when they come back; one that answers must have it, or searches would
        // fail on it alone.
        let request = features_request(Some(&after));
        let refused = handle.every_node(request).await.into_iter().find_map(|(node, answer)| match answer {
            Ok(answer) if answer.status != 200 => Some(node),
            _ => None,
        });
        if let Some(node) = refused {
            let message = format!("Node `{node}` refused the experimental features.");
            return Err(ErrorBody::new("remote_bad_response", message));
        }
        handle.put_value(features::STORED, after.clone()).await?;
        Ok(answer(StatusCode::OK, &after))
    };
    respond(result.await)
}
