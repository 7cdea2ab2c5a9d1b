//! What a node must be told so that an index is there as it must be, whatever the node has now: for an empty disk, a
//! disk from another time, and changes made behind Miroir's back.

use serde_json::{Map, Value};

use super::embedders;
use super::model::Settings;
use super::planner::{create, drop_index, patch_settings};
use super::schema::SETTINGS;
use crate::cluster::{FoundIndex, IndexRow, NodeStep};

/// The steps, in order; none where the node has the index as it must be.
pub(super) fn steps(expected: &IndexRow, found: Option<&FoundIndex>) -> Vec<NodeStep> {
    let uid = &expected.uid;
    let settings = Settings::from_stored(&expected.settings);
    // A key that is only reserved is not told to nodes: the first write that succeeds makes it known.
    let key = expected.primary_key.as_deref().filter(|_| !expected.provisional);
    let anew = || vec![create(uid, key), patch_settings(uid, settings.node_settings())];
    match found {
        None => anew(),
        // Documents of another key are of another index, and no key can be changed while there are any.
        Some(found) if found.primary_key.is_some() && found.primary_key != expected.primary_key => {
            let mut steps = vec![drop_index(uid)];
            steps.extend(anew());
            steps
        }
        Some(found) if settings.agrees_with_node(&found.settings) => Vec::new(),
        Some(found) => vec![patch_settings(uid, settings.node_settings_over(&found.settings))],
    }
}

impl Settings {
    /// The body of `PATCH /indexes/{uid}/settings` that gives a node all of these settings and resets all others.
    fn node_settings_over(&self, node: &Value) -> Value {
        let Value::Object(wanted) = self.node_settings() else { return Value::Null };
        // Those that need an experimental feature cannot have been set, and naming them would be refused.
        let known = SETTINGS.iter().filter(|setting| !matches!(setting.key, "chat" | "foreignKeys"));
        let mut body: Map<String, Value> = known.map(|setting| (setting.key.to_owned(), Value::Null)).collect();
        body.extend(wanted);
        let embedders = embedders::replacing(&node["embedders"], body["embedders"].take());
        body.insert("embedders".to_owned(), embedders);
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::update::Update;

    fn row(key: Option<&str>, change: Value) -> IndexRow {
        let settings = Settings::default().apply("a", &Update::of_all(change).unwrap()).unwrap();
        IndexRow {
            uid: "a".to_owned(),
            incarnation: 1,
            placement: 0,
            primary_key: key.map(str::to_owned),
            provisional: false,
            swapping: false,
            settings: settings.to_stored(),
            view: settings.search_view(),
            created_ms: 0,
            updated_ms: 0,
        }
    }

    /// A node that has these settings besides the tag's rule.
    fn found(key: Option<&str>, over: Value) -> FoundIndex {
        let mut settings = Settings::default().view();
        settings["filterableAttributes"] = Settings::default().node_settings()["filterableAttributes"].clone();
        for (name, value) in over.as_object().unwrap() {
            settings[name.as_str()] = value.clone();
        }
        FoundIndex { uid: "a".to_owned(), primary_key: key.map(str::to_owned), settings }
    }

    fn told(steps: &[NodeStep]) -> Vec<(&str, &str)> {
        steps.iter().map(|step| (step.method.as_str(), step.path.as_str())).collect()
    }

    fn body(step: &NodeStep) -> Value {
        serde_json::from_str(step.body.as_deref().unwrap()).unwrap()
    }

    #[test]
    fn a_missing_index_is_made_with_its_key_and_settings() {
        let steps = steps(&row(Some("id"), json!({"stopWords": ["the"]})), None);
        assert_eq!(told(&steps), [("POST", "/indexes"), ("PATCH", "/indexes/a/settings")]);
        assert_eq!(body(&steps[0]), json!({"uid": "a", "primaryKey": "id"}));
        assert_eq!(body(&steps[1])["stopWords"], json!(["the"]));
        assert!(steps[1].body.as_ref().unwrap().contains("_miroir_shard"));
    }

    #[test]
    fn a_reserved_key_is_not_told() {
        let expected = IndexRow { provisional: true, ..row(Some("id"), json!({})) };
        assert_eq!(body(&steps(&expected, None)[0])["primaryKey"], Value::Null);
    }

    #[test]
    fn an_index_as_it_must_be_needs_nothing() {
        assert_eq!(steps(&row(Some("id"), json!({})), Some(&found(Some("id"), json!({})))), []);
        assert_eq!(steps(&row(Some("id"), json!({})), Some(&found(None, json!({})))), []);
    }

    #[test]
    fn what_was_set_behind_our_back_is_reset() {
        let drifted = json!({"stopWords": ["a"], "embedders": {
            "left": {"source": "userProvided", "dimensions": 2}, "kept": {"source": "userProvided", "dimensions": 2},
        }});
        let wanted = json!({"embedders": {"kept": {"source": "userProvided", "dimensions": 3}}});
        let steps = steps(&row(Some("id"), wanted), Some(&found(Some("id"), drifted)));
        assert_eq!(told(&steps), [("PATCH", "/indexes/a/settings")]);
        let body = body(&steps[0]);
        assert_eq!(body["stopWords"], Value::Null);
        assert_eq!(body["embedders"]["left"], Value::Null);
        assert_eq!(body["embedders"]["kept"]["dimensions"], 3);
        assert!(body.get("chat").is_none());
    }

    #[test]
    fn an_index_with_another_key_is_replaced() {
        let steps = steps(&row(Some("id"), json!({})), Some(&found(Some("sku"), json!({}))));
        assert_eq!(told(&steps), [("DELETE", "/indexes/a"), ("POST", "/indexes"), ("PATCH", "/indexes/a/settings")]);
    }
}
