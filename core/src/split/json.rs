//! Reading JSON payloads: an array of objects, a single object, or objects one after another (NDJSON).

use std::borrow::Cow;

use super::collect::Collector;
use super::document::Reader;
use super::scan::{Fault, Scanner};
use super::{Format, Layout, SplitError, SplitPlan, Target, diagnose};
use crate::error::ErrorBody;
use crate::key;
use crate::wire::KeySource;

/// The canonical text of a key that stands in JSON.
pub(super) fn canonical(raw: &[u8]) -> Option<Cow<'_, str>> {
    key::canonical(std::str::from_utf8(raw).ok()?).ok()
}

/// How often the engine takes a field that stands twice in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// The last one counts, at every level: a single object is read whole.
    LastWins,
    /// The last one counts at top level; deeper levels are kept raw.
    LastWinsAtTop,
    /// All count, so that a repeated key makes too many: NDJSON is kept raw.
    Kept,
}

pub(super) fn plan_json(
    body: &[u8],
    known: Option<(&str, KeySource)>,
    shard_count: u32,
    target: Target<'_>,
) -> Result<SplitPlan, SplitError> {
    let mut scanner = Scanner::new(body);
    let single = scanner.peek_after_space() == Some(b'{');
    let repeats = if single { Repeats::LastWins } else { Repeats::LastWinsAtTop };
    let mut reader = Reader::new(body, known, repeats, target, Collector::new(body, shard_count, canonical));
    let scanned = if single { scan_object(&mut scanner, &mut reader) } else { scan_array(&mut scanner, &mut reader) };
    match scanned {
        Ok(()) => reader.finish(if single { Layout::Object } else { Layout::Array }),
        Err(Fault) => Err(refusal(diagnose::json(body), Format::Json, target)),
    }
}

pub(super) fn plan_ndjson(
    body: &[u8],
    known: Option<(&str, KeySource)>,
    shard_count: u32,
    target: Target<'_>,
) -> Result<SplitPlan, SplitError> {
    let mut scanner = Scanner::new(body);
    let collector = Collector::new(body, shard_count, canonical);
    let mut reader = Reader::new(body, known, Repeats::Kept, target, collector);
    match scan_lines(&mut scanner, &mut reader) {
        Ok(()) => reader.finish(Layout::Ndjson),
        Err(Fault) => Err(refusal(diagnose::ndjson(body), Format::Ndjson, target)),
    }
}

/// What comes of a payload that the scanner gave up.
fn refusal(report: Result<diagnose::Report, ErrorBody>, format: Format, target: Target<'_>) -> SplitError {
    match report {
        Err(error) => SplitError::Http(error),
        Ok(diagnose::Report { received, fault: Some(fault) }) => {
            SplitError::Task { error: target.internal(&fault), received }
        }
        // Both readers agree on what JSON is; should they ever differ, nothing is sent.
        Ok(_) => SplitError::Http(ErrorBody::new(
            "malformed_payload",
            format!("The `{}` payload provided is malformed.", format.name()),
        )),
    }
}

/// An array of objects. What comes behind it is of no interest to the engine.
fn scan_array(scanner: &mut Scanner<'_>, reader: &mut Reader<'_>) -> Result<(), Fault> {
    scanner.expect(b'[')?;
    if scanner.accept(b']') {
        return Ok(());
    }
    loop {
        scan_document(scanner, reader)?;
        match scanner.peek_after_space() {
            Some(b',') => scanner.expect(b',')?,
            Some(b']') => return Ok(()),
            _ => return Err(Fault),
        }
    }
}

/// One object, and nothing behind it. The engine reads all of it before it answers.
fn scan_object(scanner: &mut Scanner<'_>, reader: &mut Reader<'_>) -> Result<(), Fault> {
    reader.read(scanner)?;
    if scanner.peek_after_space().is_some() {
        return Err(Fault);
    }
    if scanner.take_odd() {
        let raw = reader.text(&reader.at()).ok_or(Fault)?;
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(raw).map_err(|_| Fault)?;
    }
    reader.accept();
    Ok(())
}

fn scan_lines(scanner: &mut Scanner<'_>, reader: &mut Reader<'_>) -> Result<(), Fault> {
    while scanner.peek_after_space().is_some() {
        scan_document(scanner, reader)?;
    }
    Ok(())
}

fn scan_document(scanner: &mut Scanner<'_>, reader: &mut Reader<'_>) -> Result<(), Fault> {
    reader.read(scanner)?;
    if scanner.take_odd() {
        let raw = reader.text(&reader.at()).ok_or(Fault)?;
        if let Some(fault) = diagnose::document(raw).map_err(|_| Fault)? {
            reader.refuse_value(&fault);
        }
    }
    reader.accept();
    Ok(())
}
