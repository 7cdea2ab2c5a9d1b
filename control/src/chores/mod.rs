//! Tasks that control carries out itself, one after the other: dumps. They have their place in the one sequence
//! of tasks; what they read, they read from the nodes like any client.

mod dump;
mod plain;
mod reading;
mod routes;

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use miroir_core::error::ErrorBody;
use miroir_sequencer::{TaskRow, TaskStatus};
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::warn;

pub use routes::router;

use crate::cluster::Cluster;
use crate::store::StoreError;
use crate::tasks::filter::{TaskFilter, TaskPage};

/// Types of the tasks that are carried out here. None of them waits for another one of these: it may be its turn only
/// after it.
const TYPES: &[&str] = &["dumpCreation"];

/// What is to be done.
#[derive(Debug)]
enum Work {
    /// A dump into this directory.
    Dump(PathBuf),
}

/// The queue.
#[derive(Clone, Debug)]
pub struct Chores {
    inbox: mpsc::UnboundedSender<(TaskRow, Work)>,
}

impl Chores {
    /// Starts taking work. What the last process has left undone has failed; to be called before any request is served,
    /// as that is told by what is open now.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn start(cluster: &Arc<Cluster>) -> Result<Self, StoreError> {
        let left_over = left_over(cluster)?;
        let (inbox, work) = mpsc::unbounded_channel();
        tokio::spawn(run(Arc::downgrade(cluster), left_over, work));
        Ok(Self { inbox })
    }

    /// Enqueues work: its task.
    ///
    /// # Errors
    /// Shutdown.
    async fn enqueue(
        &self,
        cluster: &Cluster,
        task_type: &str,
        details: Value,
        work: Work,
    ) -> Result<TaskRow, ErrorBody> {
        let task = cluster.record(TaskRow::by_control(task_type, details), false).await?;
        // A closed queue means shutdown: the task is found undone at the next start.
        let _ = self.inbox.send((task.clone(), work));
        Ok(task)
    }
}

async fn run(
    cluster: Weak<Cluster>,
    left_over: Vec<TaskRow>,
    mut inbox: mpsc::UnboundedReceiver<(TaskRow, Work)>,
) -> Option<()> {
    if let Err(error) = give_up(&*cluster.upgrade()?, left_over).await {
        warn!("tasks that the last process has left undone stay as they are: {}", error.message);
    }
    while let Some((task, work)) = inbox.recv().await {
        let cluster = cluster.upgrade()?;
        tokio::select! {
            // Whatever is under way then is found undone at the next start.
            () = cluster.closed() => return None,
            done = carry_out(&cluster, task.clone(), work) => if let Err(error) = done {
                warn!(task = task.uid, "what has become of the task cannot be recorded: {}", error.message);
            },
        }
    }
    None
}

async fn carry_out(cluster: &Cluster, mut task: TaskRow, work: Work) -> Result<(), ErrorBody> {
    // The sequencer fills in the times.
    task.status = TaskStatus::Processing;
    task.started_ms = Some(0);
    let mut task = cluster.record(task, true).await?;
    let done = match work {
        Work::Dump(directory) => dump::create(cluster, &task, &directory).await,
    };
    task.finished_ms = Some(0);
    match done {
        Ok(details) => {
            task.status = TaskStatus::Succeeded;
            task.details = Some(details);
        }
        Err(error) => {
            task.status = TaskStatus::Failed;
            task.error = Some(error);
        }
    }
    cluster.record(task, true).await.map(drop)
}

/// Tasks of an earlier process that are not over.
fn left_over(cluster: &Cluster) -> Result<Vec<TaskRow>, StoreError> {
    let filter = TaskFilter {
        statuses: Some(vec!["enqueued", "processing"]),
        types: Some(TYPES.to_vec()),
        ..TaskFilter::default()
    };
    let page = TaskPage { filter, limit: u32::MAX, from: None, reverse: true };
    cluster.store().reader().page(&page, &|_| true, false).map(|(tasks, _)| tasks)
}

/// Says of tasks that nobody carries them out any more.
async fn give_up(cluster: &Cluster, tasks: Vec<TaskRow>) -> Result<(), ErrorBody> {
    for mut task in tasks {
        let message = "Control was started anew before the task was over; ask for it again.";
        task.error = Some(ErrorBody::new("internal", message));
        task.status = TaskStatus::Failed;
        task.started_ms = task.started_ms.or(Some(0));
        task.finished_ms = Some(0);
        cluster.record(task, true).await?;
    }
    Ok(())
}
