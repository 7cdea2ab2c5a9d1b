//! A Meilisearch with data that becomes a cluster of one node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET` and `POST /_miroir/adopt`: what is there, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adoption {
    /// Id that the node gets: the one in the configuration.
    pub node: String,
    /// Its address.
    pub url: String,
    /// Version of the engine, if it answers.
    pub version: Option<String>,
    /// Indexes, by uid.
    pub indexes: Vec<AdoptedIndex>,
    /// Names of API keys, or their uids where they have none; they stay valid.
    pub keys: Vec<String>,
    /// What else should be known.
    pub notes: Vec<String>,
    /// Why it cannot be adopted; empty if it can.
    pub refusals: Vec<String>,
    /// It has been adopted by this request.
    pub adopted: bool,
}

/// An index that is adopted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdoptedIndex {
    /// Uid.
    pub uid: String,
    /// Primary key.
    pub primary_key: Option<String>,
    /// Documents.
    pub documents: u64,
    /// Settings that are not the engine's defaults.
    pub settings: Vec<String>,
}
