//! The body of `POST /documents/edit`: an edit by function, made so that each node edits the documents of its shards and
//! no others, and that no function can lose or see the reserved field.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::filter::{check_syntax, conjunction, describe, object};
use super::script::{self, KEPT};
use crate::error::{ErrorBody, expected_one_of};
use crate::tag::TAG_FIELD;
use crate::wire::Edit;

/// What a client wants edited, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EditRequest {
    /// JSON text of the filter; none for all documents.
    pub filter: Option<String>,
    /// The function as the client wrote it, and its context.
    pub edit: Edit,
}

/// Reads `{"function": …, "filter": …, "context": …}`. Whether the function compiles, the filter's syntax and the type
/// of the context are the nodes' to judge, which look at all of them in the engine's order; refused here is what they
/// could not be sent: see [`script`] and [`super::filter`].
pub(super) fn read(index: &str, body: &[u8]) -> Result<EditRequest, ErrorBody> {
    let fields = object(body)?;
    let mut function = None;
    for (name, value) in &fields {
        match (name.as_str(), value) {
            ("filter" | "context", _) => {}
            ("function", Value::String(text)) => function = Some(text.clone()),
            ("function", other) => {
                let found = describe(other);
                let message = format!("Invalid value type at `.function`: expected a string, but found {found}");
                return Err(ErrorBody::new("invalid_document_edition_function_filter", message));
            }
            (unknown, _) => {
                let expected = expected_one_of(unknown, ["filter", "context", "function"].into_iter());
                return Err(ErrorBody::new("bad_request", format!("Unknown field `{unknown}`: {expected}")));
            }
        }
    }
    let missing = || ErrorBody::new("missing_document_edition_function", "Missing field `function`");
    let function = function.ok_or_else(missing)?;
    script::check(&function)?;
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let filter = given("filter");
    if let Some(filter) = filter {
        check_syntax(filter).map_err(|mut error| {
            if error.message.starts_with("Invalid syntax") {
                error.message = format!("Index `{index}`: {}", error.message);
            }
            error
        })?;
    }
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        filter: Option<&'a RawValue>,
    }
    let filter = filter.map(|filter| match serde_json::from_slice::<Raw<'_>>(body) {
        Ok(Raw { filter: Some(raw) }) => raw.get().to_owned(),
        _ => filter.to_string(),
    });
    Ok(EditRequest { filter, edit: Edit { function, context: given("context").cloned() } })
}

impl EditRequest {
    /// Bytes of it.
    pub fn len(&self) -> usize {
        self.edit.function.len().saturating_add(self.filter.as_ref().map_or(0, String::len))
    }

    /// The request for the shards of `clause`; without one, for all documents.
    pub fn narrow(&self, clause: Option<&str>) -> Vec<u8> {
        let filter = match &self.filter {
            Some(filter) => conjunction(filter, clause),
            None => Value::from(clause).to_string(),
        };
        let context = self.edit.context.as_ref().map_or_else(|| "null".to_owned(), Value::to_string);
        let function = Value::from(wrap(&self.edit.function));
        format!(r#"{{"filter":{filter},"context":{context},"function":{function}}}"#).into_bytes()
    }
}

/// The function as nodes run it: the reserved field is taken out of the document before the client's text and put back
/// behind it, unless the document is deleted or had none. The text itself is not touched. Lines keep their numbers in the engine's
/// messages; positions within the first line are those of the wrapped text, and an unfinished text is reported at the
/// line behind it. `exit` is defined anew (twice, of the 30 functions that the engine allows), since it can be called by
/// a name that is put together at run time.
fn wrap(function: &str) -> String {
    let exit = "throw \"`exit` is not available in a cluster\"";
    format!(
        "fn exit(){{{exit}}}fn exit(value){{{exit}}}let {KEPT}=doc.remove(\"{TAG_FIELD}\");{function}\n;\
         if type_of(doc)==\"map\"&&{KEPT}!=(){{doc[\"{TAG_FIELD}\"]={KEPT};}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn narrowed(body: &str) -> Value {
        serde_json::from_slice(&read("m", body.as_bytes()).unwrap().narrow(Some("_miroir_shard IN [\"x\"]"))).unwrap()
    }

    #[test]
    fn the_clause_is_always_there() {
        let clause = "_miroir_shard IN [\"x\"]";
        assert_eq!(narrowed(r#"{"function":""}"#)["filter"], clause);
        assert_eq!(narrowed(r#"{"function":"","filter":null}"#)["filter"], clause);
        assert_eq!(
            narrowed(r#"{"function":"","filter":"a = 1 OR b = 2"}"#)["filter"],
            json!(["a = 1 OR b = 2", clause])
        );
        assert_eq!(
            narrowed(r#"{"filter":[["a = 1","b = 2"]],"function":""}"#)["filter"],
            json!([["a = 1", "b = 2"], clause])
        );
        assert_eq!(
            narrowed(r#"{"filter":"_miroir_shard = 1","function":""}"#)["filter"],
            json!(["_miroir_SHARD = 1", clause])
        );
    }

    #[test]
    fn without_a_clause_all_documents_are_edited() {
        let all = |body: &str| -> Value {
            let request = read("m", body.as_bytes()).unwrap().narrow(None);
            serde_json::from_slice::<Value>(&request).unwrap()["filter"].clone()
        };
        assert_eq!(all(r#"{"function":""}"#), Value::Null);
        assert_eq!(all(r#"{"function":"","filter":"a = 1"}"#), "a = 1");
    }

    #[test]
    fn the_function_stands_between_two_pieces_and_is_not_touched() {
        let body = json!({"function": "doc.a = \"x\"; // \\ end", "context": {"n": [1.5]}}).to_string();
        let narrowed = narrowed(&body);
        assert_eq!(narrowed["context"], json!({"n": [1.5]}));
        let function = narrowed["function"].as_str().unwrap();
        let (before, after) = function.split_once("doc.a = \"x\"; // \\ end").unwrap();
        assert!(
            before.ends_with("let _miroir_kept=doc.remove(\"_miroir_shard\");") && !before.contains('\n'),
            "{before}"
        );
        assert_eq!(after, "\n;if type_of(doc)==\"map\"&&_miroir_kept!=(){doc[\"_miroir_shard\"]=_miroir_kept;}");
    }

    #[test]
    fn what_the_task_tells_is_what_the_client_sent() {
        let request = read("m", br#"{"function":"doc.a = 1","filter": "a = 1" ,"context":{"b":1}}"#).unwrap();
        assert_eq!(request.filter.as_deref(), Some("\"a = 1\""));
        assert_eq!(request.edit, Edit { function: "doc.a = 1".into(), context: Some(json!({"b": 1})) });
    }

    /// Texts recorded from Meilisearch 1.50.
    #[test]
    fn faults_read_as_the_engines() {
        let fault = |body: &str| {
            let error = read("m", body.as_bytes()).unwrap_err();
            (error.code.clone(), error.message)
        };
        let is = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        assert_eq!(fault(""), is("missing_payload", "A json payload is missing."));
        assert_eq!(fault("[]"), is("bad_request", "Invalid value type: expected an object, but found an array: `[]`"));
        assert_eq!(fault("{}"), is("missing_document_edition_function", "Missing field `function`"));
        assert_eq!(
            fault(r#"{"function":"","x":1}"#),
            is("bad_request", "Unknown field `x`: expected one of `filter`, `context`, `function`")
        );
        assert_eq!(
            fault(r#"{"function":1}"#),
            is(
                "invalid_document_edition_function_filter",
                "Invalid value type at `.function`: expected a string, but found a positive integer: `1`"
            )
        );
        assert_eq!(
            fault(r#"{"function":"","filter":5}"#),
            is(
                "invalid_document_filter",
                "Index `m`: Invalid syntax for the filter parameter: `expected String, Array, found: 5`."
            )
        );
        let empty = is("invalid_document_filter", "Sending an empty filter is forbidden.");
        assert_eq!(fault(r#"{"function":"","filter":[[],""]}"#), empty);
        assert_eq!(fault(r#"{"function":"return"}"#).0, "bad_request");
    }
}
