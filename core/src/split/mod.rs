//! Splitting document payloads by shard. Documents are found in the body's bytes, checked as the engine checks them,
//! and copied as they are: numbers, float digits, key order, repeated keys and escapes come through byte for byte.
//! Only the shard tag is added, as each document's last field.
//!
//! - [`plan`] reads the whole body once and finds every fault that can be found before anything is sent.
//! - [`payload`] writes what one node gets, in the format that came.
//! - [`delete_batch`] does the same for `POST /documents/delete-batch`.
//!
//! Faults are the engine's, text for text (Meilisearch 1.50): [`SplitError::Http`] for what it refuses at once,
//! [`SplitError::Task`] for what it answers with 202 and a task that then fails.

mod collect;
mod csv;
mod delete;
mod diagnose;
mod document;
mod json;
mod payload;
mod record;
mod reserved;
mod scan;
mod shape;

use std::borrow::Cow;
use std::ops::Range;

pub use delete::delete_batch;
pub use payload::payload;

use crate::error::ErrorBody;
use crate::wire::{KeySource, ShardCount};
use collect::{Canonical, Item, Tally};

/// Every field whose name begins so belongs to Miroir; documents that have one at top level are refused.
pub const RESERVED_PREFIX: &str = "_miroir_";

/// Format of a document payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`: an array of objects, or a single object.
    Json,
    /// `application/x-ndjson`: objects one after another.
    Ndjson,
    /// `text/csv` with a header line.
    Csv {
        /// `csvDelimiter`, an ASCII character; a comma by default.
        delimiter: u8,
    },
}

impl Format {
    /// The engine's name for it in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv { .. } => "csv",
        }
    }
}

/// What is known of the index that a payload goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target<'a> {
    /// Its uid, which the engine puts before the message of some failed tasks. No prefix if empty.
    pub index: &'a str,
    /// `_geo` is sortable or filterable: only then does the engine look into it.
    pub geo: bool,
}

/// A payload that can be sent: where its documents stand and which shards they belong to.
#[derive(Clone, Debug)]
pub struct SplitPlan {
    /// Primary key by which the documents were read; none for a payload without documents whose key is not known.
    pub primary_key: Option<String>,
    /// Where the primary key comes from.
    pub key_source: KeySource,
    /// Documents in the payload, repeated keys counted; ids for a deletion.
    pub received: u64,
    /// Touched shards, ascending, with their distinct keys.
    pub shards: Vec<ShardCount>,
    shard_count: u32,
    layout: Layout,
    items: Vec<Item>,
    /// Sizes by touched shard, in the order of `shards`.
    tallies: Vec<Tally>,
    canonical: Canonical,
}

impl SplitPlan {
    /// Canonical key and shard of every document, in the order of the payload. `body` is the body that was planned.
    pub fn keys<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = (Cow<'a, str>, u32)> {
        self.items.iter().map(move |item| ((self.canonical)(item.key(body)).unwrap_or_default(), u32::from(item.shard)))
    }
}

/// How documents are written around each other.
#[derive(Clone, Debug)]
enum Layout {
    /// A JSON array of objects.
    Array,
    /// One JSON object.
    Object,
    /// JSON objects, each on a line of its own.
    Ndjson,
    /// CSV records behind a header.
    Csv {
        /// Between fields.
        delimiter: u8,
        /// Where the header stands, from the payload's first byte.
        header: Range<usize>,
        /// The payload ended within a quoted field.
        open: bool,
    },
    /// A JSON array of ids; nothing is added to them.
    Ids,
}

/// Why a payload cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// The engine refuses it at once.
    Http(ErrorBody),
    /// The engine answers 202, and the task fails with this.
    Task {
        /// The task's error.
        error: ErrorBody,
        /// Documents in the payload (the task's `receivedDocuments`).
        received: u64,
    },
}

/// Finds the documents of a payload and the shards that they belong to. `known` is the primary key and where it comes
/// from; without it, it is inferred from the first document. `shard_count` is the map's.
///
/// # Errors
/// [`SplitError`]: whatever the engine would refuse about the payload that shows in the payload alone.
pub fn plan(
    body: &[u8],
    format: Format,
    known: Option<(&str, KeySource)>,
    shard_count: u32,
) -> Result<SplitPlan, SplitError> {
    plan_for(body, format, known, shard_count, Target::default())
}

/// Like [`plan`], with what is known of the index: for the texts and checks that depend on it.
///
/// # Errors
/// As [`plan`].
pub fn plan_for(
    body: &[u8],
    format: Format,
    known: Option<(&str, KeySource)>,
    shard_count: u32,
    target: Target<'_>,
) -> Result<SplitPlan, SplitError> {
    if body.is_empty() {
        let message = format!("A {} payload is missing.", format.name());
        return Err(SplitError::Http(ErrorBody::new("missing_payload", message)));
    }
    match format {
        Format::Json => json::plan_json(body, known, shard_count, target),
        Format::Ndjson => json::plan_ndjson(body, known, shard_count, target),
        Format::Csv { delimiter } => csv::plan_csv(body, delimiter, known, shard_count, target),
    }
}

impl Target<'_> {
    /// What the engine reports when it cannot read a value of a document that it has taken.
    fn internal(self, fault: &str) -> ErrorBody {
        self.batch_error("internal", &format!("internal: {fault}."))
    }

    /// An error that the engine reports for a whole batch: it names the index first.
    fn batch_error(self, code: &str, message: &str) -> ErrorBody {
        if self.index.is_empty() {
            ErrorBody::new(code, message)
        } else {
            ErrorBody::new(code, format!("Index `{}`: {message}", self.index))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::shard_of;
    use crate::tag::encode;

    fn all(body: &str, format: Format, key: Option<&str>) -> String {
        let plan = plan(body.as_bytes(), format, key.map(|key| (key, KeySource::Map)), 16).unwrap();
        String::from_utf8(payload(body.as_bytes(), &plan, &|_| true)).unwrap()
    }

    fn tagged(key: &str) -> String {
        format!("\"_miroir_shard\":\"{}\"", encode(shard_of(key.as_bytes(), 16), 16))
    }

    #[test]
    fn documents_come_through_to_the_letter() {
        let body = " [ {\"id\":1,\"b\":1.10,\"b\":1e5 , \"\\u0061\":9007199254740993} ,{ \"id\" : \"x\" } ] trailing";
        let one = format!("{{\"id\":1,\"b\":1.10,\"b\":1e5 , \"\\u0061\":9007199254740993,{}}}", tagged("1"));
        let two = format!("{{ \"id\" : \"x\" ,{}}}", tagged("x"));
        assert_eq!(all(body, Format::Json, None), format!("[{one},{two}]"));
        assert_eq!(all(" {\"id\":1}\n", Format::Json, None), format!("{{\"id\":1,{}}}", tagged("1")));
        let lines = "{\"id\":1}\n\n{\"id\":2}{\"id\":\n3}";
        let out =
            format!("{{\"id\":1,{}}}\n{{\"id\":2,{}}}\n{{\"id\":\n3,{}}}\n", tagged("1"), tagged("2"), tagged("3"));
        assert_eq!(all(lines, Format::Ndjson, None), out);
    }

    #[test]
    fn documents_of_more_members_than_are_remembered_come_through() {
        let members: String = (0..300).map(|number| format!("\"m{number}\":{number},")).collect();
        let document = |id: u32| format!("{{{members}\"id\":{id}");
        let body = format!("[{}}},{}}}]", document(1), document(2));
        let expected = format!("[{},{}}},{},{}}}]", document(1), tagged("1"), document(2), tagged("2"));
        assert_eq!(all(&body, Format::Json, None), expected);
    }

    #[test]
    fn records_come_through_to_the_letter() {
        let csv = |delimiter| Format::Csv { delimiter };
        let tag = |key: &str| encode(shard_of(key.as_bytes(), 16), 16);
        let out = all("id,\"a\"\r\n1,\" \"\"x\n\"\r\n\n\"2\", y", csv(b','), None);
        assert_eq!(out, format!("id,\"a\",_miroir_shard\n1,\" \"\"x\n\",{}\n\"2\", y,{}\n", tag("1"), tag("2")));
        // A quoted field that never ends is closed before anything follows it.
        let out = all("id,a\n1,\"x\n", csv(b','), None);
        assert_eq!(out, format!("id,a,_miroir_shard\n1,\"x\n\",{}\n", tag("1")));
        // The tag's name is quoted where it holds the delimiter, and records end with what is no delimiter.
        assert_eq!(all("id_a\n1_2", csv(b'_'), None), format!("id_a_\"_miroir_shard\"\n1_2_{}\n", tag("1")));
        let out = all("id\na\r1\n2\r", csv(b'\n'), None);
        assert_eq!(out, format!("id\na\n_miroir_shard\r1\n2\n{}\r", tag("1")));
        // The number is the key, whatever its digits look like.
        assert_eq!(all("id:number\n 007 ", csv(b','), None), format!("id:number,_miroir_shard\n 007 ,{}\n", tag("7")));
        let plan = plan(b"id,a\n1,2\n", csv(b','), None, 16).unwrap();
        assert_eq!(payload(b"id,a\n1,2\n", &plan, &|_| false), b"id,a,_miroir_shard\n");
        assert!(plan_for(b"id\n1", csv(b'"'), None, 16, Target::default()).is_err());
        assert!(super::plan(b"id,_miroir_x\n1,2", csv(b','), None, 16).is_err());
    }

    #[test]
    fn shards_count_distinct_keys() {
        let body = br#"[{"id":1},{"id":"1"},{"id":2},{"id":1}]"#;
        let plan = plan(body, Format::Json, None, 1).unwrap();
        assert_eq!((plan.received, plan.primary_key.as_deref()), (4, Some("id")));
        assert_eq!(plan.key_source, KeySource::Inferred);
        assert_eq!(plan.shards, [ShardCount { shard: 0, keys: 2 }]);
        let keys: Vec<_> = plan.keys(body).map(|(key, _)| key).collect();
        assert_eq!(keys, ["1", "1", "2", "1"]);
    }

    #[test]
    fn a_node_gets_its_shards_and_no_others() {
        let body = br#"[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5}]"#;
        let plan = plan(body, Format::Json, None, 16).unwrap();
        let shard = shard_of(b"3", 16);
        let part = payload(body, &plan, &|wanted| wanted == shard);
        assert_eq!(part.capacity(), part.len());
        assert!(String::from_utf8(part).unwrap().contains("{\"id\":3,"));
        assert_eq!(payload(body, &plan, &|_| false), b"[]");
    }

    #[test]
    fn an_empty_array_touches_nothing() {
        let plan = plan(b"[ ]", Format::Json, None, 16).unwrap();
        assert_eq!((plan.received, plan.primary_key, plan.key_source), (0, None, KeySource::None));
        assert_eq!(plan.shards, []);
    }

    #[test]
    fn reserved_fields_are_refused_also_when_escaped() {
        for name in ["_miroir_shard", "\\u005fmiroir_shard", "_miroir_x"] {
            let body = format!("[{{\"id\":1,\"{name}\":2}}]");
            let Err(SplitError::Task { error, received: 1 }) = plan(body.as_bytes(), Format::Json, None, 16) else {
                panic!("{name}");
            };
            assert_eq!(error.code, "bad_request");
        }
        assert!(plan(br#"[{"id":1,"a":{"_miroir_shard":2},"_miroir":1}]"#, Format::Json, None, 16).is_ok());
    }

    #[test]
    fn ids_to_delete_are_split_as_they_stand() {
        let body = br#" [1, "1" ,"a","", "a b", 1.0, null] "#;
        let plan = delete_batch(body, 1).unwrap();
        assert_eq!((plan.received, plan.shards.as_slice()), (7, [ShardCount { shard: 0, keys: 2 }].as_slice()));
        assert_eq!(payload(body, &plan, &|_| true), br#"[1,"1","a"]"#);
        assert_eq!(delete_batch(b"[1,]", 1).unwrap_err().code, "malformed_payload");
        assert_eq!(delete_batch(b"{}", 1).unwrap_err().code, "bad_request");
        assert_eq!(delete_batch(b"", 1).unwrap_err().code, "missing_payload");
    }
}
