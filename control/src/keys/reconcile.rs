//! What brings a node's keys in line with the cluster's.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cluster::{KeyRecord, NodeRequest};

/// The requests, in order, that give a node exactly the cluster's keys. `on_node` are the `results` of the node's
/// `GET /keys` (all pages); `internal` are keys that belong to the cluster itself, such as write keys, and stay.
/// Whatever else a node has goes: the default keys that it made itself, and keys that were deleted while it was away.
/// To be sent with the master key whenever a node (re)appears, and after every change.
#[must_use]
pub fn reconcile(on_node: &[Value], keys: &[KeyRecord], internal: impl Fn(Uuid) -> bool) -> Vec<NodeRequest> {
    let mut requests = Vec::new();
    let uid_of = |found: &Value| found["uid"].as_str().and_then(|uid| uid.parse::<Uuid>().ok());
    for found in on_node {
        let Some(uid) = uid_of(found) else { continue };
        if !internal(uid) && !keys.iter().any(|key| key.uid == uid) {
            requests.push(request("DELETE", Some(uid), None));
        }
    }
    for key in keys {
        // Nodes refuse to create a key that has expired, and need it no more.
        let expired = key.expires_at.is_some_and(|end| end <= Timestamp::now());
        match on_node.iter().find(|found| uid_of(found) == Some(key.uid)) {
            Some(found) if same_rights(found, key) => {
                if found["name"] != json!(key.name) || found["description"] != json!(key.description) {
                    let body = json!({ "name": key.name, "description": key.description });
                    requests.push(request("PATCH", Some(key.uid), Some(body)));
                }
            }
            Some(_) => {
                requests.push(request("DELETE", Some(key.uid), None));
                requests.extend((!expired).then(|| request("POST", None, Some(creation(key)))));
            }
            None => requests.extend((!expired).then(|| request("POST", None, Some(creation(key))))),
        }
    }
    requests
}

fn same_rights(found: &Value, key: &KeyRecord) -> bool {
    let end = found["expiresAt"].as_str().and_then(|end| end.parse::<Timestamp>().ok());
    found["actions"] == json!(key.actions) && found["indexes"] == json!(key.indexes) && end == key.expires_at
}

fn creation(key: &KeyRecord) -> Value {
    json!({
        "uid": key.uid,
        "name": key.name,
        "description": key.description,
        "actions": key.actions,
        "indexes": key.indexes,
        "expiresAt": key.expires_at,
    })
}

fn request(method: &str, uid: Option<Uuid>, body: Option<Value>) -> NodeRequest {
    let path = uid.map_or_else(|| "/keys".to_owned(), |uid| format!("/keys/{uid}"));
    NodeRequest { method: method.to_owned(), path, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::default_keys;

    #[test]
    fn a_fresh_node_gets_the_clusters_keys_for_its_own() {
        let keys = default_keys();
        let own = json!({"uid": Uuid::from_u128(1), "name":"Default Search API Key","actions":["search"],"indexes":["*"],"expiresAt":null});
        let write_key = json!({"uid": Uuid::from_u128(2)});
        let requests = reconcile(&[own, write_key], &keys, |uid| uid == Uuid::from_u128(2));
        assert_eq!(requests.len(), 5);
        assert_eq!(requests[0].path, format!("/keys/{}", Uuid::from_u128(1)));
        assert!(requests[1..].iter().all(|request| request.method == "POST"));
    }

    #[test]
    fn a_node_that_has_all_is_left_alone() {
        let keys = default_keys();
        let on_node = keys.iter().map(creation).collect::<Vec<_>>();
        assert_eq!(reconcile(&on_node, &keys, |_| false), []);
    }

    #[test]
    fn a_changed_name_is_patched_and_changed_rights_make_a_new_key() {
        let keys = default_keys();
        let mut on_node = keys.iter().map(creation).collect::<Vec<_>>();
        on_node[0]["name"] = "old".into();
        on_node[1]["actions"] = json!(["*"]);
        let methods =
            reconcile(&on_node, &keys, |_| false).into_iter().map(|request| request.method).collect::<Vec<_>>();
        assert_eq!(methods, ["PATCH", "DELETE", "POST"]);
    }
}
