//! Doing a batch of tasks. The outcome depends on the state and the batch alone, so that it can be done again.

mod edit;

use std::collections::BTreeSet;

use jiff::Timestamp;
use miroir_core::error::ErrorBody;
use serde_json::{Map, Value, json};

use crate::filter::{self, Filter, Scope};
use crate::index::Index;
use crate::index::words::Analysis;
use crate::index::{geo, key, vectors};
use crate::node::State;
use crate::task::{Status, Task, Work};

/// Faults of a filter or of a field: unlike those of an id or a key, they fail every task of the batch.
const WHOLE_BATCH: [&str; 4] =
    ["invalid_document_filter", "invalid_document_geo_field", "invalid_vector_dimensions", "vector_embedding_error"];

/// What came of one task.
type Outcome = Result<Map<String, Value>, ErrorBody>;

fn details(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn missing(uid: &str) -> ErrorBody {
    ErrorBody::new("index_not_found", format!("Index `{uid}` not found."))
}

/// Does a batch and records what came of each task.
pub(crate) fn batch(state: &mut State, uids: &[u32], at: Timestamp, planted: &[(u32, String)]) {
    let tasks: Vec<Task> = uids.iter().filter_map(|uid| state.tasks.get(uid).cloned()).collect();
    let (doomed, tasks): (Vec<Task>, Vec<Task>) =
        tasks.into_iter().partition(|task| planted.iter().any(|(uid, _)| *uid == task.uid));
    for task in doomed {
        let code = planted.iter().find(|(uid, _)| *uid == task.uid).map_or("internal", |(_, code)| code.as_str());
        finish(state, task.uid, Err(ErrorBody::new(code, "A failure planted by a test.")));
    }
    let Some(first) = tasks.first() else { return };
    let index = first.index.clone().unwrap_or_default();
    match &first.work {
        _ if matches!(tasks.last().map(|task| &task.work), Some(Work::Drop)) => drop_index(state, &index, &tasks),
        Work::Add { .. } | Work::Delete { .. } | Work::DeleteByFilter { .. } | Work::Clear => {
            documents(state, &index, &tasks, at);
        }
        Work::Edit { filter, context, function } => {
            let contains = state.feature("containsFilter");
            let outcome = match state.indexes.get_mut(&index) {
                Some(index) => edit::edit(index, filter.as_ref(), context.as_ref(), function, contains),
                None => Err(missing(&index)),
            };
            finish(state, first.uid, outcome);
        }
        Work::Settings { .. } => settings(state, &index, &tasks, at),
        Work::Create { primary_key } => {
            let outcome = if state.indexes.contains_key(&index) {
                Err(ErrorBody::new("index_already_exists", format!("Index `{index}` already exists.")))
            } else {
                state.indexes.insert(index.clone(), Index::new(&index, primary_key.clone(), at));
                Ok(Map::new())
            };
            finish(state, first.uid, outcome);
        }
        Work::Update { primary_key, uid, .. } => {
            let outcome = update(state, &index, primary_key.as_deref(), uid.as_deref(), at);
            finish(state, first.uid, outcome);
        }
        Work::Swap { pairs } => {
            let outcome = swap(state, pairs);
            finish(state, first.uid, outcome);
        }
        Work::Cancel { tasks: targets, .. } => {
            let mut canceled = 0;
            for target in targets {
                if let Some(task) = state.tasks.get_mut(target).filter(|task| !task.status.finished()) {
                    canceled += 1;
                    task.status = Status::Canceled;
                    task.canceled_by = Some(first.uid);
                    task.finished_at = Some(at);
                    for name in ["indexedDocuments", "deletedDocuments"] {
                        if let Some(slot) = task.details.get_mut(name) {
                            *slot = json!(0);
                        }
                    }
                }
            }
            finish(state, first.uid, Ok(details(json!({"canceledTasks": canceled}))));
        }
        Work::Forget { tasks: targets, .. } => {
            let before = state.tasks.len();
            state.tasks.retain(|uid, task| !(targets.contains(uid) && task.status.finished()));
            let deleted = before - state.tasks.len();
            finish(state, first.uid, Ok(details(json!({"deletedTasks": deleted}))));
        }
        Work::Backup { .. } | Work::Upgrade { .. } | Work::Drop => finish(state, first.uid, Ok(Map::new())),
    }
}

fn finish(state: &mut State, uid: u32, outcome: Outcome) {
    let Some(task) = state.tasks.get_mut(&uid) else { return };
    match outcome {
        Ok(done) => {
            task.status = Status::Succeeded;
            if let Some(details) = task.details.as_object_mut() {
                details.extend(done);
            }
        }
        Err(error) => {
            task.status = Status::Failed;
            task.error = Some(error);
            // A failed edit says nothing of deletions.
            let counted = ["editedDocuments", "indexedDocuments", "deletedDocuments"];
            if let Some(name) = counted.into_iter().find(|name| task.details.get(name).is_some()) {
                task.details[name] = json!(0);
            }
        }
    }
}

fn drop_index(state: &mut State, index: &str, tasks: &[Task]) {
    let dropped = state.indexes.remove(index).map(|mut index| index.clear());
    for task in tasks {
        let outcome = match (&task.work, dropped) {
            (Work::Drop, Some(count)) => Ok(details(json!({"deletedDocuments": count}))),
            (Work::Drop, None) if tasks.len() > 1 => Ok(details(json!({"deletedDocuments": 0}))),
            (Work::Drop, None) => Err(missing(index)),
            _ => Ok(Map::new()),
        };
        finish(state, task.uid, outcome);
    }
}

fn settings(state: &mut State, uid: &str, tasks: &[Task], at: Timestamp) {
    let may_create = tasks.iter().any(|task| matches!(task.work, Work::Settings { create_index: true, .. }));
    if !state.indexes.contains_key(uid) && !may_create {
        tasks.iter().for_each(|task| finish(state, task.uid, Err(missing(uid))));
        return;
    }
    let index = state.indexes.entry(uid.to_owned()).or_insert_with(|| Index::new(uid, None, at));
    for task in tasks {
        if let Work::Settings { changes, .. } = &task.work {
            index.settings.apply(changes);
        }
    }
    index.updated_at = at;
    index.reindex();
    tasks.iter().for_each(|task| finish(state, task.uid, Ok(Map::new())));
}

fn update(state: &mut State, uid: &str, primary_key: Option<&str>, new_uid: Option<&str>, at: Timestamp) -> Outcome {
    if !state.indexes.contains_key(uid) {
        return Err(missing(uid));
    }
    if let Some(new_uid) = new_uid.filter(|new_uid| *new_uid != uid)
        && state.indexes.contains_key(new_uid)
    {
        return Err(ErrorBody::new("index_already_exists", format!("Index `{new_uid}` already exists.")));
    }
    let Some(index) = state.indexes.get_mut(uid) else { return Err(missing(uid)) };
    if let Some(primary_key) = primary_key
        && index.primary_key.as_deref() != Some(primary_key)
    {
        if let (Some(known), false) = (&index.primary_key, index.documents.is_empty()) {
            return Err(ErrorBody::new(
                "index_primary_key_already_exists",
                format!("Index `{uid}`: Index already has a primary key: `{known}`."),
            ));
        }
        index.primary_key = Some(primary_key.to_owned());
    }
    index.updated_at = at;
    let mut done = details(json!({"primaryKey": primary_key}));
    if let Some(new_uid) = new_uid
        && let Some(mut index) = state.indexes.remove(uid)
    {
        index.uid = new_uid.to_owned();
        state.indexes.insert(new_uid.to_owned(), index);
        done.extend(details(json!({"oldIndexUid": uid, "newIndexUid": new_uid})));
    }
    Ok(done)
}

fn swap(state: &mut State, pairs: &[(String, String, bool)]) -> Outcome {
    for (left, right, rename) in pairs {
        let lost: Vec<&String> = [left, right]
            .into_iter()
            .filter(|uid| !(state.indexes.contains_key(*uid) || *rename && *uid == right))
            .collect();
        match lost.as_slice() {
            [] => {}
            [one] => return Err(missing(one)),
            [one, other, ..] => {
                return Err(ErrorBody::new("index_not_found", format!("Indexes `{one}`, `{other}` not found.")));
            }
        }
    }
    for (left, right, _) in pairs {
        let (one, other) = (state.indexes.remove(left), state.indexes.remove(right));
        for (index, name) in [(one, right), (other, left)] {
            if let Some(mut index) = index {
                index.uid.clone_from(name);
                state.indexes.insert(name.clone(), index);
            }
        }
        for task in state.tasks.values_mut() {
            if task.index.as_ref() == Some(left) {
                task.index = Some(right.clone());
            } else if task.index.as_ref() == Some(right) {
                task.index = Some(left.clone());
            }
        }
    }
    Ok(Map::new())
}

fn documents(state: &mut State, uid: &str, tasks: &[Task], at: Timestamp) {
    let may_create = tasks.iter().any(|task| matches!(task.work, Work::Add { create_index: true, .. }));
    if !state.indexes.contains_key(uid) && !may_create {
        tasks.iter().for_each(|task| finish(state, task.uid, Err(missing(uid))));
        return;
    }
    let contains = state.feature("containsFilter");
    let index = state.indexes.entry(uid.to_owned()).or_insert_with(|| Index::new(uid, None, at));
    index.updated_at = at;
    let analysis = Analysis::new(&index.settings);
    let last_clear = tasks.iter().rposition(|task| matches!(task.work, Work::Clear));
    let only_deletions = tasks.iter().all(|task| matches!(task.work, Work::Delete { .. }));
    let mut outcomes: Vec<(u32, Outcome)> = Vec::new();
    let mut made = BTreeSet::new();
    let held = u64::try_from(index.documents.len()).unwrap_or_default();
    for (position, task) in tasks.iter().enumerate() {
        let outcome = match &task.work {
            Work::Clear => {
                index.clear();
                Ok(details(json!({"deletedDocuments": held})))
            }
            _ if last_clear.is_some_and(|clear| position < clear) => Ok(Map::new()),
            Work::Delete { ids } => {
                let distinct: BTreeSet<&String> = ids.iter().collect();
                let removed = distinct.iter().filter(|id| index.remove(id)).count();
                let told = if only_deletions { removed } else { distinct.len() };
                Ok(details(json!({"deletedDocuments": told})))
            }
            Work::DeleteByFilter { filter } => delete_by_filter(index, filter, contains),
            Work::Add { merge, documents, primary_key, skip_creation, .. } => {
                add(index, documents, primary_key.as_deref(), *merge, *skip_creation, &analysis, &mut made)
            }
            _ => Ok(Map::new()),
        };
        if let Err(error) = &outcome
            && WHOLE_BATCH.contains(&error.code.as_str())
        {
            let error = error.clone();
            tasks.iter().for_each(|task| finish(state, task.uid, Err(error.clone())));
            return;
        }
        outcomes.push((task.uid, outcome));
    }
    outcomes.into_iter().for_each(|(uid, outcome)| finish(state, uid, outcome));
}

fn delete_by_filter(index: &mut Index, text: &Value, contains: bool) -> Outcome {
    let fault = |message: String| ErrorBody::new("invalid_document_filter", message);
    let parsed = filter::from_json(text).map_err(|error| fault(error.message))?;
    let Some(parsed) = parsed else { return Ok(details(json!({"deletedDocuments": 0}))) };
    let ids = found(index, &parsed, text, contains)?;
    let removed = ids.iter().filter(|id| index.remove(id)).count();
    Ok(details(json!({"deletedDocuments": removed})))
}

/// Ids of the documents that a filter finds; `text`: the filter as it came.
fn found(index: &Index, parsed: &Filter, text: &Value, contains: bool) -> Result<Vec<String>, ErrorBody> {
    filter::validate(parsed, &index.settings, contains, Scope::Documents, text).map_err(|error| {
        let code = error.code.unwrap_or("invalid_document_filter");
        ErrorBody::new(code, format!("Index `{}`: {}", index.uid, error.message))
    })?;
    let found: Vec<u32> = index
        .documents
        .iter()
        .filter(|(_, document)| filter::matches(parsed, document))
        .map(|(internal, _)| *internal)
        .collect();
    Ok(found.iter().filter_map(|internal| index.id_of(*internal)).collect())
}

/// `made`: documents that the batch has made so far.
fn add(
    index: &mut Index,
    raw: &[Box<serde_json::value::RawValue>],
    wanted_key: Option<&str>,
    merge: bool,
    skip_creation: bool,
    analysis: &Analysis,
    made: &mut BTreeSet<String>,
) -> Outcome {
    let mut documents: Vec<Map<String, Value>> = Vec::with_capacity(raw.len());
    for text in raw {
        documents
            .push(serde_json::from_str(text.get()).map_err(|error| ErrorBody::new("internal", error.to_string()))?);
    }
    let primary_key = match (&index.primary_key, wanted_key, documents.first()) {
        (Some(known), Some(wanted), _) if known != wanted => {
            return Err(ErrorBody::new(
                "index_primary_key_already_exists",
                format!("Index already has a primary key: `{known}`."),
            ));
        }
        (Some(known), ..) => known.clone(),
        (None, Some(wanted), Some(_)) => wanted.to_owned(),
        (None, None, Some(first)) => key::infer(first)?,
        (None, _, None) => return Ok(details(json!({"indexedDocuments": 0}))),
    };
    let geo_counts = index.settings.sortable("_geo") || index.settings.features("_geo").is_some();
    let mut ids = Vec::with_capacity(documents.len());
    let embedders = index.settings.get("embedders").clone();
    let mut taken: Vec<vectors::Vectors> = Vec::with_capacity(documents.len());
    for document in &mut documents {
        let id = key::of(document, &primary_key)?;
        if geo_counts && let Some(message) = geo::complaint(document, &id) {
            return Err(ErrorBody::new("invalid_document_geo_field", format!("Index `{}`: {message}", index.uid)));
        }
        // Where a document comes twice, what it had before is what its last predecessor left.
        let before = ids.iter().rposition(|known| *known == id).and_then(|at| taken.get(at));
        let held = before.or_else(|| index.vectors(index.internal(&id)?));
        taken.push(
            vectors::take(document, &embedders, held, &id)
                .map_err(|error| ErrorBody::new(&error.code, format!("Index `{}`: {}", index.uid, error.message)))?,
        );
        ids.push(id);
    }
    index.primary_key = Some(primary_key);
    let distinct: BTreeSet<&String> = ids.iter().collect();
    let count = distinct.len();
    for ((id, document), vectors) in ids.iter().zip(&documents).zip(taken) {
        let absent = index.get(id).is_none();
        if skip_creation && absent {
            continue;
        }
        // The engine (1.50) lets it take the place of what makes the document, and then finds none to replace.
        if skip_creation && !merge && made.contains(id) {
            index.remove(id);
            continue;
        }
        if absent {
            made.insert(id.clone());
        }
        if merge {
            index.merge(id, document, analysis);
        } else {
            index.put(id, document, analysis);
        }
        index.put_vectors(id, vectors);
    }
    Ok(details(json!({"indexedDocuments": count})))
}
