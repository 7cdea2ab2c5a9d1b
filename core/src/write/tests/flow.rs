//! What is sent, to whom, and what comes of it when all goes well.

use super::*;
use crate::error::ErrorBody;

#[test]
fn a_write_is_begun_dispatched_committed_and_answered() {
    let mut run = Run::replace();
    let begin: Begin = run.message(BEGIN_PATH);
    assert_eq!((begin.received, begin.bytes), (5, DOCUMENTS.len() as u64));
    assert_eq!(begin.shards.iter().map(|shard| shard.keys).sum::<u32>(), 5);
    assert_eq!((begin.primary_key.as_deref(), begin.key_source), (Some("id"), KeySource::Map));
    assert_eq!((begin.index.as_str(), begin.incarnation), ("m", Some(1)));
    assert_eq!(begin.authorization.as_deref(), Some("Bearer client"));
    assert_eq!((begin.digest.len(), begin.fault), (32, None));

    run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.grant()));
    assert_eq!(run.open.len(), 3);
    for node in ["n0", "n1", "n2"] {
        let call = run.call(&format!("{node}-w"));
        assert_eq!(call.path, "/indexes/m/documents?customMetadata=c0ffee00.1.70&primaryKey=id");
        assert_eq!(call.method, "POST");
        assert!(call.headers.contains(&("authorization".into(), format!("Bearer key-{node}"))));
        assert!(call.headers.contains(&("x-request-id".into(), "r".into())));
        let documents: Vec<serde_json::Value> = serde_json::from_slice(&call.body).unwrap();
        assert_eq!(documents.len(), 5);
        assert!(documents.iter().all(|document| tag::decode(document[tag::TAG_FIELD].as_str().unwrap(), 4).is_some()));
    }
    run.accept("n1-w", 11);
    run.accept("n0-w", 10);
    run.accept("n2-w", 12);
    let accepted = |node: &str, uid| (node.to_owned(), PartOutcome::Accepted { uid });
    assert_eq!(run.report(), [accepted("n0", 10), accepted("n1", 11), accepted("n2", 12)]);
    assert!(run.reply.is_none(), "nothing is promised before the commit");
    run.answer(COMMIT_PATH, &committed());
    assert_eq!(run.status(), 202);
    assert!(run.notices.is_empty());
}

#[test]
fn each_node_gets_the_documents_of_its_shards() {
    let mut run = Run::replace();
    let mut grant = run.grant();
    for (part, shards) in grant.parts.iter_mut().zip([vec![0, 1], vec![2, 3], vec![]]) {
        part.shards = shards.into_iter().map(|shard| PartShard { shard, counts: true }).collect();
    }
    run.answer(BEGIN_PATH, &BeginAnswer::Grant(grant));
    let documents = |node: &str| -> Vec<serde_json::Value> { serde_json::from_slice(&run.call(node).body).unwrap() };
    let (first, second) = (documents("n0-w"), documents("n1-w"));
    assert_eq!(first.len() + second.len(), 5);
    assert!(documents("n2-w").is_empty());
    let shard = |document: &serde_json::Value| tag::decode(document[tag::TAG_FIELD].as_str().unwrap(), 4).unwrap();
    assert!(first.iter().all(|document| shard(document) < 2));
    assert!(second.iter().all(|document| shard(document) >= 2));
}

#[test]
fn every_kind_has_its_request() {
    let sent = |kind, query, body: &str| {
        let mut run = Run::new(setup(kind, query, body));
        run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.grant()));
        let call = run.call("n0-w");
        (call.method, call.path.clone(), String::from_utf8(call.body.clone()).unwrap())
    };
    let ticket = "customMetadata=c0ffee00.1.70";
    let none = String::new();
    let (method, path, _) = sent(WriteKind::Update, Some("skipCreation=true"), DOCUMENTS);
    assert_eq!((method, path), ("PUT", format!("/indexes/m/documents?{ticket}&primaryKey=id&skipCreation=true")));
    let one = sent(WriteKind::DeleteOne, None, "");
    assert_eq!(one, ("DELETE", format!("/indexes/m/documents/7?{ticket}"), none.clone()));
    let all = sent(WriteKind::DeleteAll, None, "ignored");
    assert_eq!(all, ("DELETE", format!("/indexes/m/documents?{ticket}"), none));
    let (method, path, body) = sent(WriteKind::DeleteBatch, None, r#"[1,"b"]"#);
    assert_eq!((method, path), ("POST", format!("/indexes/m/documents/delete-batch?{ticket}")));
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&body).unwrap().len(), 2);
    let (method, path, body) = sent(WriteKind::DeleteByFilter, None, r#"{"filter":"a = 1"}"#);
    assert_eq!((method, path), ("POST", format!("/indexes/m/documents/delete?{ticket}")));
    assert!(body.starts_with(r#"{"filter":["a = 1","_miroir_shard IN ["#), "{body}");
    let (method, path, body) = sent(WriteKind::Edit, None, r#"{"function":"doc.a = 1"}"#);
    assert_eq!((method, path), ("POST", format!("/indexes/m/documents/edit?{ticket}")));
    assert!(body.starts_with(r#"{"filter":"_miroir_shard IN ["#), "{body}");
}

#[test]
fn a_node_that_holds_everything_alone_needs_no_clause() {
    for (kind, whole, sent) in [
        (WriteKind::DeleteByFilter, r#"{"filter":"a = 1"}"#, r#"{"filter":"a = 1"}"#),
        (WriteKind::Edit, r#"{"function":"doc.a = 1"}"#, r#"{"filter":null,"#),
    ] {
        let mut run = Run::new(setup(kind, None, whole));
        run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.again("n0")));
        let body = String::from_utf8(run.call("n0-w").body.clone()).unwrap();
        assert!(body.starts_with(sent), "{body}");
        let mut grant = run.again("n0");
        grant.parts[0].shards.pop();
        let mut run = Run::new(setup(kind, None, whole));
        run.answer(BEGIN_PATH, &BeginAnswer::Grant(grant));
        let body = String::from_utf8(run.call("n0-w").body.clone()).unwrap();
        assert!(body.contains("_miroir_shard IN ["), "{body}");
    }
}

#[test]
fn begin_tells_what_an_edit_does() {
    let run = Run::new(setup(WriteKind::Edit, None, r#"{"function":"doc.a = 1","filter":"a = 2","context":{"b":1}}"#));
    let begin: Begin = run.message(BEGIN_PATH);
    assert_eq!((begin.shards, begin.keys, begin.original_filter.as_deref()), (vec![], None, Some("\"a = 2\"")));
    let context = Some(serde_json::json!({"b": 1}));
    assert_eq!(begin.edit, Some(Box::new(Edit { function: "doc.a = 1".into(), context })));
}

#[test]
fn a_part_beyond_what_nodes_take_is_sent_to_none() {
    let body = r#"[{"id":1},{"id":2},{"id":3}]"#;
    let mut run = Run::new(WriteSetup { node_body_bytes: 40, ..setup(WriteKind::Replace, None, body) });
    run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.grant()));
    let answer = run.reply.as_ref().unwrap();
    let text = String::from_utf8_lossy(&answer.body);
    assert!(
        answer.status == 413 && text.contains("payload_too_large") && text.contains("Nothing was written"),
        "{text}"
    );
    assert!(run.open.is_empty(), "no node got anything");
    assert_eq!(run.notices.iter().map(|call| call.path.as_str()).collect::<Vec<_>>(), [ABORT_PATH]);
}

#[test]
fn control_may_answer_at_once() {
    let mut run = Run::replace();
    run.answer(BEGIN_PATH, &BeginAnswer::Reply(reply(403)));
    assert_eq!(run.status(), 403);
    assert!(run.notices.is_empty() && run.open.is_empty());
}

#[test]
fn a_payload_that_the_engine_refuses_is_refused_once_the_key_is_accepted() {
    for (kind, body) in
        [(WriteKind::Replace, r#"[{"id":1}"#), (WriteKind::DeleteByFilter, "{}"), (WriteKind::Edit, "{}")]
    {
        let denied = ErrorBody::new("invalid_api_key", "The provided API key is invalid.");
        let denied = CallResult::Answer { status: 403, headers: vec![], body: serde_json::to_vec(&denied).unwrap() };
        let accepted = CallResult::Answer { status: 204, headers: vec![], body: vec![] };
        for (result, status) in [(accepted, 400), (denied, 403), (CallResult::Unknown(Unknown::Broken), 400)] {
            let mut run = Run::new(setup(kind, None, body));
            assert_eq!(run.open.len(), 1);
            assert_eq!(run.message::<Authorise>(AUTHORISE_PATH).kind, kind);
            run.end(AUTHORISE_PATH, result);
            assert_eq!(run.status(), status);
            assert!(run.open.is_empty() && run.notices.is_empty());
        }
    }
}

#[test]
fn a_faulty_payload_does_not_wait_for_control_for_ever() {
    let mut run = Run::new(setup(WriteKind::Replace, None, "["));
    run.sleep(30_000);
    assert_eq!(run.status(), 400);
}

#[test]
fn a_payload_whose_task_would_fail_is_reported_to_control() {
    let mut run = Run::new(setup(WriteKind::Replace, None, r#"[{"id":1},{"id":"a b"}]"#));
    let begin: Begin = run.message(BEGIN_PATH);
    assert_eq!(begin.fault.unwrap().code, "invalid_document_id");
    assert_eq!((begin.received, begin.primary_key.as_deref()), (2, Some("id")));
    run.answer(BEGIN_PATH, &BeginAnswer::Reply(reply(202)));
    assert_eq!(run.status(), 202);
}

#[test]
fn a_grant_for_a_faulty_payload_is_not_used() {
    let mut run = Run::new(setup(WriteKind::Replace, None, r#"[{"id":"a b"}]"#));
    run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.grant()));
    assert_eq!(run.status(), 503);
    assert_eq!(run.notices[0].path, ABORT_PATH);
    assert!(run.open.is_empty());
}

#[test]
fn begin_names_the_keys_unless_they_are_too_many() {
    let keys = |kind, body: &str| {
        let run = Run::new(setup(kind, None, body));
        run.message::<Begin>(BEGIN_PATH).keys
    };
    let documents = r#"[{"id":2},{"id":"1"},{"id":1}]"#;
    assert_eq!(keys(WriteKind::Update, documents), Some(vec!["1".into(), "2".into()]));
    assert_eq!(keys(WriteKind::DeleteBatch, "[3,\"3\",4]"), Some(vec!["3".into(), "4".into()]));
    assert_eq!(keys(WriteKind::DeleteOne, ""), Some(vec!["7".into()]));
    assert_eq!(keys(WriteKind::DeleteAll, ""), None);
    let many: Vec<String> = (0..=crate::wire::MAX_BEGIN_KEYS).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    assert_eq!(keys(WriteKind::Replace, &format!("[{}]", many.join(","))), None);
}

#[test]
fn another_primary_key_splits_again_under_a_new_attempt() {
    let mut run = Run::new(setup(WriteKind::Replace, None, r#"[{"id":1,"sku":"a"},{"id":1,"sku":"b"}]"#));
    let first: Begin = run.message(BEGIN_PATH);
    assert_eq!(first.shards.iter().map(|shard| shard.keys).sum::<u32>(), 1);
    let resplit = BeginAnswer::Resplit { primary_key: "sku".into(), incarnation: 5 };
    run.answer(BEGIN_PATH, &resplit);
    let second: Begin = run.message(BEGIN_PATH);
    assert_eq!((second.primary_key.as_deref(), second.incarnation), (Some("sku"), Some(5)));
    assert_eq!(second.shards.iter().map(|shard| shard.keys).sum::<u32>(), 2);
    assert_ne!(first.attempt, second.attempt);
    assert_eq!(first.digest, second.digest);
    run.answer(BEGIN_PATH, &resplit);
    run.answer(BEGIN_PATH, &resplit);
    assert_eq!(run.status(), 503);
    assert_eq!(run.notices[0].path, ABORT_PATH);
}

#[test]
fn the_parameter_names_the_primary_key() {
    let run = Run::new(setup(WriteKind::Replace, Some("primaryKey=sku"), r#"[{"id":1,"sku":"a"}]"#));
    let begin: Begin = run.message(BEGIN_PATH);
    assert_eq!((begin.primary_key.as_deref(), begin.key_source), (Some("sku"), KeySource::Parameter));
}

/// The whole text recorded from Meilisearch 1.50, but for the index's name, which the engine puts in front.
#[test]
fn geo_is_checked_where_the_settings_name_it() {
    let body = r#"[{"id":1,"_geo":{"lat":"x","lng":1}}]"#;
    let begin = |geo| {
        let run = Run::new(WriteSetup { geo, ..setup(WriteKind::Replace, None, body) });
        run.message::<Begin>(BEGIN_PATH).fault
    };
    assert_eq!(begin(false), None);
    let fault = begin(true).unwrap();
    assert_eq!(fault.code, "invalid_document_geo_field");
    assert_eq!(
        fault.message,
        "Index `m`: Could not parse latitude in the document with the id: `\"1\"`. Was expecting a finite number but \
         instead got `\"x\"`."
    );
}

#[test]
fn an_unknown_index_infers_its_key() {
    let run = Run::new(WriteSetup { index: None, ..setup(WriteKind::Replace, None, r#"[{"sku_id":1}]"#) });
    let begin: Begin = run.message(BEGIN_PATH);
    assert_eq!((begin.primary_key.as_deref(), begin.key_source), (Some("sku_id"), KeySource::Inferred));
    assert_eq!(begin.incarnation, None);
}

#[test]
fn a_grant_without_parts_is_committed_at_once() {
    let mut run = Run::new(setup(WriteKind::Replace, None, "[]"));
    run.answer(BEGIN_PATH, &BeginAnswer::Grant(Grant { parts: vec![], ..run.grant() }));
    assert!(run.report().is_empty());
    run.answer(COMMIT_PATH, &committed());
    assert_eq!(run.status(), 202);
}
