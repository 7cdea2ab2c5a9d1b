//! Reading CSV payloads: a header line that names the fields and their types, and a document a record.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::{Map, Value};

use super::collect::Collector;
use super::record::{Record, Records, unquoted};
use super::{Format, Layout, RESERVED_PREFIX, SplitError, SplitPlan, Target, reserved};
use crate::error::ErrorBody;
use crate::key;
use crate::wire::KeySource;

/// Type of a column: what follows the last colon of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Boolean,
}

/// A column of the header.
struct Column<'b> {
    name: Cow<'b, str>,
    kind: Kind,
}

impl<'b> Column<'b> {
    /// Reads a header; a colon before anything but a type belongs to the name.
    fn parse(header: Cow<'b, str>) -> Self {
        let kind = match header.rsplit_once(':') {
            Some((_, "string")) => Some(Kind::Text),
            Some((_, "number")) => Some(Kind::Number),
            Some((_, "boolean")) => Some(Kind::Boolean),
            _ => None,
        };
        let Some(kind) = kind else { return Self { name: header, kind: Kind::Text } };
        let length = header.rfind(':').unwrap_or_default();
        let name = match header {
            Cow::Borrowed(header) => Cow::Borrowed(header.get(..length).unwrap_or_default()),
            Cow::Owned(mut header) => {
                header.truncate(length);
                Cow::Owned(header)
            }
        };
        Self { name, kind }
    }
}

/// A field's text. Only records that have been checked to be UTF-8 get here.
fn cell(raw: &[u8]) -> Cow<'_, str> {
    match unquoted(raw) {
        Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).unwrap_or_default()),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap_or_default()),
    }
}

/// The JSON value that the engine makes of a field; the error without its place if it cannot.
fn value_of(kind: Kind, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    match kind {
        Kind::Text if text.is_empty() => Ok(Value::Null),
        Kind::Text => Ok(Value::from(text)),
        _ if trimmed.is_empty() => Ok(Value::Null),
        Kind::Boolean => trimmed.parse::<bool>().map(Value::from).map_err(|error| error.to_string()),
        Kind::Number => match trimmed.parse::<i64>() {
            Ok(integer) => Ok(Value::from(integer)),
            Err(_) => trimmed.parse::<f64>().map(Value::from).map_err(|error| error.to_string()),
        },
    }
}

/// The canonical text of a key in a text column.
fn canonical_text(raw: &[u8]) -> Option<Cow<'_, str>> {
    match cell(raw) {
        Cow::Borrowed(text) => key::canonical_from_text(text).ok(),
        Cow::Owned(text) => key::canonical_from_text(&text).is_ok().then_some(Cow::Owned(text)),
    }
}

/// The canonical text of a key in a number column.
fn canonical_number(raw: &[u8]) -> Option<Cow<'_, str>> {
    let number = cell(raw).trim().parse::<i64>().ok()?;
    Some(Cow::Owned(number.to_string()))
}

/// No value of a boolean column, or of no column, is a key.
fn canonical_nothing(_: &[u8]) -> Option<Cow<'_, str>> {
    None
}

pub(super) fn plan_csv(
    body: &[u8],
    delimiter: u8,
    known: Option<(&str, KeySource)>,
    shard_count: u32,
    target: Target<'_>,
) -> Result<SplitPlan, SplitError> {
    if delimiter == b'"' {
        // A quote would be both; where a field ends could then depend on what is appended.
        let message = "csvDelimiter must not be a double quote.";
        return Err(SplitError::Http(ErrorBody::new("invalid_document_csv_delimiter", message)));
    }
    let mut rows = Rows::open(body, delimiter);
    let header = rows.read()?;
    let names = std::mem::take(&mut rows.fields);
    let texts = names.iter().map(|field| cell(body.get(field.clone()).unwrap_or_default()));
    let columns: Vec<Column<'_>> = texts.map(Column::parse).collect();
    let mut open = header.as_ref().is_some_and(|header| header.open);
    let header = header.map_or(0..0, |header| 0..header.at.end);

    let mut table = None;
    while let Some(record) = rows.read()? {
        let table = table.get_or_insert_with(|| Table::new(body, &columns, known, shard_count, target));
        open = record.open;
        table.add(&record, &rows.fields, rows.records_read)?;
    }
    let layout = Layout::Csv { delimiter, header, open };
    match table {
        Some(table) => table.collector.finish(layout, table.primary_key, table.source),
        None => {
            let (name, source) =
                known.map_or((None, KeySource::None), |(name, source)| (Some(name.to_owned()), source));
            Collector::new(body, shard_count, canonical_nothing).finish(layout, name, source)
        }
    }
}

/// Reads records and checks what the engine checks of each: as many fields as the header has, and UTF-8.
struct Rows<'b> {
    body: &'b [u8],
    records: Records<'b>,
    /// Fields of the last record.
    fields: Vec<Range<usize>>,
    /// Fields of the header, once read.
    width: Option<usize>,
    /// Records read before the last one, the header counted.
    records_read: u64,
    /// Bytes from the beginning that are UTF-8.
    valid: usize,
}

impl<'b> Rows<'b> {
    fn open(body: &'b [u8], delimiter: u8) -> Self {
        let valid = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
        let records = Records::new(body, delimiter);
        Self { body, records, fields: Vec::new(), width: None, records_read: 0, valid }
    }

    fn read(&mut self) -> Result<Option<Record>, SplitError> {
        let Some(record) = self.records.next(&mut self.fields) else { return Ok(None) };
        let number = self.records_read;
        match self.width {
            None => self.width = Some(self.fields.len()),
            Some(width) => {
                self.records_read = number.saturating_add(1);
                if width != self.fields.len() {
                    return Err(malformed(&format!(
                        "CSV error: record {} (line: {}, byte: {}): found record with {} fields, but the previous \
                         record has {width} fields",
                        self.records_read,
                        self.line(record.position),
                        record.position,
                        self.fields.len(),
                    )));
                }
            }
        }
        if record.at.end > self.valid {
            return Err(self.not_utf8(&record));
        }
        Ok(Some(record))
    }

    /// The line that a position is in, from 1.
    fn line(&self, position: usize) -> usize {
        let before = self.body.get(..position).unwrap_or_default();
        memchr::memchr_iter(b'\n', before).count().saturating_add(1)
    }

    fn not_utf8(&self, record: &Record) -> SplitError {
        let faults = (0usize..).zip(&self.fields).filter_map(|(number, field)| {
            let value = unquoted(self.body.get(field.clone())?);
            std::str::from_utf8(&value).err().map(|error| (number, error.valid_up_to()))
        });
        let (field, index) = faults.min().unwrap_or_default();
        malformed(&format!(
            "CSV parse error: record {} (line {}, field: {field}, byte: {}): invalid utf-8: invalid UTF-8 in field \
             {field} near byte index {index}",
            self.records_read,
            self.line(record.position),
            record.position,
        ))
    }
}

fn malformed(what: &str) -> SplitError {
    let name = Format::Csv { delimiter: b',' }.name();
    let message = format!("The `{name}` payload provided is malformed: `{what}`.");
    SplitError::Http(ErrorBody::new("malformed_payload", message))
}

/// The documents of a payload that has at least one.
struct Table<'b, 'c> {
    body: &'b [u8],
    columns: &'c [Column<'b>],
    /// Columns whose values must be parsed in every record.
    typed: Vec<usize>,
    /// The column of the primary key: of several with its name, the last.
    key: Option<usize>,
    geo: Option<usize>,
    vectors: Option<usize>,
    reserved: Option<&'c str>,
    primary_key: Option<String>,
    source: KeySource,
    target: Target<'c>,
    collector: Collector<'b>,
}

impl<'b, 'c> Table<'b, 'c> {
    fn new(
        body: &'b [u8],
        columns: &'c [Column<'b>],
        known: Option<(&str, KeySource)>,
        shard_count: u32,
        target: Target<'c>,
    ) -> Self {
        let names = columns.iter().map(|column| Cow::Borrowed(column.name.as_ref()));
        let (found, source) = match known {
            Some((name, source)) => (Ok(name.to_owned()), source),
            None => (key::infer(names), KeySource::Inferred),
        };
        let last = |name: &str| columns.iter().rposition(|column| column.name == name);
        let key = found.as_deref().ok().filter(|name| !name.is_empty()).and_then(last);
        let canonical = match key.and_then(|key| columns.get(key)).map(|column| column.kind) {
            Some(Kind::Text) => canonical_text,
            Some(Kind::Number) => canonical_number,
            Some(Kind::Boolean) | None => canonical_nothing,
        };
        let mut collector = Collector::new(body, shard_count, canonical);
        let (primary_key, source) = match found {
            Ok(name) => (Some(name), source),
            Err(error) => {
                collector.fail(error);
                (None, KeySource::None)
            }
        };
        Self {
            body,
            columns,
            typed: (0..).zip(columns).filter(|(_, column)| column.kind != Kind::Text).map(|(at, _)| at).collect(),
            key,
            geo: last("_geo").filter(|_| target.geo),
            vectors: last("_vectors"),
            reserved: columns.iter().map(|column| column.name.as_ref()).find(|name| name.starts_with(RESERVED_PREFIX)),
            primary_key,
            source,
            target,
            collector,
        }
    }

    /// A field's value; null where it cannot be read.
    fn value(&self, column: usize, fields: &[Range<usize>]) -> Value {
        let kind = self.columns.get(column).map_or(Kind::Text, |column| column.kind);
        value_of(kind, &self.cell(column, fields)).unwrap_or_default()
    }

    fn cell(&self, column: usize, fields: &[Range<usize>]) -> Cow<'b, str> {
        fields.get(column).and_then(|field| self.body.get(field.clone())).map(cell).unwrap_or_default()
    }

    /// Adds a record; `line` counts them from 1.
    fn add(&mut self, record: &Record, fields: &[Range<usize>], line: u64) -> Result<(), SplitError> {
        for column in &self.typed {
            let Some(kind) = self.columns.get(*column).map(|column| column.kind) else { continue };
            let text = self.cell(*column, fields);
            if let Err(error) = value_of(kind, &text) {
                let kind = if kind == Kind::Number { "number" } else { "boolean" };
                return Err(malformed(&format!("Error parsing {kind} {text:?} at line {line}: {error}")));
            }
        }
        if self.collector.key_failed() {
            self.collector.count_only();
            return Ok(());
        }
        let Some((column, field)) = self.key.and_then(|key| Some((key, fields.get(key)?.clone()))) else {
            let missing = key::missing_id(self.primary_key.as_deref().unwrap_or_default(), &self.document(fields));
            self.collector.refuse_key(missing);
            return Ok(());
        };
        let raw = self.body.get(field.clone()).unwrap_or_default();
        match self.collector.canonical_of(raw) {
            Some(canonical) => {
                if let Some(fault) = self.fault_of_fields(fields, &canonical) {
                    self.collector.refuse_field(|| fault);
                }
                self.collector.place(record.at.clone(), field, canonical.as_bytes());
            }
            None => self.collector.refuse_key(key::invalid_id(&self.value(column, fields))),
        }
        Ok(())
    }

    /// The document as the engine makes it of a record, for a message.
    fn document(&self, fields: &[Range<usize>]) -> String {
        let members = (0..).zip(self.columns).map(|(at, column)| (column.name.to_string(), self.value(at, fields)));
        Value::Object(members.collect::<Map<String, Value>>()).to_string()
    }

    fn fault_of_fields(&self, fields: &[Range<usize>], id: &str) -> Option<ErrorBody> {
        if let Some(name) = self.reserved {
            return Some(reserved::field_refused(name, id));
        }
        let geo = self.geo.and_then(|geo| reserved::geo_fault(&self.value(geo, fields).to_string(), id));
        let fault = geo.or_else(|| reserved::vectors_fault(&self.value(self.vectors?, fields).to_string(), id))?;
        Some(self.target.batch_error(fault.code, &fault.message))
    }
}
