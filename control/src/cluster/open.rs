//! Tasks that are not over.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use miroir_sequencer::TaskRow;
use tokio::sync::Notify;

/// Open tasks by uid.
#[derive(Debug, Default)]
pub(crate) struct OpenTasks {
    open: RwLock<HashMap<u32, Open>>,
    /// Told when a task is over.
    over: Notify,
}

/// One of them.
#[derive(Debug)]
struct Open {
    task_type: String,
    indexes: Vec<String>,
}

impl OpenTasks {
    fn open(&self) -> RwLockReadGuard<'_, HashMap<u32, Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a task's state over.
    pub(crate) fn note(&self, task: &TaskRow) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if task.status.is_over() {
            open.remove(&task.uid);
            self.over.notify_waiters();
        } else {
            open.insert(task.uid, Open { task_type: task.task_type.clone(), indexes: task.indexes.clone() });
        }
    }

    /// All of them but those of these types.
    pub(crate) fn but(&self, types: &[&str]) -> Vec<u32> {
        let open = self.open();
        open.iter().filter(|(_, task)| !types.contains(&task.task_type.as_str())).map(|(uid, _)| *uid).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open().len()
    }

    /// Whether one is about this index.
    pub(crate) fn is_about(&self, uid: &str) -> bool {
        self.open().values().any(|task| task.indexes.iter().any(|index| index == uid))
    }

    /// Ends when none of these tasks is open any more.
    pub(crate) async fn all_over(&self, uids: &[u32]) {
        loop {
            let mut told = std::pin::pin!(self.over.notified());
            // From here on nothing is missed.
            told.as_mut().enable();
            if !uids.iter().any(|uid| self.open().contains_key(uid)) {
                return;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use miroir_sequencer::TaskStatus;

    use super::*;
    use crate::store;

    fn task(uid: u32, status: TaskStatus) -> TaskRow {
        store::tests::task(uid, "indexCreation", &["films"], status)
    }

    #[tokio::test]
    async fn the_end_of_the_last_of_them_is_waited_for() {
        let tasks = OpenTasks::default();
        [1, 2, 3].into_iter().for_each(|uid| tasks.note(&task(uid, TaskStatus::Enqueued)));
        let mut waiting = std::pin::pin!(tasks.all_over(&[1, 2]));
        assert!(waiting.as_mut().now_or_never().is_none());
        tasks.note(&task(1, TaskStatus::Succeeded));
        assert!(waiting.as_mut().now_or_never().is_none());
        tasks.note(&task(2, TaskStatus::Processing));
        assert!(waiting.as_mut().now_or_never().is_none());
        tasks.note(&task(2, TaskStatus::Failed));
        waiting.await;
        assert!(tasks.is_about("films"));
        assert_eq!(tasks.len(), 1);
        tasks.all_over(&[]).await;
    }

    #[test]
    fn those_of_a_type_can_be_left_out() {
        let tasks = OpenTasks::default();
        tasks.note(&task(1, TaskStatus::Enqueued));
        tasks.note(&store::tests::task(2, "dumpCreation", &[], TaskStatus::Processing));
        assert_eq!((tasks.but(&["dumpCreation"]), tasks.but(&["indexCreation"])), (vec![1], vec![2]));
    }
}
