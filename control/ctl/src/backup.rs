//! `miroirctl backup`: a file that is there only when it is whole.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use miroir_admin::backup;
use serde::Serialize;

use crate::client::Client;
use crate::exit::{Exit, Failure};

/// What was written.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The file.
    pub file: PathBuf,
    /// Cluster id.
    pub cluster: String,
    /// Size of the file.
    pub bytes: u64,
    /// Tasks in it.
    pub tasks: u64,
}

/// Fetches a backup, checks it and puts it in its place.
pub async fn fetch(client: &Client, file: &Path, overwrite: bool) -> Result<Written, Failure> {
    if file.exists() && !overwrite {
        let text = format!("{} exists: name another file, or give --force.", file.display());
        return Err(Failure::new(Exit::Refused, text));
    }
    let name = file.file_name().ok_or_else(|| Failure::new(Exit::Usage, "a backup needs the name of a file"))?;
    let mut partial = name.to_owned();
    partial.push(".part");
    let partial = file.with_file_name(partial);
    let written = fill(client, &partial).await.and_then(|()| check(&partial, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written
}

async fn fill(client: &Client, partial: &Path) -> Result<(), Failure> {
    let mut answer = client.stream(&["backup"]).await?;
    let mut file = private(partial)?;
    while let Some(piece) = answer.chunk().await.map_err(|error| client.unreachable(&error))? {
        file.write_all(&piece)?;
    }
    Ok(file.sync_all()?)
}

/// A new file that nobody else can read.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

fn check(partial: &Path, file: &Path) -> Result<Written, Failure> {
    let mut written = Written { file: file.to_owned(), bytes: partial.metadata()?.len(), ..Written::default() };
    let read = backup::read(BufReader::new(File::open(partial)?), |entry| {
        written.tasks += u64::from(matches!(entry, backup::Entry::Task(_)));
        Ok(())
    });
    written.cluster = read.map_err(|fault| Failure::new(Exit::Failed, fault.to_string()))?.cluster;
    std::fs::rename(partial, file)?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()?;
    Ok(written)
}
