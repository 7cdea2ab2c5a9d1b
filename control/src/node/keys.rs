//! Clients' API keys on the nodes: brought to what control holds.

use std::time::Duration;

use miroir_sequencer::NodeFault as Fault;
use serde_json::json;

use super::Client;
use super::fence::WRITE_KEY;
use crate::cluster::{KeyRecord, NodeRequest};

impl Client {
    /// Makes the node's keys those that control holds (write keys are left alone): missing ones are created, others
    /// deleted, names and descriptions brought up to date. With the uid goes the value: it is the same on all nodes.
    ///
    /// # Errors
    /// The first step that failed; what was done stays done, and the call may be repeated.
    pub async fn align_keys(&self, node: &str, wanted: &[KeyRecord], timeout: Duration) -> Result<(), Fault> {
        if self.master_key.is_none() {
            return Ok(());
        }
        let found = self.list_keys(node, timeout).await?;
        for key in wanted {
            let name = node_name(key);
            match found.iter().find(|listed| listed.uid == key.uid) {
                Some(listed) if listed.name == name && listed.description == key.description => {}
                Some(_) => {
                    let body = json!({ "name": name, "description": key.description });
                    let path = format!("/keys/{}", key.uid);
                    let request = NodeRequest { method: "PATCH".to_owned(), path, body: Some(body) };
                    if self.call(node, &request, timeout).await?.status != 200 {
                        return Err(Fault::Unknown);
                    }
                }
                // The engine refuses to create a key that has expired; no node needs it.
                None if key.expires_at.is_some_and(|end| end <= jiff::Timestamp::now()) => {}
                None => {
                    let body = json!({
                        "uid": key.uid,
                        "name": name,
                        "description": key.description,
                        "actions": key.actions,
                        "indexes": key.indexes,
                        "expiresAt": key.expires_at,
                    });
                    self.make_key(node, body, timeout).await?;
                }
            }
        }
        for listed in found.iter().filter(|listed| listed.generation(&self.cluster).is_none()) {
            if !wanted.iter().any(|key| key.uid == listed.uid) {
                self.drop_key(node, listed.uid, timeout).await?;
            }
        }
        Ok(())
    }
}

/// A client's key must not look like a write key on the node.
fn node_name(key: &KeyRecord) -> Option<String> {
    key.name.clone().filter(|name| !name.starts_with(WRITE_KEY))
}
