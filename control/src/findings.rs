//! The findings file: versions of documents and settings that are about to be lost because replicas differ without a
//! known reason, one JSON object a line. It is made durable before anything is repaired.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use miroir_sequencer::{Drift, Drifted};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cluster::NodeRequest;
use crate::node::Client;

/// Documents read from a node in one request.
const AT_ONCE: usize = 500;
/// Longest wait for one answer of a node.
const READ: Duration = Duration::from_secs(60);

/// A line of the file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    found_at: Timestamp,
    /// Number of the finding.
    finding: u64,
    index: &'a str,
    placement: u16,
    shard: Option<u32>,
    /// Node whose version is kept; null: control's.
    kept: Option<&'a str>,
    /// Node whose version this is.
    lost: &'a str,
    /// `differs`, `missing` (the node lacks the document), `extra` (only the node has it), `outsider` (it belongs to no
    /// copy there) or `index`.
    what: &'static str,
    /// Id of the document.
    id: Option<&'a str>,
    /// The document as the node has it, with its tag and its vectors; null where it has none.
    document: Option<&'a RawValue>,
    /// The index's settings as the node has them; null where it does not have the index.
    settings: Option<&'a RawValue>,
}

/// Appends to the file what these nodes have, and makes it durable.
///
/// # Errors
/// The file cannot be written, or a node does not show what it has: then nothing may be repaired.
pub async fn write_down(client: &Client, path: &Path, drifts: &[Drift]) -> Result<(), String> {
    let disk = |error: io::Error| format!("the findings file {}: {error}", path.display());
    let mut file = blocking({
        let path = path.to_owned();
        move || open(&path)
    })
    .await
    .map_err(disk)?;
    let now = Timestamp::now();
    for drift in drifts {
        let mut lines = Vec::new();
        match &drift.what {
            Drifted::Index => {
                let settings = settings(client, drift).await?;
                line(&mut lines, &Line { settings: settings.as_deref(), ..heading(drift, now, "index") });
            }
            Drifted::Documents { primary_key, .. } | Drifted::Outsiders { primary_key, .. } => {
                for (what, keys) in versions(&drift.what) {
                    for keys in keys.chunks(AT_ONCE) {
                        documents(client, drift, primary_key, &mut lines, &heading(drift, now, what), keys).await?;
                        file = append(file, std::mem::take(&mut lines)).await.map_err(disk)?;
                    }
                }
            }
        }
        file = append(file, lines).await.map_err(disk)?;
    }
    blocking(move || file.sync_all()).await.map_err(disk)
}

/// Keys of documents whose versions are lost, with the word for each.
fn versions(what: &Drifted) -> Vec<(&'static str, &[String])> {
    match what {
        Drifted::Index => Vec::new(),
        Drifted::Documents { differing, missing, extra, .. } => {
            vec![("differs", differing), ("missing", missing), ("extra", extra)]
        }
        Drifted::Outsiders { keys, .. } => vec![("outsider", keys)],
    }
}

fn heading<'a>(drift: &'a Drift, found_at: Timestamp, what: &'static str) -> Line<'a> {
    let shard = match &drift.what {
        Drifted::Index | Drifted::Outsiders { .. } => None,
        Drifted::Documents { shard, .. } => Some(*shard),
    };
    Line {
        found_at,
        finding: drift.id,
        index: &drift.index,
        placement: drift.placement,
        shard,
        kept: drift.kept.as_deref(),
        lost: &drift.lost,
        what,
        id: None,
        document: None,
        settings: None,
    }
}

async fn documents(
    client: &Client,
    drift: &Drift,
    primary_key: &str,
    lines: &mut Vec<u8>,
    heading: &Line<'_>,
    keys: &[String],
) -> Result<(), String> {
    let found = client.documents(&drift.lost, &drift.index, primary_key, keys, false, READ).await;
    let found = found.map_err(|why| format!("node {} does not show what it has: {why}", drift.lost))?;
    for key in keys {
        let document = found.iter().find(|(id, _)| id == key).map(|(_, document)| &**document);
        line(lines, &Line { id: Some(key), document, ..*heading });
    }
    Ok(())
}

/// The settings that a node has; none where it does not have the index.
async fn settings(client: &Client, drift: &Drift) -> Result<Option<Box<RawValue>>, String> {
    let path = format!("/indexes/{}/settings", drift.index);
    let request = NodeRequest { method: "GET".to_owned(), path, body: None };
    let unclear = |why: String| format!("node {} does not show its settings: {why}", drift.lost);
    let answer = client.call(&drift.lost, &request, READ).await.map_err(|fault| unclear(fault.to_string()))?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body).map(Some).map_err(|error| unclear(error.to_string())),
        404 => Ok(None),
        status => Err(unclear(format!("status {status}"))),
    }
}

fn line(lines: &mut Vec<u8>, line: &Line<'_>) {
    // Writing to memory cannot fail, and every part is JSON already or text.
    if serde_json::to_writer(&mut *lines, line).is_ok() {
        lines.push(b'\n');
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

async fn append(file: File, lines: Vec<u8>) -> io::Result<File> {
    blocking(move || {
        let mut writer = BufWriter::new(file);
        writer.write_all(&lines)?;
        writer.into_inner().map_err(io::IntoInnerError::into_error)
    })
    .await
}

/// Opens the file for appending, at the beginning of a line, and makes its name durable.
fn open(path: &Path) -> io::Result<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.map_or_else(|| PathBuf::from("."), Path::to_owned);
    std::fs::create_dir_all(&parent)?;
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    File::open(&parent)?.sync_all()?;
    // A write that broke off must not spoil the line that comes next.
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_line_that_broke_off_does_not_spoil_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/for/it.jsonl");
        open(&path).unwrap().write_all(b"{\"a\":1}\n{\"b\":").unwrap();
        open(&path).unwrap().write_all(b"{\"c\":1}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\":\n{\"c\":1}\n");
    }

    #[test]
    fn a_line_keeps_a_document_to_the_letter() {
        let drift = Drift {
            id: 7,
            index: "films".into(),
            placement: 0,
            kept: Some("a".into()),
            lost: "b".into(),
            what: Drifted::Documents {
                shard: 3,
                primary_key: "id".into(),
                differing: vec![],
                missing: vec![],
                extra: vec![],
            },
        };
        let document = RawValue::from_string(r#"{"id":1,"n":18446744073709551616,"x":1.0e3}"#.to_owned()).unwrap();
        let mut lines = Vec::new();
        let heading = heading(&drift, Timestamp::UNIX_EPOCH, "extra");
        line(&mut lines, &Line { id: Some("1"), document: Some(&document), ..heading });
        let text = String::from_utf8(lines).unwrap();
        assert!(text.ends_with("}\n") && text.contains(document.get()), "{text}");
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["finding"], &read["shard"], &read["what"]), (&7.into(), &3.into(), &"extra".into()));
        assert_eq!((&read["kept"], &read["lost"], &read["id"]), (&"a".into(), &"b".into(), &"1".into()));
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let client = Client::new(&Default::default(), "c", 4, Default::default());
        let told = write_down(&client, &file.join("below"), &[]).await.unwrap_err();
        assert!(told.contains("below"), "{told}");
    }
}
