//! Keys as clients write and read them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use miroir_core::error::ErrorBody;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::auth::{actions, key_value};
use crate::cluster::KeyRecord;
use crate::settings::shape::{Absent, Field, Shape, read};

const NAME: Field = Field::setting("name", &Shape::Text).code("invalid_api_key_name");
const DESCRIPTION: Field = Field::setting("description", &Shape::Text).code("invalid_api_key_description");

const CREATION: Shape = Shape::Object(&[
    DESCRIPTION,
    NAME,
    Field { name: "uid", shape: UID, absent: Absent::Fine, code: Some("invalid_api_key_uid") },
    Field {
        name: "actions",
        shape: Shape::List(&Shape::Choice(actions::NAMES)),
        absent: Absent::Fault(Some("missing_api_key_actions")),
        code: Some("invalid_api_key_actions"),
    },
    Field {
        name: "indexes",
        shape: Shape::List(&Shape::Checked(&Shape::Text, index_pattern)),
        absent: Absent::Fault(Some("missing_api_key_indexes")),
        code: Some("invalid_api_key_indexes"),
    },
    Field {
        name: "expiresAt",
        shape: Shape::Nullable(&Shape::Checked(&Shape::Text, expiry)),
        absent: Absent::Fault(Some("missing_api_key_expires_at")),
        code: Some("invalid_api_key_expires_at"),
    },
]);

const UID: Shape = Shape::Checked(&Shape::Text, |value| {
    let uid = Uuid::parse_str(value.as_str().unwrap_or_default()).map_err(|fault| fault.to_string())?;
    *value = uid.hyphenated().to_string().into();
    Ok(())
});

const fn immutable(name: &'static str, code: &'static str) -> Field {
    Field { name, shape: Shape::Any, absent: Absent::Immutable(code), code: None }
}

const CHANGE: Shape = Shape::Object(&[
    DESCRIPTION,
    NAME,
    immutable("uid", "immutable_api_key_uid"),
    immutable("actions", "immutable_api_key_actions"),
    immutable("indexes", "immutable_api_key_indexes"),
    immutable("expiresAt", "immutable_api_key_expires_at"),
    immutable("createdAt", "immutable_api_key_created_at"),
    immutable("updatedAt", "immutable_api_key_updated_at"),
]);

/// A new key of a body.
///
/// # Errors
/// The engine's, whether of form or of what actions and indexes go together.
pub(super) fn create(body: Value) -> Result<KeyRecord, ErrorBody> {
    let body = read(&CREATION, body, "bad_request")?;
    let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
    let now = Timestamp::now();
    let key = KeyRecord {
        uid: body["uid"].as_str().and_then(|uid| uid.parse().ok()).unwrap_or_else(Uuid::new_v4),
        name: text(&body["name"]),
        description: text(&body["description"]),
        actions: texts(&body["actions"]),
        indexes: texts(&body["indexes"]),
        expires_at: body["expiresAt"].as_str().and_then(|end| end.parse().ok()),
        created_at: now,
        updated_at: now,
    };
    let everywhere = key.indexes.is_empty() || key.indexes.iter().any(|pattern| pattern == "*");
    if let Some(action) = key.actions.iter().find(|action| !everywhere && actions::is_global(action)) {
        let message = format!(
            "cannot create index-scoped API key with global action `\"{action}\"`\n  - Hint: remove action `\"{action}\"` from the action list, or remove `indexes` to make the key global"
        );
        return Err(ErrorBody::new("index_scoped_api_key_with_global_action", message));
    }
    Ok(key)
}

/// A key after a change of its name or description.
///
/// # Errors
/// The engine's, also for members that cannot be changed.
pub(super) fn change(key: &KeyRecord, body: &Value) -> KeyRecord {
    let mut key = key.clone();
    for (member, slot) in [("name", &mut key.name), ("description", &mut key.description)] {
        if let Some(value) = body.get(member) {
            *slot = text(value);
        }
    }
    key.updated_at = Timestamp::now();
    key
}

/// Checks the body of a change.
///
/// # Errors
/// The engine's, also for members that cannot be changed.
pub(super) fn read_change(body: Value) -> Result<Value, ErrorBody> {
    read(&CHANGE, body, "bad_request")
}

/// A key as the engine shows it.
pub(super) fn show(key: &KeyRecord, master_key: &str) -> Value {
    json!({
        "name": key.name,
        "description": key.description,
        "key": key_value(master_key, key.uid),
        "uid": key.uid,
        "actions": key.actions,
        "indexes": key.indexes,
        "expiresAt": key.expires_at,
        "createdAt": key.created_at,
        "updatedAt": key.updated_at,
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn index_pattern(value: &mut Value) -> Result<(), String> {
    let pattern = value.as_str().unwrap_or_default();
    let stem = pattern.strip_suffix('*').unwrap_or(pattern);
    if pattern == "*" || crate::indexes::valid_uid(stem).is_ok() {
        return Ok(());
    }
    Err(format!(
        "`{stem}` is not a valid index uid pattern. Index uid patterns can be an integer or a string containing only alphanumeric characters, hyphens (-), underscores (_), and optionally end with a star (*)."
    ))
}

/// A moment to come: RFC 3339, or without a zone, or a day, both in UTC.
fn expiry(value: &mut Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let local = |format| DateTime::strptime(format, text).ok();
    let civil = || {
        local("%Y-%m-%dT%H:%M:%S")
            .or_else(|| local("%Y-%m-%d %H:%M:%S"))
            .or_else(|| Date::strptime("%Y-%m-%d", text).ok().map(|day| day.at(0, 0, 0, 0)))
            .and_then(|moment| TimeZone::UTC.to_timestamp(moment).ok())
    };
    match text.parse::<Timestamp>().ok().or_else(civil) {
        Some(end) if end > Timestamp::now() => {
            *value = end.to_string().into();
            Ok(())
        }
        _ => Err(format!(
            "`{text}` is not a valid date. It should follow the RFC 3339 format to represents a date or datetime in the future or specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: Value) -> (String, String) {
        let error = create(body).unwrap_err();
        (error.code, error.message)
    }

    #[test]
    fn bodies_are_judged_as_by_the_engine() {
        let with = |member: &str, value: Value| {
            let mut body = json!({"actions":["search"],"indexes":["a"],"expiresAt":null});
            body[member] = value;
            body
        };
        for (body, code, start) in [
            (json!({}), "missing_api_key_actions", "Missing field `actions`"),
            (json!({"actions":[],"indexes":[]}), "missing_api_key_expires_at", "Missing field `expiresAt`"),
            (
                with("expiresAt", json!(1)),
                "invalid_api_key_expires_at",
                "Invalid value type at `.expiresAt`: expected a string",
            ),
            (
                with("expiresAt", json!("2020-01-01")),
                "invalid_api_key_expires_at",
                "Invalid value at `.expiresAt`: `2020-01-01` is not a valid date.",
            ),
            (
                with("actions", json!(["serch"])),
                "invalid_api_key_actions",
                "Unknown value `serch` at `.actions[0]`: did you mean `search`? expected one of `*`, `search`, ",
            ),
            (
                with("indexes", json!(["a b"])),
                "invalid_api_key_indexes",
                "Invalid value at `.indexes[0]`: `a b` is not a valid index uid pattern.",
            ),
            (
                with("actions", json!(["version"])),
                "index_scoped_api_key_with_global_action",
                "cannot create index-scoped API key with global action `\"version\"`\n  - Hint: ",
            ),
            (
                with("uid", json!(null)),
                "invalid_api_key_uid",
                "Invalid value type at `.uid`: expected a string, but found null",
            ),
            (
                with("uid", json!("x")),
                "invalid_api_key_uid",
                "Invalid value at `.uid`: invalid character: found `x` at 0",
            ),
            (
                with("key", json!(1)),
                "bad_request",
                "Unknown field `key`: expected one of `description`, `name`, `uid`, `actions`, `indexes`, `expiresAt`",
            ),
        ] {
            let found = fault(body);
            assert!(found.0 == code && found.1.starts_with(start), "{found:?}");
        }
        let error = read_change(json!({"actions":[]})).unwrap_err();
        assert_eq!(error.code, "immutable_api_key_actions");
        assert_eq!(error.message, "Immutable field `actions`: expected one of `description`, `name`");
    }

    #[test]
    fn dates_come_in_four_forms() {
        for (given, kept) in [
            ("2090-01-01", "2090-01-01T00:00:00Z"),
            ("2090-01-01T01:02:03", "2090-01-01T01:02:03Z"),
            ("2090-01-01 01:02:03", "2090-01-01T01:02:03Z"),
            ("2090-01-01T01:02:03.5+02:00", "2089-12-31T23:02:03.5Z"),
        ] {
            let mut value = json!(given);
            expiry(&mut value).unwrap();
            assert_eq!(value, kept);
        }
    }

    #[test]
    fn a_key_is_shown_with_its_value_and_changed_in_two_members() {
        let body = json!({"uid":"01B4BC42EB334041B481254D00CCE834","name":"n","actions":["search"],"indexes":["a*"],"expiresAt":null});
        let key = create(body).unwrap();
        let shown = show(&key, "masterkeymasterkey");
        assert_eq!(shown["uid"], "01b4bc42-eb33-4041-b481-254d00cce834");
        assert_eq!(shown["key"], "b422a79b707024e09852ee48edc7ec3ad227a8405f66604be93d3208e29976bd");
        let changed = change(&key, &read_change(json!({"name":null,"description":"d"})).unwrap());
        assert_eq!((changed.name, changed.description.as_deref()), (None, Some("d")));
        assert_eq!(changed.actions, key.actions);
    }
}
