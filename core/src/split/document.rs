//! Reading one JSON document: its key, and the fields that the engine or Miroir looks into.

use std::borrow::Cow;
use std::ops::Range;

use super::collect::Collector;
use super::json::Repeats;
use super::scan::{Fault, Interest, Scanner, Text};
use super::{Layout, RESERVED_PREFIX, SplitError, SplitPlan, Target, reserved};
use crate::error::ErrorBody;
use crate::key;
use crate::wire::KeySource;

/// What was found in a document.
#[derive(Default)]
pub(super) struct Document {
    /// Where it stands.
    pub(super) at: Range<usize>,
    /// Values that are the key or may hold it.
    candidates: Vec<Candidate>,
    /// Name of the first field that only Miroir may write.
    reserved: Option<Text>,
    geo: Option<Range<usize>>,
    vectors: Option<Range<usize>>,
}

/// A value that is the key, if no level of the primary key is left, or may hold it.
struct Candidate {
    /// Where the levels that are left begin within the primary key.
    rest: usize,
    value: Range<usize>,
}

/// What is known of the primary key.
enum Key {
    /// To be inferred from the first document.
    Wanted,
    /// Known or inferred.
    Found(String, KeySource),
    /// The inference failed, and the collector has the fault.
    Failed,
}

/// Reads documents into a collector.
pub(super) struct Reader<'b> {
    body: &'b [u8],
    key: Key,
    repeats: Repeats,
    target: Target<'b>,
    collector: Collector<'b>,
    /// The document read last.
    document: Document,
}

impl<'b> Reader<'b> {
    pub(super) fn new(
        body: &'b [u8],
        known: Option<(&str, KeySource)>,
        repeats: Repeats,
        target: Target<'b>,
        collector: Collector<'b>,
    ) -> Self {
        let key = known.map_or(Key::Wanted, |(key, source)| Key::Found(key.to_owned(), source));
        Self { body, key, repeats, target, collector, document: Document::default() }
    }

    /// The text at a range that has been scanned.
    pub(super) fn text(&self, range: &Range<usize>) -> Option<&'b str> {
        text(self.body, range)
    }

    /// Where the document that was read last stands.
    pub(super) fn at(&self) -> Range<usize> {
        self.document.at.clone()
    }

    /// Scans the next document, which must be an object.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Fault> {
        if matches!(self.key, Key::Wanted) {
            self.infer(scanner)?;
        }
        let document = &mut self.document;
        document.candidates.clear();
        (document.reserved, document.geo, document.vectors) = (None, None, None);
        let primary_key = match &self.key {
            Key::Found(name, _) => name.as_str(),
            Key::Wanted | Key::Failed => "",
        };
        let (body, keep, geo) = (self.body, self.repeats == Repeats::Kept, self.target.geo);
        let nested = primary_key.contains(key::LEVEL_SEPARATOR);
        document.at = scanner.members(|name, value| {
            let raw = body.get(name.range.clone()).unwrap_or_default();
            // Most names are neither the key, nor nested in it, nor special, nor escaped: nothing to decode.
            let special = raw.first() == Some(&b'_');
            if !(name.escaped || special) {
                if raw == primary_key.as_bytes() && !raw.is_empty() {
                    push(&mut document.candidates, Candidate { rest: raw.len(), value }, keep);
                    return Interest::Some;
                }
                if !nested {
                    return Interest::None;
                }
            }
            let Some(raw) = name_of(body, &name) else { return Interest::Some };
            if let Some(rest) = key::rest_after(primary_key, &raw) {
                let rest = primary_key.len().saturating_sub(rest.len());
                push(&mut document.candidates, Candidate { rest, value: value.clone() }, keep);
            }
            match raw.as_ref() {
                "_geo" if geo => document.geo = Some(value),
                "_vectors" => document.vectors = Some(value),
                other if other.starts_with(RESERVED_PREFIX) => {
                    document.reserved.get_or_insert(name);
                }
                _ => {}
            }
            Interest::Some
        })?;
        Ok(())
    }

    /// Infers the primary key from the document that comes next, and goes back to its beginning.
    fn infer(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Fault> {
        let start = scanner.position();
        let mut names = Vec::new();
        scanner.members(|name, _| {
            names.extend(name_of(self.body, &name));
            Interest::Some
        })?;
        scanner.seek(start);
        self.key = match key::infer(names.into_iter()) {
            Ok(name) => Key::Found(name, KeySource::Inferred),
            Err(error) => {
                self.collector.fail(error);
                Key::Failed
            }
        };
        Ok(())
    }

    /// Notes that the engine will fail on a value of the document that was read last.
    pub(super) fn refuse_value(&mut self, fault: &str) {
        let target = self.target;
        self.collector.refuse_field(|| target.internal(fault));
    }

    /// Places the document that was read last.
    pub(super) fn accept(&mut self) {
        let document = &self.document;
        match &self.key {
            Key::Found(primary_key, _) if !self.collector.key_failed() => {
                match key_of(self.body, primary_key, document, self.repeats) {
                    Ok((at, canonical)) => {
                        if let Some(fault) = fault_of_fields(self.body, document, &canonical, self.target) {
                            self.collector.refuse_field(|| fault);
                        }
                        self.collector.place(document.at.clone(), at, &canonical);
                    }
                    Err(fault) => self.collector.refuse_key(fault),
                }
            }
            _ => self.collector.count_only(),
        }
    }

    /// The plan, or the fault that the task fails with.
    pub(super) fn finish(self, layout: Layout) -> Result<SplitPlan, SplitError> {
        let (primary_key, source) = match self.key {
            Key::Found(name, source) => (Some(name), source),
            Key::Wanted | Key::Failed => (None, KeySource::None),
        };
        self.collector.finish(layout, primary_key, source)
    }
}

fn text<'b>(body: &'b [u8], range: &Range<usize>) -> Option<&'b str> {
    std::str::from_utf8(body.get(range.clone())?).ok()
}

/// A field's name, decoded; none if its escapes have no meaning (the engine then refuses the payload).
#[inline]
fn name_of<'b>(body: &'b [u8], name: &Text) -> Option<Cow<'b, str>> {
    let raw = text(body, &name.range)?;
    if !name.escaped {
        return Some(Cow::Borrowed(raw));
    }
    serde_json::from_str(&format!("\"{raw}\"")).ok().map(Cow::Owned)
}

/// Adds a candidate, in place of one for the same levels unless all are kept.
fn push(candidates: &mut Vec<Candidate>, new: Candidate, keep: bool) {
    match candidates.iter_mut().find(|other| !keep && other.rest == new.rest) {
        Some(old) => *old = new,
        None => candidates.push(new),
    }
}

/// Finds the one value of the primary key in a document: where it stands, and its canonical text, which is ASCII.
fn key_of<'b>(
    body: &'b [u8],
    primary_key: &str,
    document: &Document,
    repeats: Repeats,
) -> Result<(Range<usize>, Cow<'b, [u8]>), ErrorBody> {
    let read = |value: &Range<usize>| {
        let raw = body.get(value.clone()).unwrap_or_default();
        let invalid = |_| key::invalid_id(&key::value_for_message(text(body, value).unwrap_or_default()));
        Ok((value.clone(), key::canonical_bytes(raw).map_err(invalid)?))
    };
    if let [only] = document.candidates.as_slice()
        && only.rest == primary_key.len()
    {
        return read(&only.value);
    }
    let mut found = None;
    let mut values = Vec::new();
    let whole = || text(body, &document.at).unwrap_or_default();
    for candidate in &document.candidates {
        values.clear();
        leaves(body, primary_key, candidate, repeats, &mut values);
        for value in &values {
            if found.replace(read(value)?).is_some() {
                return Err(key::too_many_ids(primary_key, whole()));
            }
        }
    }
    found.ok_or_else(|| key::missing_id(primary_key, whole()))
}

/// The values at the end of the primary key's levels below a candidate. The depth of the recursion is that of the
/// JSON, which the scanner limits.
fn leaves(body: &[u8], primary_key: &str, candidate: &Candidate, repeats: Repeats, out: &mut Vec<Range<usize>>) {
    let rest = primary_key.get(candidate.rest..).unwrap_or_default();
    if rest.is_empty() {
        out.push(candidate.value.clone());
        return;
    }
    let mut scanner = Scanner::new(body);
    scanner.seek(candidate.value.start);
    if scanner.peek() != Some(b'{') {
        return;
    }
    let keep = repeats != Repeats::LastWins;
    let mut deeper = Vec::new();
    let scanned = scanner.members(|name, value| {
        if let Some(rest) = name_of(body, &name).and_then(|name| key::rest_after(rest, &name)) {
            push(&mut deeper, Candidate { rest: primary_key.len().saturating_sub(rest.len()), value }, keep);
        }
        Interest::Some
    });
    if scanned.is_ok() {
        for candidate in &deeper {
            leaves(body, primary_key, candidate, repeats, out);
        }
    }
}

/// What is wrong with the fields that have a meaning of their own.
#[inline]
fn fault_of_fields(body: &[u8], document: &Document, id: &[u8], target: Target<'_>) -> Option<ErrorBody> {
    if document.reserved.is_none() && document.geo.is_none() && document.vectors.is_none() {
        return None;
    }
    let id = std::str::from_utf8(id).unwrap_or_default();
    if let Some(name) = &document.reserved {
        return Some(reserved::field_refused(&name_of(body, name).unwrap_or_default(), id));
    }
    let geo = document.geo.as_ref().and_then(|geo| reserved::geo_fault(text(body, geo)?, id));
    let fault = geo
        .or_else(|| document.vectors.as_ref().and_then(|vectors| reserved::vectors_fault(text(body, vectors)?, id)))?;
    Some(target.batch_error(fault.code, &fault.message))
}
