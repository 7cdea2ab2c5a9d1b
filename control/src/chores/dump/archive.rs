//! The file: a compressed tape archive. It is made in a directory first, since the length of a file stands before it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

/// A dump in the making, in a directory of its own. What a process that was killed has left of an earlier one goes when
/// the next one begins.
pub(super) struct Archive(TempDir);

impl Archive {
    /// An empty one, on the disk where the dump will be. No other one is made for this cluster meanwhile.
    pub(super) fn new(directory: &Path, cluster: &str) -> io::Result<Self> {
        let prefix = format!(".dump-of-{cluster}-");
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let archive = Self(tempfile::Builder::new().prefix(&prefix).tempdir_in(directory)?);
        fs::create_dir(archive.contents())?;
        Ok(archive)
    }

    fn contents(&self) -> PathBuf {
        self.0.path().join("contents")
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.contents().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(path)
    }

    /// A directory, which may stay empty.
    pub(super) fn directory(&self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.contents().join(name))
    }

    /// A file of one JSON value.
    pub(super) fn file(&self, name: &str, value: &Value) -> io::Result<()> {
        fs::write(self.path(name)?, value.to_string())
    }

    /// A file of one JSON value a line.
    pub(super) fn lines(&self, name: &str, values: impl Iterator<Item = Value>) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(self.path(name)?)?);
        for value in values {
            writeln!(file, "{value}")?;
        }
        file.flush()
    }

    /// Packs it all into one file, which is there as a whole or not at all.
    pub(super) fn pack(self, path: &Path) -> io::Result<()> {
        let file = NamedTempFile::new_in(self.0.path())?;
        let mut archive = tar::Builder::new(GzEncoder::new(BufWriter::new(file), Compression::default()));
        archive.append_dir_all(".", self.contents())?;
        let file = archive.into_inner()?.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// The documents of an index.
pub(super) struct DocumentLines(BufWriter<File>);

impl DocumentLines {
    pub(super) fn new(archive: &Archive, name: &str) -> io::Result<Self> {
        File::create(archive.path(name)?).map(|file| Self(BufWriter::new(file)))
    }

    pub(super) fn write(&mut self, documents: &[String]) -> io::Result<()> {
        documents.iter().try_for_each(|document| writeln!(self.0, "{document}"))
    }

    /// Nothing more comes.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use flate2::read::GzDecoder;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_is_in_the_file_and_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let left_over = directory.path().join(".dump-of-c0ffee00-x");
        fs::create_dir_all(left_over.join("contents")).unwrap();
        let archive = Archive::new(directory.path(), "c0ffee00").unwrap();
        archive.file("metadata.json", &json!({"dumpVersion":"V6"})).unwrap();
        archive.lines("tasks/queue.jsonl", [json!(1), json!(2)].into_iter()).unwrap();
        archive.directory("tasks/update_files").unwrap();
        let mut lines = DocumentLines::new(&archive, "indexes/a/documents.jsonl").unwrap();
        lines.write(&["{\"id\":1}".to_owned(), "{\"id\":2}".to_owned()]).unwrap();
        lines.end().unwrap();
        archive.pack(&directory.path().join("a.dump")).unwrap();
        let mut found = BTreeMap::new();
        let mut read = tar::Archive::new(GzDecoder::new(File::open(directory.path().join("a.dump")).unwrap()));
        for entry in read.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.insert(entry.path().unwrap().display().to_string().trim_matches(['.', '/']).to_owned(), text);
        }
        assert_eq!(found["metadata.json"], "{\"dumpVersion\":\"V6\"}");
        assert_eq!(found["tasks/queue.jsonl"], "1\n2\n");
        assert_eq!(found["indexes/a/documents.jsonl"], "{\"id\":1}\n{\"id\":2}\n");
        assert!(found.contains_key("tasks/update_files"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "only the dump is left");
    }
}
