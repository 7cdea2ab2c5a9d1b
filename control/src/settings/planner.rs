//! Index operations as requests to nodes. What the engine finds only when it carries a task out is decided here, once
//! for all nodes: a node that holds no document of an index would otherwise accept what another one refuses.

use miroir_core::error::ErrorBody;
use serde_json::{Value, json};

use super::drift;
use super::model::Settings;
use super::update::Update;
use crate::cluster::{FoundIndex, IndexOperation, IndexPlan, IndexRow, IndexSwap, Indexes, NodeStep, Planner};

/// The planner of this build's settings model.
#[derive(Clone, Copy, Debug, Default)]
pub struct SettingsPlanner;

/// Every plan has at least one step, even where nodes have nothing to change: it is what puts an operation in its
/// place among the others, and what shows that the node has the index.
impl Planner for SettingsPlanner {
    fn plan(
        &self,
        operation: &IndexOperation,
        current: Option<&IndexRow>,
        indexes: &Indexes,
    ) -> Result<IndexPlan, ErrorBody> {
        match operation {
            IndexOperation::Create { uid, .. } if current.is_some() => {
                Err(ErrorBody::new("index_already_exists", format!("Index `{uid}` already exists.")))
            }
            IndexOperation::Create { uid, primary_key } => Ok(fresh(uid, primary_key.as_deref())),
            IndexOperation::Update { uid, primary_key, new_uid } => {
                change(uid, primary_key.as_deref(), new_uid.as_deref(), current, indexes)
            }
            IndexOperation::Delete { uid } => {
                current.ok_or_else(|| not_found(uid))?;
                Ok(steps(vec![drop_index(uid)]))
            }
            IndexOperation::Compact { uid } => {
                let path = format!("/indexes/{uid}/compact");
                Ok(steps(vec![step("POST", path, None, "indexCompaction", Some(uid))]))
            }
            IndexOperation::Swap { swaps } => Ok(swap(swaps)),
            IndexOperation::Settings { uid, change, may_create, .. } => {
                settings(uid, &Update::from_change(change), current, *may_create)
            }
        }
    }

    fn agrees(&self, expected: &IndexRow, node_settings: &Value) -> bool {
        Settings::from_stored(&expected.settings).agrees_with_node(node_settings)
    }

    fn reconcile(&self, expected: &[IndexRow], found: &[FoundIndex]) -> Vec<NodeStep> {
        let left_over = found.iter().filter(|found| expected.iter().all(|row| row.uid != found.uid));
        let mut steps: Vec<NodeStep> = left_over.map(|found| drop_index(&found.uid)).collect();
        for row in expected {
            steps.extend(drift::steps(row, found.iter().find(|found| found.uid == row.uid)));
        }
        steps
    }
}

/// "Index `a` not found."
pub(crate) fn not_found(uid: &str) -> ErrorBody {
    ErrorBody::new("index_not_found", format!("Index `{uid}` not found."))
}

fn steps(steps: Vec<NodeStep>) -> IndexPlan {
    IndexPlan { steps, settings: None, view: None, details: None }
}

fn step(method: &str, path: String, body: Option<Value>, task_type: &str, index: Option<&str>) -> NodeStep {
    NodeStep {
        method: method.to_owned(),
        path,
        body: body.map(|body| body.to_string()),
        task_type: task_type.to_owned(),
        task_index: index.map(str::to_owned),
        tolerate: Vec::new(),
    }
}

pub(super) fn patch_settings(uid: &str, body: Value) -> NodeStep {
    step("PATCH", format!("/indexes/{uid}/settings"), Some(body), "settingsUpdate", Some(uid))
}

pub(super) fn create(uid: &str, primary_key: Option<&str>) -> NodeStep {
    let body = json!({ "uid": uid, "primaryKey": primary_key });
    let create = step("POST", "/indexes".to_owned(), Some(body), "indexCreation", Some(uid));
    NodeStep { tolerate: vec!["index_already_exists".to_owned()], ..create }
}

pub(super) fn drop_index(uid: &str) -> NodeStep {
    let gone = step("DELETE", format!("/indexes/{uid}"), None, "indexDeletion", Some(uid));
    NodeStep { tolerate: vec!["index_not_found".to_owned()], ..gone }
}

/// A new index: it is created, then its shard tag is made filterable.
fn fresh(uid: &str, primary_key: Option<&str>) -> IndexPlan {
    let settings = Settings::default();
    IndexPlan {
        steps: vec![create(uid, primary_key), patch_settings(uid, settings.node_settings())],
        settings: Some(settings.to_stored()),
        view: Some(settings.search_view()),
        details: None,
    }
}

/// A primary key can be given to an index that has none, and to one that is empty, which looks here as if it had none.
fn change(
    uid: &str,
    wanted: Option<&str>,
    new_uid: Option<&str>,
    current: Option<&IndexRow>,
    indexes: &Indexes,
) -> Result<IndexPlan, ErrorBody> {
    let row = current.ok_or_else(|| not_found(uid))?;
    match (wanted, &row.primary_key) {
        (Some(wanted), Some(known)) if wanted != known => Err(ErrorBody::new(
            "index_primary_key_already_exists",
            format!("Index `{uid}`: Index already has a primary key: `{known}`."),
        )),
        _ => {
            let mut body = json!({ "primaryKey": wanted });
            if let Some(new) = new_uid.filter(|new| *new != uid) {
                if indexes.contains_key(new) {
                    return Err(ErrorBody::new("index_already_exists", format!("Index `{new}` already exists.")));
                }
                body["uid"] = new.into();
            }
            Ok(steps(vec![step("PATCH", format!("/indexes/{uid}"), Some(body), "indexUpdate", Some(uid))]))
        }
    }
}

/// That every index is there and no new name is taken has been seen to.
fn swap(swaps: &[IndexSwap]) -> IndexPlan {
    let body = swaps.iter().map(|IndexSwap { indexes: (left, right), rename }| {
        let indexes = json!([left, right]);
        if *rename { json!({ "indexes": indexes, "rename": true }) } else { json!({ "indexes": indexes }) }
    });
    steps(vec![step("POST", "/swap-indexes".to_owned(), Some(body.collect()), "indexSwap", None)])
}

fn settings(uid: &str, update: &Update, current: Option<&IndexRow>, may_create: bool) -> Result<IndexPlan, ErrorBody> {
    let before = match current {
        Some(row) => Settings::from_stored(&row.settings),
        None if may_create => Settings::default(),
        None => return Err(not_found(uid)),
    };
    let after = before.apply(uid, update)?;
    let mut steps = if current.is_none() { fresh(uid, None).steps } else { Vec::new() };
    steps.push(patch_settings(uid, after.node_update(&before, update)));
    Ok(IndexPlan { steps, settings: Some(after.to_stored()), view: Some(after.search_view()), details: None })
}
