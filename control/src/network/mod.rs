//! `/network`: kept and shown as one Meilisearch keeps and shows it. Nothing in a cluster goes by it: nodes are Miroir's
//! own to know, and a search that names a remote is refused as by a node on which the feature is off.

mod routes;
#[cfg(test)]
mod tests;

use miroir_core::error::ErrorBody;
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub use routes::router;

/// Under which name control stores it.
pub(crate) const STORED: &str = "network";

/// The stored network; an empty one where the client has set none.
pub(crate) fn stored(value: Option<Value>) -> Value {
    value
        .unwrap_or_else(|| json!({ "self": null, "remotes": {}, "shards": {}, "leader": null, "version": Uuid::nil() }))
}

/// The network after a change whose form has been checked: null takes away, members of a remote are changed one by one.
fn changed(mut network: Value, body: &Value) -> Result<Value, ErrorBody> {
    if body["leader"].is_string() {
        let message = "Meilisearch Enterprise Edition is required to set `network.leader`";
        return Err(ErrorBody::new("requires_enterprise_edition", message));
    }
    if let Some(own) = body.get("self") {
        network["self"] = own.clone();
    }
    for (table, merge) in [("remotes", remote as Merge), ("shards", shard as Merge)] {
        let mut entries: Map<String, Value> = network[table].as_object().cloned().unwrap_or_default();
        match body.get(table) {
            Some(Value::Object(changes)) => {
                for (name, change) in changes {
                    if change.is_null() {
                        entries.remove(name);
                    } else {
                        let merged = merge(name, entries.get(name), change)?;
                        entries.insert(name.clone(), merged);
                    }
                }
            }
            Some(_) => entries.clear(),
            None => {}
        }
        entries.sort_keys();
        network[table] = Value::Object(entries);
    }
    network["version"] = json!(Uuid::now_v7());
    Ok(network)
}

type Merge = fn(&str, Option<&Value>, &Value) -> Result<Value, ErrorBody>;

fn remote(name: &str, known: Option<&Value>, change: &Value) -> Result<Value, ErrorBody> {
    let member = |member: &str| {
        let given = change.get(member).or_else(|| known.and_then(|known| known.get(member)));
        given.cloned().unwrap_or_default()
    };
    let url = member("url");
    let Some(text) = url.as_str() else {
        return Err(ErrorBody::new("missing_network_url", format!("Missing field `.remotes.{name}.url`")));
    };
    if let Err(error) = reqwest::Url::parse(text) {
        let message = format!("Invalid `.remotes.{name}.url` (`{text}`): {error}");
        return Err(ErrorBody::new("invalid_network_url", message));
    }
    Ok(json!({
        "url": url,
        "searchApiKey": member("searchApiKey"),
        "writeApiKey": member("writeApiKey"),
        "status": "available",
    }))
}

fn shard(_: &str, known: Option<&Value>, change: &Value) -> Result<Value, ErrorBody> {
    let given = change.get("remotes").or_else(|| known.and_then(|known| known.get("remotes")));
    Ok(json!({ "remotes": given.cloned().unwrap_or_else(|| json!([])) }))
}
