//! Why a node cannot be adopted. All of it is found before anything is changed.

use serde_json::Value;

use super::super::survey::{Found, Index};
use super::prospect::{More, client_settings};
use crate::settings::{Settings, Update};

/// Names of fields that begin with this are Miroir's own.
const RESERVED: &str = "_miroir_";

/// All reasons.
pub(super) fn of(found: &Found, more: &More) -> Vec<String> {
    let mut reasons = Vec::new();
    let clusters: Vec<&str> = found.write_keys.iter().map(|key| key.cluster.as_str()).collect();
    if let Some(cluster) = clusters.first().copied().or(found.tasks.tickets.keys().next().map(String::as_str)) {
        reasons.push(format!(
            "it was a node of Miroir's cluster {cluster}: `miroir-control recover` makes that cluster's store anew"
        ));
    }
    if !more.version.as_deref().is_some_and(miroir_sequencer::is_served) {
        let version = more.version.as_deref().unwrap_or("unknown");
        reasons.push(format!("Meilisearch {version} is not served: 1.50 and later versions of 1 are"));
    }
    if more.open > 0 {
        reasons.push(format!(
            "{} of its tasks are not over: let whoever writes to it stop, and wait until they are",
            more.open
        ));
    }
    for index in &found.indexes {
        reasons.extend(of_index(index, &more.stats["indexes"][index.found.uid.as_str()]));
    }
    reasons
}

fn of_index(index: &Index, stats: &Value) -> Vec<String> {
    let uid = &index.found.uid;
    let mut reasons = Vec::new();
    match &index.found.primary_key {
        None if index.documents > 0 => reasons.push(format!("index {uid} has documents and no primary key")),
        Some(key) if key.contains('.') => reasons.push(format!(
            "index {uid} has its primary key `{key}` within an object: its documents cannot be tagged where they are; \
             write them to a cluster that begins empty"
        )),
        _ => {}
    }
    let fields = stats["fieldDistribution"].as_object();
    let mut fields = fields.into_iter().flatten().map(|(field, _)| field);
    if let Some(field) = fields.find(|field| field.starts_with(RESERVED)) {
        reasons.push(format!(
            "documents of index {uid} have a field `{field}`: fields that begin with `{RESERVED}` are reserved; take it out"
        ));
    }
    let mut settings = index.found.settings.clone();
    if settings["foreignKeys"].as_array().is_some_and(|keys| !keys.is_empty()) {
        reasons.push(format!("index {uid} has foreign keys, which Miroir does not serve"));
    }
    if let Some(settings) = settings.as_object_mut() {
        // Not all that is shown may be said.
        settings
            .retain(|name, value| !value.is_null() && !matches!(name.as_str(), "chat" | "foreignKeys" | "embedders"));
    }
    let judged = Update::of_all(settings).and_then(|update| {
        update.reserved()?;
        Settings::default().apply(uid, &update).map(drop)
    });
    if let Err(error) = judged {
        reasons.push(format!("index {uid} has settings that Miroir does not take: {}", error.message));
    }
    if let Some(text) = client_settings(&index.found.settings).0.mentions(RESERVED) {
        reasons.push(format!("settings of index {uid} name `{text}`: names that begin with `{RESERVED}` are reserved"));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::survey::Tasks;
    use super::super::super::testing::node;
    use super::*;
    use crate::cluster::FoundIndex;
    use crate::node::WriteKey;

    fn found(key: Option<&str>, documents: u64, change: Value) -> Found {
        let mut settings = Settings::default().view();
        for (name, value) in change.as_object().unwrap() {
            settings[name.as_str()] = value.clone();
        }
        let found = FoundIndex { uid: "films".into(), primary_key: key.map(str::to_owned), settings };
        let index = Index { found, created_at: String::new(), updated_at: String::new(), documents };
        Found {
            node: node("n"),
            keys: Vec::new(),
            write_keys: Vec::new(),
            note: None,
            tasks: Tasks::default(),
            indexes: vec![index],
            features: Value::Null,
        }
    }

    fn more(fields: Value) -> More {
        let stats = json!({"indexes": {"films": {"fieldDistribution": fields}}});
        More { version: Some("1.50.0".into()), stats, ..More::default() }
    }

    fn reasons(found: &Found) -> String {
        of(found, &more(json!({"id": 3}))).join("\n")
    }

    #[test]
    fn an_ordinary_node_is_adopted() {
        let settings = json!({
            "filterableAttributes": ["genre", {"attributePatterns": ["*"], "features": {"facetSearch": true}}],
            "displayedAttributes": ["title"], "synonyms": {"a": ["b"]}, "dictionary": ["J. R. R."],
            "pagination": {"maxTotalHits": 7}, "rankingRules": ["words", "year:desc"],
            "embedders": {"own": {"source": "userProvided", "dimensions": 3}},
        });
        assert_eq!(reasons(&found(Some("id"), 3, settings)), "");
        assert_eq!(reasons(&found(None, 0, json!({}))), "");
    }

    #[test]
    fn what_cannot_be_adopted_is_refused_by_name() {
        assert!(reasons(&found(None, 3, json!({}))).contains("no primary key"));
        assert!(reasons(&found(Some("a.id"), 3, json!({}))).contains("`a.id`"));
        let tagged = of(&found(Some("id"), 3, json!({})), &more(json!({"_miroir_shard": 3})));
        assert!(tagged[0].contains("`_miroir_shard`"), "{tagged:?}");
        let named = json!({"searchableAttributes": ["_miroir_x"]});
        assert!(reasons(&found(Some("id"), 3, named)).contains("_miroir_x"));
        let foreign = json!({"foreignKeys": [{"foreignIndexUid": "other", "fieldName": "o"}]});
        assert!(reasons(&found(Some("id"), 3, foreign)).contains("foreign keys"));
        let tokens = json!({"nonSeparatorTokens": ["\u{2E03}"]});
        assert!(!reasons(&found(Some("id"), 3, tokens)).is_empty());
        let mut ours = found(Some("id"), 3, json!({}));
        ours.write_keys.push(WriteKey { cluster: "c0ffee00".into(), node: "n".into(), generation: 1, term: 1 });
        assert!(reasons(&ours).contains("c0ffee00"));
        let plain = found(Some("id"), 3, json!({}));
        assert!(of(&plain, &More { open: 2, ..more(json!({})) })[0].contains("2 of its tasks"));
        for (version, old) in [("1.49.9", true), ("1.50.0", false), ("2.0.0", true), ("x", true)] {
            let more = More { version: Some(version.into()), ..more(json!({})) };
            assert_eq!(!of(&plain, &more).is_empty(), old, "{version}");
        }
    }
}
