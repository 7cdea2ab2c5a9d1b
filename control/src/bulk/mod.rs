//! The bulk entry: large document payloads, and ones of unknown length, which Envoy streams here untouched. A payload
//! is spooled to disk first; few are in memory at a time. Then the filter's own write machine runs here, with the
//! tickets of the same sequencer, so that a large write differs from a small one in nothing but its way.

mod driver;
mod spool;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use miroir_core::call::Reply;
use miroir_core::error::ErrorBody;
use miroir_core::route::{Route, Serve, route};
use miroir_core::wire::BULK_PREFIX;
use miroir_core::write::{WriteHead, WriteMachine, WriteSetup};
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

use crate::api::{Service, internal, reply};
use crate::auth::authorise;
use crate::cluster::{Runtime, not_begun};
use crate::config::Config;
use crate::encoding::Encoding;

/// Bytes of payloads that may be in memory at a time. A payload takes its own size again for each copy of a shard
/// while it is sent, so that the process stays below 500 MB with a replication factor of 2.
const IN_MEMORY: u64 = 112 << 20;
/// Permits are counted in this unit: a semaphore's are limited.
const UNIT: u64 = 1 << 10;

/// State of the bulk entry.
#[derive(Debug)]
pub struct Bulk {
    directory: PathBuf,
    max_bytes: u64,
    memory: Arc<Semaphore>,
    /// Stands for the VM's id in tickets.
    vm: String,
}

impl Bulk {
    /// Makes the spool directory.
    ///
    /// # Errors
    /// The file system's.
    pub fn new(config: &Config) -> std::io::Result<Self> {
        std::fs::create_dir_all(&config.spool)?;
        Ok(Self {
            directory: config.spool.clone(),
            max_bytes: config.limits.max_body_bytes,
            memory: Arc::new(Semaphore::new(usize::try_from(IN_MEMORY / UNIT).unwrap_or(usize::MAX))),
            vm: format!("control-{}", Uuid::new_v4().simple()),
        })
    }
}

/// Takes a client's request, path and all behind the prefix.
pub async fn receive(State(service): State<Arc<Service>>, request: Request) -> Response {
    match accept(&service, request).await {
        Ok(response) | Err(response) => response,
    }
}

fn owned(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn refuse(error: &ErrorBody) -> Response {
    reply::error(error)
}

async fn accept(service: &Arc<Service>, request: Request) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let full = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let path = full.strip_prefix(BULK_PREFIX).unwrap_or(full).to_owned();
    let matched = match route(parts.method.as_str(), &path) {
        Route::Found(matched) => matched,
        other => return Err(other.dead_end().map_or_else(not_found, reply::core)),
    };
    let Serve::Write(kind) = matched.rule.serve else { return Err(not_found()) };
    let index = matched.index().unwrap_or_default().to_owned();
    // The engine looks at the key first. The ticket is authorised again, when the payload has come.
    let authorization = owned(&parts.headers, header::AUTHORIZATION.as_str());
    let action = internal::action(kind);
    authorise(&*service.cluster, authorization.as_deref(), action, Some(&index)).map_err(|error| refuse(&error))?;
    let content_type = owned(&parts.headers, header::CONTENT_TYPE.as_str());
    let query = path.split_once('?').map(|(_, query)| query);
    let id = matched.segments.get(1).map(String::as_str);
    let head = WriteHead::read(kind, &index, id, query, content_type.as_deref()).map_err(|error| refuse(&error))?;

    let spooled = tokio::select! {
        // A client may take any time for its payload; nobody waits for it at the end.
        () = service.cluster.closed() => return Err(reply::core(not_begun())),
        spooled = spool::receive(body, &service.bulk.directory, service.bulk.max_bytes) => spooled,
    };
    let mut spooled = spooled.map_err(|fault| refuse(&fault.error(service.bulk.max_bytes)))?;
    if let Some(encoding) = Encoding::of(&parts.headers) {
        let decoded =
            tokio::task::block_in_place(|| spooled.decode(encoding, &service.bulk.directory, service.bulk.max_bytes));
        spooled = decoded.map_err(|fault| refuse(&fault.error(service.bulk.max_bytes)))?;
    }
    service.metrics.bulk_received(spooled.length);

    let map = service.cluster.map();
    let mapped = map.indexes.get(&index);
    let geo = mapped.is_some_and(|index| index.view.geo);
    let index = mapped.map(|index| (index.incarnation, index.primary_key.clone()));
    let setup = WriteSetup {
        head,
        body: Vec::new(),
        path,
        content_type,
        authorization,
        idempotency_key: owned(&parts.headers, "idempotency-key"),
        attempt: Uuid::new_v4().simple().to_string(),
        vm: service.bulk.vm.clone(),
        epoch: map.epoch,
        shard_count: map.shards,
        index,
        geo,
        node_body_bytes: map.limits.node_body_bytes,
        control_cluster: map.control_internal_cluster.clone(),
        trace: ["x-request-id", "traceparent", "tracestate"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), owned(&parts.headers, name)?)))
            .collect(),
    };
    // The write outlives its client: it runs in a task of its own.
    let (done, answer) = oneshot::channel();
    let service = service.clone();
    tokio::spawn(async move {
        let reply = write(&service, setup, spooled).await;
        let _ = done.send(reply);
    });
    answer.await.map(reply::core).map_err(|_| refuse(&ErrorBody::new("internal", "the write was given up")))
}

async fn write(service: &Arc<Service>, mut setup: WriteSetup, spooled: spool::Spooled) -> Reply {
    let units = spooled.length.min(IN_MEMORY).div_ceil(UNIT);
    let memory = service.bulk.memory.clone();
    let _permit = tokio::select! {
        () = service.cluster.closed() => return not_begun(),
        permit = memory.acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX)) => permit,
    };
    service.metrics.bulk_open().inc();
    let reply = match tokio::task::block_in_place(|| spooled.read()) {
        Ok(body) => {
            setup.body = body;
            let machine = tokio::task::block_in_place(|| WriteMachine::new(setup));
            driver::run(machine, service.clone()).await
        }
        Err(error) => ErrorBody::new("io_error", error.to_string()).reply(),
    };
    service.metrics.bulk_open().dec();
    reply
}

fn not_found() -> Response {
    StatusCode::NOT_FOUND.into_response()
}
