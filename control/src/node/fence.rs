//! FENCE: replaces the write keys of a node. Afterwards no request that carries an older key is authorised.

use std::time::Duration;

use hmac::{Hmac, Mac};
use miroir_sequencer::{NodeAnswer as Answer, NodeFault as Fault};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Client, read};
use crate::cluster::NodeRequest;

/// How the names of all write keys begin. Clients' keys are never given such a name on a node.
pub(super) const WRITE_KEY: &str = "miroir-write";

/// What filters may do with a grant. Not `indexes.create`: a late write must not bring an index back.
const DATA: [&str; 3] = ["documents.add", "documents.delete", "documents.get"];
/// What the leader may do.
const ADMIN: [&str; 4] = ["indexes.*", "settings.*", "tasks.*", "documents.*"];

#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) uid: Uuid,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
}

impl Listed {
    /// The generation of a write key of this cluster; 0 where its name does not tell. None for any other key.
    pub(super) fn generation(&self, cluster: &str) -> Option<u64> {
        let rest = self.name.as_deref()?.strip_prefix(WRITE_KEY)?.strip_prefix(' ')?.strip_prefix(cluster)?;
        Some(rest.split(' ').nth(2).and_then(|number| number.parse().ok()).unwrap_or(0))
    }
}

/// A key's value, as the engine derives it from its uid. None for an empty master key, which cannot be.
pub(crate) fn key_value(master_key: &str, uid: Uuid) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(master_key.as_bytes()).ok()?;
    mac.update(uid.as_hyphenated().to_string().as_bytes());
    Some(hex::encode(mac.finalize().into_bytes()))
}

/// The uid of a write key follows from what it is for, so that a repeated creation finds its own.
fn write_key_uid(cluster: &str, node: &str, generation: u64, which: &str) -> Uuid {
    let digest = Sha256::digest(format!("{cluster}\n{node}\n{generation}\n{which}"));
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

impl Client {
    pub(super) async fn fence(&self, node: &str, generation: u64, timeout: Duration) -> Result<Answer, Fault> {
        let master = self.master_key.as_deref().ok_or(Fault::NotSent)?;
        let mut fresh = Vec::new();
        let mut values = Vec::new();
        for (which, actions) in [("data", &DATA[..]), ("admin", &ADMIN[..])] {
            let uid = write_key_uid(&self.cluster, node, generation, which);
            let body = json!({
                "uid": uid,
                "name": format!("{WRITE_KEY} {} {node} {generation} {which}", self.cluster),
                "description": "Made by Miroir to order writes. Replaced by itself; do not use or delete it.",
                "actions": actions,
                "indexes": ["*"],
                "expiresAt": null,
            });
            self.make_key(node, body, timeout).await?;
            fresh.push(uid);
            values.push(key_value(master, uid).ok_or(Fault::NotSent)?);
        }
        // Only older ones go: this call itself may be a late one of a leader that has been replaced.
        for key in self.list_keys(node, timeout).await? {
            if key.generation(&self.cluster).is_some_and(|other| other < generation) {
                self.drop_key(node, key.uid, timeout).await?;
            }
        }
        let left = self.list_keys(node, timeout).await?;
        let mut left: Vec<Uuid> =
            left.iter().filter(|key| key.generation(&self.cluster).is_some()).map(|key| key.uid).collect();
        left.sort_unstable();
        fresh.sort_unstable();
        let admin = values.pop().unwrap_or_default();
        let data = values.pop().unwrap_or_default();
        if left == fresh { Ok(Answer::Fenced { data, admin }) } else { Err(Fault::Unknown) }
    }

    /// Creates a key; one that exists already is as good.
    pub(super) async fn make_key(&self, node: &str, body: serde_json::Value, timeout: Duration) -> Result<(), Fault> {
        let request = NodeRequest { method: "POST".to_owned(), path: "/keys".to_owned(), body: Some(body) };
        match self.call(node, &request, timeout).await?.status {
            201 | 409 => Ok(()),
            _ => Err(Fault::Unknown),
        }
    }

    /// Deletes a key; one that is gone already is as good.
    pub(super) async fn drop_key(&self, node: &str, uid: Uuid, timeout: Duration) -> Result<(), Fault> {
        let request = NodeRequest { method: "DELETE".to_owned(), path: format!("/keys/{uid}"), body: None };
        match self.call(node, &request, timeout).await?.status {
            204 | 404 => Ok(()),
            _ => Err(Fault::Unknown),
        }
    }

    pub(super) async fn list_keys(&self, node: &str, timeout: Duration) -> Result<Vec<Listed>, Fault> {
        #[derive(Deserialize)]
        struct Page {
            results: Vec<Listed>,
            total: usize,
        }
        let mut keys = Vec::new();
        loop {
            let path = format!("/keys?limit=1000&offset={}", keys.len());
            let page: Page = read(&self.get(node, path, timeout).await?)?;
            let empty = page.results.is_empty();
            keys.extend(page.results);
            if empty || keys.len() >= page.total {
                return Ok(keys);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_derived_as_the_engine_derives_it() {
        // Computed with Python's hmac module.
        let uid = "6062abda-a5aa-4414-ac91-ecd7944c0f8d".parse().unwrap();
        assert_eq!(
            key_value("masterkeymasterkey", uid).unwrap(),
            "0a59d4350175a04c2783b423c342ca84c4c4be219935173dfbbe05cc34503e39"
        );
    }

    #[test]
    fn the_generation_stands_in_the_name() {
        let named = |name: &str| Listed { uid: Uuid::nil(), name: Some(name.to_owned()), description: None };
        assert_eq!(named("miroir-write c0ffee00 node-0 12 data").generation("c0ffee00"), Some(12));
        assert_eq!(named("miroir-write c0ffee00 node-0").generation("c0ffee00"), Some(0));
        assert_eq!(named("miroir-write another node-0 12 data").generation("c0ffee00"), None);
        assert_eq!(named("Default Search API Key").generation("c0ffee00"), None);
    }

    #[test]
    fn write_keys_of_different_purpose_have_different_uids() {
        let uid = |generation, which| write_key_uid("c0ffee00", "node-0", generation, which);
        assert_eq!(uid(1, "data"), uid(1, "data"));
        assert_ne!(uid(1, "data"), uid(2, "data"));
        assert_ne!(uid(1, "data"), uid(1, "admin"));
        assert_eq!(uid(1, "data").get_version_num(), 4);
    }
}
