//! Document payloads: JSON, NDJSON, CSV.

use miroir_core::media::{self, DocumentType};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::answer::{Refusal, refuse};

/// Format of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// An array of objects, or one object.
    Json,
    /// One object after the other.
    Ndjson,
    /// Comma-separated values.
    Csv(u8),
}

/// Format by content type and delimiter.
pub(crate) fn format(content_type: Option<&str>, delimiter: Option<&str>) -> Result<Format, Refusal> {
    let sent = media::document_type(content_type).map_err(|error| refuse(&error.code, error.message))?;
    let delimiter = delimiter
        .map(|text| match text.as_bytes() {
            [one] => Ok(*one),
            _ if text.chars().count() == 1 => Err(refuse(
                "invalid_document_csv_delimiter",
                format!("csv delimiter must be an ascii character. Found: `{text}`"),
            )),
            _ => Err(refuse(
                "invalid_document_csv_delimiter",
                format!(
                    "Invalid value in parameter `csvDelimiter`: expected a string of one character, but found the following string of {} characters: `{text}`",
                    text.chars().count()
                ),
            )),
        })
        .transpose()?;
    match (sent, delimiter) {
        (DocumentType::Csv, delimiter) => Ok(Format::Csv(delimiter.unwrap_or(b','))),
        (DocumentType::Json, None) => Ok(Format::Json),
        (DocumentType::Ndjson, None) => Ok(Format::Ndjson),
        (DocumentType::Json | DocumentType::Ndjson, Some(_)) => Err(refuse(
            "invalid_content_type",
            format!(
                "The Content-Type `{}` does not support the use of a csv delimiter. The csv delimiter can only be used with the Content-Type `text/csv`.",
                sent.name()
            ),
        )),
    }
}

fn malformed(format: &str, error: impl std::fmt::Display) -> Refusal {
    refuse(
        "malformed_payload",
        format!("The `{format}` payload provided is malformed. `Couldn't serialize document value: {error}`."),
    )
}

/// The documents of a payload, as texts.
pub(crate) fn read(body: &[u8], format: Format) -> Result<Vec<Box<RawValue>>, Refusal> {
    let name = match format {
        Format::Json => "json",
        Format::Ndjson => "ndjson",
        Format::Csv(_) => "csv",
    };
    if body.is_empty() {
        return Err(refuse("missing_payload", format!("A {name} payload is missing.")));
    }
    match format {
        Format::Json => json(body),
        Format::Ndjson => ndjson(body),
        Format::Csv(delimiter) => csv(body, delimiter),
    }
}

fn object(document: &RawValue) -> Result<(), Refusal> {
    let text = document.get();
    if text.starts_with('{') {
        return Ok(());
    }
    let message = match text.as_bytes().first() {
        Some(b'[') => "invalid type: sequence, expected a map at line 1 column 0".to_owned(),
        Some(b'0'..=b'9' | b'-') => {
            format!("invalid type: integer `{text}`, expected a map at line 1 column {}", text.len())
        }
        _ => "invalid type: string, expected a map at line 1 column 0".to_owned(),
    };
    Err(refuse("internal", message))
}

fn json(body: &[u8]) -> Result<Vec<Box<RawValue>>, Refusal> {
    let fault = |error: serde_json::Error| malformed("json", error);
    let mut stream = serde_json::Deserializer::from_slice(body).into_iter::<Box<RawValue>>();
    let whole = match stream.next() {
        Some(whole) => whole.map_err(fault)?,
        None => return Err(malformed("json", format!("EOF while parsing a value at line 1 column {}", body.len()))),
    };
    match whole.get().as_bytes().first() {
        Some(b'[') => {
            let documents: Vec<Box<RawValue>> = serde_json::from_str(whole.get()).map_err(fault)?;
            documents.iter().try_for_each(|document| object(document))?;
            // Of a key that stands twice, the last value counts; numbers stay as they are.
            Ok(documents)
        }
        Some(b'{') => Ok(vec![whole]),
        _ => Err(malformed("json", "data are neither an object nor a list of objects")),
    }
}

fn ndjson(body: &[u8]) -> Result<Vec<Box<RawValue>>, Refusal> {
    let stream = serde_json::Deserializer::from_slice(body).into_iter::<Box<RawValue>>();
    let documents = stream.collect::<Result<Vec<_>, _>>().map_err(|error| malformed("ndjson", error))?;
    documents.iter().try_for_each(|document| object(document))?;
    Ok(documents)
}

/// Type of a CSV column.
#[derive(Clone, Copy)]
enum Column {
    Text,
    Number,
    Flag,
}

fn csv(body: &[u8], delimiter: u8) -> Result<Vec<Box<RawValue>>, Refusal> {
    let fault =
        |text: String| refuse("malformed_payload", format!("The `csv` payload provided is malformed: `{text}`."));
    let rows = rows(body, delimiter);
    let mut rows = rows.into_iter();
    let (_, header) = rows.next().unwrap_or_default();
    let columns: Vec<(String, Column)> = header
        .into_iter()
        .map(|name| match name.rsplit_once(':') {
            Some((name, "string")) => (name.to_owned(), Column::Text),
            Some((name, "number")) => (name.to_owned(), Column::Number),
            Some((name, "boolean")) => (name.to_owned(), Column::Flag),
            _ => (name, Column::Text),
        })
        .collect();
    let mut documents = Vec::new();
    for (number, (start, row)) in rows.enumerate() {
        let line = number + 1;
        if row.len() != columns.len() {
            return Err(fault(format!(
                "CSV error: record {line} (line: {}, byte: {start}): found record with {} fields, but the previous record has {} fields",
                line + 1,
                row.len(),
                columns.len()
            )));
        }
        let mut document = Map::new();
        for ((name, column), cell) in columns.iter().zip(row) {
            let trimmed = cell.trim();
            let value =
                match column {
                    _ if trimmed.is_empty() => Value::Null,
                    Column::Text => json!(cell),
                    Column::Number => match trimmed.parse::<i64>() {
                        Ok(number) => json!(number),
                        Err(_) => json!(trimmed.parse::<f64>().map_err(|error| {
                            fault(format!("Error parsing number \"{cell}\" at line {line}: {error}"))
                        })?),
                    },
                    Column::Flag => json!(trimmed.parse::<bool>().map_err(|error| {
                        fault(format!("Error parsing boolean \"{cell}\" at line {line}: {error}"))
                    })?),
                };
            document.insert(name.clone(), value);
        }
        documents.push(serde_json::value::to_raw_value(&document).map_err(|error| malformed("csv", error))?);
    }
    Ok(documents)
}

/// The records of a CSV text with the byte at which each starts. Blank lines are no records.
fn rows(body: &[u8], delimiter: u8) -> Vec<(usize, Vec<String>)> {
    let mut rows = Vec::new();
    let mut row: Vec<String> = Vec::new();
    let mut cell: Vec<u8> = Vec::new();
    let (mut quoted, mut was_quoted, mut start) = (false, false, 0);
    let mut at = 0;
    while at < body.len() {
        let byte = body[at];
        at += 1;
        if quoted {
            match (byte, body.get(at)) {
                (b'"', Some(b'"')) => {
                    cell.push(b'"');
                    at += 1;
                }
                (b'"', _) => quoted = false,
                _ => cell.push(byte),
            }
        } else if byte == b'"' && cell.is_empty() {
            quoted = true;
            was_quoted = true;
        } else if byte == delimiter {
            row.push(String::from_utf8_lossy(&std::mem::take(&mut cell)).into_owned());
            was_quoted = false;
        } else if byte == b'\n' {
            if cell.last() == Some(&b'\r') {
                cell.pop();
            }
            if !(row.is_empty() && cell.is_empty() && !was_quoted) {
                row.push(String::from_utf8_lossy(&std::mem::take(&mut cell)).into_owned());
                rows.push((start, std::mem::take(&mut row)));
            }
            was_quoted = false;
            start = at;
        } else {
            cell.push(byte);
        }
    }
    if !(row.is_empty() && cell.is_empty() && !was_quoted) {
        row.push(String::from_utf8_lossy(&cell).into_owned());
        rows.push((start, row));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str, format: Format) -> Vec<String> {
        read(body.as_bytes(), format).unwrap().iter().map(|document| document.get().to_owned()).collect()
    }

    #[test]
    fn every_format_is_read() {
        assert_eq!(texts("[{\"a\": 1.50}, {}] x", Format::Json), ["{\"a\": 1.50}", "{}"]);
        assert_eq!(texts("{\"a\":1}", Format::Json), ["{\"a\":1}"]);
        assert_eq!(texts("{\"a\":1}\n\n{\"a\":2}{\"a\":3}", Format::Ndjson).len(), 3);
        assert_eq!(
            texts("id:number,n:boolean,t\n1,true,\"x,\"\"y\"\n2,,z\n", Format::Csv(b',')),
            ["{\"id\":1,\"n\":true,\"t\":\"x,\\\"y\"}", "{\"id\":2,\"n\":null,\"t\":\"z\"}"]
        );
    }

    #[test]
    fn complaints_are_the_engines() {
        let complaint = |body: &str, format| read(body.as_bytes(), format).unwrap_err().0.message;
        assert_eq!(
            complaint("id,a\n1,b\n2,b,c", Format::Csv(b',')),
            "The `csv` payload provided is malformed: `CSV error: record 2 (line: 3, byte: 9): found record with 3 fields, but the previous record has 2 fields`."
        );
        assert_eq!(complaint("", Format::Json), "A json payload is missing.");
        assert_eq!(complaint("[1]", Format::Json), "invalid type: integer `1`, expected a map at line 1 column 1");
        assert!(format(Some("text/plain"), None).is_err() && format(None, None).is_err());
    }
}
