//! API keys: derivation, rights, views.

use hmac::{Hmac, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::clock;

/// An API key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Its uid, a UUID.
    pub(crate) uid: String,
    /// Its name.
    pub(crate) name: Option<String>,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// What it may do.
    pub(crate) actions: Vec<String>,
    /// Patterns of indexes on which it may do it.
    pub(crate) indexes: Vec<String>,
    /// When it ends.
    pub(crate) expires_at: Option<Timestamp>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it was last changed.
    pub(crate) updated_at: Timestamp,
}

/// The key's value: HMAC-SHA256 of its uid under the master key, in hex.
pub(crate) fn derive(master: &str, uid: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(master.as_bytes()) else { return String::new() };
    mac.update(uid.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

impl Key {
    /// As the API shows it.
    pub(crate) fn view(&self, master: &str) -> Value {
        json!({
            "name": self.name,
            "description": self.description,
            "key": derive(master, &self.uid),
            "uid": self.uid,
            "actions": self.actions,
            "indexes": self.indexes,
            "expiresAt": self.expires_at.map(clock::text),
            "createdAt": clock::text(self.created_at),
            "updatedAt": clock::text(self.updated_at),
        })
    }

    /// Whether the key may do this now (on any index).
    pub(crate) fn may(&self, action: &str) -> bool {
        let group = action.split_once('.').map(|(group, _)| format!("{group}.*"));
        let read = action.ends_with(".get") && !action.starts_with("keys.");
        self.expires_at.is_none_or(|end| end > clock::now())
            && self.actions.iter().any(|allowed| {
                // No key has a group itself (as edits by function ask for), but for one that may do everything.
                let within = !action.ends_with(".*") && (allowed == action || Some(allowed) == group.as_ref());
                allowed == "*" || within || (read && allowed == "*.get")
            })
    }

    /// Whether the key may touch this index.
    pub(crate) fn covers(&self, index: &str) -> bool {
        self.indexes.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => index.starts_with(prefix),
            None => pattern == index,
        })
    }
}

/// The four keys that a new engine makes.
pub(crate) fn defaults() -> Vec<Key> {
    let at = clock::now();
    let make = |name: &str, description: &str, actions: &[&str]| Key {
        uid: uuid::Uuid::new_v4().to_string(),
        name: Some(name.to_owned()),
        description: Some(description.to_owned()),
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        indexes: vec!["*".to_owned()],
        expires_at: None,
        created_at: at,
        updated_at: at,
    };
    vec![
        make("Default Search API Key", "Use it to search from the frontend", &["search"]),
        make(
            "Default Admin API Key",
            "Use it for anything that is not a search operation. Caution! Do not expose it on a public frontend",
            &["*"],
        ),
        make(
            "Default Read-Only Admin API Key",
            "Use it to read information across the whole database. Caution! Do not expose this key on a public frontend",
            &["*.get", "keys.get"],
        ),
        make("Default Chat API Key", "Use it to chat and search from the frontend", &["chatCompletions", "search"]),
    ]
}

/// Every action that a key can have.
pub(crate) const ACTIONS: &[&str] = &[
    "*",
    "search",
    "documents.*",
    "documents.add",
    "documents.get",
    "documents.delete",
    "indexes.*",
    "indexes.create",
    "indexes.get",
    "indexes.update",
    "indexes.delete",
    "indexes.swap",
    "tasks.*",
    "tasks.cancel",
    "tasks.delete",
    "tasks.get",
    "settings.*",
    "settings.get",
    "settings.update",
    "stats.*",
    "stats.get",
    "metrics.*",
    "metrics.get",
    "dumps.*",
    "dumps.create",
    "snapshots.*",
    "snapshots.create",
    "version",
    "keys.create",
    "keys.get",
    "keys.update",
    "keys.delete",
    "experimental.get",
    "experimental.update",
    "export",
    "network.get",
    "network.update",
    "chatCompletions",
    "chats.*",
    "chats.get",
    "chats.delete",
    "chatsSettings.*",
    "chatsSettings.get",
    "chatsSettings.update",
    "*.get",
    "webhooks.get",
    "webhooks.update",
    "webhooks.delete",
    "webhooks.create",
    "webhooks.*",
    "indexes.compact",
    "fields.post",
    "tasks.compact",
    "dynamicSearchRules.get",
    "dynamicSearchRules.create",
    "dynamicSearchRules.update",
    "dynamicSearchRules.delete",
    "dynamicSearchRules.*",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_the_engines() {
        assert_eq!(
            derive("masterkeymasterkey", "258c406d-c510-435e-a6dc-a9c76f3ed078"),
            "e56a8a6bde3092b7599190d98f9f869ed2f4b56921c3254fe9380211dd5cc441"
        );
    }

    #[test]
    fn rights_follow_actions_and_patterns() {
        let mut key = defaults().remove(0);
        assert!(key.may("search") && !key.may("documents.add"));
        key.actions = vec!["documents.*".into()];
        assert!(key.may("documents.add") && !key.may("search"));
        key.actions = vec!["*.get".into()];
        assert!(key.may("tasks.get") && !key.may("keys.get"));
        key.indexes = vec!["a*".into(), "b".into()];
        assert!(key.covers("ab") && key.covers("b") && !key.covers("bc"));
    }
}
