//! Routes that only look.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use miroir_admin::{Explanation, FindingList, Layout, NodeList, Question, Status, Verification, Verify};
use miroir_core::error::ErrorBody;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{convert, explain, view};
use crate::api::{Service, reply};
use crate::cluster::{Look, Runtime, closing};

pub(super) fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(nodes))
        .routes(routes!(shards))
        .routes(routes!(question))
        .routes(routes!(verify, verification))
        .routes(routes!(findings))
}

/// An answer: 200 with JSON, or an error in the engine's shape.
pub(super) fn answer<T: serde::Serialize>(result: Result<T, ErrorBody>) -> Response {
    match result {
        Ok(body) => Json(body).into_response(),
        Err(error) => reply::error(&error),
    }
}

/// A body that was read, or what is wrong with it.
pub(super) fn body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ErrorBody> {
    body.map(|Json(body)| body).map_err(|rejection| ErrorBody::new("bad_request", rejection.body_text()))
}

async fn look(service: &Service) -> Result<Look, ErrorBody> {
    service.cluster.look().await.ok_or_else(closing)
}

/// How the cluster is.
///
/// Whether every shard is covered, which nodes are there, what is lost.
#[utoipa::path(get, path = "/_miroir/status", tag = "cluster", responses((status = 200, body = Status)))]
async fn status(State(service): State<Arc<Service>>) -> Response {
    answer(look(&service).await.map(|look| view::status(&service, &look)))
}

/// All nodes.
#[utoipa::path(get, path = "/_miroir/nodes", tag = "nodes", responses((status = 200, body = NodeList)))]
async fn nodes(State(service): State<Arc<Service>>) -> Response {
    answer(look(&service).await.map(|look| NodeList { nodes: view::nodes(&look) }))
}

/// Which copy of which shard is where.
#[utoipa::path(get, path = "/_miroir/shards", tag = "shards", responses((status = 200, body = Layout)))]
async fn shards(State(service): State<Arc<Service>>) -> Response {
    answer(look(&service).await.map(|look| view::layout(&look)))
}

/// How a search is carried out.
///
/// Control runs the search in the filter's place and tells which nodes it asked for which shards, by which filters, and
/// how long each took.
#[utoipa::path(
    post,
    path = "/_miroir/explain",
    operation_id = "explain",
    tag = "search",
    request_body = Question,
    responses((status = 200, body = Explanation), (status = 404, description = "No such index."))
)]
async fn question(State(service): State<Arc<Service>>, asked: Result<Json<Question>, JsonRejection>) -> Response {
    let question = match body(asked) {
        Ok(question) => question,
        Err(error) => return reply::error(&error),
    };
    let cluster = &service.cluster;
    answer(explain::explain(cluster.client().clone(), cluster.map(), question).await)
}

/// Compares all replicas.
///
/// Document by document, and settings; in the background. Answers with the comparison under way, the new one or the one
/// that was under way already. Nothing is changed.
#[utoipa::path(post, path = "/_miroir/verify", tag = "repair", request_body = Verify,
    responses((status = 200, body = Verification), (status = 404, description = "No such index.")))]
async fn verify(State(service): State<Arc<Service>>, asked: Result<Json<Verify>, JsonRejection>) -> Response {
    match body(asked) {
        Ok(asked) => answer(service.verifications.start(service.cluster.clone(), asked.index).await),
        Err(error) => reply::error(&error),
    }
}

/// The last comparison of replicas, or the one under way.
#[utoipa::path(get, path = "/_miroir/verify", tag = "repair",
    responses((status = 200, body = Verification), (status = 404, description = "There was none.")))]
async fn verification(State(service): State<Arc<Service>>) -> Response {
    let none = || ErrorBody::new("document_not_found", "Nothing has been compared since control was started.");
    answer(service.verifications.last().ok_or_else(none))
}

/// Replicas that differed without any known reason.
///
/// What the comparison in the background found. Of the copies in sync the one that has been so for longest is kept; the
/// other versions were written to the findings file before they were dropped.
#[utoipa::path(get, path = "/_miroir/findings", tag = "repair", responses((status = 200, body = FindingList)))]
async fn findings(State(service): State<Arc<Service>>) -> Response {
    let list = |look: Look| FindingList {
        file: service.findings.display().to_string(),
        findings: look.scrub.findings.into_iter().map(convert::drift).collect(),
    };
    answer(look(&service).await.map(list))
}
