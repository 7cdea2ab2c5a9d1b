//! Operations on indexes: asked for, and what they mean for nodes.

use miroir_sequencer::*;
use serde_json::json;

use crate::world::World;

impl World {
    pub fn index_operation(&mut self, operation: IndexOperation) {
        self.control.next_request += 1;
        let request = RequestId(self.control.next_request);
        self.note(|| format!("operation {operation:?}"));
        let event = miroir_sequencer::Event::IndexOperation { request, operation, custom_metadata: None };
        self.control_event(self.control.instance, event);
    }
}

pub fn step(task_type: &str, index: Option<&str>, body: Option<String>) -> NodeStep {
    NodeStep {
        method: "POST".into(),
        path: "/".into(),
        body,
        task_type: task_type.into(),
        task_index: index.map(str::to_owned),
        tolerate: Vec::new(),
    }
}

/// What the caller says an operation means.
pub fn plan(operation: &IndexOperation, current: Option<&IndexRow>) -> IndexPlan {
    let mut plan = IndexPlan { steps: Vec::new(), settings: None, view: None, details: None };
    match operation {
        IndexOperation::Create { uid, .. } => {
            plan.steps.push(step("indexCreation", Some(uid), None));
            plan.settings = Some(json!(""));
        }
        IndexOperation::Update { uid, .. } => plan.steps.push(step("indexUpdate", Some(uid), None)),
        IndexOperation::Delete { uid } => plan.steps.push(step("indexDeletion", Some(uid), None)),
        IndexOperation::Compact { uid } => plan.steps.push(step("indexCompaction", Some(uid), None)),
        IndexOperation::Swap { swaps } => {
            let body = swaps.first().map(|IndexSwap { indexes: (left, right), .. }| format!("{left},{right}"));
            plan.steps.push(step("indexSwap", None, body));
        }
        IndexOperation::Settings { uid, change, .. } => {
            if current.is_none() {
                plan.steps.push(step("indexCreation", Some(uid), None));
            }
            let value = change.as_str().unwrap_or_default().to_owned();
            plan.settings = Some(json!(value));
            plan.steps.push(step("settingsUpdate", Some(uid), Some(value)));
        }
    }
    plan
}
