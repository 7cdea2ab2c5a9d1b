//! Settings that fail, and what becomes of others.

use miroir_core::error::ErrorBody;
use miroir_sequencer::{IndexOperation, TaskStatus};
use serde_json::json;

use crate::desk::{Desk, config, write};

fn pair() -> Desk {
    Desk::new(config(2, vec![vec![0, 1], vec![1, 0]]), true)
}

#[test]
fn settings_that_documents_of_one_node_object_to_fail_and_the_others_give_them_back() {
    let mut desk = pair();
    let objection = ErrorBody::new("vector_embedding_error", "no vectors provided for document `1`");
    desk.nodes.get_mut("n1").unwrap().objection = Some(objection.clone());
    let change =
        IndexOperation::Settings { uid: "a".into(), change: json!("x"), details: json!({}), may_create: false };
    let uid = desk.operate(change);
    desk.wait(600);
    let task = desk.task(uid);
    assert_eq!((task.status, task.error.as_ref()), (TaskStatus::Failed, Some(&objection)));
    assert!(desk.sequencer.map().stale.is_empty(), "the documents are the same everywhere");
    desk.wait(100);
    assert_eq!(desk.looked_at, ["n0"]);
    assert_eq!(desk.granted(write("t1", &[0])).parts.len(), 2);
}

#[test]
fn settings_that_fail_take_nothing_of_later_ones_with_them() {
    let mut desk = pair();
    let change = |change| IndexOperation::Settings { uid: "a".into(), change, details: json!({}), may_create: false };
    let first = desk.operate(change(json!({ "stopWords": ["the"] })));
    desk.wait(600);
    assert_eq!(desk.task(first).status, TaskStatus::Succeeded);
    let objection = ErrorBody::new("vector_embedding_error", "no vectors provided for document `1`");
    for node in desk.nodes.values_mut() {
        node.objection = Some(objection.clone());
    }
    let refused = desk.operate(change(json!({ "embedders": { "own": {} }, "stopWords": [] })));
    desk.nodes.values_mut().for_each(|node| node.objection = None);
    let later = desk.operate(change(json!({ "synonyms": { "a": ["b"] } })));
    desk.wait(1_000);
    assert_eq!((desk.task(refused).status, desk.task(later).status), (TaskStatus::Failed, TaskStatus::Succeeded));
    let settings = desk.sequencer.index("a").unwrap().settings.clone();
    assert_eq!(settings, json!({ "stopWords": ["the"], "synonyms": { "a": ["b"] } }));
}
