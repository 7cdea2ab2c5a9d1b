//! Which tasks a request means: the query parameters of the tasks API, read as the engine reads them.

use jiff::Timestamp;
use miroir_core::error::ErrorBody;

use crate::api::query::{list, moment, number};
use crate::indexes::query::{boolean, pairs, unknown};

/// Task states in the order in which the engine names them.
pub const STATUSES: [&str; 5] = ["enqueued", "processing", "succeeded", "failed", "canceled"];

/// Task types in the order in which the engine names them, and whether a task of the type is about exactly one index.
pub const TYPES: [(&str, bool); 18] = [
    ("documentAdditionOrUpdate", true),
    ("documentEdition", true),
    ("documentDeletion", true),
    ("settingsUpdate", true),
    ("indexCreation", true),
    ("indexDeletion", true),
    ("indexUpdate", true),
    ("indexSwap", false),
    ("taskCancelation", false),
    ("taskDeletion", false),
    ("dumpCreation", false),
    ("snapshotCreation", false),
    ("export", false),
    ("upgradeDatabase", false),
    ("indexCompaction", true),
    ("networkTopologyChange", false),
    ("dsrUpdate", false),
    ("dsrClear", false),
];

const PAGING: [&str; 3] = ["limit", "from", "reverse"];
const FILTERS: [&str; 12] = [
    "batchUids",
    "uids",
    "canceledBy",
    "types",
    "statuses",
    "indexUids",
    "afterEnqueuedAt",
    "beforeEnqueuedAt",
    "afterStartedAt",
    "beforeStartedAt",
    "afterFinishedAt",
    "beforeFinishedAt",
];
/// The engine names the first two the other way round where there is no paging.
const FILTERS_ALONE: [&str; 12] = {
    let mut names = FILTERS;
    names.swap(0, 1);
    names
};

/// Bounds on one of a task's times, both exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Later than this.
    pub after: Option<Timestamp>,
    /// Earlier than this.
    pub before: Option<Timestamp>,
}

/// Conditions that a task must all meet. `None` does not restrict; an empty list is met by no task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Uids.
    pub uids: Option<Vec<u32>>,
    /// Batch uids: a finished or running task is its own batch, under its own uid.
    pub batch_uids: Option<Vec<u32>>,
    /// Uids of the cancelations.
    pub canceled_by: Option<Vec<u32>>,
    /// Types, in the engine's spelling.
    pub types: Option<Vec<&'static str>>,
    /// States, in the engine's spelling.
    pub statuses: Option<Vec<&'static str>>,
    /// Index uids.
    pub indexes: Option<Vec<String>>,
    /// `enqueuedAt`.
    pub enqueued: Span,
    /// `startedAt`.
    pub started: Span,
    /// `finishedAt`.
    pub finished: Span,
}

/// A page of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPage {
    /// Which tasks.
    pub filter: TaskFilter,
    /// At most so many.
    pub limit: u32,
    /// First uid, going down (or up).
    pub from: Option<u32>,
    /// Oldest first.
    pub reverse: bool,
}

/// Reads the parameters of `GET /tasks` and `GET /batches`.
///
/// # Errors
/// The engine's refusal of the first bad parameter.
pub fn page(raw: &str) -> Result<TaskPage, ErrorBody> {
    let accepted: Vec<&str> = PAGING.iter().chain(&FILTERS).copied().collect();
    let mut page = TaskPage { filter: TaskFilter::default(), limit: 20, from: None, reverse: false };
    for (name, value) in pairs(Some(raw)) {
        match name.as_str() {
            "limit" => page.limit = number(&name, "invalid_task_limit", &value)?,
            "from" => page.from = Some(number(&name, "invalid_task_from", &value)?),
            "reverse" => page.reverse = boolean(&name, &value, "invalid_task_reverse")?,
            _ if read(&mut page.filter, &name, &value)? => {}
            _ => return Err(unknown(&name, &accepted)),
        }
    }
    Ok(page)
}

/// Reads the parameters of `POST /tasks/cancel` (`verb` is `cancel`) and `DELETE /tasks` (`delete`).
///
/// # Errors
/// The engine's refusal of the first bad parameter, or of a request that names no filter at all.
pub fn selection(raw: &str, verb: &str) -> Result<TaskFilter, ErrorBody> {
    let mut filter = TaskFilter::default();
    let mut named = false;
    for (name, value) in pairs(Some(raw)) {
        if !read(&mut filter, &name, &value)? {
            return Err(unknown(&name, &FILTERS_ALONE));
        }
        named = true;
    }
    if named {
        return Ok(filter);
    }
    Err(ErrorBody::new(
        "missing_task_filters",
        format!(
            "Query parameters to filter the tasks to {verb} are missing. Available query parameters are: `uids`, \
             `indexUids`, `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, `afterEnqueuedAt`, \
             `beforeStartedAt`, `afterStartedAt`, `beforeFinishedAt`, `afterFinishedAt`."
        ),
    ))
}

fn read(filter: &mut TaskFilter, name: &str, value: &str) -> Result<bool, ErrorBody> {
    let uid = |text: &str| text.parse::<u32>().map_err(|_| format!("could not parse `{text}` as a positive integer"));
    match name {
        "uids" => filter.uids = list(name, "invalid_task_uids", value, uid)?,
        "batchUids" => filter.batch_uids = list(name, "invalid_batch_uids", value, uid)?,
        "canceledBy" => filter.canceled_by = list(name, "invalid_task_canceled_by", value, uid)?,
        "types" => filter.types = list(name, "invalid_task_types", value, task_type)?,
        "statuses" => filter.statuses = list(name, "invalid_task_statuses", value, status)?,
        "indexUids" => filter.indexes = list(name, "invalid_index_uid", value, index_uid)?,
        "afterEnqueuedAt" => filter.enqueued.after = moment(name, "invalid_task_after_enqueued_at", value, true)?,
        "beforeEnqueuedAt" => {
            filter.enqueued.before = moment(name, "invalid_task_before_enqueued_at", value, false)?;
        }
        "afterStartedAt" => filter.started.after = moment(name, "invalid_task_after_started_at", value, true)?,
        "beforeStartedAt" => {
            filter.started.before = moment(name, "invalid_task_before_started_at", value, false)?;
        }
        "afterFinishedAt" => filter.finished.after = moment(name, "invalid_task_after_finished_at", value, true)?,
        "beforeFinishedAt" => {
            filter.finished.before = moment(name, "invalid_task_before_finished_at", value, false)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn quoted(names: impl Iterator<Item = &'static str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn task_type(text: &str) -> Result<&'static str, String> {
    let found = TYPES.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let available = quoted(TYPES.iter().map(|(name, _)| *name));
        format!("`{text}` is not a valid task type. Available types are {available}.")
    })
}

fn status(text: &str) -> Result<&'static str, String> {
    STATUSES.into_iter().find(|name| name.eq_ignore_ascii_case(text)).ok_or_else(|| {
        format!("`{text}` is not a valid task status. Available statuses are {}.", quoted(STATUSES.into_iter()))
    })
}

fn index_uid(text: &str) -> Result<String, String> {
    crate::indexes::valid_uid(text).map(|()| text.to_owned()).map_err(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_messages_are_met() {
        let fault = |raw: &str| page(raw).unwrap_err();
        assert_eq!(
            fault("limit=-1").message,
            "Invalid value in parameter `limit`: could not parse `-1` as a positive integer"
        );
        assert_eq!(fault("limit=-1").code, "invalid_task_limit");
        assert_eq!(fault("reverse=True").code, "invalid_task_reverse");
        assert_eq!(fault("foo=z&uids=a").code, "bad_request");
        assert_eq!(fault("uids=a&foo=z").code, "invalid_task_uids");
        assert_eq!(
            fault("statuses=a,b").message,
            "Invalid value in parameter `statuses[0]`: `a` is not a valid task status. Available statuses are \
             `enqueued`, `processing`, `succeeded`, `failed`, `canceled`."
        );
        assert_eq!(fault("indexUids=a%20b").code, "invalid_index_uid");
    }

    #[test]
    fn types_and_states_are_read_without_regard_to_case() {
        let page = page("types=documentadditionorupdate&statuses=Enqueued&limit=1&limit=2").unwrap();
        assert_eq!(page.filter.types, Some(vec!["documentAdditionOrUpdate"]));
        assert_eq!(page.filter.statuses, Some(vec!["enqueued"]));
        assert_eq!(page.limit, 2);
    }

    #[test]
    fn a_selection_needs_a_filter_and_takes_no_paging() {
        assert_eq!(selection("", "cancel").unwrap_err().code, "missing_task_filters");
        assert!(
            selection("limit=1", "cancel")
                .unwrap_err()
                .message
                .starts_with("Unknown parameter `limit`: expected one of `uids`, `batchUids`")
        );
        assert_eq!(selection("uids=", "delete").unwrap().uids, Some(vec![]));
    }
}
