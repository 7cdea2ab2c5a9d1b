//! A document as a node shows it: its id, its tag, and the digest by which two copies are compared.

use std::collections::BTreeMap;

use miroir_core::hash::shard_of;
use miroir_core::key;
use miroir_core::tag::{TAG_FIELD, encode};
use serde_json::value::RawValue;
use twox_hash::XxHash3_128;

/// The field in which the engine takes and shows vectors.
const VECTORS: &str = "_vectors";

/// Deeper nesting is hashed as it is written: the engine indexes no document that goes as deep.
const MAX_DEPTH: u32 = 256;

/// A document, field by field, in the order of the names. Values stay text: numbers must never go through a float.
pub(super) struct Stored<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Stored<'a> {
    /// Reads a document.
    pub(super) fn read(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::from_str(raw.get())?))
    }

    /// Canonical text of its id.
    pub(super) fn id(&self, primary_key: &str) -> Option<String> {
        self.0.iter().find_map(|(name, value)| {
            let rest = key::rest_after(primary_key, name)?;
            if rest.is_empty() {
                key::canonical(value.get()).ok().map(std::borrow::Cow::into_owned)
            } else {
                Self::read(value).ok()?.id(rest)
            }
        })
    }

    /// A field at the top, as it is written.
    pub(super) fn field(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// Whether its shard's tag is that of its key: whatever else lies under the key is not that document.
    pub(super) fn belongs(&self, key: &str, shards: u32) -> bool {
        let tag = self.field(TAG_FIELD).and_then(|tag| serde_json::from_str::<String>(tag.get()).ok());
        tag.is_some_and(|tag| tag == encode(shard_of(key.as_bytes(), shards), shards))
    }

    /// Digest of its content: equal for documents that differ in the order of fields only. Vectors count to the last
    /// digit where they are the client's own; where the engine made them, each replica may have come to other digits
    /// (F36), and only whether there are any, and of which dimension, counts.
    pub(super) fn digest(&self) -> u128 {
        let mut hasher = XxHash3_128::new();
        for (name, value) in self.0.iter().filter(|(name, _)| *name != VECTORS) {
            text(&mut hasher, b'k', name);
            content(&mut hasher, value, MAX_DEPTH);
        }
        let vectors = self.0.get(VECTORS).and_then(|vectors| Self::read(vectors).ok());
        for (embedder, value) in vectors.iter().flat_map(|vectors| &vectors.0) {
            text(&mut hasher, b'v', embedder);
            vector(&mut hasher, value);
        }
        hasher.finish_128()
    }
}

fn vector(hasher: &mut XxHash3_128, value: &RawValue) {
    let made_by_engine = Stored::read(value)
        .ok()
        .filter(|stated| stated.0.get("regenerate").is_some_and(|regenerate| regenerate.get() == "true"));
    let Some(stated) = made_by_engine else { return content(hasher, value, MAX_DEPTH) };
    let list = |value: &RawValue| serde_json::from_str::<Vec<Box<RawValue>>>(value.get()).unwrap_or_default();
    let embeddings = stated.0.get("embeddings").map(|value| list(value)).unwrap_or_default();
    let dimension = embeddings.first().map_or(0, |first| list(first).len());
    length(hasher, b'g', dimension);
}

/// Every value goes in behind a letter for its kind and its length, so that no two documents put in the same bytes.
fn content(hasher: &mut XxHash3_128, value: &RawValue, depth: u32) {
    let raw = value.get();
    let deeper = depth.checked_sub(1);
    match (raw.as_bytes().first(), deeper) {
        (Some(b'{'), Some(deeper)) if let Ok(fields) = Stored::read(value) => {
            length(hasher, b'{', fields.0.len());
            for (name, value) in &fields.0 {
                text(hasher, b'k', name);
                content(hasher, value, deeper);
            }
        }
        (Some(b'['), Some(deeper)) if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw) => {
            length(hasher, b'[', items.len());
            for item in items {
                content(hasher, item, deeper);
            }
        }
        (Some(b'"'), _) if let Ok(decoded) = serde_json::from_str::<String>(raw) => text(hasher, b'"', &decoded),
        _ => text(hasher, b'n', raw),
    }
}

fn text(hasher: &mut XxHash3_128, kind: u8, text: &str) {
    length(hasher, kind, text.len());
    hasher.write(text.as_bytes());
}

fn length(hasher: &mut XxHash3_128, kind: u8, length: usize) {
    hasher.write(&[kind]);
    hasher.write(&u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn digest(text: &str) -> u128 {
        Stored::read(&raw(text)).unwrap().digest()
    }

    fn id(text: &str, key: &str) -> Option<String> {
        Stored::read(&raw(text)).unwrap().id(key)
    }

    #[test]
    fn the_order_of_fields_and_the_form_of_strings_do_not_count() {
        assert_eq!(
            digest(r#"{"id":1,"a":{"x":[1,"é"],"y":null}}"#),
            digest(r#"{ "a":{"y":null,"x":[1, "\u00e9"]},"id":1}"#)
        );
    }

    #[test]
    fn everything_else_counts() {
        let documents = [
            r#"{"id":1}"#,
            r#"{"id":"1"}"#,
            r#"{"id":1.0}"#,
            r#"{"id":1,"a":null}"#,
            r#"{"id":1,"a":[]}"#,
            r#"{"id":1,"a":{}}"#,
            r#"{"id":1,"a":[1,2]}"#,
            r#"{"id":1,"a":[2,1]}"#,
            r#"{"id":1,"a":[[1],2]}"#,
            r#"{"id":1,"a":"null"}"#,
            r#"{"id":1,"a":18446744073709551615}"#,
            r#"{"id":1,"a":18446744073709551616}"#,
            r#"{"id":1,"a":1.0000000000000001}"#,
            r#"{"id":1,"a":1.0}"#,
            r#"{"id":1,"a":{"b":1},"c":2}"#,
            r#"{"id":1,"a":{"b":1,"c":2}}"#,
        ];
        for (at, left) in documents.iter().enumerate() {
            for right in &documents[at + 1..] {
                assert_ne!(digest(left), digest(right), "{left} {right}");
            }
        }
    }

    #[test]
    fn only_a_clients_own_vectors_count_to_the_digit() {
        let with = |numbers: &str, regenerate: bool| {
            digest(&format!(
                r#"{{"id":1,"_vectors":{{"e":{{"embeddings":[[{numbers}]],"regenerate":{regenerate}}}}}}}"#
            ))
        };
        assert_eq!(with("0.1,0.2", true), with("0.1,0.3", true));
        assert_ne!(with("0.1,0.2", true), with("0.1,0.2,0.3", true));
        assert_ne!(with("0.1,0.2", false), with("0.1,0.3", false));
        assert_ne!(with("0.1,0.2", false), with("0.1,0.2", true));
        let none = r#"{"id":1,"_vectors":{"e":{"embeddings":[],"regenerate":true}}}"#;
        assert_ne!(digest(none), with("0.1", true));
        assert_eq!(digest(r#"{"id":1,"_vectors":{}}"#), digest(r#"{"id":1}"#));
    }

    #[test]
    fn ids_are_found_at_every_level() {
        assert_eq!(id(r#"{"a":1,"id":"x"}"#, "id").as_deref(), Some("x"));
        assert_eq!(id(r#"{"a":{"c":1,"b":7}}"#, "a.b").as_deref(), Some("7"));
        assert_eq!(id(r#"{"a.b":-7}"#, "a.b").as_deref(), Some("-7"));
        assert_eq!(id(r#"{"a":{"c":1}}"#, "a.b"), None);
    }

    #[test]
    fn a_document_belongs_where_its_key_says() {
        let belongs = |tag: &str| {
            let text = format!(r#"{{"id":1,"{TAG_FIELD}":{tag}}}"#);
            Stored::read(&raw(&text)).unwrap().belongs("1", 16)
        };
        let shard = shard_of(b"1", 16);
        let own = format!("\"{}\"", encode(shard, 16));
        assert!(belongs(&own));
        for other in [format!("\"{}\"", encode((shard + 1) % 16, 16)), format!("[{own}]"), "null".to_owned()] {
            assert!(!belongs(&other), "{other}");
        }
        assert!(!Stored::read(&raw(r#"{"id":1}"#)).unwrap().belongs("1", 16));
    }
}
