//! A document without what Miroir and the engine add to it when they show it. The rest stays to the letter.

use std::fmt;

use miroir_core::tag::TAG_FIELD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The field in which the engine takes and shows vectors.
const VECTORS: &str = "_vectors";

/// Members of an object in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
                text.write_str("a document")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader).map(Self)
    }
}

fn write(members: impl Iterator<Item = (String, String)>) -> String {
    let members: Vec<String> = members.map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// A document of a node as a client would write it, vectors and all.
///
/// # Errors
/// What is no object.
pub(super) fn document(raw: &RawValue, settings: &Value) -> Result<String, serde_json::Error> {
    let Members(members) = serde_json::from_str(raw.get())?;
    let mut kept = Vec::with_capacity(members.len());
    for (name, value) in members {
        if name == TAG_FIELD {
            continue;
        }
        let value = if name == VECTORS { vectors(value, settings)? } else { Some(value.get().to_owned()) };
        kept.extend(value.map(|value| (name, value)));
    }
    Ok(write(kept.into_iter()))
}

/// The vectors; none where there is no embedder. Those that were made of fragments are the document's own from now on:
/// the engine would make them anew with every change otherwise.
fn vectors(raw: &RawValue, settings: &Value) -> Result<Option<String>, serde_json::Error> {
    let Members(embedders) = serde_json::from_str(raw.get())?;
    if embedders.is_empty() {
        return Ok(None);
    }
    let fragments = |name: &str| settings["embedders"][name]["indexingFragments"].is_object();
    let kept = embedders.into_iter().map(|(name, value)| {
        let text = match fragments(&name) {
            true => value.get().replace("\"regenerate\":true", "\"regenerate\":false"),
            false => value.get().to_owned(),
        };
        (name, text)
    });
    Ok(Some(write(kept)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str, settings: &Value) -> String {
        document(&RawValue::from_string(text.to_owned()).unwrap(), settings).unwrap()
    }

    #[test]
    fn only_what_was_added_is_taken_away() {
        let settings = json!({});
        assert_eq!(
            plain(r#"{"b":1e3,"_miroir_shard":"⸀⸁","a":{"x":[1.0,"\u00e9"]},"_vectors":{}}"#, &settings),
            r#"{"b":1e3,"a":{"x":[1.0,"\u00e9"]}}"#
        );
        assert_eq!(plain(r#"{"say \"a\"":18446744073709551615}"#, &settings), r#"{"say \"a\"":18446744073709551615}"#);
        assert_eq!(plain("{}", &settings), "{}");
    }

    #[test]
    fn vectors_of_fragments_are_kept_as_they_are() {
        let settings = json!({ "embedders": { "f": { "indexingFragments": { "a": {} } }, "e": {} } });
        let vectors = |regenerate: bool| format!(r#"{{"embeddings":[[0.1]],"regenerate":{regenerate}}}"#);
        let shown = format!(r#"{{"id":1,"_vectors":{{"f":{},"e":{}}}}}"#, vectors(true), vectors(true));
        let kept = format!(r#"{{"id":1,"_vectors":{{"f":{},"e":{}}}}}"#, vectors(false), vectors(true));
        assert_eq!(plain(&shown, &settings), kept);
    }
}
