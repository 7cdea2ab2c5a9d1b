//! The list of tasks does not grow for ever: at a million the oldest that are over go, as on one engine.

use std::sync::Weak;
use std::time::Duration;

use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::store::{Change, Store, StoreError};

/// Length of the list at which some go, and how many; both as the engine has them.
const LIMIT: Limit = Limit { tasks: 1_000_000, at_once: 100_000 };
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(60);
/// Most in one transaction.
const CHUNK: usize = 5_000;

#[derive(Clone, Copy)]
struct Limit {
    tasks: u64,
    at_once: u32,
}

/// Keeps the list short while the cluster runs.
pub(crate) async fn keep_short(cluster: Weak<Cluster>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(store) = cluster.upgrade().map(|cluster| cluster.store().clone()) else { return };
        match shorten(&store, LIMIT).await {
            Ok(0) => {}
            Ok(gone) => info!(gone, "the list of tasks was full: the oldest finished ones are deleted"),
            Err(error) => warn!(%error, "the list of tasks could not be shortened"),
        }
    }
}

/// Deletes the oldest tasks that are over, if there are too many. Returns how many.
async fn shorten(store: &Store, limit: Limit) -> Result<usize, StoreError> {
    let reader = store.reader().clone();
    let found = tokio::task::spawn_blocking(move || {
        let all: u64 = reader.counts()?.iter().map(|(_, count)| count).sum();
        if all < limit.tasks { Ok(Vec::new()) } else { reader.oldest_finished(limit.at_once) }
    });
    let uids: Vec<u32> = found.await.map_err(|error| StoreError::Transaction(error.to_string()))??;
    for chunk in uids.chunks(CHUNK) {
        store.write(vec![Change::DeleteTasks(chunk.to_vec())]).await?;
    }
    Ok(uids.len())
}

#[cfg(test)]
mod tests {
    use miroir_sequencer::{Record, TaskStatus};

    use super::*;
    use crate::store;
    use crate::tasks::filter::page;

    fn task(uid: u32, status: TaskStatus) -> Record {
        Record::Task(Box::new(store::tests::task(uid, "documentAdditionOrUpdate", &[], status)))
    }

    #[tokio::test]
    async fn the_oldest_finished_ones_go_and_open_ones_never() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&directory.path().join("s.sqlite")).unwrap();
        let open = |uid: &u32| [2, 4].contains(uid);
        let status = |uid| if open(&uid) { TaskStatus::Processing } else { TaskStatus::Failed };
        store.write(vec![Change::Records((1..=9).map(|uid| task(uid, status(uid))).collect())]).await.unwrap();
        let limit = Limit { tasks: 10, at_once: 4 };
        assert_eq!(shorten(&store, limit).await.unwrap(), 0, "there is room for one more");
        store.write(vec![Change::Records(vec![task(10, TaskStatus::Enqueued)])]).await.unwrap();
        assert_eq!(shorten(&store, limit).await.unwrap(), 4);
        let (left, _) = store.reader().page(&page("reverse=true").unwrap(), &|_| true, false).unwrap();
        assert_eq!(left.iter().map(|task| task.uid).collect::<Vec<_>>(), [2, 4, 7, 8, 9, 10]);
    }
}
