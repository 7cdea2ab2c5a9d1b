//! Where control waits as long as the ground on which its cluster is to begin is held by somebody's indexes: it serves
//! nothing but the question what is there, and the command to adopt it. Otherwise it would take them for what is left of
//! another time, and clear them away.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use miroir_admin::Adoption;
use miroir_core::error::ErrorBody;
use serde_json::json;
use tokio::sync::{Mutex, Notify};
use tracing::{info, warn};

use super::prospect::{Ground, Prospect, survey_ground};
use super::rows;
use crate::admin::guarded;
use crate::api::reply;
use crate::cluster::{Identity, open_store};
use crate::config::Config;
use crate::standby::Switch;
use crate::store::{Lease, Loaded, Store};

/// How often it is looked whether the ground has been cleared.
const LOOK: Duration = Duration::from_secs(1);

/// The listeners that serve the room.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    /// Public.
    pub(crate) public: &'a Switch,
    /// Internal.
    pub(crate) internal: &'a Switch,
}

#[derive(Debug)]
struct Room {
    config: Config,
    /// Why nothing is served.
    why: RwLock<String>,
    /// What an adoption fills; none when the room has been left.
    store: Mutex<Option<Store>>,
    adopted: Notify,
}

/// Opens the store. Where it is new, waits until no node holds anything, or what one holds has been adopted.
///
/// # Errors
/// The store's, and addresses of nodes that cannot be used.
pub(crate) async fn settle(
    config: &Config,
    lease: Option<Lease>,
    listeners: Waiting<'_>,
) -> anyhow::Result<(Store, Loaded)> {
    let (store, loaded) = open_store(&config.store, lease.clone()).await?;
    if loaded.values.contains_key(Identity::NAME) {
        return Ok((store, loaded));
    }
    let room = Arc::new(Room {
        config: config.clone(),
        why: RwLock::default(),
        store: Mutex::new(Some(store.clone())),
        adopted: Notify::new(),
    });
    let mut told = false;
    loop {
        let why = match survey_ground(config).await? {
            Ground::Free => break,
            Ground::Held(nodes) => {
                format!(
                    "{} holds indexes that are nobody's yet: `miroirctl adopt --dry-run` shows them",
                    nodes.join(", ")
                )
            }
            Ground::Unseen(why) => why,
        };
        if !told {
            warn!("no cluster begins yet: {why}");
            listeners.public.wait_with(closed(room.clone()));
            listeners.internal.wait_with(router(room.clone()));
            told = true;
        }
        *room.why.write().unwrap_or_else(PoisonError::into_inner) = why;
        tokio::select! {
            () = room.adopted.notified() => {
                drop(store);
                return open_store(&config.store, lease).await;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    // Whoever adopts at this moment is waited for, or comes too late.
    match room.store.lock().await.take() {
        Some(_) => Ok((store, loaded)),
        None => open_store(&config.store, lease).await,
    }
}

fn router(room: Arc<Room>) -> Router {
    let adopt = Router::new().route("/_miroir/adopt", get(look).post(adopt)).with_state(room.clone());
    guarded(adopt, room.config.admin_key.clone()).merge(closed(room))
}

/// Probes are answered, and everything else with the reason why it is not.
fn closed(room: Arc<Room>) -> Router {
    Router::new().fallback(refuse).with_state(room)
}

async fn refuse(State(room): State<Arc<Room>>, request: Request) -> Response {
    let why = room.why.read().unwrap_or_else(PoisonError::into_inner).clone();
    match request.uri().path() {
        "/_miroir/health" => reply::json(200, &json!({ "status": "waiting" })),
        "/_miroir/ready" => reply::json(503, &json!({ "status": "waiting", "reasons": [why] })),
        _ => reply::error(&ErrorBody::new("remote_could_not_send_request", format!("No cluster begins yet: {why}."))),
    }
}

async fn look(State(room): State<Arc<Room>>) -> Response {
    match Prospect::look(&room.config).await {
        Ok(prospect) => reply::json(200, &prospect.shown),
        Err(error) => failed(&error),
    }
}

async fn adopt(State(room): State<Arc<Room>>) -> Response {
    let mut held = room.store.lock().await;
    let Some(store) = held.as_ref() else { return refused("The cluster has begun already.".to_owned()) };
    let prospect = match Prospect::look(&room.config).await {
        Ok(prospect) => prospect,
        Err(error) => return failed(&error),
    };
    if !prospect.shown.refusals.is_empty() {
        return refused(format!("It cannot be adopted: {}.", prospect.shown.refusals.join("; ")));
    }
    if let Err(error) = rows::write(&room.config, &prospect, store).await {
        return failed(&error);
    }
    *held = None;
    info!(node = prospect.shown.node, indexes = prospect.shown.indexes.len(), "adopted");
    room.adopted.notify_one();
    reply::json(200, &Adoption { adopted: true, ..prospect.shown })
}

fn refused(message: String) -> Response {
    reply::core(ErrorBody::new("not_adoptable", message).reply_with_status(409))
}

fn failed(error: &anyhow::Error) -> Response {
    reply::error(&ErrorBody::new("internal", format!("{error:#}")))
}
