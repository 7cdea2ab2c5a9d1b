//! What the engine takes a request's body for, by its content type (measured on Meilisearch 1.50). Routes with JSON
//! bodies take whatever names itself JSON, also by a suffix; routes with documents know three types, and see neither
//! suffix nor parameters.

use mime::Mime;

use crate::error::ErrorBody;

const JSON_TYPE: &str = "`application/json`";
const DOCUMENT_TYPES: &str = "`application/json`, `application/x-ndjson`, `text/csv`";

/// How documents are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentType {
    /// `application/json`.
    Json,
    /// `application/x-ndjson`.
    Ndjson,
    /// `text/csv`.
    Csv,
}

impl DocumentType {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }
}

/// Checks the content type of a JSON body; `sent` is the header's value.
///
/// # Errors
/// The engine's refusal of another type, or of none.
pub fn require_json(sent: Option<&str>) -> Result<(), ErrorBody> {
    let sent = sent.ok_or_else(|| missing(JSON_TYPE))?;
    let says_json = |mime: &Mime| mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON);
    sent.parse().ok().filter(says_json).map(drop).ok_or_else(|| invalid(sent, JSON_TYPE))
}

/// Type of a body of documents; `sent` is the header's value.
///
/// # Errors
/// The engine's refusal of another type, or of none.
pub fn document_type(sent: Option<&str>) -> Result<DocumentType, ErrorBody> {
    let sent = sent.ok_or_else(|| missing(DOCUMENT_TYPES))?;
    let mime: Mime = sent.parse().map_err(|_| invalid(sent, DOCUMENT_TYPES))?;
    let name = format!("{}/{}", mime.type_(), mime.subtype());
    let known = [DocumentType::Json, DocumentType::Ndjson, DocumentType::Csv];
    known.into_iter().find(|known| known.name() == name).ok_or_else(|| invalid(&name, DOCUMENT_TYPES))
}

fn missing(accepted: &str) -> ErrorBody {
    ErrorBody::new(
        "missing_content_type",
        format!("A Content-Type header is missing. Accepted values for the Content-Type header are: {accepted}"),
    )
}

fn invalid(sent: &str, accepted: &str) -> ErrorBody {
    ErrorBody::new(
        "invalid_content_type",
        format!("The Content-Type `{sent}` is invalid. Accepted values for the Content-Type header are: {accepted}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers recorded from Meilisearch 1.50.
    #[test]
    fn bodies_that_name_themselves_json_are_taken() {
        for taken in [
            "application/json",
            "APPLICATION/JSON; charset=latin1",
            "application/vnd.api+JSON",
            "application/hal+json;q=1",
            "application/json+foo",
            "a/json+x;q=2",
        ] {
            assert_eq!(require_json(Some(taken)), Ok(()), "{taken}");
        }
        for refused in ["", "foo", "application/json;x", "application/json ; a=b", "Text/CSV;a=b", "text/plain; a=b"] {
            let error = require_json(Some(refused)).unwrap_err();
            assert_eq!(error.code, "invalid_content_type");
            assert_eq!(
                error.message,
                format!(
                    "The Content-Type `{refused}` is invalid. Accepted values for the Content-Type header are: `application/json`"
                )
            );
        }
        let error = require_json(None).unwrap_err();
        assert_eq!((error.status(), error.code.as_str()), (415, "missing_content_type"));
    }

    /// Answers recorded from Meilisearch 1.50.
    #[test]
    fn documents_have_one_of_three_types() {
        let read = |sent| document_type(Some(sent));
        assert_eq!(read("application/json+foo"), Ok(DocumentType::Json));
        assert_eq!(read("APPLICATION/X-NDJSON"), Ok(DocumentType::Ndjson));
        assert_eq!(read("Text/CSV;a=b"), Ok(DocumentType::Csv));
        for (sent, named) in [
            ("application/vnd.api+JSON", "application/vnd.api"),
            ("Text/Plain; a=b", "text/plain"),
            ("a/json+x;q=2", "a/json"),
            ("application/json;x", "application/json;x"),
            ("", ""),
        ] {
            assert_eq!(
                read(sent).unwrap_err().message,
                format!(
                    "The Content-Type `{named}` is invalid. Accepted values for the Content-Type header are: `application/json`, `application/x-ndjson`, `text/csv`"
                )
            );
        }
        assert_eq!(document_type(None).unwrap_err().code, "missing_content_type");
    }
}
