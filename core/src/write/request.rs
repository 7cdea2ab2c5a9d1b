//! A client's write, read as the engine reads it: parameters, index uid, content type, then the body.

use super::query::{self, Parameters};
use super::{content::Content, edit, filter};
use crate::error::ErrorBody;
use crate::media::{self, DocumentType};
use crate::split::Format;
use crate::wire::WriteKind;

/// Longest index uid that the engine accepts, in bytes (its message says 512).
const MAX_INDEX_UID: usize = 400;

/// What is known of a write before its body: checked, so that nothing is gathered for a request that is refused anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteHead {
    /// What it does.
    pub kind: WriteKind,
    /// Index uid, valid.
    pub index: String,
    /// Its query parameters.
    pub parameters: Parameters,
    /// Document id of [`WriteKind::DeleteOne`], decoded.
    id: Option<String>,
    /// Format of the documents, for the kinds that carry some.
    format: Option<Format>,
}

impl WriteHead {
    /// Checks everything but the body, in the engine's order.
    ///
    /// `index` and `id` are the decoded segments of the path, `content_type` is the header as sent.
    ///
    /// # Errors
    /// The engine's own answer to the same fault.
    pub fn read(
        kind: WriteKind,
        index: &str,
        id: Option<&str>,
        query: Option<&str>,
        content_type: Option<&str>,
    ) -> Result<Self, ErrorBody> {
        let adds = matches!(kind, WriteKind::Replace | WriteKind::Update);
        let parameters = query::read(query, if adds { query::ADDITION } else { query::DELETION })?;
        let format = match kind {
            WriteKind::Replace | WriteKind::Update => {
                check_index_uid(index)?;
                Some(document_format(content_type, parameters.csv_delimiter)?)
            }
            WriteKind::DeleteBatch | WriteKind::DeleteByFilter | WriteKind::Edit => {
                media::require_json(content_type)?;
                check_index_uid(index)?;
                None
            }
            WriteKind::DeleteOne | WriteKind::DeleteAll => {
                check_index_uid(index)?;
                None
            }
        };
        Ok(Self { kind, index: index.to_owned(), parameters, id: id.map(str::to_owned), format })
    }

    /// True where the body holds documents, which may be large: then control's bulk entry can take the request.
    #[must_use]
    pub fn carries_documents(&self) -> bool {
        self.format.is_some()
    }

    /// True where the request has no body that matters.
    #[must_use]
    pub fn is_bodiless(&self) -> bool {
        matches!(self.kind, WriteKind::DeleteOne | WriteKind::DeleteAll)
    }

    /// Joins the body to the head.
    pub(super) fn content(&self, body: Vec<u8>) -> Result<Content, ErrorBody> {
        match (self.kind, self.format) {
            (WriteKind::DeleteOne, _) => Ok(Content::One(self.id.clone().unwrap_or_default())),
            (WriteKind::DeleteAll, _) => Ok(Content::All),
            (WriteKind::DeleteByFilter, _) => filter::read(&body).map(Content::Filter),
            (WriteKind::Edit, _) => edit::read(&self.index, &body).map(Content::Edit),
            (WriteKind::Replace | WriteKind::Update, Some(format)) => Ok(Content::Documents { format, body }),
            (WriteKind::DeleteBatch | WriteKind::Replace | WriteKind::Update, _) => Ok(Content::Ids(body)),
        }
    }
}

/// Checks an index uid as the engine does.
fn check_index_uid(uid: &str) -> Result<(), ErrorBody> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !uid.is_empty() && uid.len() <= MAX_INDEX_UID && uid.bytes().all(legal) {
        return Ok(());
    }
    Err(ErrorBody::new(
        "invalid_index_uid",
        format!(
            "`{uid}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric \
             characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
        ),
    ))
}

fn document_format(content_type: Option<&str>, delimiter: Option<u8>) -> Result<Format, ErrorBody> {
    let sent = media::document_type(content_type)?;
    let format = match sent {
        DocumentType::Json => Format::Json,
        DocumentType::Ndjson => Format::Ndjson,
        DocumentType::Csv => Format::Csv { delimiter: delimiter.unwrap_or(b',') },
    };
    if delimiter.is_some() && sent != DocumentType::Csv {
        return Err(ErrorBody::new(
            "invalid_content_type",
            format!(
                "The Content-Type `{}` does not support the use of a csv delimiter. The csv delimiter can only be used \
                 with the Content-Type `text/csv`.",
                sent.name()
            ),
        ));
    }
    Ok(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: WriteKind, query: Option<&str>, content_type: Option<&str>) -> Result<WriteHead, ErrorBody> {
        WriteHead::read(kind, "movies", Some("1"), query, content_type)
    }

    #[test]
    fn formats_follow_the_content_type() {
        let format = |content_type| head(WriteKind::Replace, None, Some(content_type)).unwrap().format;
        assert_eq!(format("APPLICATION/JSON; charset=utf-8"), Some(Format::Json));
        assert_eq!(format("application/x-ndjson"), Some(Format::Ndjson));
        assert_eq!(format("text/csv"), Some(Format::Csv { delimiter: b',' }));
        let head = head(WriteKind::Update, Some("csvDelimiter=%3B"), Some("text/csv")).unwrap();
        assert_eq!(head.format, Some(Format::Csv { delimiter: b';' }));
    }

    /// Texts recorded from Meilisearch 1.50.
    #[test]
    fn faults_read_as_the_engines() {
        assert_eq!(
            head(WriteKind::Replace, None, None).unwrap_err().message,
            "A Content-Type header is missing. Accepted values for the Content-Type header are: `application/json`, `application/x-ndjson`, `text/csv`"
        );
        assert_eq!(
            head(WriteKind::DeleteBatch, None, Some("text/plain")).unwrap_err().message,
            "The Content-Type `text/plain` is invalid. Accepted values for the Content-Type header are: `application/json`"
        );
        let error = head(WriteKind::Replace, Some("csvDelimiter=;"), Some("application/json")).unwrap_err();
        assert_eq!((error.status(), error.code.as_str()), (415, "invalid_content_type"));
        let error = WriteHead::read(WriteKind::DeleteAll, "m x", None, None, None).unwrap_err();
        assert_eq!(error.code, "invalid_index_uid");
        assert!(error.message.starts_with("`m x` is not a valid index uid. Index uid can be an integer"));
    }

    #[test]
    fn an_index_uid_cannot_leave_its_segment() {
        for uid in ["", "..", "a/b", "é", &"a".repeat(401)] {
            assert!(check_index_uid(uid).is_err(), "{uid}");
        }
        assert!(check_index_uid(&"a".repeat(400)).is_ok());
    }
}
