//! The whole store as it is at one moment, for a backup.

use miroir_admin::backup::Entry;
use rusqlite::Connection;

use super::{Reader, StoreError};

impl Reader {
    /// Hands everything over, as of one moment, while writes go on. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`]; what `each` says.
    pub fn dump<E: From<StoreError>>(&self, mut each: impl FnMut(Entry) -> Result<(), E>) -> Result<(), E> {
        let connection = self.connect()?;
        // What the first query sees, all do.
        let reading = connection.unchecked_transaction().map_err(StoreError::from)?;
        rows(&reading, "SELECT kind, json FROM rows", |kind, json| {
            each(Entry::Row { row: parsed(&kind, &json)?, kind })
        })?;
        rows(&reading, "SELECT name, json FROM vals", |name, json| {
            each(Entry::Value { value: parsed(&name, &json)?, name })
        })?;
        rows(&reading, "SELECT 'task', json FROM tasks ORDER BY uid", |kind, json| {
            each(Entry::Task(parsed(&kind, &json)?))
        })
    }
}

fn parsed(kind: &str, json: &str) -> Result<serde_json::Value, StoreError> {
    serde_json::from_str(json).map_err(|source| StoreError::Row { kind: kind.to_owned(), source })
}

fn rows<E: From<StoreError>>(
    connection: &Connection,
    query: &str,
    mut each: impl FnMut(String, String) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = connection.prepare(query).map_err(StoreError::from)?;
    let mut rows = statement.query([]).map_err(StoreError::from)?;
    while let Some(row) = rows.next().map_err(StoreError::from)? {
        each(row.get(0).map_err(StoreError::from)?, row.get(1).map_err(StoreError::from)?)?;
    }
    Ok(())
}
