//! Primary keys: inference, validity, the id of a document.

use miroir_core::error::ErrorBody;
use serde_json::{Map, Value};

use super::paths;

/// The key inferred from a document: the one field whose name ends with `id`.
pub(crate) fn infer(document: &Map<String, Value>) -> Result<String, ErrorBody> {
    let mut candidates: Vec<&String> = document.keys().filter(|name| name.to_lowercase().ends_with("id")).collect();
    candidates.sort();
    match candidates.as_slice() {
        [] => Err(ErrorBody::new(
            "index_primary_key_no_candidate_found",
            "The primary key inference failed as the engine did not find any field ending with `id` in its name. Please specify the primary key manually using the `primaryKey` query parameter.",
        )),
        [only] => Ok((*only).clone()),
        [first, second, ..] => Err(ErrorBody::new(
            "index_primary_key_multiple_candidates_found",
            format!(
                "The primary key inference failed as the engine found {} fields ending with `id` in their names: '{first}' and '{second}'. Please specify the primary key manually using the `primaryKey` query parameter.",
                candidates.len()
            ),
        )),
    }
}

/// Whether a text may be a document id.
pub(crate) fn valid(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 511
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The engine's text about an invalid id; `shown` is the JSON of the value.
pub(crate) fn invalid_text(shown: &str) -> String {
    format!(
        "Document identifier `{shown}` is invalid. A document identifier can be of type integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more than 511 bytes."
    )
}

/// The id that a value means, or the engine's complaint.
pub(crate) fn id(value: &Value) -> Result<String, ErrorBody> {
    let id = match value {
        Value::String(text) if valid(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    };
    id.ok_or_else(|| ErrorBody::new("invalid_document_id", invalid_text(&value.to_string())))
}

/// The id of a document.
pub(crate) fn of(document: &Map<String, Value>, primary_key: &str) -> Result<String, ErrorBody> {
    match paths::whole(document, primary_key).as_slice() {
        [] => Err(ErrorBody::new(
            "missing_document_id",
            format!(
                "Document doesn't have a `{primary_key}` attribute: `{}`.",
                serde_json::to_string(document).unwrap_or_default()
            ),
        )),
        [value] => id(value),
        _ => {
            Err(ErrorBody::new("invalid_document_id", format!("Document has more than one `{primary_key}` attribute.")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: &Value) -> &Map<String, Value> {
        value.as_object().unwrap()
    }

    #[test]
    fn inference_wants_one_candidate() {
        assert_eq!(infer(object(&json!({"a": 1, "movieId": 2}))).unwrap(), "movieId");
        assert_eq!(infer(object(&json!({"a": 1}))).unwrap_err().code, "index_primary_key_no_candidate_found");
        assert_eq!(
            infer(object(&json!({"paid": 1, "id": 2}))).unwrap_err().code,
            "index_primary_key_multiple_candidates_found"
        );
    }

    #[test]
    fn ids_are_their_text() {
        assert_eq!(id(&json!(1)).unwrap(), id(&json!("1")).unwrap());
        for bad in [json!(1.0), json!("a b"), json!(""), json!(null), json!([1]), json!(true)] {
            assert!(id(&bad).is_err(), "{bad}");
        }
        assert_eq!(of(object(&json!({"a": {"b": 7}})), "a.b").unwrap(), "7");
    }
}
