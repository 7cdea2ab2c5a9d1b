//! The journal: everything that was accepted and done, one JSON record a line, written before it is answered. A killed
//! process loses nothing that it had acknowledged; a record cut short by the kill is dropped at the next start.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::drift::Drift;
use crate::keys::Key;
use crate::task::Task;

/// One thing that happened.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Record {
    /// A task was enqueued.
    Enqueued(Box<Task>),
    /// A batch was done: doing it again from the same state gives the same results.
    Done {
        /// Its number.
        batch: u32,
        /// Its tasks.
        tasks: Vec<u32>,
        /// Start.
        started_at: Timestamp,
        /// End.
        finished_at: Timestamp,
        /// Tasks that were made to fail, with the codes.
        planted: Vec<(u32, String)>,
    },
    /// From here on this version writes.
    Version(String),
    /// A key was created or changed.
    Key(Key),
    /// A key was deleted.
    KeyGone(String),
    /// Experimental features were changed.
    Features(Value),
    /// A test changed what lies on the disk.
    Drift(Drift),
}

/// The open journal.
pub(crate) struct Journal(File);

impl Journal {
    /// Opens the journal in a directory and reads what it holds.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<(Self, Vec<Record>)> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let path = directory.join("journal.ndjson");
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let mut records = Vec::new();
        let mut whole = 0;
        let mut reader = BufReader::new(&mut file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if line.last() != Some(&b'\n') {
                break;
            }
            whole += u64::try_from(line.len())?;
            records.push(serde_json::from_slice(&line).with_context(|| format!("{}: broken record", path.display()))?);
            line.clear();
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self(file), records))
    }

    /// Writes a record. It is with the operating system when this returns.
    pub(crate) fn write(&mut self, record: &Record) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.0.write_all(&line).context("cannot write the journal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cut_short_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, records) = Journal::open(directory.path()).unwrap();
        assert!(records.is_empty());
        journal.write(&Record::KeyGone("a".into())).unwrap();
        journal.0.write_all(b"{\"KeyGo").unwrap();
        let (mut journal, records) = Journal::open(directory.path()).unwrap();
        assert_eq!(records.len(), 1);
        journal.write(&Record::KeyGone("b".into())).unwrap();
        assert_eq!(Journal::open(directory.path()).unwrap().1.len(), 2);
    }
}
