//! The client's settings from what a node has, for when control's own copy is lost. Nodes do not show all of it: what
//! they are given instead hides what the client said ([`Settings::hidden`]), and secrets are masked.

use serde_json::{Map, Value};

use super::filterable;
use super::model::Settings;
use super::schema::SETTINGS;

impl Settings {
    /// What cannot be told from a node's settings: to be kept elsewhere. Without secrets; none where nothing is hidden.
    #[must_use]
    pub fn hidden(&self) -> Option<Value> {
        let Value::Object(stored) = self.to_stored() else { return None };
        let mut hidden: Map<String, Value> =
            stored.into_iter().filter(|(key, _)| matches!(key.as_str(), "displayedAttributes" | "embedders")).collect();
        if let Some(Value::Object(embedders)) = hidden.get_mut("embedders") {
            for embedder in embedders.values_mut() {
                without_secrets(embedder);
            }
        }
        let faceting = &self.to_stored()["faceting"];
        if self.node_settings()["faceting"] != *faceting {
            hidden.insert("faceting".to_owned(), faceting.clone());
        }
        (!hidden.is_empty()).then_some(Value::Object(hidden))
    }

    /// Names of the settings that are not the engine's defaults.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let stored = self.to_stored();
        stored.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// A text in these settings that begins so, if there is one.
    #[must_use]
    pub fn mentions(&self, start: &str) -> Option<String> {
        fn first(value: &Value, start: &str) -> Option<String> {
            match value {
                Value::String(text) => Some(text).filter(|text| text.starts_with(start)).cloned(),
                Value::Array(items) => items.iter().find_map(|item| first(item, start)),
                Value::Object(members) => members.iter().find_map(|(name, member)| {
                    Some(name).filter(|name| name.starts_with(start)).cloned().or_else(|| first(member, start))
                }),
                _ => None,
            }
        }
        first(&self.to_stored(), start)
    }

    /// The settings that a node with these must have been given, and the embedders whose API keys are lost.
    #[must_use]
    pub fn from_node(node: &Value, hidden: Option<&Value>) -> (Self, Vec<String>) {
        let (mut stored, mut keyless) = (Map::new(), Vec::new());
        for setting in SETTINGS.iter().filter(|setting| !matches!(setting.key, "chat" | "foreignKeys")) {
            let shown = node[setting.key].clone();
            let told = hidden.and_then(|hidden| hidden.get(setting.key)).cloned();
            let value = match setting.key {
                "displayedAttributes" => told.unwrap_or(Value::Null),
                "filterableAttributes" => without_tag_rule(shown),
                "faceting" => told.unwrap_or(shown),
                "embedders" => embedders(shown, told.as_ref(), &mut keyless),
                _ => shown,
            };
            if !value.is_null() && value != setting.default_value() {
                stored.insert(setting.key.to_owned(), value);
            }
        }
        (Self::from_stored(&Value::Object(stored)), keyless)
    }
}

/// Takes secrets out; whether there were any.
fn without_secrets(embedder: &mut Value) -> bool {
    let Some(embedder) = embedder.as_object_mut() else { return false };
    let key = embedder.remove("apiKey").is_some();
    let headers = embedder.remove("headers").is_some_and(|headers| headers != Value::Object(Map::new()));
    let mut any = key || headers;
    for part in ["searchEmbedder", "indexingEmbedder"] {
        any |= embedder.get_mut(part).is_some_and(without_secrets);
    }
    any
}

/// What was told of an embedder is what the client said.
fn embedders(shown: Value, told: Option<&Value>, keyless: &mut Vec<String>) -> Value {
    let Value::Object(shown) = shown else { return Value::Null };
    let one = |(name, mut found): (String, Value)| {
        if without_secrets(&mut found) {
            keyless.push(name.clone());
        }
        let told = told.and_then(|told| told.get(&name)).filter(|told| told["source"] == found["source"]);
        let embedder = told.cloned().unwrap_or(found);
        (name, embedder)
    };
    Value::Object(shown.into_iter().map(one).collect())
}

fn without_tag_rule(rules: Value) -> Value {
    let Value::Array(mut rules) = rules else { return Value::Null };
    let tag = filterable::tag_rule();
    // The tag's rule is the last one, or the first one where a later one would shadow it.
    match rules.iter().rposition(|rule| *rule == tag) {
        Some(at) if at + 1 == rules.len() || at == 0 => drop(rules.remove(at)),
        _ => {}
    }
    Value::Array(rules)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::Update;

    fn settings(change: Value) -> Settings {
        Settings::default().apply("a", &Update::of_all(change).unwrap()).unwrap()
    }

    /// What `GET /indexes/{uid}/settings` of a node answers, secrets masked.
    fn shown(settings: &Settings) -> Value {
        let mut shown = settings.view();
        for (key, value) in settings.node_settings().as_object().unwrap() {
            if key != "embedders" {
                shown[key.as_str()] = value.clone();
            }
        }
        shown["displayedAttributes"] = json!(["*"]);
        shown
    }

    #[test]
    fn settings_come_back_from_a_node_and_what_is_kept_elsewhere() {
        for change in [
            json!({}),
            json!({"filterableAttributes": ["genre", "year"], "sortableAttributes": ["year"], "stopWords": ["the"]}),
            json!({"filterableAttributes": ["*"]}),
            json!({"filterableAttributes": [{"attributePatterns": ["_*"]}]}),
            json!({"displayedAttributes": ["title"], "searchableAttributes": ["title", "text"]}),
            json!({"faceting": {"maxValuesPerFacet": 7, "sortFacetValuesBy": {"genre": "count"}}}),
            json!({"faceting": {"maxValuesPerFacet": 7}, "pagination": {"maxTotalHits": 50}}),
            json!({"typoTolerance": {"enabled": false}, "synonyms": {"a": ["b"]}, "distinctAttribute": "sku"}),
            json!({"embedders": {"own": {"source": "userProvided", "dimensions": 3}}}),
        ] {
            let before = settings(change.clone());
            let (after, keyless) = Settings::from_node(&shown(&before), before.hidden().as_ref());
            assert_eq!((after.to_stored(), keyless.len()), (before.to_stored(), 0), "{change}");
        }
    }

    #[test]
    fn secrets_are_neither_kept_elsewhere_nor_taken_masked() {
        let change = json!({"embedders": {"one": {"source": "openAi", "apiKey": "sk-something-secret", "model": "m",
            "documentTemplate": "{{doc.title}}"}}});
        let before = settings(change);
        let hidden = before.hidden().unwrap();
        assert!(!hidden.to_string().contains("secret"), "{hidden}");
        let (after, keyless) = Settings::from_node(&shown(&before), Some(&hidden));
        assert_eq!(keyless, ["one"]);
        let one = after.to_stored()["embedders"]["one"].clone();
        assert_eq!(one, json!({"source": "openAi", "model": "m", "documentTemplate": "{{doc.title}}"}));
    }

    #[test]
    fn what_nothing_hides_is_not_kept_elsewhere() {
        assert_eq!(settings(json!({"stopWords": ["the"], "faceting": {"maxValuesPerFacet": 7}})).hidden(), None);
    }
}
