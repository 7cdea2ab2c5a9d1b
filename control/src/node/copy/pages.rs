//! Documents on their way from one node to another, held here until they are dropped by name: the sequencer deals in
//! keys alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use miroir_sequencer::PageId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Documents;

/// Most bytes of documents held at a time, in KiB. Whoever wants to keep more waits until others are dropped.
const CAPACITY_KIB: u32 = 128 * 1024;

/// Documents with their keys, and the room that they take.
#[derive(Debug)]
pub(super) struct Page {
    documents: Documents,
    _room: OwnedSemaphorePermit,
}

impl Page {
    /// The documents as a JSON array, without those that have one of these keys; and how many they are.
    pub(super) fn body(&self, without: &[String]) -> (Vec<u8>, u64) {
        let without: BTreeSet<&String> = without.iter().collect();
        let mut body = vec![b'['];
        let mut count = 0;
        for (_, document) in self.documents.iter().filter(|(key, _)| !without.contains(key)) {
            if count > 0 {
                body.push(b',');
            }
            body.extend_from_slice(document.get().as_bytes());
            count += 1;
        }
        body.push(b']');
        (body, count)
    }
}

/// All pages. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    last: Arc<AtomicU64>,
    held: Arc<Mutex<BTreeMap<PageId, Arc<Page>>>>,
    room: Arc<Semaphore>,
}

impl Default for Pages {
    fn default() -> Self {
        Self::with_capacity(CAPACITY_KIB)
    }
}

impl Pages {
    fn with_capacity(kib: u32) -> Self {
        let room = Semaphore::new(usize::try_from(kib).unwrap_or(Semaphore::MAX_PERMITS));
        Self { last: Arc::default(), held: Arc::default(), room: Arc::new(room) }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<PageId, Arc<Page>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps documents; gives the page's name, none when the process ends. Waits while there is no room.
    pub(super) async fn keep(&self, documents: Documents) -> Option<PageId> {
        let bytes: usize = documents.iter().map(|(key, document)| key.len() + document.get().len()).sum();
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(CAPACITY_KIB);
        let room = self.room.clone().acquire_many_owned(kib).await.ok()?;
        let id = PageId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        self.held().insert(id, Arc::new(Page { documents, _room: room }));
        Some(id)
    }

    /// A page that has not been dropped.
    pub(super) fn get(&self, id: PageId) -> Option<Arc<Page>> {
        self.held().get(&id).cloned()
    }

    /// Forgets a page.
    pub(super) fn drop_page(&self, id: PageId) {
        self.held().remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn documents(keys: &[&str], bytes: usize) -> Documents {
        let raw =
            |key: &str| RawValue::from_string(format!("{{\"id\":\"{key}\",\"t\":\"{}\"}}", "x".repeat(bytes))).unwrap();
        keys.iter().map(|key| ((*key).to_owned(), raw(key))).collect()
    }

    #[tokio::test]
    async fn a_page_is_sent_as_it_came_without_the_keys_named() {
        let pages = Pages::default();
        let id = pages.keep(documents(&["a", "b", "c"], 0)).await.unwrap();
        let (body, count) = pages.get(id).unwrap().body(&["b".to_owned(), "z".to_owned()]);
        assert_eq!(String::from_utf8(body).unwrap(), r#"[{"id":"a","t":""},{"id":"c","t":""}]"#);
        assert_eq!(count, 2);
        pages.drop_page(id);
        assert!(pages.get(id).is_none());
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_for_a_drop() {
        let pages = Pages::with_capacity(4);
        let first = pages.keep(documents(&["a"], 2048)).await.unwrap();
        let other = pages.clone();
        let second = tokio::spawn(async move { other.keep(documents(&["b"], 2048)).await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        pages.drop_page(first);
        assert!(second.await.unwrap().is_some());
    }
}
