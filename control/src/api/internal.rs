//! The internal listener: tickets, heartbeats, the bulk entry, and what operators read.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use miroir_core::error::ErrorBody;
use miroir_core::wire::{
    ABANDON_PATH, ABORT_PATH, AUTHORISE_PATH, Abandon, Abort, Authorise, BEGIN_PATH, BULK_PREFIX, Begin, BeginAnswer,
    COMMIT_PATH, Commit, ControlReply, HEARTBEAT_PATH, Heartbeat, HeartbeatAnswer, RENEW_PATH, Renew, WIRE_VERSION,
    WriteKind,
};
use miroir_sequencer::Event;
use serde::de::DeserializeOwned;

use super::{Service, operators, reply};
use crate::admin;
use crate::auth::{authorise, key_value};
use crate::bulk;
use crate::cluster::{Cluster, Runtime};
use crate::keys;
use crate::stats::is_on;
use crate::telemetry::Message;

/// Largest message about a ticket: a begin that touches 65,536 shards takes about 2 MB.
const MAX_MESSAGE: usize = 8 << 20;

/// The internal router.
pub fn router(service: Arc<Service>) -> Router {
    let messages = Router::new()
        .route(BEGIN_PATH, post(begin))
        .route(AUTHORISE_PATH, post(judge))
        .route(COMMIT_PATH, post(commit))
        .route(ABORT_PATH, post(abort))
        .route(ABANDON_PATH, post(abandon))
        .route(RENEW_PATH, post(renew))
        .route(HEARTBEAT_PATH, post(heartbeat))
        .layer(DefaultBodyLimit::max(MAX_MESSAGE))
        .with_state(service.clone());
    let bulk = Router::new()
        .route(&format!("{BULK_PREFIX}/{{*path}}"), axum::routing::any(bulk::receive))
        .layer(DefaultBodyLimit::disable())
        .with_state(service.clone());
    messages.merge(bulk).merge(admin::router(service.clone())).merge(operators::router(service))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, ErrorBody> {
    serde_json::from_slice(body)
        .map_err(|error| ErrorBody::new("bad_request", format!("Not a message of this version of Miroir: {error}")))
}

/// The action that a write needs.
pub(crate) fn action(kind: WriteKind) -> &'static str {
    match kind {
        WriteKind::Replace | WriteKind::Update => "documents.add",
        WriteKind::DeleteOne | WriteKind::DeleteBatch | WriteKind::DeleteByFilter | WriteKind::DeleteAll => {
            "documents.delete"
        }
        WriteKind::Edit => "documents.*",
    }
}

/// Begins a write as its client may: the one place where writes are authorised.
pub(crate) async fn authorised_begin(cluster: &Cluster, begin: Begin) -> Result<BeginAnswer, ErrorBody> {
    let caller = authorise(cluster, begin.authorization.as_deref(), action(begin.kind), Some(&begin.index))?;
    if begin.kind == WriteKind::Edit && !is_on(cluster, "editDocumentsByFunction") {
        let message = "Using the documents edit route requires enabling the `edit documents by function` experimental \
                       feature. See https://github.com/orgs/meilisearch/discussions/762";
        return Err(ErrorBody::new("feature_not_enabled", message));
    }
    let may_create = caller.may_create(&begin.index);
    cluster.begin(begin, caller.key_uid.map(|uid| uid.to_string()), may_create).await
}

/// Whether a client may make a write that is refused for another reason.
async fn judge(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    let asked: Authorise = match read(&body) {
        Ok(asked) => asked,
        Err(error) => return reply::error(&error),
    };
    let header = asked.authorization.as_deref();
    match authorise(&*service.cluster, header, action(asked.kind), Some(&asked.index)) {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => reply::error(&error),
    }
}

/// An error as the answer for the client, wrapped so that the filter passes it on.
pub(crate) fn refused(error: &ErrorBody) -> BeginAnswer {
    let (status, headers) = reply::standing(error);
    BeginAnswer::Reply(ControlReply { status, headers, body: serde_json::to_value(error).ok() })
}

async fn begin(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    service.metrics.message(Message::Begin);
    let started = Instant::now();
    let begin: Begin = match read(&body) {
        Ok(begin) => begin,
        Err(error) => return reply::error(&error),
    };
    if begin.version != WIRE_VERSION {
        let text = format!("This is version {WIRE_VERSION} of Miroir's messages, not {}.", begin.version);
        return reply::error(&ErrorBody::new("bad_request", text));
    }
    let answer = authorised_begin(&service.cluster, begin).await.unwrap_or_else(|error| refused(&error));
    service.metrics.begun(started.elapsed().as_secs_f64());
    reply::json(200, &answer)
}

async fn commit(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    service.metrics.message(Message::Commit);
    let commit: Commit = match read(&body) {
        Ok(commit) => commit,
        Err(error) => return reply::error(&error),
    };
    // The decision must be taken even if the filter's connection breaks: it goes on in a task of its own.
    let cluster = service.cluster.clone();
    let answer = tokio::spawn(async move { cluster.commit(commit).await }).await;
    match answer {
        Ok(Ok(answer)) => reply::json(200, &answer),
        Ok(Err(error)) => reply::error(&error),
        Err(error) => reply::error(&ErrorBody::new("internal", error.to_string())),
    }
}

async fn renew(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    service.metrics.message(Message::Renew);
    let renew: Renew = match read(&body) {
        Ok(renew) => renew,
        Err(error) => return reply::error(&error),
    };
    match service.cluster.renew(renew).await {
        Ok(answer) => reply::json(200, &answer),
        Err(error) => reply::error(&error),
    }
}

async fn abort(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    service.metrics.message(Message::Abort);
    notice::<Abort>(&service, &body, Event::Abort)
}

async fn abandon(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    service.metrics.message(Message::Abandon);
    notice::<Abandon>(&service, &body, Event::Abandon)
}

fn notice<T: DeserializeOwned>(service: &Service, body: &Bytes, event: fn(T) -> Event) -> Response {
    match read(body) {
        Ok(message) => {
            service.cluster.tell(event(message));
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => reply::error(&error),
    }
}

async fn heartbeat(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    service.metrics.message(Message::Heartbeat);
    match read::<Heartbeat>(&body) {
        Ok(heartbeat) => {
            service.heartbeats.note(&heartbeat);
            let epoch = match service.cluster.heartbeat(heartbeat).await {
                Ok(epoch) => epoch,
                Err(error) => return reply::error(&error),
            };
            let master_key = service.cluster.secrets().master_key.as_deref();
            let reader_key = master_key.map(|master_key| key_value(master_key, keys::READER));
            let unreachable = service.cluster.lost_nodes();
            reply::json(200, &HeartbeatAnswer { epoch, reader_key, unreachable })
        }
        Err(error) => reply::error(&error),
    }
}
