//! Where the rule that makes the shard tag filterable stands in a node's `filterableAttributes`. The engine takes the
//! first rule that matches, and quotes the positions of rules in its messages; so the tag's rule is the last one,
//! unless a rule of the client would shadow it: only then it is the first.

use miroir_core::tag::TAG_FIELD;
use serde_json::{Value, json};

/// The tag's rule: equality only, which costs no facet-search index and no range levels.
pub(crate) fn tag_rule() -> Value {
    json!({
        "attributePatterns": [TAG_FIELD],
        "features": { "facetSearch": false, "filter": { "equality": true, "comparison": false } },
    })
}

/// A node's rules for a client's rules.
pub(crate) fn with_tag_rule(client: &Value) -> Value {
    let mut rules = client.as_array().cloned().unwrap_or_default();
    let at = if is_tag_rule_first(client) { 0 } else { rules.len() };
    rules.insert(at, tag_rule());
    Value::Array(rules)
}

/// Whether the tag's rule stands before the client's on nodes.
pub(crate) fn is_tag_rule_first(client: &Value) -> bool {
    client.as_array().is_some_and(|rules| rules.iter().any(shadows))
}

/// Whether a rule of the client applies to the tag's field.
fn shadows(rule: &Value) -> bool {
    match rule {
        Value::String(field) => field == TAG_FIELD,
        rule => {
            let patterns = rule["attributePatterns"].as_array();
            patterns.is_some_and(|patterns| patterns.iter().filter_map(Value::as_str).any(matches_tag))
        }
    }
}

/// The engine's patterns: exact, `*`, `prefix*`, `*suffix`, `*middle*`.
fn matches_tag(pattern: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(rest), Some(_)) => TAG_FIELD.contains(&rest[..rest.len() - 1]),
        (Some(suffix), None) => TAG_FIELD.ends_with(suffix),
        (None, Some(prefix)) => TAG_FIELD.starts_with(prefix),
        (None, None) => pattern == TAG_FIELD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn the_tag_rule_is_last_unless_shadowed() {
        for (client, at) in [
            (json!([]), 0),
            (json!(["a", "b"]), 2),
            (json!(["*", "_miroir"]), 2),
            (json!([{"attributePatterns":["x_*","*_y"]}]), 1),
            (json!(["a", {"attributePatterns":["x","*"]}]), 0),
            (json!(["a", {"attributePatterns":["_*"]}]), 0),
            (json!(["a", {"attributePatterns":["*shard"]}]), 0),
            (json!(["a", {"attributePatterns":["*iroi*"]}]), 0),
            (json!(["a", {"attributePatterns":["**"]}]), 0),
        ] {
            let node = with_tag_rule(&client);
            assert_eq!(node[at], tag_rule(), "{client}");
            assert_eq!(node.as_array().unwrap().len(), client.as_array().unwrap().len() + 1);
            // What the filter is told, so that it can number the rules as the client has them.
            let settings = Settings::from_stored(&json!({ "filterableAttributes": client }));
            let before_others = at == 0 && client != json!([]);
            assert_eq!(settings.search_view().tag_rule_first, before_others, "{client}");
        }
    }
}
