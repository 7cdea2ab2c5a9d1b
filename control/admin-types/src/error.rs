//! The shape of every error.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Any answer that is no success, in the shape of Meilisearch's errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Error {
    /// What stands against it, for people.
    pub message: String,
    /// Short stable name.
    pub code: String,
    /// Class: `invalid_request`, `auth`, `system` or `internal`.
    #[serde(rename = "type")]
    pub error_type: String,
    /// Page about it.
    pub link: String,
}
