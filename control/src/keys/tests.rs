//! Keys through their routes.

use std::sync::Arc;

use serde_json::json;

use super::{default_keys, router};
use crate::settings::testing::{Fake, call, call_as};

#[tokio::test]
async fn keys_are_made_found_changed_and_deleted() {
    let fake = Arc::new(Fake::new(Some("masterkeymasterkey")).with_keys(default_keys()));
    let router = router(fake);
    let body =
        r#"{"uid":"01b4bc42-eb33-4041-b481-254d00cce834","actions":["documents.*"],"indexes":["a*"],"expiresAt":null}"#;
    let (status, key) = call(&router, "POST", "/keys", body).await;
    assert_eq!(status, 201);
    let value = key["key"].as_str().unwrap().to_owned();
    let (status, error) = call(&router, "POST", "/keys", body).await;
    assert_eq!(status, 409);
    assert_eq!(
        error["message"],
        "`uid` field value `01b4bc42-eb33-4041-b481-254d00cce834` is already an existing API key."
    );
    let (_, list) = call(&router, "GET", "/keys?limit=2", "").await;
    assert_eq!((&list["total"], &list["results"][0]["key"]), (&json!(5), &json!(value)));
    assert_eq!(list["results"][1]["name"], "Default Search API Key");
    let (status, changed) = call(&router, "PATCH", &format!("/keys/{value}"), r#"{"name":"n"}"#).await;
    assert_eq!((status, &changed["name"], &changed["key"]), (200, &json!("n"), &json!(value)));
    let (_, shown) = call(&router, "GET", "/keys/01b4bc42-eb33-4041-b481-254d00cce834", "").await;
    assert_eq!(shown, changed);
    let (status, error) = call_as(&router, Some(&format!("Bearer {value}")), "GET", "/keys", "").await;
    assert_eq!((status, error["code"].as_str()), (403, Some("invalid_api_key")));
    assert_eq!(call(&router, "DELETE", &format!("/keys/{value}"), "").await.0, 204);
    let (status, error) = call(&router, "GET", &format!("/keys/{value}"), "").await;
    assert_eq!((status, error["message"].as_str()), (404, Some(format!("API key `{value}` not found.").as_str())));
}

#[tokio::test]
async fn without_a_master_key_there_are_no_keys() {
    let router = router(Arc::new(Fake::new(None)));
    let (status, error) = call_as(&router, None, "GET", "/keys", "").await;
    assert_eq!((status, error["code"].as_str()), (401, Some("missing_master_key")));
}

#[test]
fn the_default_keys_are_those_of_the_engine_and_always_the_same() {
    let keys = default_keys();
    assert_eq!(keys.len(), 4);
    assert!(keys.windows(2).all(|pair| pair[0].created_at < pair[1].created_at));
    assert!(keys.iter().zip(default_keys()).all(|(one, other)| one.uid == other.uid));
    assert!(keys.iter().all(|key| key.uid.get_version_num() == 4));
    assert_eq!(keys[3].name.as_deref(), Some("Default Search API Key"));
}
