//! The durable store. For one control: one SQLite file in WAL mode with `synchronous=FULL`. One thread writes; whatever
//! waits when it is free is written in one transaction (group commit), so that many small writes share one sync of the
//! disk. Reads of tasks use connections of their own. For several controls: a Redis that they share ([`Lease`]).

mod dump;
mod lease;
mod location;
mod reader;
mod remote;
mod schema;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use miroir_sequencer::{Record, Snapshot};

pub use lease::Lease;
pub use location::{Location, RedisLocation};
pub use reader::{Counts, Reader};

/// Why the store failed. When a write fails the process ends: what is not durable must not be acted upon.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own.
    #[error("store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Redis's own, or none could be reached.
    #[error("store: {0}")]
    Redis(#[from] redis::RedisError),
    /// A transaction failed; all who waited for it are told.
    #[error("store: {0}")]
    Transaction(String),
    /// A row that this version cannot read.
    #[error("store: row of kind {kind}: {source}")]
    Row {
        /// Kind of row.
        kind: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Written by a newer version.
    #[error("store has schema {found}, this build knows {known}")]
    Newer {
        /// Of the file.
        found: u32,
        /// Of this build.
        known: u32,
    },
    /// The writing thread has ended.
    #[error("store is closed")]
    Closed,
}

/// One change.
#[derive(Clone, Debug)]
pub enum Change {
    /// Rows of the sequencer.
    Records(Vec<Record>),
    /// A named JSON value; none removes it.
    Value(String, Option<String>),
    /// Finished tasks leave the list.
    DeleteTasks(Vec<u32>),
    /// Tasks of these indexes change their names, all pairs at once (a swap also exchanges the history): those below
    /// this uid.
    RenameTasks(Vec<(String, String)>, u32),
    /// Everything goes: what is restored or recovered takes its place.
    Clear,
}

/// The open store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Backend,
    reader: Arc<Reader>,
}

#[derive(Clone, Debug)]
enum Backend {
    Sqlite(writer::Writer),
    Redis(remote::Remote),
}

/// What a start finds in the store.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The sequencer's rows.
    pub snapshot: Snapshot,
    /// Named values.
    pub values: BTreeMap<String, serde_json::Value>,
}

impl Store {
    /// Opens or makes the file, brings its schema up to date, and reads everything but tasks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<(Self, Loaded), StoreError> {
        let mut connection = rusqlite::Connection::open(path)?;
        schema::prepare(&mut connection)?;
        let loaded = reader::load(&connection)?;
        let reader = Arc::new(Reader::new(path));
        Ok((Self { writer: Backend::Sqlite(writer::Writer::start(connection)), reader }, loaded))
    }

    /// Reads what the Redis holds that `lease` is for. Writes are taken while the lease lasts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_shared(location: &RedisLocation, lease: Lease) -> Result<(Self, Loaded), StoreError> {
        let directory = tempfile::tempdir().map_err(|error| StoreError::Transaction(error.to_string()))?;
        let (remote, reader, loaded) = remote::Remote::open(location, lease, directory).await?;
        Ok((Self { writer: Backend::Redis(remote), reader }, loaded))
    }

    /// Makes changes durable, all or none, after all changes handed over earlier.
    ///
    /// # Errors
    /// [`StoreError`]: nothing may be assumed about these changes.
    pub async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        match &self.writer {
            Backend::Sqlite(writer) => writer.write(changes).await,
            Backend::Redis(remote) => remote.write(changes).await,
        }
    }

    /// Whether this control leads at this moment, by the store's own word (F15). A file is used by one control alone.
    pub async fn is_led(&self) -> bool {
        match &self.writer {
            Backend::Sqlite(_) => true,
            Backend::Redis(remote) => remote.is_led().await,
        }
    }

    /// Reads of tasks.
    #[must_use]
    pub fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }
}

#[cfg(test)]
pub(crate) mod tests;
