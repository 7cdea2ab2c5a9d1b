use miroir_admin::backup::Entry;
use miroir_sequencer::{MetaRow, TaskStatus};

use super::*;
use crate::tasks::filter::{TaskFilter, TaskPage, page};

#[path = "testing.rs"]
pub(crate) mod testing;
use miroir_sequencer::TaskRow;

/// A task without details.
pub(crate) fn task(uid: u32, task_type: &str, indexes: &[&str], status: TaskStatus) -> TaskRow {
    TaskRow {
        uid,
        index: (indexes.len() == 1).then(|| indexes[0].to_owned()),
        indexes: indexes.iter().map(|name| (*name).to_owned()).collect(),
        task_type: task_type.into(),
        status,
        canceled_by: None,
        details: None,
        error: None,
        custom_metadata: None,
        enqueued_ms: 1_000 * u64::from(uid),
        started_ms: None,
        finished_ms: status.is_over().then(|| 1_000 * u64::from(uid) + 5),
    }
}

/// A place for a store, empty at first.
enum Place {
    File(tempfile::TempDir),
    Redis(testing::Server),
}

impl Place {
    fn each() -> [Self; 2] {
        [Self::File(tempfile::tempdir().unwrap()), Self::Redis(testing::Server::start())]
    }

    async fn open(&self) -> (Store, Loaded) {
        match self {
            Self::File(directory) => Store::open(&directory.path().join("s.sqlite")).unwrap(),
            Self::Redis(server) => {
                let location = server.location("one");
                let lease = Lease::wait_for(&location, "test").await.unwrap();
                Store::open_shared(&location, lease).await.unwrap()
            }
        }
    }

    /// The process that held the store has ended.
    async fn left(&self) {
        if let Self::Redis(server) = self {
            server.drop_lease("one").await;
        }
    }
}

async fn filled(place: &Place) -> Store {
    let (store, _) = place.open().await;
    let tasks = [
        task(1, "indexCreation", &["a"], TaskStatus::Succeeded),
        task(2, "documentAdditionOrUpdate", &["a"], TaskStatus::Failed),
        task(3, "documentAdditionOrUpdate", &["b"], TaskStatus::Enqueued),
        task(4, "indexSwap", &["a", "b"], TaskStatus::Succeeded),
    ];
    let records = tasks.into_iter().map(|task| Record::Task(Box::new(task))).collect();
    store.write(vec![Change::Records(records)]).await.unwrap();
    store
}

fn uids(store: &Store, query: &str) -> (Vec<u32>, u64) {
    let page = page(query).unwrap();
    let single = page.filter.indexes.is_some();
    let (tasks, total) = store.reader().page(&page, &|_| true, single).unwrap();
    (tasks.iter().map(|task| task.uid).collect(), total)
}

#[tokio::test]
async fn rows_and_values_come_back_after_a_restart() {
    for place in Place::each() {
        come_back(&place).await;
    }
}

async fn come_back(place: &Place) {
    let (store, loaded) = place.open().await;
    assert_eq!(loaded.snapshot, Snapshot::default());
    let meta = MetaRow { term: 3, next_uid: 9, epoch: 4, ..MetaRow::default() };
    store
        .write(vec![
            Change::Records(vec![Record::Meta(meta.clone())]),
            Change::Value("cluster".into(), Some("{\"id\":1}".into())),
            Change::Value("gone".into(), Some("1".into())),
            Change::Value("gone".into(), None),
        ])
        .await
        .unwrap();
    let task = task(7, "indexCreation", &["a"], TaskStatus::Enqueued);
    store.write(vec![Change::Records(vec![Record::Task(Box::new(task))])]).await.unwrap();
    drop(store);
    place.left().await;
    let (store, loaded) = place.open().await;
    assert_eq!(uids(&store, ""), (vec![7], 1));
    assert_eq!(loaded.snapshot.meta, Some(meta));
    assert_eq!(loaded.values.len(), 1);
    assert_eq!(loaded.values["cluster"]["id"], 1);
}

#[tokio::test]
async fn filters_select_as_the_engine_does() {
    for place in Place::each() {
        select(&filled(&place).await);
    }
}

fn select(store: &Store) {
    for (query, expected, total) in [
        ("", vec![4, 3, 2, 1], 4),
        ("reverse=true&from=2", vec![2, 3, 4], 4),
        ("limit=1&from=3", vec![3], 4),
        ("uids=", vec![], 0),
        ("uids=1,3,99", vec![3, 1], 2),
        ("statuses=succeeded,failed&types=indexSwap", vec![4], 1),
        // A swap belongs to no single index: counted, not shown.
        ("indexUids=a", vec![2, 1], 3),
        ("afterEnqueuedAt=1970-01-01T00:00:02Z", vec![4, 3], 2),
        ("beforeFinishedAt=1970-01-01T00:00:02Z", vec![1], 1),
        ("batchUids=3,4", vec![4], 1),
        ("canceledBy=1", vec![], 0),
    ] {
        assert_eq!(uids(store, query), (expected, total), "{query}");
    }
    let hidden = TaskPage { filter: TaskFilter::default(), limit: 9, from: None, reverse: false };
    let (tasks, _) = store.reader().page(&hidden, &|task| task.uid == 2, false).unwrap();
    assert_eq!(tasks.len(), 1);
}

#[tokio::test]
async fn a_task_is_replaced_deleted_and_renamed() {
    for place in Place::each() {
        let store = filled(&place).await;
        change(&store).await;
        // And it is so for the next process too.
        drop(store);
        place.left().await;
        changed(&place.open().await.0);
    }
}

async fn change(store: &Store) {
    let done = task(3, "documentAdditionOrUpdate", &["b"], TaskStatus::Succeeded);
    let exchange = vec![("a".to_owned(), "b".to_owned()), ("b".to_owned(), "a".to_owned())];
    store
        .write(vec![
            Change::Records(vec![Record::Task(Box::new(done))]),
            Change::DeleteTasks(vec![1]),
            Change::RenameTasks(exchange, 4),
        ])
        .await
        .unwrap();
    changed(store);
}

fn changed(store: &Store) {
    assert_eq!(uids(store, "statuses=enqueued"), (vec![], 0));
    assert_eq!(uids(store, "indexUids=a"), (vec![3], 2));
    assert_eq!(uids(store, "indexUids=b"), (vec![2], 2));
    let (tasks, _) = store.reader().page(&page("uids=3").unwrap(), &|_| true, false).unwrap();
    assert_eq!(tasks[0].index.as_deref(), Some("a"));
    let mut counts = store.reader().counts().unwrap();
    counts.sort();
    assert_eq!(counts, [("failed".to_owned(), 1), ("succeeded".to_owned(), 2)]);
}

/// Everything that the store holds.
fn everything(store: &Store) -> Vec<Entry> {
    let mut found = Vec::new();
    let each = |entry| {
        found.push(entry);
        Ok::<_, StoreError>(())
    };
    store.reader().dump(each).unwrap();
    found
}

#[tokio::test]
async fn a_dump_has_everything_and_nothing_is_left_after_a_clear() {
    for place in Place::each() {
        let store = filled(&place).await;
        let meta = MetaRow { term: 3, next_uid: 9, ..MetaRow::default() };
        let value = Change::Value("cluster".into(), Some("{\"id\":1}".into()));
        store.write(vec![Change::Records(vec![Record::Meta(meta.clone())]), value]).await.unwrap();
        drop(store);
        place.left().await;
        let (store, _) = place.open().await;
        let found = everything(&store);
        assert_eq!(found.len(), 6);
        assert!(found.contains(&Entry::Row { kind: "meta".into(), row: serde_json::to_value(&meta).unwrap() }));
        assert!(found.contains(&Entry::Value { name: "cluster".into(), value: serde_json::json!({"id": 1}) }));
        let tasks = found.iter().filter_map(|entry| match entry {
            Entry::Task(task) => task["uid"].as_u64(),
            _ => None,
        });
        assert_eq!(tasks.collect::<Vec<_>>(), [1, 2, 3, 4]);

        let value = Change::Value("kept".into(), Some("1".into()));
        store.write(vec![Change::Clear, value]).await.unwrap();
        assert_eq!(everything(&store).len(), 1);
        drop(store);
        place.left().await;
        let (store, loaded) = place.open().await;
        assert_eq!((loaded.snapshot, loaded.values.len(), uids(&store, "").1), (Snapshot::default(), 1, 0));
    }
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.sqlite");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn one_control_leads_and_another_one_follows_when_it_is_gone() {
    let server = testing::Server::start();
    let location = server.location("two");
    let first = Lease::wait_for(&location, "first").await.unwrap();
    let waiting = tokio::spawn({
        let location = location.clone();
        async move { Lease::wait_for(&location, "second").await.unwrap() }
    });
    let (store, _) = Store::open_shared(&location, first.clone()).await.unwrap();
    assert!(store.is_led().await);
    let row = |next_uid| vec![Change::Records(vec![Record::Meta(MetaRow { next_uid, ..MetaRow::default() })])];
    store.write(row(1)).await.unwrap();
    assert!(!waiting.is_finished());
    first.release().await;
    let second = waiting.await.unwrap();
    // The first does not know yet, and is refused.
    let refused = store.write(row(2)).await.unwrap_err().to_string();
    assert!(refused.contains("another control leads"), "{refused}");
    assert!(!store.is_led().await);
    let (_, loaded) = Store::open_shared(&location, second).await.unwrap();
    assert_eq!(loaded.snapshot.meta.unwrap().next_uid, 1);
}

#[tokio::test]
async fn a_leader_that_cannot_renew_its_lease_knows_it() {
    let server = testing::Server::start();
    let location = server.location("three");
    let lease = Lease::wait_for(&location, "first").await.unwrap();
    let (store, _) = Store::open_shared(&location, lease.clone()).await.unwrap();
    server.stop();
    assert!(!store.is_led().await, "who cannot ask does not know");
    tokio::time::timeout(std::time::Duration::from_secs(20), lease.lost()).await.unwrap();
}

#[tokio::test]
async fn a_redis_of_a_newer_version_is_left_alone() {
    let server = testing::Server::start();
    let location = server.location("four");
    server.set("{four}:schema", "99").await;
    let lease = Lease::wait_for(&location, "first").await.unwrap();
    assert!(matches!(Store::open_shared(&location, lease).await, Err(StoreError::Newer { found: 99, .. })));
}
