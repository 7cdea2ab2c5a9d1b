//! Indexes through their routes, against what one engine answers.

use std::sync::Arc;

use axum::Router;
use serde_json::json;

use super::router;
use crate::cluster::NodeStep;
use crate::settings::testing::{Fake, call};

fn cluster() -> (Arc<Fake>, Router) {
    let fake = Arc::new(Fake::new(Some("masterkeymasterkey")));
    let router = router(fake.clone());
    (fake, router)
}

/// The steps of the operation that a request makes, or the error of its task.
async fn task(fake: &Fake, router: &Router, method: &str, path: &str, body: &str) -> Result<Vec<String>, String> {
    let (status, answer) = call(router, method, path, body).await;
    assert_eq!(status, 202, "{answer}");
    let (_, plan) = fake.operations().pop().unwrap();
    let step = |step: NodeStep| format!("{} {} {}", step.method, step.path, step.body.unwrap_or_default());
    plan.map(|plan| plan.steps.into_iter().map(step).collect()).map_err(|fault| fault.message)
}

#[tokio::test]
async fn indexes_come_change_and_go() {
    let (fake, router) = cluster();
    let created = task(&fake, &router, "POST", "/indexes", r#"{"uid":"m"}"#).await.unwrap();
    assert_eq!(created[0], r#"POST /indexes {"uid":"m","primaryKey":null}"#);
    assert!(
        created[1].starts_with(
            r#"PATCH /indexes/m/settings {"filterableAttributes":[{"attributePatterns":["_miroir_shard"]"#
        )
    );
    let again = task(&fake, &router, "POST", "/indexes", r#"{"uid":"m"}"#).await;
    assert_eq!(again, Err("Index `m` already exists.".to_owned()));
    let keyed = task(&fake, &router, "PATCH", "/indexes/m", r#"{"primaryKey":"id"}"#).await.unwrap();
    assert_eq!(keyed, [r#"PATCH /indexes/m {"primaryKey":"id"}"#]);
    let (_, shown) = call(&router, "GET", "/indexes/m", "").await;
    assert_eq!(
        shown.to_string(),
        r#"{"uid":"m","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z","primaryKey":"id"}"#
    );
    assert_eq!(task(&fake, &router, "PATCH", "/indexes/m", r#"{"primaryKey":"id","uid":"m"}"#).await.unwrap(), keyed);
    let other = task(&fake, &router, "PATCH", "/indexes/m", r#"{"primaryKey":"sku"}"#).await;
    assert_eq!(other.unwrap_err(), "Index `m`: Index already has a primary key: `id`.");
    assert_eq!(task(&fake, &router, "DELETE", "/indexes/m", "").await.unwrap(), ["DELETE /indexes/m "]);
    let gone = task(&fake, &router, "DELETE", "/indexes/m", "").await;
    assert_eq!(gone, Err("Index `m` not found.".to_owned()));
    assert_eq!(call(&router, "GET", "/indexes/m", "").await.0, 404);
}

#[tokio::test]
async fn lists_are_ordered_and_paged() {
    let (fake, router) = cluster();
    for uid in ["b", "a", "c"] {
        task(&fake, &router, "POST", "/indexes", &json!({ "uid": uid }).to_string()).await.unwrap();
    }
    let (_, page) = call(&router, "GET", "/indexes?limit=1&offset=1", "").await;
    assert_eq!((&page["results"][0]["uid"], &page["total"], &page["limit"]), (&json!("b"), &json!(3), &json!(1)));
}

#[tokio::test]
async fn swaps_are_one_operation_on_all_their_indexes() {
    let (fake, router) = cluster();
    for uid in ["a", "b"] {
        task(&fake, &router, "POST", "/indexes", &json!({ "uid": uid }).to_string()).await.unwrap();
    }
    let swapped = task(&fake, &router, "POST", "/swap-indexes", r#"[{"indexes":["a","b"]}]"#).await.unwrap();
    assert_eq!(swapped, [r#"POST /swap-indexes [{"indexes":["a","b"]}]"#]);
    let renamed = task(&fake, &router, "POST", "/swap-indexes", r#"[{"indexes":["a","c"],"rename":true}]"#).await;
    assert_eq!(renamed.unwrap(), [r#"POST /swap-indexes [{"indexes":["a","c"],"rename":true}]"#]);
}

#[tokio::test]
async fn another_name_and_a_compaction_are_operations_on_all_nodes() {
    let (fake, router) = cluster();
    for uid in ["a", "b"] {
        task(&fake, &router, "POST", "/indexes", &json!({ "uid": uid }).to_string()).await.unwrap();
    }
    let named = task(&fake, &router, "PATCH", "/indexes/a", r#"{"uid":"c"}"#).await.unwrap();
    assert_eq!(named, [r#"PATCH /indexes/a {"primaryKey":null,"uid":"c"}"#]);
    let same = task(&fake, &router, "PATCH", "/indexes/a", r#"{"uid":"a","primaryKey":"id"}"#).await.unwrap();
    assert_eq!(same, [r#"PATCH /indexes/a {"primaryKey":"id"}"#]);
    let taken = task(&fake, &router, "PATCH", "/indexes/a", r#"{"uid":"b"}"#).await;
    assert_eq!(taken.unwrap_err(), "Index `b` already exists.");
    let compacted = task(&fake, &router, "POST", "/indexes/a/compact", "").await.unwrap();
    assert_eq!(compacted, ["POST /indexes/a/compact "]);
}

#[tokio::test]
async fn faults_are_the_engines() {
    let (fake, router) = cluster();
    for (method, path, body, code, message) in [
        ("POST", "/indexes", "{}", "missing_index_uid", "Missing field `uid`"),
        (
            "POST",
            "/indexes",
            r#"{"uid":1}"#,
            "invalid_index_uid",
            "Invalid value type at `.uid`: expected a string, but found a positive integer: `1`",
        ),
        (
            "POST",
            "/indexes",
            r#"{"uid":"a b"}"#,
            "invalid_index_uid",
            "Invalid value at `.uid`: `a b` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes.",
        ),
        (
            "POST",
            "/indexes",
            r#"{"uid":"x","primaryKey":1}"#,
            "invalid_index_primary_key",
            "Invalid value type at `.primaryKey`: expected a string, but found a positive integer: `1`",
        ),
        (
            "POST",
            "/indexes",
            r#"{"uid":"x","foo":1}"#,
            "bad_request",
            "Unknown field `foo`: expected one of `uid`, `primaryKey`",
        ),
        (
            "PATCH",
            "/indexes/n",
            r#"{"createdAt":1}"#,
            "immutable_index_created_at",
            "Immutable field `createdAt`: expected one of `primaryKey`, `uid`",
        ),
        (
            "PATCH",
            "/indexes/n",
            r#"{"uid":"a b"}"#,
            "invalid_index_uid",
            "`a b` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes.",
        ),
        (
            "POST",
            "/swap-indexes",
            "{}",
            "bad_request",
            "Invalid value type: expected an array, but found an object: `{}`",
        ),
        ("POST", "/swap-indexes", "[{}]", "missing_swap_indexes", "Missing field `indexes` inside `[0]`"),
        (
            "POST",
            "/swap-indexes",
            r#"[{"indexes":["a"]}]"#,
            "invalid_swap_indexes",
            "Two indexes must be given for each swap. The list `[\"a\"]` contains 1 indexes.",
        ),
        (
            "POST",
            "/swap-indexes",
            r#"[{"indexes":["m","m"]}]"#,
            "invalid_swap_duplicate_index_found",
            "Indexes must be declared only once during a swap. `m` was specified several times.",
        ),
        (
            "POST",
            "/swap-indexes",
            r#"[{"indexes":["m","p"],"rename":1}]"#,
            "invalid_swap_rename",
            "Invalid value type at `[0].rename`: expected a boolean, but found a positive integer: `1`",
        ),
        (
            "GET",
            "/indexes?limit=x",
            "",
            "invalid_index_limit",
            "Invalid value in parameter `limit`: could not parse `x` as a positive integer",
        ),
    ] {
        let (status, answer) = call(&router, method, path, body).await;
        assert_eq!((status, answer["code"].as_str(), answer["message"].as_str()), (400, Some(code), Some(message)));
    }
    assert_eq!(fake.operations(), []);
}

#[test]
fn whole_seconds_have_a_fraction_too() {
    assert_eq!(super::moment(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
    assert_eq!(super::moment(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
}
