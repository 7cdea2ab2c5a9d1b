//! A dump, unpacked.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

/// The files of a dump. They are gone when this is.
pub(super) struct Dump(TempDir);

impl Dump {
    /// Unpacks a file below a directory.
    pub(super) fn open(file: &Path, spool: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("dump-").tempdir_in(spool)?;
        let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(File::open(file)?)));
        for entry in archive.entries()? {
            let mut entry = entry?;
            // Links would lead elsewhere.
            if matches!(entry.header().entry_type(), tar::EntryType::Regular | tar::EntryType::Directory) {
                entry.unpack_in(directory.path())?;
            }
        }
        let dump = Self(directory);
        let version = dump.json("metadata.json")?.context("no metadata: this is no dump")?["dumpVersion"].clone();
        ensure!(
            version == "V6",
            "the dump has format {version}, and only V6 is read: import it into one Meilisearch, and dump that"
        );
        Ok(dump)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A JSON file; none where it is not there.
    pub(super) fn json(&self, name: &str) -> anyhow::Result<Option<Value>> {
        match fs::read(self.path(name)) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| name.to_owned()).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| name.to_owned()),
        }
    }

    /// A file of JSON lines; none where it is not there.
    pub(super) fn lines(&self, name: &str) -> anyhow::Result<Vec<Value>> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| name.to_owned()),
        };
        let parsed = BufReader::new(file).lines().map(|line| anyhow::Ok(serde_json::from_str(&line?)?));
        parsed.collect::<anyhow::Result<_>>().with_context(|| name.to_owned())
    }

    /// How many of its tasks were not over.
    pub(super) fn open_tasks(&self) -> anyhow::Result<usize> {
        let open = |task: &&Value| task["status"] == "enqueued" || task["status"] == "processing";
        Ok(self.lines("tasks/queue.jsonl")?.iter().filter(open).count())
    }

    /// Uids of the indexes, in order.
    pub(super) fn indexes(&self) -> anyhow::Result<Vec<String>> {
        let mut indexes = Vec::new();
        for entry in fs::read_dir(self.path("indexes"))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                indexes.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        indexes.sort();
        Ok(indexes)
    }

    /// The documents of an index in pieces of about so many bytes, each of whole lines.
    pub(super) fn payloads(&self, index: &str, bytes: usize) -> anyhow::Result<Payloads> {
        let file = File::open(self.path(&format!("indexes/{index}/documents.jsonl")))?;
        Ok(Payloads { lines: BufReader::new(file), bytes })
    }
}

/// Documents, piece by piece.
pub(super) struct Payloads {
    lines: BufReader<File>,
    bytes: usize,
}

impl Iterator for Payloads {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut payload = String::new();
        while payload.len() < self.bytes {
            match self.lines.read_line(&mut payload) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        Some(payload).filter(|payload| !payload.is_empty()).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.dump");
        let mut archive = tar::Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::fast()));
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        (directory, path)
    }

    #[test]
    fn a_dump_is_read_piece_by_piece() {
        let (directory, path) = packed(&[
            ("metadata.json", r#"{"dumpVersion":"V6"}"#),
            ("tasks/queue.jsonl", "{\"status\":\"succeeded\"}\n{\"status\":\"enqueued\"}\n"),
            ("indexes/b/documents.jsonl", "{\"id\":1}\n{\"id\":22}\n{\"id\":3}"),
            ("indexes/a/documents.jsonl", ""),
        ]);
        let dump = Dump::open(&path, directory.path()).unwrap();
        assert_eq!(dump.indexes().unwrap(), ["a", "b"]);
        assert_eq!((dump.open_tasks().unwrap(), dump.json("network.json").unwrap()), (1, None));
        let pieces: Vec<String> = dump.payloads("b", 10).unwrap().map(Result::unwrap).collect();
        assert_eq!(pieces, ["{\"id\":1}\n{\"id\":22}\n", "{\"id\":3}"]);
        assert_eq!(dump.payloads("a", 10).unwrap().count(), 0);
        assert!(dump.lines("keys.jsonl").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_dump_of_this_format_is_refused() {
        let refused = |files: &[(&str, &str)]| {
            let (directory, path) = packed(files);
            Dump::open(&path, directory.path()).err().unwrap().to_string()
        };
        assert!(refused(&[("metadata.json", r#"{"dumpVersion":"V5"}"#)]).contains("only V6"));
        assert!(refused(&[("other", "")]).contains("no dump"));
    }
}
