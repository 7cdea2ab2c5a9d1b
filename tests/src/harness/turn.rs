//! Whole clusters are heavy: in one process, one runs at a time.

use tokio::sync::{Semaphore, SemaphorePermit};

static TURN: Semaphore = Semaphore::const_new(1);

/// Waits until no other test of this process has a cluster.
///
/// # Panics
/// Never: the semaphore is not closed.
pub async fn turn() -> SemaphorePermit<'static> {
    match TURN.acquire().await {
        Ok(permit) => permit,
        Err(closed) => unreachable!("{closed}"),
    }
}
