//! What the engine says of a payload that the scanner refused or found odd. It reads payloads with `serde_json`, so
//! the same calls in the same order give the same text, line and column. This runs only for payloads that end in an
//! error, and for single documents with something odd in them.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Format;
use crate::error::ErrorBody;

/// What was found in a payload that the engine takes.
#[derive(Default)]
pub(super) struct Report {
    /// Documents in it.
    pub(super) received: u64,
    /// Why its task fails when the engine reads the fields' values, if it does.
    pub(super) fault: Option<String>,
}

/// Reads a JSON payload (array or single object) as the engine does.
pub(super) fn json(body: &[u8]) -> Result<Report, ErrorBody> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    match deserializer.deserialize_seq(Documents) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(refused(&error, Format::Json)),
        Err(error) if error.classify() != Category::Data => Err(refused(&error, Format::Json)),
        // Not an array: the engine tries a single object.
        Err(_) => match serde_json::from_slice::<Map<String, Value>>(body) {
            Ok(_) => Ok(Report { received: 1, fault: None }),
            Err(error) => Err(malformed(&error, Format::Json)),
        },
    }
}

/// Reads an NDJSON payload as the engine does.
pub(super) fn ndjson(body: &[u8]) -> Result<Report, ErrorBody> {
    let mut report = Report::default();
    for document in serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>() {
        document.and_then(|document| report.read(document)).map_err(|error| refused(&error, Format::Ndjson))?;
    }
    Ok(report)
}

impl Report {
    /// Reads one document: its names and the extents of its values, as the engine does before it answers 202, and
    /// then its values, as it does in the task.
    fn read(&mut self, document: &RawValue) -> serde_json::Result<()> {
        let values = document.deserialize_map(Fields)?;
        self.received = self.received.saturating_add(1);
        if self.fault.is_none() {
            self.fault = unreadable_value(&values);
        }
        Ok(())
    }
}

/// Why the engine cannot index a document, given as raw JSON, although it took it; none if it can.
///
/// # Errors
/// What makes the engine refuse the whole payload.
pub(super) fn document(raw: &str) -> serde_json::Result<Option<String>> {
    let mut report = Report::default();
    report.read(serde_json::from_str(raw)?)?;
    Ok(report.fault)
}

fn unreadable_value(values: &[&RawValue]) -> Option<String> {
    values.iter().find_map(|value| serde_json::from_str::<Value>(value.get()).err()).map(|error| error.to_string())
}

/// The engine's answer to an error of `serde_json`: faults of type come from reading a document that is no object,
/// and end as internal errors.
fn refused(error: &serde_json::Error, format: Format) -> ErrorBody {
    if error.classify() == Category::Data {
        return ErrorBody::new("internal", error.to_string());
    }
    malformed(error, format)
}

fn malformed(error: &serde_json::Error, format: Format) -> ErrorBody {
    let message = match error.classify() {
        Category::Data => "data are neither an object nor a list of objects".to_owned(),
        _ => shortened(error.to_string()),
    };
    ErrorBody::new(
        "malformed_payload",
        format!(
            "The `{}` payload provided is malformed. `Couldn't serialize document value: {message}`.",
            format.name()
        ),
    )
}

/// Keeps the first 50 and the last 85 bytes of a message that is longer than both and the dots between them, as the
/// engine does.
fn shortened(message: String) -> String {
    const HEAD: usize = 50;
    const TAIL: usize = 85;
    const DOTS: &str = "...";
    if message.len() <= HEAD.saturating_add(TAIL).saturating_add(DOTS.len()) {
        return message;
    }
    match (message.get(..HEAD), message.get(message.len().saturating_sub(TAIL)..)) {
        (Some(head), Some(tail)) => format!("{head}{DOTS}{tail}"),
        _ => message,
    }
}

/// Reads an array of documents. The outer result is the array's, the inner one a document's: the engine tells them
/// apart.
struct Documents;

impl<'de> Visitor<'de> for Documents {
    type Value = serde_json::Result<Report>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a nonempty sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut documents: A) -> Result<Self::Value, A::Error> {
        let mut report = Report::default();
        while let Some(document) = documents.next_element::<&RawValue>()? {
            if let Err(error) = report.read(document) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(report))
    }
}

/// Reads an object's names, and its values as raw JSON.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while members.next_key::<String>()?.is_some() {
            values.push(members.next_value()?);
        }
        Ok(values)
    }
}
