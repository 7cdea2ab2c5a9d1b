//! Fields with a meaning of their own: the engine's `_geo` and `_vectors`, and Miroir's. The engine checks the first
//! two while it indexes, when a fault fails the whole batch; here they are checked before anything is sent. What
//! depends on the index's embedders (dimensions, missing vectors) is not known here.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::ErrorBody;

/// A fault that the engine reports with the index's name before the message.
pub(super) struct BatchFault {
    /// Code of the error.
    pub(super) code: &'static str,
    /// Message without the name of the index.
    pub(super) message: String,
}

/// A document with a field that only Miroir may write.
pub(super) fn field_refused(name: &str, id: &str) -> ErrorBody {
    ErrorBody::new(
        "bad_request",
        format!(
            "The document with the id `{id}` has a field `{name}`: top-level fields that begin with `{}` are reserved.",
            super::RESERVED_PREFIX
        ),
    )
}

fn geo_error(message: String) -> Option<BatchFault> {
    Some(BatchFault { code: "invalid_document_geo_field", message })
}

/// What the engine says against a `_geo` field; none if it takes it.
pub(super) fn geo_fault(raw: &str, id: &str) -> Option<BatchFault> {
    let value = match serde_json::from_str(raw) {
        Ok(value) => value,
        // Reported where all values are read.
        Err(_) => return None,
    };
    let mut geo: Map<String, Value> = match value {
        Value::Null => return None,
        Value::Object(geo) => geo,
        other => {
            return geo_error(format!(
                "The `_geo` field in the document with the id: `\"{id}\"` is not an object. Was expecting an object \
                 with the `_geo.lat` and `_geo.lng` fields but instead got `{other}`."
            ));
        }
    };
    let (lat, lng) = match (geo.shift_remove("lat"), geo.shift_remove("lng")) {
        (Some(lat), Some(lng)) if geo.is_empty() => (lat, lng),
        (Some(_), Some(_)) => {
            return geo_error(format!(
                "The `_geo` field in the document with the id: `\"{id}\"` contains the following unexpected fields: \
                 `{}`.",
                Value::Object(geo)
            ));
        }
        (Some(_), None) => {
            return geo_error(format!(
                "Could not find longitude in the document with the id: `\"{id}\"`. Was expecting a `_geo.lng` field."
            ));
        }
        (None, Some(_)) => {
            return geo_error(format!(
                "Could not find latitude in the document with the id: `\"{id}\"`. Was expecting a `_geo.lat` field."
            ));
        }
        (None, None) => {
            return geo_error(format!(
                "Could not find latitude nor longitude in the document with the id: `\"{id}\"`. Was expecting \
                 `_geo.lat` and `_geo.lng` fields."
            ));
        }
    };
    match (is_finite(&lat), is_finite(&lng)) {
        (true, true) => None,
        (true, false) => geo_error(format!(
            "Could not parse longitude in the document with the id: `\"{id}\"`. Was expecting a finite number but \
             instead got `{lng}`."
        )),
        (false, true) => geo_error(format!(
            "Could not parse latitude in the document with the id: `\"{id}\"`. Was expecting a finite number but \
             instead got `{lat}`."
        )),
        (false, false) => geo_error(format!(
            "Could not parse latitude nor longitude in the document with the id: `\"{id}\"`. Was expecting finite \
             numbers but instead got `{lat}` and `{lng}`."
        )),
    }
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(f64::is_finite),
        Value::String(text) => text.parse::<f64>().is_ok_and(f64::is_finite),
        _ => false,
    }
}

/// What the engine says against a `_vectors` field; none if it takes it.
pub(super) fn vectors_fault(raw: &str, id: &str) -> Option<BatchFault> {
    let vectors = match serde_json::Deserializer::from_str(raw).deserialize_map(Embedders) {
        Ok(vectors) => vectors,
        Err(error) => return Some(BatchFault { code: "internal", message: error.to_string() }),
    };
    let fault = vectors.iter().find_map(|(embedder, value)| entry_fault(embedder, value))?;
    Some(BatchFault {
        code: "invalid_vectors_type",
        message: format!("Bad embedder configuration in the document with id: `{id}`. {fault}"),
    })
}

/// What the engine says against the value of one embedder.
fn entry_fault(embedder: &str, raw: &RawValue) -> Option<String> {
    match raw.deserialize_any(Entry) {
        Ok(None) => None,
        Ok(Some(EntryFault::WrongKind(kind, value))) => Some(format!(
            "Expected `._vectors.{embedder}` to be an array of floats, an array of arrays of floats, or an object with \
             at least the field `regenerate`, but got the {kind} `{value}`"
        )),
        Ok(Some(EntryFault::Regenerate(error))) => {
            Some(format!("Could not parse `._vectors.{embedder}.regenerate`: {error}"))
        }
        Ok(Some(EntryFault::MissingRegenerate)) => Some(format!(
            "Missing field `._vectors.{embedder}.regenerate`\n  - note: `._vectors.{embedder}` must be an array of \
             floats, an array of arrays of floats, or an object with field `regenerate`"
        )),
        Ok(Some(EntryFault::UnknownField(field))) => Some(format!(
            "Unexpected field `._vectors.{embedder}.{field}`\n  - note: the allowed fields are `regenerate` and \
             `embeddings`"
        )),
        Err(error) => Some(format!("Could not parse `._vectors.{embedder}`: {error}")),
    }
}

/// Reads `_vectors`: raw values by embedder.
struct Embedders;

impl<'de> Visitor<'de> for Embedders {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = members.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// What is wrong with an embedder's value.
enum EntryFault {
    WrongKind(&'static str, String),
    Regenerate(String),
    MissingRegenerate,
    UnknownField(String),
}

/// Reads an embedder's value as far as the engine does for every document: `null`, an array, or an object with
/// `regenerate` and `embeddings`.
struct Entry;

impl Entry {
    fn wrong<E>(kind: &'static str, value: impl ToString) -> Result<Option<EntryFault>, E> {
        Ok(Some(EntryFault::WrongKind(kind, value.to_string())))
    }
}

impl<'de> Visitor<'de> for Entry {
    type Value = Option<EntryFault>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map containing at least `regenerate`, or an array of floats`")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut regenerate = false;
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "regenerate" => match members.next_value::<bool>() {
                    Ok(_) => regenerate = true,
                    Err(error) => return Ok(Some(EntryFault::Regenerate(error.to_string()))),
                },
                "embeddings" => {
                    members.next_value::<IgnoredAny>()?;
                }
                _ => return Ok(Some(EntryFault::UnknownField(name))),
            }
        }
        Ok(if regenerate { None } else { Some(EntryFault::MissingRegenerate) })
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Self::wrong("boolean", value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Self::wrong("integer", value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Self::wrong("integer", value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Self::wrong("number", value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Self::wrong("string", value)
    }
}
