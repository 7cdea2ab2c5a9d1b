//! Adoption, of which there is none any more where a cluster runs (`crate::recover::adopt` answers before).

use std::sync::Arc;

use axum::response::Response;
use miroir_admin::Adoption;
use miroir_sequencer::Refusal;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::convert;
use crate::api::Service;

pub(super) fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(look, adopt))
}

fn too_late() -> Response {
    let message = "There is a cluster already: nodes with data cannot be adopted by it.".to_owned();
    convert::refused(Refusal { code: "not_adoptable", message, shards: Vec::new() })
}

/// What a Meilisearch has that is to be adopted.
///
/// Answered by a control whose store is new and whose only node has indexes. Nothing is changed.
#[utoipa::path(get, path = "/_miroir/adopt", tag = "cluster",
    responses((status = 200, body = Adoption), (status = 409, description = "There is a cluster already.")))]
async fn look() -> Response {
    too_late()
}

/// Makes a cluster of one node from a Meilisearch that has data.
///
/// Control serves it at once; its documents get their shards' tags meanwhile (`tagging` of the status).
#[utoipa::path(post, path = "/_miroir/adopt", tag = "cluster",
    responses((status = 200, body = Adoption),
              (status = 409, description = "It cannot be adopted, or there is a cluster already; the message says why.")))]
async fn adopt() -> Response {
    too_late()
}
