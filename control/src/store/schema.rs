//! Tables, by version.

use rusqlite::Connection;

use super::StoreError;

/// Each entry brings the schema from its position to the next version (`user_version`).
const STEPS: &[&str] = &["
    CREATE TABLE rows (kind TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
    CREATE TABLE vals (name TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE tasks (
        uid INTEGER PRIMARY KEY,
        type TEXT NOT NULL,
        status TEXT NOT NULL,
        canceled_by INTEGER,
        enqueued INTEGER NOT NULL,
        started INTEGER,
        finished INTEGER,
        json TEXT NOT NULL
    );
    CREATE INDEX tasks_status ON tasks (status, uid);
    CREATE TABLE task_indexes (name TEXT NOT NULL, uid INTEGER NOT NULL, PRIMARY KEY (name, uid)) WITHOUT ROWID;
    CREATE INDEX task_indexes_uid ON task_indexes (uid);
"];

/// Sets the connection up and brings the schema up to date.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "busy_timeout", 5_000)?;
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, step) in (1u32..).zip(STEPS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
