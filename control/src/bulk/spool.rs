//! Payloads on disk. The files have no names: whatever happens to the process, nothing is left behind.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use axum::body::Body;
use futures::StreamExt;
use miroir_core::error::ErrorBody;
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::encoding::{DecodeFault, Encoding};

/// A payload on disk.
#[derive(Debug)]
pub(super) struct Spooled {
    file: File,
    /// Bytes.
    pub(super) length: u64,
}

/// Why a payload was not taken.
#[derive(Debug)]
pub(super) enum SpoolFault {
    /// Larger than allowed.
    TooLarge,
    /// The client, or the connection, broke off.
    Broken(String),
    /// The disk.
    Disk(std::io::Error),
}

impl SpoolFault {
    pub(super) fn error(&self, max_bytes: u64) -> ErrorBody {
        match self {
            Self::TooLarge => ErrorBody::payload_too_large(max_bytes),
            Self::Broken(why) => ErrorBody::new("bad_request", format!("The payload broke off: {why}")),
            Self::Disk(error) => ErrorBody::new("io_error", format!("Spooling the payload: {error}")),
        }
    }
}

/// Takes a body to its end.
pub(super) async fn receive(body: Body, directory: &Path, max_bytes: u64) -> Result<Spooled, SpoolFault> {
    let file = tempfile::tempfile_in(directory).map_err(SpoolFault::Disk)?;
    let mut writer = BufWriter::with_capacity(1 << 18, tokio::fs::File::from_std(file));
    let mut length = 0u64;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| SpoolFault::Broken(error.to_string()))?;
        length += chunk.len() as u64;
        if length > max_bytes {
            return Err(SpoolFault::TooLarge);
        }
        writer.write_all(&chunk).await.map_err(SpoolFault::Disk)?;
    }
    writer.flush().await.map_err(SpoolFault::Disk)?;
    Ok(Spooled { file: writer.into_inner().into_std().await, length })
}

impl Spooled {
    /// Another payload: this one without its encoding. Blocks on the disk.
    pub(super) fn decode(mut self, encoding: Encoding, directory: &Path, max_bytes: u64) -> Result<Self, DecodeFault> {
        self.file.seek(SeekFrom::Start(0)).map_err(DecodeFault::Write)?;
        let file = tempfile::tempfile_in(directory).map_err(DecodeFault::Write)?;
        let mut writer = std::io::BufWriter::with_capacity(1 << 18, file);
        let length = encoding.decode(BufReader::new(self.file), &mut writer, max_bytes)?;
        let file = writer.into_inner().map_err(|error| DecodeFault::Write(error.into_error()))?;
        Ok(Self { file, length })
    }

    /// The whole payload. Blocks on the disk.
    pub(super) fn read(mut self) -> std::io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut body = Vec::with_capacity(usize::try_from(self.length).unwrap_or_default());
        self.file.read_to_end(&mut body)?;
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_payload_comes_back_whole_and_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let chunks = || futures::stream::iter(["ab", "cd"].map(Ok::<_, std::io::Error>));
        let spooled = receive(Body::from_stream(chunks()), directory.path(), 4).await.unwrap();
        assert_eq!((spooled.length, spooled.read().unwrap()), (4, b"abcd".to_vec()));
        let refused = receive(Body::from_stream(chunks()), directory.path(), 3).await;
        assert!(matches!(refused, Err(SpoolFault::TooLarge)));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_payload_that_breaks_off_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let chunks = futures::stream::iter([Ok("ab"), Err(std::io::Error::other("gone"))]);
        let refused = receive(Body::from_stream(chunks), directory.path(), 9).await;
        assert!(matches!(refused, Err(SpoolFault::Broken(_))));
    }
}
