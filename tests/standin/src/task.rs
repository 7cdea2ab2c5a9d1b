//! Tasks: what they are, what they do, how they look.

use jiff::Timestamp;
use miroir_core::error::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::clock;

/// State of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// Waits.
    Enqueued,
    /// Is being worked on.
    Processing,
    /// Done.
    Succeeded,
    /// Done, with an error.
    Failed,
    /// Cancelled before it was done.
    Canceled,
}

impl Status {
    /// As the API writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing will change any more.
    pub(crate) fn finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// What a task does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Adds or updates documents.
    Add {
        /// Fields are merged into what is there (`PUT`), instead of replacing it (`POST`).
        merge: bool,
        /// The documents, as they came.
        documents: Vec<Box<RawValue>>,
        /// `?primaryKey=`.
        primary_key: Option<String>,
        /// Documents that do not exist yet are dropped.
        skip_creation: bool,
        /// The index may be created.
        create_index: bool,
    },
    /// Deletes documents by id.
    Delete {
        /// The ids.
        ids: Vec<String>,
    },
    /// Deletes the documents that a filter finds.
    DeleteByFilter {
        /// The filter, as it came.
        filter: Value,
    },
    /// Runs a function on the documents that a filter finds.
    Edit {
        /// The filter, as it came.
        filter: Option<Value>,
        /// What the function is given beside the document.
        context: Option<Value>,
        /// The function.
        function: String,
    },
    /// Deletes all documents.
    Clear,
    /// Changes settings.
    Settings {
        /// Checked changes.
        changes: Map<String, Value>,
        /// The index may be created.
        create_index: bool,
    },
    /// Creates an index.
    Create {
        /// Its primary key.
        primary_key: Option<String>,
    },
    /// Changes an index.
    Update {
        /// Its new primary key.
        primary_key: Option<String>,
        /// Its uid.
        old: String,
        /// Its new uid.
        uid: Option<String>,
    },
    /// Deletes an index.
    Drop,
    /// Swaps pairs of indexes.
    Swap {
        /// The pairs; the flag means rename.
        pairs: Vec<(String, String, bool)>,
    },
    /// Cancels tasks.
    Cancel {
        /// The request's query string.
        query: String,
        /// Tasks that matched.
        tasks: Vec<u32>,
    },
    /// Deletes tasks.
    Forget {
        /// The request's query string.
        query: String,
        /// Tasks that matched.
        tasks: Vec<u32>,
    },
    /// A dump or snapshot: accepted, and nothing is written.
    Backup {
        /// `dumpCreation` or `snapshotCreation`.
        kind: String,
    },
    /// Another version takes the directory over.
    Upgrade {
        /// The version that wrote it.
        from: String,
        /// The version that it is now of.
        to: String,
    },
}

impl Work {
    /// Type of the task, as the API writes it.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Add { .. } => "documentAdditionOrUpdate",
            Self::Delete { .. } | Self::DeleteByFilter { .. } | Self::Clear => "documentDeletion",
            Self::Edit { .. } => "documentEdition",
            Self::Settings { .. } => "settingsUpdate",
            Self::Create { .. } => "indexCreation",
            Self::Update { .. } => "indexUpdate",
            Self::Drop => "indexDeletion",
            Self::Swap { .. } => "indexSwap",
            Self::Cancel { .. } => "taskCancelation",
            Self::Forget { .. } => "taskDeletion",
            Self::Backup { kind } => kind,
            Self::Upgrade { .. } => "upgradeDatabase",
        }
    }

    /// Details before the task is done.
    pub(crate) fn details(&self) -> Value {
        match self {
            Self::Add { documents, .. } => json!({"receivedDocuments": documents.len(), "indexedDocuments": null}),
            Self::Delete { ids } => json!({"providedIds": ids.len(), "deletedDocuments": null, "originalFilter": null}),
            Self::DeleteByFilter { filter } => {
                json!({"providedIds": 0, "deletedDocuments": null, "originalFilter": filter.to_string()})
            }
            Self::Edit { filter, context, function } => json!({
                "editedDocuments": null,
                "deletedDocuments": null,
                "originalFilter": filter.as_ref().map(Value::to_string),
                "context": context,
                "function": function,
            }),
            Self::Clear | Self::Drop => json!({"deletedDocuments": null}),
            Self::Settings { changes, .. } => Value::Object(changes.clone()),
            Self::Create { primary_key } => json!({"primaryKey": primary_key}),
            Self::Update { primary_key, uid: None, .. } => json!({"primaryKey": primary_key}),
            Self::Update { primary_key, old, uid } => {
                json!({"primaryKey": primary_key, "oldIndexUid": old, "newIndexUid": uid})
            }
            Self::Swap { pairs } => {
                let swaps: Vec<_> = pairs
                    .iter()
                    .map(|(left, right, rename)| json!({"indexes": [left, right], "rename": rename}))
                    .collect();
                json!({"swaps": swaps})
            }
            Self::Cancel { query, tasks } => {
                json!({"matchedTasks": tasks.len(), "canceledTasks": null, "originalFilter": query})
            }
            Self::Forget { query, tasks } => {
                json!({"matchedTasks": tasks.len(), "deletedTasks": null, "originalFilter": query})
            }
            Self::Backup { kind } if kind == "dumpCreation" => json!({"dumpUid": null}),
            Self::Backup { .. } => Value::Null,
            Self::Upgrade { from, to } => json!({"upgradeFrom": format!("v{from}"), "upgradeTo": format!("v{to}")}),
        }
    }

    /// Whether tasks of this type keep `customMetadata`; all others ignore it.
    pub(crate) fn keeps_metadata(&self) -> bool {
        matches!(
            self,
            Self::Add { .. } | Self::Delete { .. } | Self::DeleteByFilter { .. } | Self::Edit { .. } | Self::Clear
        )
    }
}

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Its number.
    pub(crate) uid: u32,
    /// The batch that did it.
    pub(crate) batch: Option<u32>,
    /// The index it is about.
    pub(crate) index: Option<String>,
    /// Its state.
    pub(crate) status: Status,
    /// What it does.
    pub(crate) work: Work,
    /// The task that cancelled it.
    pub(crate) canceled_by: Option<u32>,
    /// What came of it.
    pub(crate) details: Value,
    /// Why it failed.
    pub(crate) error: Option<ErrorBody>,
    /// When it was enqueued.
    pub(crate) enqueued_at: Timestamp,
    /// When its batch started.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// The client's `customMetadata`.
    pub(crate) metadata: Option<String>,
}

impl Task {
    /// A new task in the queue.
    pub(crate) fn new(uid: u32, index: Option<String>, work: Work, metadata: Option<String>, at: Timestamp) -> Self {
        Self {
            uid,
            batch: None,
            index,
            status: Status::Enqueued,
            details: work.details(),
            metadata: metadata.filter(|_| work.keeps_metadata()),
            work,
            canceled_by: None,
            error: None,
            enqueued_at: at,
            started_at: None,
            finished_at: None,
        }
    }

    /// As `GET /tasks` shows it.
    pub(crate) fn view(&self) -> Value {
        let mut view = json!({
            "uid": self.uid,
            "batchUid": self.batch,
            "indexUid": self.index,
            "status": self.status.name(),
            "type": self.work.kind(),
            "canceledBy": self.canceled_by,
            "details": self.details,
            "error": self.error,
            "duration": self.started_at.zip(self.finished_at).map(|(from, to)| clock::duration(from, to)),
            "enqueuedAt": clock::text(self.enqueued_at),
            "startedAt": self.started_at.map(clock::text),
            "finishedAt": self.finished_at.map(clock::text),
        });
        self.put_metadata(&mut view);
        view
    }

    /// As the answer to the request that made it.
    pub(crate) fn summary(&self) -> Value {
        let mut view = json!({
            "taskUid": self.uid,
            "indexUid": self.index,
            "status": Status::Enqueued.name(),
            "type": self.work.kind(),
            "enqueuedAt": clock::text(self.enqueued_at),
        });
        self.put_metadata(&mut view);
        view
    }

    fn put_metadata(&self, view: &mut Value) {
        if let (Some(metadata), Some(view)) = (&self.metadata, view.as_object_mut()) {
            view.insert("customMetadata".into(), json!(metadata));
        }
    }
}
