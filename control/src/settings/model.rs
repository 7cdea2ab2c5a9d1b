//! The settings of an index: what the client set, and what follows from it for the client's view, for the filter and
//! for the nodes.

use std::collections::BTreeMap;

use miroir_core::error::ErrorBody;
use miroir_core::shardmap::{FacetOrder, SearchView};
use serde_json::{Map, Value, json};

use super::schema::{SETTINGS, Setting, by_key};
use super::update::Update;
use super::{embedders, filterable, locales};

/// `maxValuesPerFacet` of nodes where facet values are ordered by count: the most frequent values over all nodes need
/// not be among the most frequent of any one. In alphabetical order the client's own limit is exact.
pub const NODE_VALUES_BY_COUNT: u64 = 100_000;

/// What the client set; a setting that is absent has its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// Reads the stored form; null is all defaults.
    #[must_use]
    pub fn from_stored(stored: &Value) -> Self {
        Self(stored.as_object().cloned().unwrap_or_default())
    }

    /// The stored form. It holds embedders' API keys in clear.
    #[must_use]
    pub fn to_stored(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The settings after a change.
    ///
    /// # Errors
    /// What the engine finds only when it carries the change out: the error of the failed task.
    pub fn apply(&self, index: &str, update: &Update) -> Result<Self, ErrorBody> {
        let mut after = self.clone();
        for (key, change) in update.changes() {
            let Some(setting) = by_key(key) else { continue };
            let value = match change {
                Value::Null => Value::Null,
                change => after.merged(index, setting, change)?,
            };
            if value.is_null() || value == setting.default_value() {
                after.0.remove(key);
            } else {
                after.0.insert(key.clone(), value);
            }
        }
        Ok(after)
    }

    fn merged(&self, index: &str, setting: &Setting, change: &Value) -> Result<Value, ErrorBody> {
        Ok(match setting.key {
            "displayedAttributes" | "searchableAttributes" => attributes(change),
            "typoTolerance" => {
                let mut typo = over(self.raw(setting), change, setting.default_value());
                let sizes = &typo["minWordSizeForTypos"];
                if let (Some(one), Some(two)) = (sizes["oneTypo"].as_u64(), sizes["twoTypos"].as_u64())
                    && one > two
                {
                    let why = super::checks::word_sizes_crossed(one, two);
                    return Err(ErrorBody::new(setting.code, format!("Index `{index}`: {why}")));
                }
                typo["disableOnWords"] = lowercased(&typo["disableOnWords"]);
                typo
            }
            "faceting" => {
                let mut faceting = self.raw(setting);
                let orders = match &change["sortFacetValuesBy"] {
                    Value::Object(orders) => {
                        let mut orders = orders.clone();
                        orders.entry("*").or_insert_with(|| "alpha".into());
                        orders.sort_keys();
                        Value::Object(orders)
                    }
                    _ => setting.default_value()["sortFacetValuesBy"].clone(),
                };
                let ordered = change.get("sortFacetValuesBy").is_some();
                faceting = over(faceting, change, setting.default_value());
                if ordered {
                    faceting["sortFacetValuesBy"] = orders;
                }
                faceting
            }
            "pagination" | "chat" => over(self.raw(setting), change, setting.default_value()),
            "embedders" => embedders::merge(&self.raw(setting), change),
            "localizedAttributes" => {
                let mut rules = change.clone();
                for rule in rules.as_array_mut().into_iter().flatten() {
                    for locale in rule["locales"].as_array_mut().into_iter().flatten() {
                        *locale = locales::canonical(locale.as_str().unwrap_or_default()).into();
                    }
                }
                rules
            }
            _ => change.clone(),
        })
    }

    fn raw(&self, setting: &Setting) -> Value {
        self.0.get(setting.key).cloned().unwrap_or_else(|| setting.default_value())
    }

    /// A setting as the client sees it.
    pub(crate) fn shown(&self, setting: &Setting) -> Value {
        match setting.key {
            "embedders" => embedders::view(&self.raw(setting)),
            _ => self.raw(setting),
        }
    }

    /// `GET /indexes/{uid}/settings`: all but those that need an experimental feature.
    #[must_use]
    pub fn view(&self) -> Value {
        let shown = SETTINGS.iter().filter(|setting| !matches!(setting.key, "chat" | "foreignKeys"));
        Value::Object(shown.map(|setting| (setting.key.to_owned(), self.shown(setting))).collect())
    }

    /// What the filter needs.
    #[must_use]
    pub fn search_view(&self) -> SearchView {
        let get = |key| by_key(key).map(|setting| self.raw(setting)).unwrap_or_default();
        let names = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
        let displayed = names(&get("displayedAttributes"));
        let faceting = get("faceting");
        let order = |order: &Value| if order == "count" { FacetOrder::Count } else { FacetOrder::Alpha };
        let orders = faceting["sortFacetValuesBy"].as_object().into_iter().flatten();
        SearchView {
            displayed: (displayed != ["*"]).then_some(displayed),
            max_total_hits: get("pagination")["maxTotalHits"].as_u64().unwrap_or(1000),
            max_values_per_facet: faceting["maxValuesPerFacet"].as_u64().unwrap_or(100),
            facet_order: orders
                .map(|(name, by)| (name.clone(), order(by)))
                .filter(|(name, by)| name != "*" || *by != FacetOrder::Alpha)
                .collect::<BTreeMap<_, _>>(),
            distinct: get("distinctAttribute").as_str().map(str::to_owned),
            // By name alone: the engine takes neither a pattern nor a rule object for it.
            geo: ["sortableAttributes", "filterableAttributes"]
                .iter()
                .any(|key| get(key).as_array().is_some_and(|fields| fields.iter().any(|field| field == "_geo"))),
            tag_rule_first: filterable::is_tag_rule_first(&get("filterableAttributes")),
        }
    }

    /// A setting as nodes must have it.
    fn on_nodes(&self, setting: &Setting) -> Value {
        let raw = self.raw(setting);
        match setting.key {
            "displayedAttributes" => json!(["*"]),
            "filterableAttributes" => filterable::with_tag_rule(&raw),
            "faceting" => {
                let by_count =
                    raw["sortFacetValuesBy"].as_object().is_some_and(|by| by.values().any(|by| by == "count"));
                let wanted = raw["maxValuesPerFacet"].as_u64().unwrap_or(100);
                let mut faceting = raw;
                if by_count {
                    faceting["maxValuesPerFacet"] = wanted.max(NODE_VALUES_BY_COUNT).into();
                }
                faceting
            }
            "embedders" => embedders::node_change(&Value::Null, &raw, &raw),
            _ => raw,
        }
    }

    /// The body of `PATCH /indexes/{uid}/settings` on a node for a change that made these settings of `before`: empty
    /// where nodes need not know of it.
    pub(crate) fn node_update(&self, before: &Settings, update: &Update) -> Value {
        let mut body = Map::new();
        for (key, change) in update.changes() {
            let Some(setting) = by_key(key) else { continue };
            let value = match (key.as_str(), change) {
                ("displayedAttributes", _) => continue,
                // They need features that nodes do not have switched on; a reset of them changes nothing.
                ("chat" | "foreignKeys", Value::Null) => continue,
                ("filterableAttributes" | "faceting", _) => self.on_nodes(setting),
                ("embedders", Value::Object(_)) => {
                    embedders::node_change(&before.raw(setting), &self.raw(setting), change)
                }
                _ => change.clone(),
            };
            body.insert(key.clone(), value);
        }
        Value::Object(body)
    }

    /// The body of `PATCH /indexes/{uid}/settings` that gives a node all of these settings.
    #[must_use]
    pub fn node_settings(&self) -> Value {
        let set = SETTINGS.iter().filter(|setting| {
            matches!(setting.key, "filterableAttributes")
                || (self.0.contains_key(setting.key) && setting.key != "displayedAttributes")
        });
        Value::Object(set.map(|setting| (setting.key.to_owned(), self.on_nodes(setting))).collect())
    }

    /// Whether `GET /indexes/{uid}/settings` of a node answers what these settings must be there. What the engine
    /// rewrites in ways of its own is not compared: words that are not ASCII, and of embedders all but what decides
    /// what is embedded.
    #[must_use]
    pub fn agrees_with_node(&self, node: &Value) -> bool {
        SETTINGS.iter().all(|setting| {
            let expected = self.on_nodes(setting);
            match setting.key {
                "chat" | "foreignKeys" => true,
                "embedders" => embedders::agree(&expected, &node[setting.key]),
                "filterableAttributes" => expected == node[setting.key],
                "typoTolerance" if !plain(&expected["disableOnWords"]) => true,
                _ => expected == node[setting.key] || !expected.to_string().is_ascii(),
            }
        })
    }
}

/// Attribute lists: `*` anywhere means all; repeats count once.
fn attributes(change: &Value) -> Value {
    let names = change.as_array().cloned().unwrap_or_default();
    if names.iter().any(|name| name == "*") {
        return Value::Null;
    }
    let mut kept: Vec<Value> = Vec::with_capacity(names.len());
    for name in names {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    Value::Array(kept)
}

/// Whether these words are such that the engine's normalisation does no more than to lowercase them.
fn plain(words: &Value) -> bool {
    let mut words = words.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.all(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn lowercased(words: &Value) -> Value {
    let words = words.as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut words = words.map(str::to_lowercase).collect::<Vec<_>>();
    words.sort();
    words.dedup();
    words.into()
}

/// The members of `change` laid over those of `stored`; null brings a member's default back.
fn over(stored: Value, change: &Value, default: Value) -> Value {
    let (Value::Object(mut stored), Value::Object(change)) = (stored, change) else { return change.clone() };
    for (key, value) in change {
        let old = stored.get(key).cloned().unwrap_or_default();
        let default = default[key.as_str()].clone();
        let new = match value {
            Value::Null => default,
            Value::Object(_) if old.is_object() && key != "sortFacetValuesBy" => over(old, value, default),
            value => value.clone(),
        };
        stored.insert(key.clone(), new);
    }
    Value::Object(stored)
}
