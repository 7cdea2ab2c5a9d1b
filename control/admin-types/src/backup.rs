//! The form of a backup of control's store: JSON, one object a line. The first line is the [`Header`], the last one the
//! [`Trailer`] with a checksum over all lines before it; in between stands one [`Entry`] a line.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Version of the form.
pub const FORMAT: u32 = 1;

/// First line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Version of the form.
    pub miroir_backup: u32,
    /// Cluster id.
    pub cluster: String,
    /// Miroir's version.
    pub version: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: u64,
}

/// A line in between: what the store keeps under one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    /// A row of the sequencer.
    Row {
        /// Its kind.
        kind: String,
        /// Its content.
        row: Value,
    },
    /// A named value.
    Value {
        /// Its name.
        name: String,
        /// Its content.
        value: Value,
    },
    /// A task of the tasks API.
    Task(Value),
}

/// Last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trailer {
    /// Number of lines before this one.
    pub lines: u64,
    /// SHA-256 of them, in hexadecimal digits.
    pub sha256: String,
}

/// Why a backup cannot be used.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be read.
    Io(io::Error),
    /// What it is instead of a whole backup.
    Form(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(out),
            Self::Form(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for Fault {}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn form(text: impl Into<String>) -> Fault {
    Fault::Form(text.into())
}

/// Counts the lines of a backup that is being written.
#[derive(Debug, Default)]
pub struct Seal {
    lines: u64,
    sum: Sha256,
}

impl Seal {
    /// A line, with its end.
    ///
    /// # Errors
    /// Something that is no JSON.
    pub fn line(&mut self, content: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(content)?;
        line.push(b'\n');
        self.take(&line);
        Ok(line)
    }

    fn take(&mut self, line: &[u8]) {
        self.sum.update(line);
        self.lines = self.lines.saturating_add(1);
    }

    /// What the last line holds.
    #[must_use]
    pub fn trailer(self) -> Trailer {
        let sha256 = self.sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Trailer { lines: self.lines, sha256 }
    }
}

/// Reads a backup from its beginning to its end, and hands each entry over. Only with the answer is it known to be
/// whole.
///
/// # Errors
/// [`Fault`], also for a backup that was cut short or changed.
pub fn read(mut from: impl BufRead, mut each: impl FnMut(Entry) -> Result<(), Fault>) -> Result<Header, Fault> {
    let mut seal = Seal::default();
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| -> Result<bool, Fault> {
        line.clear();
        Ok(from.read_until(b'\n', line)? > 0)
    };
    next(&mut line)?;
    let header: Header = serde_json::from_slice(&line).map_err(|_| form("this is no backup of control's store"))?;
    if header.miroir_backup != FORMAT {
        let found = header.miroir_backup;
        return Err(form(format!("the backup has form {found}, this build knows {FORMAT}")));
    }
    seal.take(&line);
    loop {
        if !next(&mut line)? {
            return Err(form("the backup was cut short: its last line is missing"));
        }
        if let Ok(trailer) = serde_json::from_slice::<Trailer>(&line) {
            if trailer != seal.trailer() {
                return Err(form("the backup was changed: its checksum does not fit"));
            }
            return if next(&mut line)? { Err(form("the backup goes on after its last line")) } else { Ok(header) };
        }
        if line.last() != Some(&b'\n') {
            return Err(form("the backup was cut short: its last line is not whole"));
        }
        seal.take(&line);
        let entry = serde_json::from_slice(&line);
        each(entry.map_err(|error| form(format!("line {} of the backup: {error}", seal.lines)))?)?;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::Row { kind: "meta".into(), row: json!({"term": 3}) },
            Entry::Value { name: "keys".into(), value: json!([]) },
            Entry::Task(json!({"uid": 7})),
        ]
    }

    fn written() -> Vec<u8> {
        let header =
            Header { miroir_backup: FORMAT, cluster: "c0ffee00".into(), version: "0.1.0".into(), made_ms: 1_000 };
        let mut seal = Seal::default();
        let mut bytes = seal.line(&header).unwrap();
        for entry in entries() {
            bytes.extend(seal.line(&entry).unwrap());
        }
        bytes.extend(serde_json::to_vec(&seal.trailer()).unwrap());
        bytes
    }

    fn taken(bytes: &[u8]) -> Result<(Header, Vec<Entry>), String> {
        let mut found = Vec::new();
        let header = read(bytes, |entry| {
            found.push(entry);
            Ok(())
        });
        header.map(|header| (header, found)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_backup_comes_back_as_it_was_written() {
        let (header, found) = taken(&written()).unwrap();
        assert_eq!((header.cluster.as_str(), found), ("c0ffee00", entries()));
    }

    #[test]
    fn no_byte_may_be_missing_or_changed() {
        let whole = written();
        for length in 0..whole.len() {
            let told = taken(&whole[..length]).unwrap_err();
            assert!(told.contains("cut short") || told.contains("no backup"), "{length}: {told}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(taken(&changed).is_err(), "{at}");
        }
        let longer = [whole.as_slice(), b"\n{}"].concat();
        assert!(taken(&longer).is_err());
    }

    #[test]
    fn a_later_form_is_told() {
        let told = taken(br#"{"miroirBackup":2,"cluster":"a","version":"9","madeMs":1}"#).unwrap_err();
        assert!(told.contains("form 2"), "{told}");
        assert!(taken(b"SQLite format 3").unwrap_err().contains("no backup"));
    }
}
