//! Reads: everything at start, tasks afterwards.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use miroir_sequencer::TaskRow;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{Loaded, StoreError};
use crate::tasks::filter::{Span, TYPES, TaskFilter, TaskPage};

/// Everything but tasks.
pub(super) fn load(connection: &Connection) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    let mut statement = connection.prepare("SELECT kind, json FROM rows")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, json): (String, String) = (row.get(0)?, row.get(1)?);
        loaded.snapshot.add(&kind, &json).map_err(|source| StoreError::Row { kind, source })?;
    }
    let mut statement = connection.prepare("SELECT name, json FROM vals")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, json): (String, String) = (row.get(0)?, row.get(1)?);
        let value = serde_json::from_str(&json).map_err(|source| StoreError::Row { kind: name.clone(), source })?;
        loaded.values.insert(name, value);
    }
    Ok(loaded)
}

/// How many tasks are in which state.
pub type Counts = Vec<(String, u64)>;

/// Connections for reading, made as needed and kept.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default() }
    }

    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "busy_timeout", 5_000)?;
        Ok(connection)
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let kept = self.idle.lock().map_or(None, |mut idle| idle.pop());
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let outcome = read(&connection);
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(connection);
        }
        outcome
    }

    /// A page of tasks, and how many tasks the filter selects without regard to paging, to `sees` and to `single`.
    /// `sees` says of a task whether it may be shown; with `single` only types about one index are shown, as the
    /// engine does where a request or a key names indexes. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn page(
        &self,
        page: &TaskPage,
        sees: &dyn Fn(&TaskRow) -> bool,
        single: bool,
    ) -> Result<(Vec<TaskRow>, u64), StoreError> {
        self.with(|connection| {
            let mut query = Query::of(&page.filter);
            let total = connection.query_row(
                &format!("SELECT COUNT(*) FROM tasks t WHERE {}", query.text),
                params_from_iter(&query.values),
                |row| row.get::<_, u32>(0).map(u64::from),
            )?;
            if single {
                query.one_of("t.type", TYPES.iter().filter(|(_, one)| *one).map(|(name, _)| text(name)));
            }
            if let Some(from) = page.from {
                query.compare(if page.reverse { "t.uid >=" } else { "t.uid <=" }, Value::Integer(from.into()));
            }
            let order = if page.reverse { "ASC" } else { "DESC" };
            let text = format!("SELECT t.json FROM tasks t WHERE {} ORDER BY t.uid {order}", query.text);
            let mut statement = connection.prepare(&text)?;
            let mut rows = statement.query(params_from_iter(&query.values))?;
            let mut tasks = Vec::new();
            while tasks.len() < page.limit as usize
                && let Some(row) = rows.next()?
            {
                let json: String = row.get(0)?;
                let task: TaskRow = serde_json::from_str(&json)
                    .map_err(|source| StoreError::Row { kind: "task".to_owned(), source })?;
                if sees(&task) {
                    tasks.push(task);
                }
            }
            Ok((tasks, total))
        })
    }

    /// Tasks that concern any of these indexes. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn of_indexes<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<Vec<TaskRow>, StoreError> {
        self.with(|connection| of_indexes(connection, names))
    }

    /// Uids of the oldest tasks that are over. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn oldest_finished(&self, most: u32) -> Result<Vec<u32>, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT uid FROM tasks WHERE status NOT IN ('enqueued', 'processing') ORDER BY uid LIMIT ?1",
            )?;
            let rows = statement.query_map([most], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Tasks by state. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counts(&self) -> Result<Counts, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT status, COUNT(*) FROM tasks GROUP BY status")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, u32>(1)?.into())))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Tasks that concern any of these indexes.
pub(super) fn of_indexes<'a>(
    connection: &Connection,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<TaskRow>, StoreError> {
    let names: Vec<&str> = names.collect();
    let names = serde_json::Value::from(names).to_string();
    let mut statement = connection.prepare_cached(
        "SELECT json FROM tasks WHERE uid IN
         (SELECT uid FROM task_indexes WHERE name IN (SELECT value FROM json_each(?1)))",
    )?;
    let rows = statement.query_map([names], |row| row.get::<_, String>(0))?;
    rows.map(|json| serde_json::from_str(&json?).map_err(|source| StoreError::Row { kind: "task".to_owned(), source }))
        .collect()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// Conditions with their values.
struct Query {
    text: String,
    values: Vec<Value>,
}

impl Query {
    fn of(filter: &TaskFilter) -> Self {
        let mut query = Self { text: "1".to_owned(), values: Vec::new() };
        let uid = |uid: &u32| Value::Integer((*uid).into());
        if let Some(uids) = &filter.uids {
            query.one_of("t.uid", uids.iter().map(uid));
        }
        if let Some(uids) = &filter.batch_uids {
            query.text.push_str(" AND t.status <> 'enqueued'");
            query.one_of("t.uid", uids.iter().map(uid));
        }
        if let Some(uids) = &filter.canceled_by {
            query.one_of("t.canceled_by", uids.iter().map(uid));
        }
        if let Some(types) = &filter.types {
            query.one_of("t.type", types.iter().map(|name| text(name)));
        }
        if let Some(statuses) = &filter.statuses {
            query.one_of("t.status", statuses.iter().map(|name| text(name)));
        }
        if let Some(indexes) = &filter.indexes {
            query.text.push_str(" AND t.uid IN (SELECT i.uid FROM task_indexes i WHERE 1");
            query.one_of("i.name", indexes.iter().map(|name| text(name)));
            query.text.push(')');
        }
        for (column, span) in
            [("t.enqueued", filter.enqueued), ("t.started", filter.started), ("t.finished", filter.finished)]
        {
            query.within(column, span);
        }
        query
    }

    /// Lists go in as one JSON array, so that their length is not bounded by SQLite's number of parameters.
    fn one_of(&mut self, column: &str, values: impl Iterator<Item = Value>) {
        let members: Vec<serde_json::Value> = values
            .map(|value| match value {
                Value::Integer(number) => number.into(),
                Value::Text(text) => text.into(),
                _ => serde_json::Value::Null,
            })
            .collect();
        self.text.push_str(&format!(" AND {column} IN (SELECT value FROM json_each(?))"));
        self.values.push(Value::Text(serde_json::Value::Array(members).to_string()));
    }

    fn compare(&mut self, condition: &str, value: Value) {
        self.text.push_str(&format!(" AND {condition} ?"));
        self.values.push(value);
    }

    fn within(&mut self, column: &str, span: Span) {
        if let Some(after) = span.after {
            self.compare(&format!("{column} >"), Value::Integer(after.as_millisecond()));
        }
        if let Some(before) = span.before {
            self.compare(&format!("{column} <"), Value::Integer(before.as_millisecond()));
        }
    }
}
