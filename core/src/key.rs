//! Rules for primary keys and document ids, as the engine has them (checked against Meilisearch 1.50).
//!
//! An id is a string of 1 to 511 bytes of `[A-Za-z0-9_-]`, or an integer within the bounds of `i64` or `u64`. The
//! engine keys documents by the id's text: `1` and `"1"` are one document, `"01"` is another, `1.0` is refused. That
//! text is the *canonical* form, and it is what [`crate::hash`] places documents by.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::ErrorBody;

/// Longest id in bytes.
pub const MAX_ID_BYTES: usize = 511;

/// Separates the levels of a nested primary key.
pub const LEVEL_SEPARATOR: char = '.';

/// The value cannot be a document id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a document id")]
pub struct KeyFault;

/// The canonical text of an id that stands in a document, from the raw bytes of a well-formed JSON value.
///
/// # Errors
/// [`KeyFault`] for everything that the engine refuses as an id: floats, exponents, `-0`, integers beyond 64 bits,
/// other types, strings that are empty, too long, or contain other characters. Escapes are decoded first.
pub fn canonical(raw: &str) -> Result<Cow<'_, str>, KeyFault> {
    let text = |bytes| std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| KeyFault);
    match canonical_bytes(raw.as_bytes())? {
        Cow::Borrowed(bytes) => text(bytes),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| KeyFault),
    }
}

/// Like [`canonical`], for bytes that need not be looked at as text: ids are ASCII.
///
/// # Errors
/// As [`canonical`].
pub fn canonical_bytes(raw: &[u8]) -> Result<Cow<'_, [u8]>, KeyFault> {
    // Up to 18 digits always fit.
    let fits = |digits: &[u8], parses: fn(&str) -> bool| {
        is_integer(digits) && (digits.len() <= 18 || std::str::from_utf8(raw).is_ok_and(parses))
    };
    match raw {
        [b'"', text @ .., b'"'] if is_id_text(text) => return Ok(Cow::Borrowed(text)),
        [b'"', text @ .., b'"'] if text.contains(&b'\\') => {
            let text: String = serde_json::from_slice(raw).map_err(|_| KeyFault)?;
            return if is_id_text(text.as_bytes()) { Ok(Cow::Owned(text.into_bytes())) } else { Err(KeyFault) };
        }
        [b'-', b'0'] => return Err(KeyFault),
        [b'-', digits @ ..] if fits(digits, |raw| raw.parse::<i64>().is_ok()) => {}
        digits if fits(digits, |raw| raw.parse::<u64>().is_ok()) => {}
        _ => return Err(KeyFault),
    }
    Ok(Cow::Borrowed(raw))
}

/// The canonical text of an id given as text: a path segment, a CSV cell, an element of a deletion.
///
/// # Errors
/// [`KeyFault`] where no document can have that id.
pub fn canonical_from_text(text: &str) -> Result<Cow<'_, str>, KeyFault> {
    if is_id_text(text.as_bytes()) { Ok(Cow::Borrowed(text)) } else { Err(KeyFault) }
}

/// The text by which the engine deletes for one element of a batch: a string as it is, any other value as JSON.
/// Deletions never check ids: what cannot be an id names no document.
#[must_use]
pub fn deletion_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// True for JSON's form of a natural number: digits without a leading zero, or a single zero.
fn is_integer(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || digits.first() != Some(&b'0'))
}

/// True for a string that may be an id.
fn is_id_text(text: &[u8]) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_')
}

/// Infers the primary key from the names of the first document's top-level fields: the only one whose lower-case form
/// ends with `id`.
///
/// # Errors
/// The error of the task that the engine would record: no such field, or several.
pub fn infer<'a>(names: impl Iterator<Item = Cow<'a, str>>) -> Result<String, ErrorBody> {
    let mut candidates: Vec<Cow<'a, str>> = names.filter(|name| name.to_lowercase().ends_with("id")).collect();
    candidates.sort_unstable();
    candidates.dedup();
    match candidates.as_slice() {
        [] => Err(no_candidate()),
        [only] => Ok(only.clone().into_owned()),
        [first, second, ..] => Err(ErrorBody::new(
            "index_primary_key_multiple_candidates_found",
            format!(
                "The primary key inference failed as the engine found {} fields ending with `id` in their names: \
                 '{first}' and '{second}'. Please specify the primary key manually using the `primaryKey` query \
                 parameter.",
                candidates.len(),
            ),
        )),
    }
}

/// No field of the first document can be the primary key.
#[must_use]
pub fn no_candidate() -> ErrorBody {
    ErrorBody::new(
        "index_primary_key_no_candidate_found",
        "The primary key inference failed as the engine did not find any field ending with `id` in its name. Please \
         specify the primary key manually using the `primaryKey` query parameter.",
    )
}

/// The index has another primary key than the one that the request names.
#[must_use]
pub fn already_exists(primary_key: &str) -> ErrorBody {
    ErrorBody::new("index_primary_key_already_exists", format!("Index already has a primary key: `{primary_key}`."))
}

/// A document's id is no valid one; `value` is its JSON value.
#[must_use]
pub fn invalid_id(value: &Value) -> ErrorBody {
    ErrorBody::new(
        "invalid_document_id",
        format!(
            "Document identifier `{value}` is invalid. A document identifier can be of type integer or string, only \
             composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more \
             than 511 bytes."
        ),
    )
}

/// A document has no primary key; `document` is its JSON text.
#[must_use]
pub fn missing_id(primary_key: &str, document: &str) -> ErrorBody {
    ErrorBody::new(
        "missing_document_id",
        format!("Document doesn't have a `{primary_key}` attribute: `{}`.", reprinted(document)),
    )
}

/// A document has its primary key more than once; `document` is its JSON text.
#[must_use]
pub fn too_many_ids(primary_key: &str, document: &str) -> ErrorBody {
    ErrorBody::new(
        "invalid_document_id",
        format!("Document have too many matching `{primary_key}` attribute: `{}`.", reprinted(document)),
    )
}

/// The document as the engine prints it in messages: read and written again. A document that cannot be read comes as
/// it is (the engine crashes on it, and says so in the task).
fn reprinted(document: &str) -> String {
    serde_json::from_str::<Value>(document).map_or_else(|_| document.to_owned(), |value| value.to_string())
}

/// The levels of a possibly nested primary key that a field of this name takes up: `a.b.c` may be found in a field
/// `a` (then `b.c` is left), `a.b` (`c` is left), or `a.b.c` (nothing is left). None where the field is no part of it.
#[must_use]
pub fn rest_after<'k>(primary_key: &'k str, field: &str) -> Option<&'k str> {
    if field.is_empty() {
        return None;
    }
    let rest = primary_key.strip_prefix(field)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(LEVEL_SEPARATOR) }
}

/// Reads a raw JSON value for a message; `null` where it cannot be read.
pub(crate) fn value_for_message(raw: &str) -> Value {
    serde_json::from_str::<&RawValue>(raw)
        .ok()
        .and_then(|value| serde_json::from_str(value.get()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_the_engine_takes() {
        for (raw, text) in [
            ("1", "1"),
            ("0", "0"),
            ("-5", "-5"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            (r#""1""#, "1"),
            (r#""01""#, "01"),
            (r#""a-B_9""#, "a-B_9"),
            (r#""\u0061""#, "a"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(text), "{raw}");
        }
        for raw in [
            "1.0",
            "1e3",
            "-0",
            "-",
            "",
            "18446744073709551616",
            "-9223372036854775809",
            "null",
            "true",
            "[1]",
            r#"{"a":1}"#,
            r#""""#,
            r#"" 1""#,
            r#""a b""#,
            r#""é""#,
            r#""\ud800""#,
            "\"",
            "01",
        ] {
            assert_eq!(canonical(raw), Err(KeyFault), "{raw}");
        }
        assert!(canonical(&format!("\"{}\"", "a".repeat(511))).is_ok());
        assert!(canonical(&format!("\"{}\"", "a".repeat(512))).is_err());
    }

    #[test]
    fn the_only_name_that_ends_with_id_is_the_key() {
        let names = |list: &'static [&'static str]| list.iter().map(|name| Cow::Borrowed(*name));
        assert_eq!(infer(names(&["title", "movieID"])), Ok("movieID".to_owned()));
        assert_eq!(infer(names(&["id", "id"])), Ok("id".to_owned()));
        assert_eq!(infer(names(&["title"])), Err(no_candidate()));
        assert_eq!(infer(names(&[])), Err(no_candidate()));
        let error = infer(names(&["bid", "ID", "paid"])).unwrap_err();
        assert_eq!(error.code, "index_primary_key_multiple_candidates_found");
        assert!(error.message.contains("found 3 fields ending with `id` in their names: 'ID' and 'bid'."));
    }

    #[test]
    fn a_nested_key_is_found_at_every_level() {
        assert_eq!(rest_after("a.b.c", "a"), Some("b.c"));
        assert_eq!(rest_after("a.b.c", "a.b"), Some("c"));
        assert_eq!(rest_after("a.b.c", "a.b.c"), Some(""));
        assert_eq!(rest_after("a.b.c", "a."), None);
        assert_eq!(rest_after("ab", "a"), None);
        assert_eq!(rest_after("", ""), None);
    }

    #[test]
    fn messages_are_the_engines() {
        assert_eq!(
            missing_id("id", r#"{ "b": 1.10, "x":1e5,"b":2}"#).message,
            "Document doesn't have a `id` attribute: `{\"b\":2,\"x\":100000.0}`."
        );
        assert_eq!(
            too_many_ids("id", r#"{"id":1,"id":2}"#).message,
            "Document have too many matching `id` attribute: `{\"id\":2}`."
        );
        assert!(
            invalid_id(&value_for_message("\"a b\"")).message.starts_with("Document identifier `\"a b\"` is invalid.")
        );
        assert!(invalid_id(&value_for_message("1e3")).message.starts_with("Document identifier `1000.0` is invalid."));
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            /// Whether an id comes as JSON, with whatever escapes, or as the text of a path or a cell.
            #[test]
            fn a_text_is_judged_alike_in_every_form(text in prop_oneof!["[A-Za-z0-9_-]{0,12}", "[ -~é]{0,6}", "-?[0-9.e]{1,24}"]) {
                let plain = canonical_from_text(&text).map(Cow::into_owned);
                let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                for raw in [Value::from(text.as_str()).to_string(), format!("\"{escaped}\"")] {
                    prop_assert_eq!(canonical(&raw).map(Cow::into_owned), plain.clone(), "{}", raw);
                    let bytes = canonical_bytes(raw.as_bytes()).map(Cow::into_owned);
                    prop_assert_eq!(bytes, plain.clone().map(String::into_bytes), "{}", raw);
                }
                prop_assert_eq!(deletion_text(&Value::from(text.as_str())).into_owned(), text);
            }

            /// The number `1` and the text `1` are one document.
            #[test]
            fn a_number_is_its_text(signed: i64, unsigned: u64) {
                for number in [Value::from(signed), Value::from(unsigned)] {
                    let text = number.to_string();
                    prop_assert_eq!(canonical(&text).map(Cow::into_owned), Ok(text.clone()));
                    prop_assert_eq!(canonical_from_text(&text).map(Cow::into_owned), Ok(text.clone()));
                    prop_assert_eq!(deletion_text(&number).into_owned(), text);
                }
            }

            /// What a document can be found by, it can be deleted by; from the same bytes, as they stand in a payload.
            #[test]
            fn what_is_an_id_deletes_the_document_that_it_names(
                raw in prop_oneof!["-?[0-9]{1,21}", "-?0{1,2}[0-9]?", "-?[0-9]{1,3}[.e][0-9]{1,3}", "\"[A-Za-z0-9_-]{0,9}\"", "null|true|\\[1\\]|\\{\\}"],
            ) {
                if let Ok(id) = canonical(&raw) {
                    let value: Value = serde_json::from_str(&raw).unwrap();
                    prop_assert_eq!(deletion_text(&value).into_owned(), id.to_string());
                    prop_assert_eq!(canonical_from_text(&id).map(Cow::into_owned), Ok(id.to_string()));
                }
            }
        }
    }
}
