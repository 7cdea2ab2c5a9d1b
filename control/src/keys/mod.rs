//! API keys: one set for the whole cluster. A key's value follows from its uid and the master key, so a key that has
//! the same uid on all nodes works on all of them, and so does every tenant token that is signed with it.

mod reconcile;
mod routes;
#[cfg(test)]
mod tests;
mod view;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::cluster::{KeyRecord, Note};

pub use reconcile::reconcile;
pub use routes::router;

/// The four keys that the engine makes at its first start (uid, name, description, actions), oldest first. Each node
/// makes them with uids of its own; the cluster has these instead. The uids are fixed, so that the keys, which
/// clients hold, outlive the loss of control's store.
const DEFAULTS: [(u128, &str, &str, &[&str]); 4] = [
    (
        0x6d69_726f_6972_4b01_8001_6465_6661_756c,
        "Default Chat API Key",
        "Use it to chat and search from the frontend",
        &["chatCompletions", "search"],
    ),
    (
        0x6d69_726f_6972_4b02_8002_6465_6661_756c,
        "Default Read-Only Admin API Key",
        "Use it to read information across the whole database. Caution! Do not expose this key on a public frontend",
        &["*.get", "keys.get"],
    ),
    (
        0x6d69_726f_6972_4b03_8003_6465_6661_756c,
        "Default Admin API Key",
        "Use it for anything that is not a search operation. Caution! Do not expose it on a public frontend",
        &["*"],
    ),
    (
        0x6d69_726f_6972_4b04_8004_6465_6661_756c,
        "Default Search API Key",
        "Use it to search from the frontend",
        &["search"],
    ),
];

/// The key with which the filter's workers read documents that no client sees: nodes have it, clients do not.
pub(crate) const READER: Uuid = Uuid::from_u128(0x6d69_726f_6972_4b05_8005_6465_6661_756c);

/// What nodes get: the clients' keys, and the workers' own with the note that control leaves there.
pub(crate) fn with_reader(clients: &[KeyRecord], note: &Note) -> Vec<KeyRecord> {
    let reader = KeyRecord {
        uid: READER,
        name: Some("Miroir Reader Key".to_owned()),
        description: Some(note.text()),
        actions: vec!["documents.get".to_owned()],
        indexes: vec!["*".to_owned()],
        expires_at: None,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    };
    clients.iter().filter(|key| key.uid != READER).cloned().chain([reader]).collect()
}

/// The four default keys that the first start stores.
#[must_use]
pub fn default_keys() -> Vec<KeyRecord> {
    let now = Timestamp::now();
    let record = |(age, (uid, name, description, actions)): (i64, (u128, &str, &str, &[&str]))| {
        // A moment apart each, because keys are listed by age.
        let created_at = now.checked_add(SignedDuration::from_micros(age)).unwrap_or(now);
        KeyRecord {
            uid: Uuid::from_u128(uid),
            name: Some(name.to_owned()),
            description: Some(description.to_owned()),
            actions: actions.iter().map(|&action| action.to_owned()).collect(),
            indexes: vec!["*".to_owned()],
            expires_at: None,
            created_at,
            updated_at: created_at,
        }
    };
    (0..).zip(DEFAULTS).map(record).collect()
}
