//! Splitting the ids of `POST /documents/delete-batch`.

use serde_json::Value;
use serde_json::error::Category;

use super::collect::Collector;
use super::scan::{Fault, Scanner};
use super::{Layout, SplitError, SplitPlan, json};
use crate::error::ErrorBody;
use crate::wire::KeySource;

/// Finds the ids of a batch deletion and the shards that they belong to. The engine takes any JSON value: what cannot
/// be an id names no document; it counts as provided, but is not sent (the engine fails whole batches for an empty or
/// overlong text).
///
/// # Errors
/// The engine's answer to a body that is not a JSON array.
pub fn delete_batch(body: &[u8], shard_count: u32) -> Result<SplitPlan, ErrorBody> {
    let mut collector = Collector::new(body, shard_count, json::canonical);
    let scanned = scan(body, &mut collector);
    if scanned != Ok(false) {
        // A fault, or something odd that only the engine's own way of reading can tell (and maybe nothing at all).
        serde_json::from_slice::<Vec<Value>>(body).map_err(|error| refused(body, &error))?;
    }
    // Both readers agree on what JSON is; should they ever differ, nothing is sent.
    scanned.map_err(|Fault| ErrorBody::new("malformed_payload", "The json payload provided is malformed."))?;
    let plan = collector.finish(Layout::Ids, None, KeySource::None);
    plan.map_err(|error| match error {
        SplitError::Http(error) | SplitError::Task { error, .. } => error,
    })
}

/// The engine's answer to a body that cannot be read.
fn refused(body: &[u8], error: &serde_json::Error) -> ErrorBody {
    if body.is_empty() {
        ErrorBody::new("missing_payload", "A json payload is missing.")
    } else if error.classify() == Category::Data {
        ErrorBody::new("bad_request", format!("Json deserialize error: {error}"))
    } else {
        ErrorBody::new("malformed_payload", format!("The json payload provided is malformed. `{error}`."))
    }
}

/// Collects the ids; true if there was something odd among them.
fn scan(body: &[u8], collector: &mut Collector<'_>) -> Result<bool, Fault> {
    let mut scanner = Scanner::new(body);
    scanner.expect(b'[')?;
    if !scanner.accept(b']') {
        loop {
            let at = scanner.value()?;
            match body.get(at.clone()).and_then(json::canonical) {
                Some(canonical) => collector.place(at.clone(), at, canonical.as_bytes()),
                None => collector.count_only(),
            }
            if !scanner.accept(b',') {
                break;
            }
        }
        scanner.expect(b']')?;
    }
    if scanner.peek_after_space().is_some() {
        return Err(Fault);
    }
    Ok(scanner.take_odd())
}
