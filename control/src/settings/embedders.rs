//! Embedders: merging a change into what is stored, the engine's defaults in their view, masked secrets, and the
//! request by which the engine itself judges a change without carrying it out.

use serde_json::{Map, Value, json};

use super::template;

/// Sources, in the engine's order.
pub(super) const SOURCES: &[&str] = &["openAi", "huggingFace", "ollama", "userProvided", "rest", "composite"];

/// What outlives a change of source, where the new source knows it.
const COMMON: &[&str] = &["apiKey", "documentTemplate", "documentTemplateMaxBytes"];

/// Merges changed embedders (null removes one) into the stored ones.
pub(super) fn merge(stored: &Value, change: &Value) -> Value {
    let mut embedders = stored.as_object().cloned().unwrap_or_default();
    for (name, change) in change.as_object().into_iter().flatten() {
        match change {
            Value::Object(change) => {
                let before = embedders.get(name).and_then(Value::as_object);
                embedders.insert(name.clone(), Value::Object(merge_one(before, change)));
            }
            _ => {
                embedders.remove(name);
            }
        }
    }
    embedders.sort_keys();
    Value::Object(embedders)
}

fn merge_one(before: Option<&Map<String, Value>>, change: &Map<String, Value>) -> Map<String, Value> {
    let mut after = before.cloned().unwrap_or_default();
    let old = source(&after).to_owned();
    let new = match change.get("source") {
        Some(Value::String(source)) => source.clone(),
        Some(_) => SOURCES[0].to_owned(),
        None => old.clone(),
    };
    if new != old {
        after.retain(|key, _| COMMON.contains(&key.as_str()) && (new != "userProvided"));
    }
    after.insert("source".to_owned(), new.into());
    for (key, value) in change {
        match (key.as_str(), value) {
            ("source", _) => {}
            ("indexingFragments" | "searchFragments", Value::Object(fragments)) => {
                let entry = after.entry(key.clone()).or_insert_with(|| json!({}));
                for (name, fragment) in fragments {
                    entry[name.as_str()] = fragment.clone();
                }
                if let Some(entry) = entry.as_object_mut() {
                    entry.retain(|_, fragment| !fragment.is_null());
                }
            }
            (_, Value::Null) => {
                after.remove(key);
            }
            _ => {
                after.insert(key.clone(), value.clone());
            }
        }
    }
    if limit_is_void(before.is_some(), change) {
        after.remove("documentTemplateMaxBytes");
    }
    after
}

/// The engine keeps the limit of a template together with the template: a new embedder without a template has the
/// default limit, and so has one whose template is reset, whatever the change says.
fn limit_is_void(exists: bool, change: &Map<String, Value>) -> bool {
    match change.get("documentTemplate") {
        Some(template) => template.is_null(),
        None => !exists,
    }
}

fn source(embedder: &Map<String, Value>) -> &str {
    embedder.get("source").and_then(Value::as_str).unwrap_or(SOURCES[0])
}

/// Whether documents are rendered by a template: not with vectors of the client's, nor with fragments.
fn uses_template(embedder: &Map<String, Value>) -> bool {
    let none = |key: &str| embedder.get(key).and_then(Value::as_object).is_none_or(Map::is_empty);
    !matches!(source(embedder), "userProvided" | "composite") && none("indexingFragments") && none("searchFragments")
}

/// The embedders as the engine shows them: with its defaults, members in its order, secrets masked.
pub(super) fn view(stored: &Value) -> Value {
    let members = stored.as_object().into_iter().flatten();
    Value::Object(
        members
            .map(|(name, embedder)| {
                let mut shown = embedder.as_object().cloned().unwrap_or_default();
                let mut default = |key: &str, value: Value| {
                    shown.entry(key).or_insert(value);
                };
                default("source", SOURCES[0].into());
                match embedder["source"].as_str().unwrap_or(SOURCES[0]) {
                    "openAi" => default("model", "text-embedding-3-small".into()),
                    "huggingFace" => {
                        default("model", "BAAI/bge-base-en-v1.5".into());
                        default("pooling", "useModel".into());
                    }
                    "rest" => default("headers", json!({})),
                    _ => {}
                }
                if uses_template(embedder.as_object().unwrap_or(&Map::new())) {
                    default("documentTemplate", template::DEFAULT.into());
                    default("documentTemplateMaxBytes", 400.into());
                }
                (name.clone(), ordered(masked(shown)))
            })
            .collect(),
    )
}

/// Members in the order of the engine.
fn ordered(mut embedder: Map<String, Value>) -> Value {
    let super::shape::Shape::Object(fields) = super::schema::EMBEDDER else { return Value::Object(embedder) };
    let names = fields.iter().map(|field| field.name);
    Value::Object(names.filter_map(|name| Some((name.to_owned(), embedder.remove(name)?))).collect())
}

/// A change with its secrets masked, as the details of its task show it.
pub(super) fn masked_change(change: &Value) -> Value {
    let members = change.as_object().into_iter().flatten();
    let mask = |embedder: &Value| match embedder {
        Value::Object(embedder) => Value::Object(masked(embedder.clone())),
        other => other.clone(),
    };
    Value::Object(members.map(|(name, embedder)| (name.clone(), mask(embedder))).collect())
}

fn masked(mut embedder: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::String(secret)) = embedder.get_mut("apiKey") {
        *secret = mask(secret);
    }
    embedder
}

/// The engine's mask: the longer a secret, the more of its start is shown.
pub(crate) fn mask(secret: &str) -> String {
    let (shown, mark) = match secret.len() {
        0..10 => (0, "XXX..."),
        10..20 => (2, "XXXX..."),
        20..30 => (3, "XXXXX..."),
        _ => (5, "XXXXXX..."),
    };
    let end = (shown..=secret.len()).find(|at| secret.is_char_boundary(*at)).unwrap_or(secret.len());
    format!("{}{mark}", &secret[..end])
}

/// The change that nodes get: as the client's, but for templates that would embed the tag.
pub(super) fn node_change(before: &Value, after: &Value, change: &Value) -> Value {
    let members = change.as_object().into_iter().flatten();
    let rewrite = |(name, change): (&String, &Value)| {
        let (Value::Object(change), Some(after)) = (change, after[name.as_str()].as_object()) else {
            return (name.clone(), change.clone());
        };
        let mut change = change.clone();
        let fresh = before[name.as_str()]["source"] != after["source"];
        if uses_template(after) && (fresh || change.contains_key("documentTemplate")) {
            if limit_is_void(before[name.as_str()].is_object(), &change) {
                change.insert("documentTemplateMaxBytes".to_owned(), Value::Null);
            }
            let template = after.get("documentTemplate").and_then(Value::as_str).unwrap_or(template::DEFAULT);
            change.insert("documentTemplate".to_owned(), template::without_tag(template).into());
        }
        (name.clone(), Value::Object(change))
    };
    Value::Object(members.map(rewrite).collect())
}

/// A change that gives a node these embedders and takes all others that it has.
pub(super) fn replacing(node: &Value, wanted: Value) -> Value {
    let mut change: Map<String, Value> =
        node.as_object().into_iter().flat_map(Map::keys).map(|name| (name.clone(), Value::Null)).collect();
    if let Value::Object(wanted) = wanted {
        change.extend(wanted);
    }
    Value::Object(change)
}

/// Whether a node has these embedders: their names, sources, templates and dimensions.
pub(super) fn agree(expected: &Value, node: &Value) -> bool {
    let (Some(expected), Some(node)) = (expected.as_object(), node.as_object()) else { return expected == node };
    expected.len() == node.len()
        && expected.iter().all(|(name, embedder)| {
            let Some(found) = node.get(name) else { return false };
            ["source", "documentTemplate", "dimensions"].iter().all(|key| {
                let wanted = &embedder[*key];
                wanted.is_null() || *wanted == found[*key]
            })
        })
}

/// A settings body that a node always refuses before it enqueues anything: embedders are judged in the order of their
/// names, and the last one is wrong in a known way. If the node names another fault, the client's embedders have it.
/// Returns the body and the start of the message that means that the client's are fine.
pub(super) fn probe(change: &Value) -> (Value, String) {
    let mut embedders = change.as_object().cloned().unwrap_or_default();
    let sentinel = format!("{}\u{10FFFF}", embedders.keys().max().map_or("", String::as_str));
    let fine = format!("`.embedders.{sentinel}.dimensions`");
    embedders.insert(sentinel, json!({ "source": "userProvided", "dimensions": 0 }));
    (json!({ "embedders": embedders }), fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_merge_and_null_removes() {
        let stored =
            merge(&json!({}), &json!({"a":{"apiKey":"k","model":"m"},"b":{"source":"userProvided","dimensions":3}}));
        assert_eq!(stored["a"]["source"], "openAi");
        let stored = merge(&stored, &json!({"a":{"source":"rest","url":"http://x"},"b":null}));
        assert_eq!(stored, json!({"a":{"apiKey":"k","source":"rest","url":"http://x"}}));
        let stored = merge(&stored, &json!({"a":{"apiKey":null,"documentTemplate":"t"}}));
        assert_eq!(stored, json!({"a":{"source":"rest","url":"http://x","documentTemplate":"t"}}));
        let stored = merge(&stored, &json!({"a":{"source":"userProvided","dimensions":3}}));
        assert_eq!(stored, json!({"a":{"source":"userProvided","dimensions":3}}));
    }

    #[test]
    fn the_view_has_the_engines_defaults_and_masks() {
        let shown = view(
            &json!({"r":{"source":"rest","url":"http://x","apiKey":"sk-xxxxxxxx"},"u":{"source":"userProvided","dimensions":3}}),
        );
        assert_eq!(
            shown.to_string(),
            json!({
                "r":{"source":"rest","apiKey":"skXXXX...","documentTemplate":template::DEFAULT,"documentTemplateMaxBytes":400,"url":"http://x","headers":{}},
                "u":{"source":"userProvided","dimensions":3},
            })
            .to_string()
        );
        assert_eq!(mask("123456789"), "XXX...");
        assert_eq!(mask("12345678901234567890123"), "123XXXXX...");
        assert_eq!(mask("ひらがな6789012345678901234567890"), "ひらXXXXXX...");
    }

    #[test]
    fn nodes_never_embed_the_tag() {
        let change = json!({"n":{"model":"m"},"u":{"source":"userProvided","dimensions":1},"gone":null});
        let after = merge(&json!({}), &change);
        let node = node_change(&json!({}), &after, &change);
        assert!(node["n"]["documentTemplate"].as_str().unwrap().contains("unless field.name == \"_miroir_shard\""));
        assert_eq!(node["u"], change["u"]);
        assert_eq!(node["gone"], Value::Null);
        let change = json!({"n":{"dimensions":8}});
        assert_eq!(node_change(&after, &merge(&after, &change), &change), change);
        let change = json!({"n":{"documentTemplate":null}});
        let node = node_change(&after, &merge(&after, &change), &change);
        assert!(node["n"]["documentTemplate"].as_str().unwrap().contains("_miroir_shard"));
    }

    #[test]
    fn a_probe_is_always_refused_and_judged_last() {
        let (body, fine) = probe(&json!({"a":{},"z\u{10FFFF}":{}}));
        let last = body["embedders"].as_object().unwrap().keys().max().unwrap().clone();
        assert_eq!(body["embedders"][&last]["dimensions"], 0);
        assert!(fine.contains(&last));
    }
}
