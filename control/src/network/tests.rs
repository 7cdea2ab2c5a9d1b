//! Changes of the network.

use super::*;

fn after(bodies: &[Value]) -> Value {
    bodies.iter().fold(stored(None), |network, body| changed(network, body).unwrap())
}

#[test]
fn changes_are_merged_and_null_takes_away() {
    let first = json!({ "self": "b", "remotes": { "b": { "url": "http://b", "searchApiKey": "s" }, "a": { "url": "http://a" } } });
    let network = after(&[first.clone(), json!({ "remotes": { "b": { "writeApiKey": "w" } } })]);
    let b = json!({ "url": "http://b", "searchApiKey": "s", "writeApiKey": "w", "status": "available" });
    assert_eq!((&network["self"], &network["remotes"]["b"]), (&json!("b"), &b));
    assert_eq!(network["remotes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
    let network = after(&[first.clone(), json!({ "remotes": { "b": null }, "self": null })]);
    assert_eq!((network["remotes"].as_object().unwrap().len(), &network["self"]), (1, &Value::Null));
    let cleared = after(&[first, json!({ "remotes": null, "leader": null })]);
    assert_eq!((&cleared["remotes"], &cleared["leader"]), (&json!({}), &Value::Null));
    assert_ne!(cleared["version"], stored(None)["version"]);
}

#[test]
fn what_the_community_edition_refuses_is_refused() {
    let code = |body: Value| changed(stored(None), &body).unwrap_err().code;
    assert_eq!(code(json!({ "leader": "a" })), "requires_enterprise_edition");
    assert_eq!(code(json!({ "remotes": { "a": {} } })), "missing_network_url");
    let fault = changed(stored(None), &json!({ "remotes": { "c": { "url": "xx" } } })).unwrap_err();
    assert_eq!(fault.message, "Invalid `.remotes.c.url` (`xx`): relative URL without a base");
}
