//! `/dumps`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing;
use miroir_core::error::ErrorBody;
use serde_json::json;

use super::Work;
use crate::api::Service;
use crate::auth;
use crate::settings::body::{answer, respond};
use crate::tasks::view;

/// The routes.
pub fn router(service: Arc<Service>) -> Router {
    Router::new().route("/dumps", routing::post(dump)).with_state(service)
}

fn permit(service: &Service, headers: &HeaderMap, action: &str) -> Result<(), ErrorBody> {
    auth::permit(&*service.cluster, headers, action, None).map(drop)
}

async fn dump(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let result = async {
        permit(&service, &headers, "dumps.create")?;
        let directory = service.dumps.clone().ok_or_else(|| {
            let message = "Dumps need a directory: start Miroir's control service with `--dump-dir`.";
            ErrorBody::new("feature_not_enabled", message)
        })?;
        let details = json!({ "dumpUid": null });
        let task = service.chores.enqueue(&service.cluster, "dumpCreation", details, Work::Dump(directory)).await?;
        Ok(answer(StatusCode::ACCEPTED, &view::summary(&task)))
    };
    respond(result.await)
}
