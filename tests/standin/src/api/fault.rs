//! `/_standin/faults`: reads, plants and clears faults. `/_standin/drift`: changes what lies on the disk.

use axum::Json;
use axum::extract::State;

use crate::answer::Refusal;
use crate::drift::Drift;
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

/// Changes what lies on the disk.
pub(super) async fn drift(State(node): State<Shared>, Json(drift): Json<Drift>) -> Result<(), Refusal> {
    node.state().drift(drift)
}
