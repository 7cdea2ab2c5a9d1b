//! The store in Redis. Redis holds the rows; whatever waits when it is free is written by one script, all or none, and
//! only while this control leads. Tasks are read from a mirror in a temporary SQLite file, which is filled at start and
//! follows every write after Redis has it: Redis has no queries of the kind that the tasks API needs. The mirror has
//! everything else too, so that a backup is of one moment.
//!
//! A write whose answer is lost is repeated until the lease is over: it says what rows are, not how they change, so
//! that repeating it in the same order does no harm.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use miroir_sequencer::{Record, TaskRow};
use redis::aio::ConnectionManager;
use redis::{AsyncTypedCommands, ErrorKind, Script, ServerErrorKind};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::lease::{Lease, connect};
use super::writer::{Writer, renamed};
use super::{Change, Loaded, Reader, RedisLocation, StoreError, schema};

/// Version of the form of the rows.
const SCHEMA: u32 = 1;
/// Most waiting writes in one script.
const GROUP: usize = 256;
/// Pause before a write without answer is repeated.
const RETRY: Duration = Duration::from_millis(100);
/// The hashes, in the order in which the script gets them after the lease.
const HASHES: [&str; 3] = ["rows", "values", "tasks"];
const ROWS: usize = 0;
const VALUES: usize = 1;
const TASKS: usize = 2;

const WRITE: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED another control leads')
end
local at = 2
while at <= #ARGV do
  local hash = KEYS[2 + tonumber(ARGV[at + 1])]
  if ARGV[at] == 'put' then
    redis.call('HSET', hash, ARGV[at + 2], ARGV[at + 3])
  elseif ARGV[at] == 'clear' then
    redis.call('DEL', hash)
  else
    redis.call('HDEL', hash, ARGV[at + 2])
  end
  at = at + 4
end
return 1";

#[derive(Clone)]
pub(super) struct Remote {
    jobs: mpsc::UnboundedSender<Job>,
    lease: Lease,
    /// For asking who leads: not behind the writes that wait.
    asking: Arc<tokio::sync::Mutex<Option<ConnectionManager>>>,
    /// Holds the mirror; removed with the last clone.
    _directory: Arc<tempfile::TempDir>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("lease", &self.lease).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Job {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// What is done with a hash, in the script's words.
enum Put {
    /// Sets a field, or removes it.
    Field(usize, String, Option<String>),
    /// Removes all fields.
    Clear(usize),
}

fn field(hash: usize, name: String, value: Option<String>) -> Put {
    Put::Field(hash, name, value)
}

struct Worker {
    location: RedisLocation,
    lease: Lease,
    connection: ConnectionManager,
    script: Script,
    mirror: Writer,
    reader: Arc<Reader>,
}

impl Remote {
    /// Reads everything, makes the mirror in `directory` and takes writes from then on.
    pub(super) async fn open(
        location: &RedisLocation,
        lease: Lease,
        directory: tempfile::TempDir,
    ) -> Result<(Self, Arc<Reader>, Loaded), StoreError> {
        let mut connection = connect(location).await?;
        check_schema(location, &mut connection).await?;
        warn_if_volatile(&mut connection).await;
        let rows = connection.hgetall(location.key(HASHES[ROWS])).await?;
        let values = connection.hgetall(location.key(HASHES[VALUES])).await?;
        let path = directory.path().join("mirror.sqlite");
        let mut file = rusqlite::Connection::open(&path)?;
        schema::prepare(&mut file)?;
        // Nothing depends on the mirror after a crash.
        file.pragma_update(None, "synchronous", "OFF")?;
        copy_rows(&mut file, &rows, &values)?;
        let loaded = super::reader::load(&file)?;
        let mirror = Writer::start(file);
        copy_tasks(location, &mut connection, &mirror).await?;
        let reader = Arc::new(Reader::new(&path));
        let (jobs, queue) = mpsc::unbounded_channel();
        let worker = Worker {
            location: location.clone(),
            lease: lease.clone(),
            connection,
            script: Script::new(WRITE),
            mirror,
            reader: reader.clone(),
        };
        tokio::spawn(worker.run(queue));
        let asking = Arc::default();
        Ok((Self { jobs, lease, asking, _directory: Arc::new(directory) }, reader, loaded))
    }

    pub(super) async fn is_led(&self) -> bool {
        self.lease.holds(&mut *self.asking.lock().await).await
    }

    pub(super) async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        self.jobs.send(Job { changes, done }).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Worker {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        while let Some(first) = queue.recv().await {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(more) = queue.try_recv()
            {
                group.push(more);
            }
            let mut changes = Vec::new();
            let mut waiting = Vec::with_capacity(group.len());
            for job in group {
                changes.extend(job.changes);
                waiting.push(job.done);
            }
            let outcome = self.commit(changes).await.map_err(|error| error.to_string());
            let failed = outcome.is_err();
            for done in waiting {
                let _ = done.send(outcome.clone().map_err(StoreError::Transaction));
            }
            if failed {
                // Later changes build on these.
                return;
            }
        }
    }

    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let puts = self.puts(&changes)?;
        loop {
            match self.send(&puts).await {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::Extension || is_refusal(&error) => return Err(error.into()),
                Err(error) => {
                    warn!(%error, "writing to the store again");
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = self.lease.lost() => return Err(error.into()),
                    }
                }
            }
        }
        self.mirror.write(changes).await
    }

    async fn send(&mut self, puts: &[Put]) -> redis::RedisResult<()> {
        let mut call = self.script.prepare_invoke();
        call.key(self.location.key("leader"));
        for hash in HASHES {
            call.key(self.location.key(hash));
        }
        call.arg(self.lease.holder());
        for put in puts {
            let (verb, hash, field, value) = match put {
                Put::Field(hash, field, Some(value)) => ("put", *hash, field.as_str(), value.as_str()),
                Put::Field(hash, field, None) => ("drop", *hash, field.as_str(), ""),
                Put::Clear(hash) => ("clear", *hash, "", ""),
            };
            call.arg(verb).arg(hash).arg(field).arg(value);
        }
        call.invoke_async::<u32>(&mut self.connection).await.map(|_| ())
    }

    fn puts(&self, changes: &[Change]) -> Result<Vec<Put>, StoreError> {
        let mut puts = Vec::new();
        // Tasks that this group writes or (none) deletes, which the mirror does not know yet: a renaming goes by them.
        let mut fresh: BTreeMap<u32, Option<TaskRow>> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Records(records) => {
                    for record in records {
                        let (kind, key) = record.slot();
                        match record {
                            Record::Task(task) => {
                                fresh.insert(task.uid, Some((**task).clone()));
                                puts.push(field(TASKS, key, record.value()));
                            }
                            _ => puts.push(field(ROWS, format!("{kind}/{key}"), record.value())),
                        }
                    }
                }
                Change::Value(name, json) => puts.push(field(VALUES, name.clone(), json.clone())),
                Change::Clear => puts.extend((0..HASHES.len()).map(Put::Clear)),
                Change::DeleteTasks(uids) => {
                    for uid in uids {
                        fresh.insert(*uid, None);
                        puts.push(field(TASKS, uid.to_string(), None));
                    }
                }
                Change::RenameTasks(names, below) => {
                    let mut concerned = self.reader.of_indexes(names.iter().map(|(old, _)| old.as_str()))?;
                    concerned.retain(|task| !fresh.contains_key(&task.uid));
                    concerned.extend(fresh.values().flatten().cloned());
                    concerned.retain(|task| task.uid < *below);
                    for task in concerned.into_iter().filter_map(|task| renamed(task, names)) {
                        let row = Record::Task(Box::new(task.clone()));
                        fresh.insert(task.uid, Some(task));
                        puts.push(field(TASKS, row.slot().1, row.value()));
                    }
                }
            }
        }
        Ok(puts)
    }
}

/// The store has answered, and will answer the same again.
fn is_refusal(error: &redis::RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain | ServerErrorKind::MasterDown) => {
            false
        }
        ErrorKind::Server(_) => true,
        _ => error.code().is_some(),
    }
}

async fn check_schema(location: &RedisLocation, connection: &mut ConnectionManager) -> Result<(), StoreError> {
    let key = location.key("schema");
    connection.set_nx(&key, SCHEMA).await?;
    let found = connection.get(&key).await?.and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
    if found > SCHEMA {
        return Err(StoreError::Newer { found, known: SCHEMA });
    }
    Ok(())
}

/// A Redis that keeps nothing on disk loses acknowledged writes with its process.
async fn warn_if_volatile(connection: &mut ConnectionManager) {
    let settings: redis::RedisResult<BTreeMap<String, String>> =
        redis::cmd("CONFIG").arg("GET").arg("append*").query_async(connection).await;
    let Ok(settings) = settings else {
        return warn!("the store does not tell its persistence: see to it that it has appendonly yes");
    };
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|found| found == value);
    if !is("appendonly", "yes") {
        warn!("the store has appendonly off: a restart of it loses what was acknowledged since its last snapshot");
    } else if !is("appendfsync", "always") {
        warn!("the store has appendfsync other than always: a power cut there loses up to its last second");
    }
}

fn copy_rows(
    mirror: &mut rusqlite::Connection,
    rows: &HashMap<String, String>,
    values: &HashMap<String, String>,
) -> Result<(), StoreError> {
    let filling = mirror.transaction()?;
    for (slot, json) in rows {
        let (kind, key) = slot.split_once('/').unwrap_or((slot, ""));
        filling.prepare_cached("INSERT INTO rows (kind, key, json) VALUES (?1, ?2, ?3)")?.execute([kind, key, json])?;
    }
    for (name, json) in values {
        filling.prepare_cached("INSERT INTO vals (name, json) VALUES (?1, ?2)")?.execute([name, json])?;
    }
    filling.commit()?;
    Ok(())
}

async fn copy_tasks(
    location: &RedisLocation,
    connection: &mut ConnectionManager,
    mirror: &Writer,
) -> Result<(), StoreError> {
    let mut cursor = 0u64;
    loop {
        let (next, page): (u64, Vec<(String, String)>) = redis::cmd("HSCAN")
            .arg(location.key(HASHES[TASKS]))
            .arg(cursor)
            .arg("COUNT")
            .arg(2_000)
            .query_async(connection)
            .await?;
        let rows = page.iter().map(|(_, json)| {
            let task: Result<TaskRow, _> = serde_json::from_str(json);
            task.map(|task| Record::Task(Box::new(task)))
        });
        let rows = rows
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| StoreError::Row { kind: "task".to_owned(), source })?;
        mirror.write(vec![Change::Records(rows)]).await?;
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
