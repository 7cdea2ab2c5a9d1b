//! The backup of control's store, as a stream.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use miroir_admin::backup::{FORMAT, Header, Seal};
use miroir_core::error::ErrorBody;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Service, reply};
use crate::cluster::Runtime;
use crate::cluster::wall_ms;
use crate::store::{Reader, StoreError};

/// Bytes that go out in one piece.
const PIECE: usize = 256 * 1024;

pub(super) fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(backup))
}

/// A backup of control's store.
///
/// Everything that the store holds, as of one moment, while writes go on: one JSON object a line, a checksum in the last
/// one. `miroir-control restore` takes it. It tells the uids of API keys (not their values, which need the master key)
/// and holds what webhooks and embedders were given as secrets: keep it as you keep those.
#[utoipa::path(get, path = "/_miroir/backup", tag = "cluster",
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
async fn backup(State(service): State<Arc<Service>>) -> Response {
    let store = service.cluster.store();
    // What another leader has written since, this one's copy lacks.
    if !store.is_led().await {
        return reply::error(&ErrorBody::new("internal", "This control does not lead: ask the one that does."));
    }
    let header = Header {
        miroir_backup: FORMAT,
        cluster: service.cluster.map().cluster.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_ms: wall_ms(),
    };
    let (pieces, stream) = mpsc::channel(4);
    let reader = store.reader().clone();
    tokio::task::spawn_blocking(move || {
        if let Err(Stop::Failed(error)) = write(&reader, &header, &pieces) {
            warn!(%error, "a backup broke off");
            // Whoever reads sees that it ended early.
            let _ = pieces.blocking_send(Err(error));
        }
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(ReceiverStream::new(stream))).into_response()
}

type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// Why no more is written.
enum Stop {
    Failed(io::Error),
    /// Nobody reads any more.
    Left,
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(io::Error::other(error))
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(error.into())
    }
}

fn write(reader: &Reader, header: &Header, pieces: &Pieces) -> Result<(), Stop> {
    let send = |piece: &mut Vec<u8>| pieces.blocking_send(Ok(std::mem::take(piece).into())).map_err(|_| Stop::Left);
    let mut seal = Seal::default();
    let mut piece = seal.line(header)?;
    reader.dump(|entry| {
        piece.extend(seal.line(&entry)?);
        if piece.len() >= PIECE { send(&mut piece) } else { Ok(()) }
    })?;
    serde_json::to_writer(&mut piece, &seal.trailer())?;
    piece.push(b'\n');
    send(&mut piece)
}
