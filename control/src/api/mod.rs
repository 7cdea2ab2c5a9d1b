//! HTTP listeners: the public API that Envoy leads clients to, and the internal one.

mod heartbeats;
pub(crate) mod internal;
mod operators;
pub(crate) mod query;
mod reads;
pub mod reply;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Uri, header};
use axum::response::Response;
use axum::{Router, middleware};
use miroir_core::error::ErrorBody;
use miroir_core::route::{self, Route};

pub use heartbeats::Heartbeats;
pub use internal::router as internal;

use crate::admin::{self, AdminKey, Verifications};
use crate::auth::authorise;
use crate::cluster::{Cluster, Handle};
use crate::config::Config;
use crate::encoding::Encoding;
use crate::settings::body::whole;
use crate::telemetry::Metrics;
use crate::xds::Tracker;
use crate::{chores, indexes, keys, network, settings, stats, tasks, templates, webhooks};

/// What handlers share.
#[derive(Debug)]
pub struct Service {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What Envoys have acknowledged.
    pub tracker: Tracker,
    /// What filters have said.
    pub heartbeats: Heartbeats,
    /// What opens the admin API.
    pub(crate) admin_key: AdminKey,
    /// The admin API is served by the public listener too.
    pub(crate) admin_public: bool,
    /// Comparisons of replicas.
    pub(crate) verifications: Verifications,
    /// The findings file.
    pub(crate) findings: std::path::PathBuf,
    /// Large payloads under way.
    pub bulk: crate::bulk::Bulk,
    /// Tasks that are carried out here.
    pub chores: crate::chores::Chores,
    /// Directory of dumps.
    pub(crate) dumps: Option<std::path::PathBuf>,
}

impl Service {
    /// The handlers' state for a running cluster.
    ///
    /// # Errors
    /// The spool directory cannot be made, or the store not be read.
    pub fn new(
        cluster: Arc<Cluster>,
        metrics: Arc<Metrics>,
        tracker: Tracker,
        config: &Config,
    ) -> std::io::Result<Self> {
        let bulk = crate::bulk::Bulk::new(config)?;
        let chores = crate::chores::Chores::start(&cluster).map_err(std::io::Error::other)?;
        Ok(Self {
            cluster,
            metrics,
            tracker,
            heartbeats: Heartbeats::default(),
            admin_key: config.admin_key.clone(),
            admin_public: config.admin_public,
            verifications: Verifications::default(),
            findings: config.findings.clone(),
            bulk,
            chores,
            dumps: config.dumps.directory.clone(),
        })
    }
}

/// The public router.
pub fn public(service: Arc<Service>) -> Router {
    let handle: Handle = service.cluster.clone();
    let authority = handle.clone();
    let admin = if service.admin_public { admin::router(service.clone()) } else { Router::new() };
    let routes = Router::new()
        .merge(admin)
        .merge(tasks::router(service.cluster.clone()))
        .merge(indexes::router(handle.clone()))
        .merge(settings::router(handle.clone()))
        .merge(keys::router(handle.clone()))
        .merge(webhooks::router(handle.clone()))
        .merge(network::router(handle.clone()))
        .merge(templates::router(handle.clone()))
        .merge(reads::router(handle.clone()))
        .merge(stats::router(handle))
        .merge(chores::router(service.clone()))
        .merge(operators::probes(service));
    // The engine takes slashes lightly; routes are matched after that.
    Router::new()
        .fallback_service(routes)
        .layer(middleware::map_request(tidy))
        .layer(middleware::map_request_with_state(authority.clone(), decoded))
        .layer(middleware::map_request_with_state(authority, known))
}

/// Answers what is no route of the engine's API (404, or 405 with `allow`, without body; it knows no `HEAD`), and
/// what a cluster does not serve, for those who could use it.
async fn known(State(handle): State<Handle>, request: Request) -> Result<Request, Response> {
    let path = request.uri().path();
    if path.starts_with("/_miroir/") {
        return Ok(request);
    }
    let route = route::route(request.method().as_str(), path);
    let refusal = match &route {
        Route::Found(matched) => match matched.refusal() {
            Some(refusal) => {
                let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let denied = authorise(&*handle, header, matched.rule.action, matched.index()).err();
                Some(denied.map_or(refusal, |error| error.reply()))
            }
            None => None,
        },
        other => other.dead_end(),
    };
    match refusal {
        Some(refusal) => Err(reply::core(refusal)),
        None => Ok(request),
    }
}

/// Undoes the encoding of a request's body. Bodies here are small; payloads of documents are decoded on disk.
async fn decoded(State(handle): State<Handle>, request: Request) -> Result<Request, Response> {
    let Some(encoding) = Encoding::of(request.headers()) else { return Ok(request) };
    let (mut parts, body) = request.into_parts();
    let limit = handle.map().limits.max_body_bytes;
    let plain = async {
        let body = whole(&handle, body).await?;
        let mut plain = Vec::new();
        encoding.decode(body.as_ref(), &mut plain, limit).map_err(|fault| fault.error(limit))?;
        Ok::<_, ErrorBody>(plain)
    };
    let plain = plain.await.map_err(|error| reply::error(&error))?;
    parts.headers.remove(header::CONTENT_ENCODING);
    parts.headers.insert(header::CONTENT_LENGTH, plain.len().into());
    Ok(Request::from_parts(parts, plain.into()))
}

/// Repeated slashes count as one, a trailing one not at all.
async fn tidy(mut request: Request) -> Request {
    let path = request.uri().path();
    if path.len() > 1 && (path.ends_with('/') || path.contains("//")) {
        let mut text = String::with_capacity(path.len());
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            text.push('/');
            text.push_str(segment);
        }
        if text.is_empty() {
            text.push('/');
        }
        if let Some(query) = request.uri().query() {
            text.push('?');
            text.push_str(query);
        }
        if let Ok(uri) = text.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

#[cfg(test)]
pub(crate) mod tests;
