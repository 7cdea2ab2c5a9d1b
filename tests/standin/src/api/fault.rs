//! `/_standin/faults`: reads, plants and clears faults.

use axum::Json;
use axum::extract::State;

use crate::fault::Faults;
use crate::node::Shared;

/// The present faults.
pub(super) async fn get(State(node): State<Shared>) -> Json<Faults> {
    Json(node.faults.get())
}

/// Replaces the faults by those of the body.
pub(super) async fn set(State(node): State<Shared>, Json(faults): Json<Faults>) -> Json<Faults> {
    node.faults.set(faults);
    node.work.notify_one();
    Json(node.faults.get())
}

/// Ends all faults.
pub(super) async fn clear(state: State<Shared>) -> Json<Faults> {
    set(state, Json(Faults::default())).await
}
