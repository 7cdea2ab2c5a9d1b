//! Errors in Meilisearch's own shape. One table holds code, type and status; the link follows from the code.

mod codes;
mod wording;

use serde::{Deserialize, Serialize};

use crate::call::Reply;
use codes::CODES;
pub use wording::expected_one_of;

/// Class of an error, as the engine names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorType {
    /// A fault of the server.
    Internal,
    /// A fault of the request.
    InvalidRequest,
    /// Missing or insufficient credentials.
    Auth,
    /// A fault of the machine: disk, files, memory.
    System,
}

/// The body of an error answer, and the `error` of a failed task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Human-readable text.
    pub message: String,
    /// Stable code, such as `index_not_found`.
    pub code: String,
    /// Class.
    #[serde(rename = "type")]
    pub error_type: ErrorType,
    /// Page about the code.
    pub link: String,
}

/// Looks a code up: its type and HTTP status. An unknown code counts as internal, 500.
#[must_use]
pub fn lookup(code: &str) -> (ErrorType, u16) {
    CODES
        .binary_search_by(|(name, _, _)| (*name).cmp(code))
        .ok()
        .and_then(|at| CODES.get(at))
        .map_or((ErrorType::Internal, 500), |(_, error_type, status)| (*error_type, *status))
}

impl ErrorBody {
    /// Builds the error of a code in the table.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: code.to_owned(),
            error_type: lookup(code).0,
            link: format!("https://docs.meilisearch.com/errors#{code}"),
        }
    }

    /// A body beyond the limit, in bytes.
    #[must_use]
    pub fn payload_too_large(limit: u64) -> Self {
        let limit = size(limit);
        let message =
            format!("The provided payload reached the size limit. The maximum accepted payload size is {limit}.");
        Self::new("payload_too_large", message)
    }

    /// A node's part of a payload that is beyond what nodes take, though the payload itself is not too large.
    #[must_use]
    pub fn part_too_large(part: u64, limit: u64) -> Self {
        let (part, limit) = (size(part), size(limit));
        let message = format!(
            "With the tag of each document, the part of one node is {part}, and nodes take {limit} at once. Nothing was \
             written. Send smaller payloads, or raise the nodes' `--http-payload-size-limit` and control's \
             `limits.node_body_bytes`."
        );
        Self::new("payload_too_large", message)
    }

    /// HTTP status that the engine gives this code.
    #[must_use]
    pub fn status(&self) -> u16 {
        lookup(&self.code).1
    }

    /// The answer to a client.
    #[must_use]
    pub fn reply(&self) -> Reply {
        self.reply_with_status(self.status())
    }

    /// The answer to a client with another status than the table's (`index_not_found` is 400 within multi-search).
    #[must_use]
    pub fn reply_with_status(&self, status: u16) -> Reply {
        Reply {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: serde_json::to_vec(self).unwrap_or_default(),
        }
    }
}

/// A size in the largest unit of which it is a multiple.
fn size(bytes: u64) -> String {
    for (unit, name) in
        [(1_000_000_000, "GB"), (1 << 30, "GiB"), (1_000_000, "MB"), (1 << 20, "MiB"), (1_000, "KB"), (1 << 10, "KiB")]
    {
        if bytes >= unit
            && bytes.checked_rem(unit) == Some(0)
            && let Some(count) = bytes.checked_div(unit)
        {
            return format!("{count} {name}");
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_free_of_repeats() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn an_error_has_the_shape_of_the_engine() {
        let error = ErrorBody::new("index_not_found", "Index `movies` not found.");
        assert_eq!(error.status(), 404);
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"message":"Index `movies` not found.","code":"index_not_found","type":"invalid_request","link":"https://docs.meilisearch.com/errors#index_not_found"}"#
        );
    }

    #[test]
    fn a_limit_is_told_in_its_own_unit() {
        for (limit, text) in [(100_000_000, "100 MB."), (100 << 20, "100 MiB."), (1_500, "1500 B.")] {
            assert!(ErrorBody::payload_too_large(limit).message.ends_with(text));
        }
    }

    #[test]
    fn an_unknown_code_is_internal() {
        assert_eq!(lookup("no_such_code"), (ErrorType::Internal, 500));
    }
}
