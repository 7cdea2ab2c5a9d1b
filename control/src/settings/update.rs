//! A change of settings: read from a body, judged, and as the details of its task show it.

use miroir_core::error::ErrorBody;
use miroir_core::tag::{self, TAG_FIELD};
use serde_json::{Map, Value, json};

use super::schema::{ALL, SETTINGS, Setting};
use super::{embedders, shape};

/// Names that begin with this are Miroir's own.
const RESERVED_PREFIX: &str = "_miroir_";

/// A change in canonical form; null resets a setting.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update(Map<String, Value>);

impl Update {
    /// The body of `PATCH /indexes/{uid}/settings`, to be judged by [`Update::judge`].
    ///
    /// # Errors
    /// The engine's error.
    pub fn of_all(body: Value) -> Result<Self, ErrorBody> {
        match shape::read(&ALL, body, "bad_request")? {
            Value::Object(changes) => Ok(Self(changes)),
            _ => Ok(Self::default()),
        }
    }

    /// The body of a setting's own route; null resets.
    pub(crate) fn of_one(setting: &Setting, body: Value) -> Result<Self, ErrorBody> {
        let value = match body {
            Value::Null => Value::Null,
            body => shape::read(setting.shape, body, setting.code)?,
        };
        Ok(Self(Map::from_iter([(setting.key.to_owned(), value)])))
    }

    /// `DELETE /indexes/{uid}/settings`.
    #[must_use]
    pub fn reset_all() -> Self {
        Self(SETTINGS.iter().map(|setting| (setting.key.to_owned(), Value::Null)).collect())
    }

    /// `DELETE` of a setting's own route.
    pub(crate) fn reset_one(setting: &Setting) -> Self {
        Self(Map::from_iter([(setting.key.to_owned(), Value::Null)]))
    }

    /// Reads what [`Update::to_change`] wrote.
    #[must_use]
    pub fn from_change(change: &Value) -> Self {
        Self(change.as_object().cloned().unwrap_or_default())
    }

    /// The form in which the change waits for its turn. It holds embedders' API keys in clear.
    #[must_use]
    pub fn to_change(&self) -> Value {
        Value::Object(self.0.clone())
    }

    pub(super) fn changes(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The `details` of the task.
    #[must_use]
    pub fn details(&self) -> Value {
        let shown = self.0.iter().map(|(key, value)| {
            let value = match (key.as_str(), value) {
                ("displayedAttributes" | "searchableAttributes", Value::Null) => json!(["*"]),
                ("embedders", change @ Value::Object(_)) => embedders::masked_change(change),
                (_, value) => value.clone(),
            };
            (key.clone(), value)
        });
        Value::Object(shown.collect())
    }

    /// A body by which a node judges the changed embedders without changing anything, and the start of the message
    /// that means that they are fine; none where no embedder is changed.
    pub(super) fn embedder_probe(&self) -> Option<(Value, String)> {
        self.0.get("embedders").filter(|change| change.is_object()).map(embedders::probe)
    }

    /// What the engine judges after it has read a whole body, in its order, and then Miroir's own limits. `is_on` says
    /// of an experimental feature whether the client has switched it on.
    ///
    /// # Errors
    /// The engine's error, or Miroir's for what would break the shard tag.
    pub fn judge(&self, is_on: impl Fn(&str) -> bool) -> Result<(), ErrorBody> {
        self.features(is_on)?;
        let rules = self.texts("rankingRules");
        let split = rules.iter().any(|rule| matches!(*rule, "attributeRank" | "wordPosition"));
        if split && rules.contains(&"attribute") {
            return Err(ErrorBody::new(
                "invalid_settings_ranking_rules",
                "Mixed usage of the attribute, attributeRank, and wordPosition ranking rules. You must either use the attribute ranking rule alone or the attributeRank and wordPosition ranking rules.",
            ));
        }
        self.reserved()
    }

    fn features(&self, is_on: impl Fn(&str) -> bool) -> Result<(), ErrorBody> {
        let needs = |what: &str, feature: &str, discussion: u32| {
            let message = format!(
                "{what} requires enabling the `{feature}` experimental feature. See https://github.com/orgs/meilisearch/discussions/{discussion}"
            );
            Err(ErrorBody::new("feature_not_enabled", message))
        };
        for embedder in self.0.get("embedders").and_then(Value::as_object).into_iter().flat_map(Map::values) {
            if embedder["source"] == "composite" {
                return needs("using `\"composite\"` as source", "composite embedders", 816);
            }
            for (key, feature, discussion) in [
                ("searchEmbedder", "composite embedders", 816),
                ("indexingEmbedder", "composite embedders", 816),
                ("indexingFragments", "multimodal", 846),
                ("searchFragments", "multimodal", 846),
            ] {
                if !embedder[key].is_null() && !is_on(feature) {
                    return needs(&format!("setting `{key}`"), feature, discussion);
                }
            }
        }
        for (key, feature, discussion) in [("chat", "chat completions", 835), ("foreignKeys", "foreign_keys", 873)] {
            if self.0.get(key).is_some_and(|value| !value.is_null()) {
                return needs(&format!("setting `{key}` in the index settings"), feature, discussion);
            }
        }
        Ok(())
    }

    /// The tag's characters must stay separators, and its field must stay Miroir's.
    pub(crate) fn reserved(&self) -> Result<(), ErrorBody> {
        for (key, code) in [
            ("nonSeparatorTokens", "invalid_settings_non_separator_tokens"),
            ("dictionary", "invalid_settings_dictionary"),
        ] {
            if let Some(token) = self.texts(key).into_iter().find(|token| token.chars().any(tag::is_digit)) {
                let message = format!(
                    "Invalid value at `.{key}`: `{token}` contains a character from U+2E00 to U+2E0F, which Miroir reserves."
                );
                return Err(ErrorBody::new(code, message));
            }
        }
        let rules = self.texts("rankingRules").into_iter().filter_map(|rule| rule.rsplit_once(':').map(|rule| rule.0));
        for (name, code) in (self.texts("filterableAttributes").into_iter())
            .map(|name| (name, "invalid_settings_filterable_attributes"))
            .chain(
                self.texts("sortableAttributes").into_iter().map(|name| (name, "invalid_settings_sortable_attributes")),
            )
            .chain(
                self.texts("searchableAttributes")
                    .into_iter()
                    .map(|name| (name, "invalid_settings_searchable_attributes")),
            )
            .chain(
                self.texts("distinctAttribute").into_iter().map(|name| (name, "invalid_settings_distinct_attribute")),
            )
            .chain(rules.map(|name| (name, "invalid_settings_ranking_rules")))
        {
            if name.starts_with(RESERVED_PREFIX) {
                let message =
                    format!("`{name}` is reserved: names that begin with `{RESERVED_PREFIX}` are Miroir's own.");
                return Err(ErrorBody::new(code, message));
            }
        }
        debug_assert!(TAG_FIELD.starts_with(RESERVED_PREFIX));
        Ok(())
    }

    /// The string of a setting, or the strings of its list.
    fn texts(&self, key: &str) -> Vec<&str> {
        match self.0.get(key) {
            Some(Value::String(text)) => vec![text.as_str()],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}
