//! What differs from run to run and is masked before answers are compared.

use serde_json::{Value, json};

/// Fields that hold times, sizes, numbers of tasks and batches, or names of builds.
const ALWAYS: &[&str] = &[
    "processingTimeMs",
    "requestUid",
    "enqueuedAt",
    "startedAt",
    "finishedAt",
    "duration",
    "createdAt",
    "updatedAt",
    "lastUpdate",
    "taskUid",
    "batchUid",
    "from",
    "next",
    "databaseSize",
    "usedDatabaseSize",
    "rawDocumentDbSize",
    "avgDocumentSize",
    "commitSha",
    "commitDate",
];

/// Masks a value, and in it the fields named by the step.
pub(super) fn mask(value: &mut Value, more: &[String]) {
    match value {
        Value::Object(object) => {
            let task = object.contains_key("batchUid") && object.contains_key("status");
            for (name, value) in object.iter_mut() {
                let hidden = ALWAYS.contains(&name.as_str())
                    || more.iter().any(|field| field == name)
                    || (task && ["uid", "canceledBy"].contains(&name.as_str()));
                if hidden && !value.is_null() {
                    *value = json!("<masked>");
                } else {
                    mask(value, more);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, more)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_tasks_are_masked_and_those_of_indexes_are_not() {
        let mut value =
            json!({"results": [{"uid": 7, "batchUid": 3, "status": "succeeded"}], "uid": "movies", "next": null});
        mask(&mut value, &[]);
        assert_eq!(
            value,
            json!({"results": [{"uid": "<masked>", "batchUid": "<masked>", "status": "succeeded"}], "uid": "movies", "next": null})
        );
    }
}
