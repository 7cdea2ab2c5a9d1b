//! Listing documents of a node, however many: the answer is read while it arrives, one document at a time.

use std::io::{self, BufReader};
use std::time::Duration;

use futures::TryStreamExt;
use miroir_core::error::ErrorBody;
use miroir_sequencer::{NodeAnswer as Answer, NodeFault as Fault};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::node::{Client, Right, fault};

/// Bytes read at a time.
const BUFFER: usize = 64 * 1024;

/// A node's answer holds something that no document of ours can be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(pub(super) String);

/// What a listing came to.
pub(super) enum Listed<T> {
    /// The documents, folded, and how many the node counts.
    Read(T, u64),
    /// The node's own 4xx or 5xx.
    Refused(Answer),
}

impl Client {
    /// `POST /indexes/{index}/documents/fetch`, the documents folded into one value as they arrive.
    pub(super) async fn list<T: Send + 'static>(
        &self,
        node: &str,
        index: &str,
        body: &Value,
        timeout: Duration,
        mut folded: T,
        mut fold: impl FnMut(&mut T, Box<RawValue>) -> Result<(), Unreadable> + Send + 'static,
    ) -> Result<Listed<T>, Fault> {
        let path = format!("/indexes/{index}/documents/fetch");
        let request = self.request(node, "POST", &path, Right::Master)?.json(body).timeout(timeout);
        let response = request.send().await.map_err(|error| fault(&error))?;
        let status = response.status().as_u16();
        if status != 200 {
            let body = response.bytes().await.map_err(|_| Fault::Unknown)?;
            let error = serde_json::from_slice::<ErrorBody>(&body).ok();
            return Ok(Listed::Refused(Answer::Refused { status, error }));
        }
        let bytes = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
        let reader = BufReader::with_capacity(BUFFER, SyncIoBridge::new(bytes));
        // Reading waits for bytes, and hashing takes its time: neither may hold up other tasks. The time-out of the
        // request ends the thread even where nobody waits for it any more.
        let read = tokio::task::spawn_blocking(move || {
            let mut json = serde_json::Deserializer::from_reader(reader);
            let total = Page(|document| fold(&mut folded, document)).deserialize(&mut json)?;
            json.end()?;
            Ok::<_, serde_json::Error>(Listed::Read(folded, total))
        });
        let read = read.await.map_err(|_| Fault::Unknown)?;
        read.map_err(|error| {
            tracing::warn!(node, index, %error, "a list of documents could not be read");
            Fault::Unknown
        })
    }
}

/// The whole answer; yields `total`.
struct Page<F>(F);

impl<'de, F: FnMut(Box<RawValue>) -> Result<(), Unreadable>> DeserializeSeed<'de> for Page<F> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Box<RawValue>) -> Result<(), Unreadable>> Visitor<'de> for Page<F> {
    type Value = u64;

    fn expecting(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text.write_str("a page of documents")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<u64, A::Error> {
        let (mut total, mut results) = (None, false);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "results" => {
                    map.next_value_seed(Results(&mut self.0))?;
                    results = true;
                }
                "total" => total = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        total.filter(|_| results).ok_or_else(|| A::Error::custom("results or total is missing"))
    }
}

/// The list of documents.
struct Results<'f, F>(&'f mut F);

impl<'de, F: FnMut(Box<RawValue>) -> Result<(), Unreadable>> DeserializeSeed<'de> for Results<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Box<RawValue>) -> Result<(), Unreadable>> Visitor<'de> for Results<'_, F> {
    type Value = ();

    fn expecting(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text.write_str("a list of documents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(document) = seq.next_element::<Box<RawValue>>()? {
            (self.0)(document).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Vec<String>, u64), serde_json::Error> {
        let mut found = Vec::new();
        let mut json = serde_json::Deserializer::from_reader(text.as_bytes());
        let keep = |document: Box<RawValue>| {
            found.push(document.get().to_owned());
            Ok(())
        };
        let total = Page(keep).deserialize(&mut json)?;
        json.end()?;
        Ok((found, total))
    }

    #[test]
    fn documents_come_one_by_one_as_they_are_written() {
        let (found, total) = read(r#"{"results":[{"id":1.0},{"b":[1e3]}],"offset":0,"limit":9,"total":7}"#).unwrap();
        assert_eq!(found, [r#"{"id":1.0}"#, r#"{"b":[1e3]}"#]);
        assert_eq!(total, 7);
    }

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        for text in [r#"{"results":[{"id":1}"#, r#"{"results":[]}"#, r#"{"total":1}"#, "[]", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
