//! Finding CSV records and their fields as the engine's reader does: quotes count only at a field's beginning, a
//! doubled quote is one, records end with `\n`, `\r` or `\r\n`, empty lines are no records, and a byte order mark at
//! the beginning is skipped.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::first_of_three;

/// UTF-8's byte order mark.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where a record stands.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// From its first field's first byte to the end of its last field, quotes included.
    pub(super) at: Range<usize>,
    /// Where the reader stood before it: the position that messages name.
    pub(super) position: usize,
    /// The payload ended within a quoted field.
    pub(super) open: bool,
}

/// Reads records one after another.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    delimiter: u8,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        Self { bytes, at: 0, delimiter }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    /// The next record; its fields, raw, go into `fields`.
    pub(super) fn next(&mut self, fields: &mut Vec<Range<usize>>) -> Option<Record> {
        fields.clear();
        let position = self.at;
        if self.at == 0 && self.bytes.starts_with(MARK) {
            self.at = MARK.len();
        }
        while let Some(b'\n' | b'\r') = self.peek() {
            self.step();
        }
        self.peek()?;
        let start = self.at;
        loop {
            let field = self.at;
            let closed = self.quoted_part();
            if closed {
                self.at = first_of_three(self.bytes, self.at, [self.delimiter, b'\n', b'\r']);
            }
            fields.push(field..self.at);
            if closed && self.peek() == Some(self.delimiter) {
                self.step();
                continue;
            }
            let at = start..self.at;
            if closed && self.peek().is_some() {
                self.step();
            }
            return Some(Record { at, position, open: !closed });
        }
    }

    /// Skips the quoted part at the beginning of a field, if there is one; false if its end is missing.
    fn quoted_part(&mut self) -> bool {
        if self.peek() != Some(b'"') {
            return true;
        }
        self.step();
        loop {
            let Some(quote) = self.bytes.get(self.at..).and_then(|rest| memchr::memchr(b'"', rest)) else {
                self.at = self.bytes.len();
                return false;
            };
            self.at = self.at.wrapping_add(quote).wrapping_add(1);
            if self.peek() != Some(b'"') {
                return true;
            }
            self.step();
        }
    }
}

/// A field's value from its raw bytes.
pub(super) fn unquoted(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(quoted) = raw.strip_prefix(b"\"") else { return Cow::Borrowed(raw) };
    match memchr::memchr(b'"', quoted) {
        None => return Cow::Borrowed(quoted),
        Some(end) if end.wrapping_add(1) == quoted.len() => {
            return Cow::Borrowed(quoted.get(..end).unwrap_or_default());
        }
        Some(_) => {}
    }
    let mut value = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'"' && bytes.next_if_eq(&b'"').is_none() {
            // What follows the closing quote counts as it stands.
            value.extend(bytes);
            break;
        }
        value.push(byte);
    }
    Cow::Owned(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, delimiter: u8) -> Vec<Vec<String>> {
        let mut records = Records::new(text.as_bytes(), delimiter);
        let (mut fields, mut all) = (Vec::new(), Vec::new());
        while records.next(&mut fields).is_some() {
            let values = fields.iter().map(|field| unquoted(&text.as_bytes()[field.clone()]).into_owned());
            all.push(values.map(|value| String::from_utf8(value).unwrap()).collect());
        }
        all
    }

    #[test]
    fn records_are_read_as_the_engine_reads_them() {
        for (text, expected) in [
            ("a,b\r\n1,2\r\n", vec![vec!["a", "b"], vec!["1", "2"]]),
            ("a\r1\r2", vec![vec!["a"], vec!["1"], vec!["2"]]),
            ("\u{feff}a,b\n\n\r\n1,\n", vec![vec!["a", "b"], vec!["1", ""]]),
            ("\"a,\n\"\"x\"y\",b\n", vec![vec!["a,\n\"xy\"", "b"]]),
            ("1\"x, \"y\"", vec![vec!["1\"x", " \"y\""]]),
            ("\"open\n1", vec![vec!["open\n1"]]),
            (",", vec![vec!["", ""]]),
            ("\n", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(read(text, b','), expected, "{text:?}");
        }
        assert_eq!(read("id\na\r1\n2\r", b'\n'), [["id", "a"], ["1", "2"]]);
        assert_eq!(read("id\ra\n1\r2\n", b'\r'), [["id", "a"], ["1", "2"]]);
    }
}
