//! Requests that wait for the sequencer's answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use miroir_core::wire::{BeginAnswer, CommitAnswer, RenewAnswer};
use miroir_sequencer::{AdminAnswer, RequestId, TaskRow};
use tokio::sync::oneshot;

/// What a waiter gets.
#[derive(Debug)]
pub(crate) enum Answer {
    Begun(BeginAnswer),
    Committed(CommitAnswer),
    Renewed(RenewAnswer),
    Accepted(Box<TaskRow>),
    Admin(Box<AdminAnswer>),
}

#[derive(Debug, Default)]
struct Waiting {
    /// Last number given out.
    last: AtomicU64,
    open: Mutex<HashMap<RequestId, oneshot::Sender<Answer>>>,
}

/// All who wait. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiters(Arc<Waiting>);

/// One who waits. Dropped before the answer came, it is forgotten.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) id: RequestId,
    answer: oneshot::Receiver<Answer>,
    all: Waiters,
}

impl Waiters {
    fn open(&self) -> MutexGuard<'_, HashMap<RequestId, oneshot::Sender<Answer>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn join(&self) -> Waiter {
        let id = RequestId(self.0.last.fetch_add(1, Ordering::Relaxed) + 1);
        let (sender, answer) = oneshot::channel();
        self.open().insert(id, sender);
        Waiter { id, answer, all: self.clone() }
    }

    /// Hands an answer over. False: nobody waits any more, and nobody has or will see it.
    pub(crate) fn answer(&self, id: RequestId, answer: Answer) -> bool {
        self.open().remove(&id).is_some_and(|sender| sender.send(answer).is_ok())
    }

    pub(crate) fn len(&self) -> usize {
        self.open().len()
    }
}

impl Waiter {
    /// Waits. None when the cluster is shutting down.
    pub(crate) async fn wait(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.all.open().remove(&self.id);
    }
}
