//! The admin API, `/_miroir/…`: how the cluster is, and what an operator may do with it. Answers are JSON, errors have
//! the engine's shape, and nothing is answered without the admin key ([`AdminKey`]).
//!
//! It is served by the internal listener; by the public one, and so through Envoy, only where `admin.public` is set.
//! `docs/openapi.json` is printed from these handlers.

mod adopt;
mod backup;
mod cluster;
mod convert;
mod explain;
mod jobs;
mod key;
mod openapi;
#[cfg(test)]
mod tests;
mod verify;
mod view;

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router, middleware};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

pub use key::AdminKey;
pub(crate) use verify::Verifications;
pub(crate) use view::{down, shards};

use crate::api::Service;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Miroir admin API",
        description = "How a Miroir cluster is, and what an operator may do with it. Served by control's internal \
                       listener, with the admin key as bearer token. Errors have the shape of Meilisearch's: \
                       `message`, `code`, `type`, `link`.",
    ),
    components(schemas(miroir_admin::Error)),
    security(("adminKey" = [])),
)]
struct Document;

fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(cluster::routes())
        .merge(adopt::routes())
        .merge(backup::routes())
        .merge(jobs::routes())
}

/// The admin API's OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = openapi::complete(routes().into_openapi());
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    document.components.get_or_insert_default().add_security_scheme("adminKey", scheme);
    document
}

/// The admin API, closed without the key.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let document = openapi();
    let key = service.admin_key.clone();
    let router = Router::from(routes()).route("/_miroir/openapi.json", get(|| async move { Json(document) }));
    guarded(router.with_state(service), key)
}

/// Routes closed without the key.
pub(crate) fn guarded(router: Router, key: AdminKey) -> Router {
    router.route_layer(middleware::from_fn_with_state(key, key::guard))
}
