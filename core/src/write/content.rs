//! What a write carries, how it falls apart into shards, and what each node is sent of it.

use std::collections::BTreeSet;

use super::edit::EditRequest;
use super::query::{Parameters, encode_into};
use super::{WriteHead, filter};
use crate::error::ErrorBody;
use crate::split::{self, Format, SplitError, SplitPlan, Target};
use crate::wire::{
    Edit, Grant, GrantPart, KeySource, MAX_BEGIN_KEY_BYTES, MAX_BEGIN_KEYS, ShardCount, TICKET_PARAMETER, WriteKind,
};
use crate::{hash, tag};

/// The payload of a write.
#[derive(Debug)]
pub(super) enum Content {
    /// Documents in the format in which they came.
    Documents {
        /// That format.
        format: Format,
        /// The client's body.
        body: Vec<u8>,
    },
    /// A JSON array of ids to delete.
    Ids(Vec<u8>),
    /// One id to delete.
    One(String),
    /// JSON text of a filter.
    Filter(String),
    /// An edit by function.
    Edit(EditRequest),
    /// Every document.
    All,
}

/// A payload with the shards that it touches.
#[derive(Debug)]
pub(super) struct Split {
    /// Primary key by which it was split, where documents were.
    pub primary_key: Option<String>,
    /// Where that key comes from.
    pub key_source: KeySource,
    /// Documents or ids, repeats counted.
    pub received: u64,
    /// Touched shards; empty for whole-index kinds.
    pub shards: Vec<ShardCount>,
    /// Where the pieces stand in the body; none where nodes get no body, or all the same.
    plan: Option<SplitPlan>,
}

/// What one node is sent.
pub(super) struct NodeWrite {
    pub method: &'static str,
    pub path: String,
    pub content_type: Option<&'static str>,
    pub body: Vec<u8>,
}

impl Content {
    /// Bytes of the client's body.
    pub fn len(&self) -> u64 {
        let len = match self {
            Self::Documents { body, .. } | Self::Ids(body) => body.len(),
            Self::One(text) | Self::Filter(text) => text.len(),
            Self::Edit(request) => request.len(),
            Self::All => 0,
        };
        u64::try_from(len).unwrap_or(u64::MAX)
    }

    /// Finds the shards that the payload touches.
    pub fn split(
        &self,
        target: Target<'_>,
        known: Option<(&str, KeySource)>,
        shard_count: u32,
    ) -> Result<Split, SplitError> {
        let planned = |plan: SplitPlan| Split {
            primary_key: plan.primary_key.clone(),
            key_source: plan.key_source,
            received: plan.received,
            shards: plan.shards.clone(),
            plan: Some(plan),
        };
        let whole =
            |received, shards| Split { primary_key: None, key_source: KeySource::None, received, shards, plan: None };
        match self {
            Self::Documents { format, body } => split::plan_for(body, *format, known, shard_count, target).map(planned),
            Self::Ids(body) => split::delete_batch(body, shard_count).map(planned).map_err(SplitError::Http),
            Self::One(id) => {
                // An id that no document can have names no document on any shard; it is hashed all the same.
                let shard = hash::shard_of(id.as_bytes(), shard_count);
                Ok(whole(1, vec![ShardCount { shard, keys: 1 }]))
            }
            Self::Filter(_) | Self::Edit(_) | Self::All => Ok(whole(0, Vec::new())),
        }
    }

    /// The keys that the payload names, once each; none where there are too many to tell, or none are named.
    pub fn keys(&self, split: &Split) -> Option<Vec<String>> {
        let (body, plan) = match (self, &split.plan) {
            (Self::One(id), _) => return Some(vec![id.clone()]),
            (Self::Documents { body, .. } | Self::Ids(body), Some(plan)) => (body, plan),
            _ => return None,
        };
        let most = u64::try_from(MAX_BEGIN_KEYS).unwrap_or(u64::MAX);
        if split.shards.iter().map(|count| u64::from(count.keys)).sum::<u64>() > most {
            return None;
        }
        let (mut keys, mut bytes) = (BTreeSet::new(), 0usize);
        for (key, _) in plan.keys(body) {
            bytes = bytes.saturating_add(key.len());
            if bytes > MAX_BEGIN_KEY_BYTES {
                return None;
            }
            keys.insert(key.into_owned());
        }
        Some(keys.into_iter().collect())
    }

    /// The client's filter, for the task's details.
    pub fn original_filter(&self) -> Option<String> {
        match self {
            Self::Filter(filter) => Some(filter.clone()),
            Self::Edit(request) => request.filter.clone(),
            _ => None,
        }
    }

    /// The client's function, for the task's details.
    pub fn edit(&self) -> Option<Box<Edit>> {
        match self {
            Self::Edit(request) => Some(Box::new(request.edit.clone())),
            _ => None,
        }
    }

    /// The request for one part of a grant.
    pub fn node_write(
        &self,
        head: &WriteHead,
        split: &Split,
        grant: &Grant,
        part: &GrantPart,
        shard_count: u32,
    ) -> NodeWrite {
        let wanted = |shard: u32| part.shards.iter().any(|given| given.shard == shard);
        // A node that takes a write to all shards, and alone, holds everything: what has no tag yet is meant too.
        let alone =
            grant.parts.len() == 1 && usize::try_from(shard_count).is_ok_and(|count| count == part.shards.len());
        let clause = (!alone).then(|| {
            let shards: Vec<u32> = part.shards.iter().map(|given| given.shard).collect();
            tag::filter_clause(&shards, shard_count)
        });
        let clause = clause.as_deref();
        let mut path = format!("/indexes/{}/documents", head.index);
        let (method, content_type, body) = match (self, &split.plan) {
            (Self::Documents { format, body }, Some(plan)) => {
                let method = if head.kind == WriteKind::Update { "PUT" } else { "POST" };
                (method, Some(media_type(*format)), split::payload(body, plan, &wanted))
            }
            (Self::Ids(body), Some(plan)) => {
                path.push_str("/delete-batch");
                ("POST", Some("application/json"), split::payload(body, plan, &wanted))
            }
            (Self::Filter(filter), _) => {
                path.push_str("/delete");
                ("POST", Some("application/json"), filter::narrow(filter, clause))
            }
            (Self::Edit(request), _) => {
                path.push_str("/edit");
                ("POST", Some("application/json"), request.narrow(clause))
            }
            (Self::One(id), _) => {
                path.push('/');
                encode_into(&mut path, id);
                ("DELETE", None, Vec::new())
            }
            _ => ("DELETE", None, Vec::new()),
        };
        self.add_query(&mut path, &head.parameters, grant);
        NodeWrite { method, path, content_type, body }
    }

    fn add_query(&self, path: &mut String, parameters: &Parameters, grant: &Grant) {
        path.push('?');
        path.push_str(TICKET_PARAMETER);
        path.push('=');
        encode_into(path, &grant.metadata);
        let Self::Documents { format, .. } = self else { return };
        if let Some(primary_key) = &grant.primary_key {
            path.push_str("&primaryKey=");
            encode_into(path, primary_key);
        }
        if let Format::Csv { delimiter } = format
            && *delimiter != b','
        {
            path.push_str("&csvDelimiter=");
            encode_into(path, &char::from(*delimiter).to_string());
        }
        if parameters.skip_creation {
            path.push_str("&skipCreation=true");
        }
    }
}

fn media_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
        Format::Csv { .. } => "text/csv",
    }
}

/// The answer to a payload that the engine would refuse at once.
pub(super) fn refusal(error: SplitError) -> Result<(ErrorBody, u64), ErrorBody> {
    match error {
        SplitError::Http(error) => Err(error),
        SplitError::Task { error, received } => Ok((error, received)),
    }
}
