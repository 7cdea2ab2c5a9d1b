//! FENCE: replaces the write keys of a node. Afterwards no request that carries an older key is authorised.

use std::time::Duration;

use miroir_sequencer::{NodeAnswer as Answer, NodeFault as Fault};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Client, pages, read};
use crate::auth::key_value;
use crate::cluster::NodeRequest;

/// How the names of all write keys begin. Clients' keys are never given such a name on a node.
const WRITE_KEY: &str = "miroir-write";

/// What filters may do with a grant. Not `indexes.create`: a late write must not bring an index back.
const DATA: [&str; 3] = ["documents.add", "documents.delete", "documents.get"];
/// What filters may do with the grant of an edit by function, which brings no index back. The engine takes no less for it
/// (its `documents.*` is the sum of the three above).
const EDIT: [&str; 1] = ["*"];
/// What the leader may do.
const ADMIN: [&str; 4] = ["indexes.*", "settings.*", "tasks.*", "documents.*"];

/// The uid of a listed key.
fn uid(key: &Value) -> Option<Uuid> {
    key["uid"].as_str()?.parse().ok()
}

/// What follows the cluster in the name of one of its write keys. None for any other key.
fn rest<'a>(key: &'a Value, cluster: &str) -> Option<&'a str> {
    key["name"].as_str()?.strip_prefix(WRITE_KEY)?.strip_prefix(' ')?.strip_prefix(cluster)
}

/// The generation of a write key of this cluster; 0 where its name does not tell. None for any other key.
pub(super) fn generation(key: &Value, cluster: &str) -> Option<u64> {
    Some(rest(key, cluster)?.split(' ').nth(2).and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// The node that a write key of this cluster was made for, and its generation.
pub(super) fn owner(key: &Value, cluster: &str) -> Option<(String, u64)> {
    let node = rest(key, cluster)?.split(' ').nth(1)?;
    Some((node.to_owned(), generation(key, cluster)?))
}

/// The term of the leader that made a write key; 0 where its name does not tell.
fn term(key: &Value) -> u64 {
    let name = key["name"].as_str().unwrap_or_default();
    name.split(' ').nth(5).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What the name of a write key tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteKey {
    pub(crate) cluster: String,
    pub(crate) node: String,
    pub(crate) generation: u64,
    pub(crate) term: u64,
}

impl WriteKey {
    /// None for any other key.
    pub(crate) fn read(key: &Value) -> Option<Self> {
        let mut words = key["name"].as_str()?.strip_prefix(WRITE_KEY)?.strip_prefix(' ')?.split(' ');
        let (cluster, node) = (words.next()?.to_owned(), words.next()?.to_owned());
        let generation = words.next()?.parse().ok()?;
        Some(Self { cluster, node, generation, term: term(key) })
    }
}

/// The uid of a write key follows from what it is for, so that a repeated creation finds its own.
fn write_key_uid(cluster: &str, node: &str, generation: u64, which: &str) -> Uuid {
    let digest = Sha256::digest(format!("{cluster}\n{node}\n{generation}\n{which}"));
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

impl Client {
    pub(super) async fn fence(
        &self,
        node: &str,
        newest: u64,
        leaders: u64,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let master = self.master_key.as_deref().ok_or(Fault::NotSent)?;
        let found = self.list_keys(node, timeout).await?;
        let ours = found.iter().filter_map(|key| Some((generation(key, &self.cluster)?, term(key))));
        let (highest, latest) = ours.fold((0, 0), |(a, b), (generation, term)| (a.max(generation), b.max(term)));
        if highest > newest || latest > leaders {
            return Ok(Answer::Outdated { generation: highest, term: latest });
        }
        let mut fresh = Vec::new();
        let mut values = Vec::new();
        for (which, actions) in [("data", &DATA[..]), ("admin", &ADMIN[..]), ("edit", &EDIT[..])] {
            let uid = write_key_uid(&self.cluster, node, newest, which);
            let body = json!({
                "uid": uid,
                "name": format!("{WRITE_KEY} {} {node} {newest} {which} {leaders}", self.cluster),
                "description": "Made by Miroir to order writes. Replaced by itself; do not use or delete it.",
                "actions": actions,
                "indexes": ["*"],
                "expiresAt": null,
            });
            self.make_key(node, body, timeout).await?;
            fresh.push(uid);
            values.push(key_value(master, uid));
        }
        // Only older ones go: this call itself may be a late one of a leader that has been replaced.
        for key in found {
            if generation(&key, &self.cluster).is_some_and(|other| other < newest)
                && let Some(uid) = uid(&key)
            {
                self.drop_key(node, uid, timeout).await?;
            }
        }
        let left = self.list_keys(node, timeout).await?;
        let ours = left.iter().filter(|key| generation(key, &self.cluster).is_some());
        let mut left: Vec<Uuid> = ours.filter_map(uid).collect();
        left.sort_unstable();
        fresh.sort_unstable();
        let edit = values.pop().unwrap_or_default();
        let admin = values.pop().unwrap_or_default();
        let data = values.pop().unwrap_or_default();
        if left == fresh { Ok(Answer::Fenced { data, admin, edit }) } else { Err(Fault::Unknown) }
    }

    /// Creates a key; one that exists already is as good.
    async fn make_key(&self, node: &str, body: serde_json::Value, timeout: Duration) -> Result<(), Fault> {
        let request = NodeRequest { method: "POST".to_owned(), path: "/keys".to_owned(), body: Some(body) };
        match self.call(node, &request, timeout).await?.status {
            201 | 409 => Ok(()),
            _ => Err(Fault::Unknown),
        }
    }

    /// Deletes a key; one that is gone already is as good.
    async fn drop_key(&self, node: &str, uid: Uuid, timeout: Duration) -> Result<(), Fault> {
        let request = NodeRequest { method: "DELETE".to_owned(), path: format!("/keys/{uid}"), body: None };
        match self.call(node, &request, timeout).await?.status {
            204 | 404 => Ok(()),
            _ => Err(Fault::Unknown),
        }
    }

    pub(super) async fn list_keys(&self, node: &str, timeout: Duration) -> Result<Vec<Value>, Fault> {
        pages::all("/keys", |path| async { read(&self.get(node, path, timeout).await?) }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_stands_in_the_name() {
        let of = |name: &str| generation(&json!({ "name": name }), "c0ffee00");
        assert_eq!(of("miroir-write c0ffee00 node-0 12 data"), Some(12));
        assert_eq!(of("miroir-write c0ffee00 node-0"), Some(0));
        assert_eq!(of("miroir-write another node-0 12 data"), None);
        assert_eq!(of("Default Search API Key"), None);
        assert_eq!(of("miroir-write c0ffee00 node-0 12 data 7"), Some(12));
        let owner_of = |name: &str| owner(&json!({ "name": name }), "c0ffee00");
        assert_eq!(owner_of("miroir-write c0ffee00 node-0 12 data 7"), Some(("node-0".to_owned(), 12)));
        assert_eq!((owner_of("miroir-write another node-0 12 data"), owner_of("miroir-write c0ffee00")), (None, None));
        let read = WriteKey::read(&json!({ "name": "miroir-write c0ffee00 node-0 12 data 7" }));
        let expected = WriteKey { cluster: "c0ffee00".to_owned(), node: "node-0".to_owned(), generation: 12, term: 7 };
        assert_eq!(read, Some(expected));
        assert_eq!(WriteKey::read(&json!({ "name": "Default Search API Key" })), None);
        let term_of = |name: &str| term(&json!({ "name": name }));
        assert_eq!(
            (term_of("miroir-write c0ffee00 node-0 12 data 7"), term_of("miroir-write c0ffee00 node-0 12 data")),
            (7, 0)
        );
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
