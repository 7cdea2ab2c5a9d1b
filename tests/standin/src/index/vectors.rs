//! Vectors of documents: taken out of `_vectors` for the embedders of the index, and shown there again. Nothing is
//! embedded here: documents without vectors have none, whatever the embedder.

use miroir_core::error::ErrorBody;
use serde_json::{Map, Value, json};

/// The field in which they come and go.
pub(crate) const FIELD: &str = "_vectors";

/// By embedder: `{"embeddings": [[…]], "regenerate": …}`.
pub(crate) type Vectors = Map<String, Value>;

fn state(embeddings: Vec<Value>, regenerate: bool) -> Value {
    json!({"embeddings": embeddings, "regenerate": regenerate})
}

/// As the engine keeps numbers.
#[allow(clippy::cast_possible_truncation)]
fn single(embedding: &Value) -> Value {
    let numbers = embedding.as_array().into_iter().flatten();
    numbers.map(|number| json!(f64::from(number.as_f64().unwrap_or_default() as f32))).collect()
}

/// One embedding, or a list of them.
fn list(value: &Value) -> Vec<Value> {
    match value.as_array().map(Vec::as_slice) {
        Some([first, ..]) if first.is_number() => vec![single(value)],
        Some(embeddings) => embeddings.iter().map(single).collect(),
        None => Vec::new(),
    }
}

/// Takes the vectors of the index's embedders out of a document, which had `held` before. Others stay in it.
pub(crate) fn take(
    document: &mut Map<String, Value>,
    embedders: &Value,
    held: Option<&Vectors>,
    id: &str,
) -> Result<Vectors, ErrorBody> {
    let mut given = match document.shift_remove(FIELD) {
        None => Map::new(),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(ErrorBody::new("internal", "invalid type: null, expected a map at line 1 column 4")),
    };
    let mut taken = Vectors::new();
    for (name, embedder) in embedders.as_object().into_iter().flatten() {
        let vectors = match given.shift_remove(name) {
            None => match held.and_then(|held| held.get(name)) {
                Some(held) if held["regenerate"] == false => held.clone(),
                _ => made(name, embedder, id)?,
            },
            Some(Value::Null) => state(Vec::new(), false),
            Some(Value::Object(stated)) => {
                let regenerate = stated.get("regenerate") == Some(&Value::Bool(true));
                match stated.get("embeddings").filter(|embeddings| !embeddings.is_null()) {
                    Some(embeddings) => state(list(embeddings), regenerate),
                    None if regenerate => made(name, embedder, id)?,
                    None => state(Vec::new(), false),
                }
            }
            Some(embeddings) => state(list(&embeddings), false),
        };
        check(&vectors, name, embedder, id)?;
        taken.insert(name.clone(), vectors);
    }
    if !given.is_empty() {
        document.insert(FIELD.to_owned(), Value::Object(given));
    }
    Ok(taken)
}

/// What an embedder makes of a document without vectors.
fn made(name: &str, embedder: &Value, id: &str) -> Result<Value, ErrorBody> {
    if embedder["source"] != "userProvided" {
        return Ok(state(Vec::new(), true));
    }
    let message = format!(
        "While embedding documents for embedder `{name}`: no vectors provided for document `{id}`\n- Note: `{name}` has `source: userProvided`, so documents must provide embeddings as an array in `_vectors.{name}`.\n- Hint: opt-out for a document with `_vectors.{name}: null`"
    );
    Err(ErrorBody::new("vector_embedding_error", message))
}

fn check(vectors: &Value, name: &str, embedder: &Value, id: &str) -> Result<(), ErrorBody> {
    let Some(wanted) = embedder["dimensions"].as_u64() else { return Ok(()) };
    for (position, embedding) in vectors["embeddings"].as_array().into_iter().flatten().enumerate() {
        let has = embedding.as_array().map_or(0, Vec::len);
        if u64::try_from(has) != Ok(wanted) {
            let message = format!(
                "Invalid vector dimensions in document with id `{id}` in `._vectors.{name}`.\n  - note: embedding #{position} has dimensions {has}\n  - note: embedder `{name}` requires {wanted}"
            );
            return Err(ErrorBody::new("invalid_vector_dimensions", message));
        }
    }
    Ok(())
}

/// `_vectors` of a document as it is shown: those of embedders, also where there are none, beside what is left in it.
pub(crate) fn shown(document: &Map<String, Value>, embedders: &Value, held: Option<&Vectors>) -> Value {
    let mut shown = document.get(FIELD).and_then(Value::as_object).cloned().unwrap_or_default();
    for name in embedders.as_object().into_iter().flat_map(Map::keys) {
        let vectors = held.and_then(|held| held.get(name)).cloned();
        shown.insert(name.clone(), vectors.unwrap_or_else(|| state(Vec::new(), true)));
    }
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn embedders() -> Value {
        json!({"e": {"source": "userProvided", "dimensions": 2}})
    }

    #[test]
    fn vectors_leave_the_document_and_come_back() {
        let mut document = object(json!({"id": 1, "_vectors": {"e": [0.1, 2], "other": [1]}}));
        let held = take(&mut document, &embedders(), None, "1").unwrap();
        assert_eq!(document, object(json!({"id": 1, "_vectors": {"other": [1]}})));
        let expected =
            json!({"other": [1], "e": {"embeddings": [[0.100_000_001_490_116_12, 2.0]], "regenerate": false}});
        assert_eq!(shown(&document, &embedders(), Some(&held)), expected);
        let again = take(&mut object(json!({"id": 1})), &embedders(), Some(&held), "1").unwrap();
        assert_eq!(again, held);
    }

    #[test]
    fn what_is_stated_in_full_is_kept_as_it_is() {
        for stated in [
            json!({"embeddings": [[1.0, 2.0], [3.0, 4.0]], "regenerate": false}),
            json!({"embeddings": [], "regenerate": false}),
            json!({"embeddings": [[1.0, 2.0]], "regenerate": true}),
        ] {
            let mut document = object(json!({"id": 1, "_vectors": {"e": stated}}));
            assert_eq!(take(&mut document, &embedders(), None, "1").unwrap()["e"], stated);
        }
    }

    #[test]
    fn missing_and_odd_vectors_are_refused() {
        let refused = |document: Value| take(&mut object(document), &embedders(), None, "1").unwrap_err().code;
        assert_eq!(refused(json!({"id": 1})), "vector_embedding_error");
        assert_eq!(refused(json!({"id": 1, "_vectors": {"e": [1]}})), "invalid_vector_dimensions");
    }
}
