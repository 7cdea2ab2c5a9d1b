//! Reads over all shards: a client's query is rewritten for the nodes, and their answers are merged into the answer
//! that one node holding everything would give. Nothing here sends anything: the read machine ([`crate::read`])
//! drives a [`Gather`].

mod answer;
mod distinct;
mod documents;
mod facet_search;
mod facets;
mod federated;
mod fields;
mod find;
mod hits;
mod hybrid;
mod members;
mod merge;
mod multi;
mod normalise;
mod order;
mod page;
mod paging;
mod plan;
mod query;
mod rank;
mod reserved;
mod rewrite;
mod rounds;
mod scan;
mod score;
mod scrub;
mod similar;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
mod token;
mod url;

use crate::error::ErrorBody;
use crate::shardmap::SearchView;

pub use plan::{
    join_multi_search, plan_documents, plan_facet_search, plan_fields, plan_multi_search, plan_search, plan_similar,
    strip_document,
};
pub(crate) use reserved::hide_in_filter;
pub(crate) use scrub::{Subject, subject};
pub use scrub::{renumber_rules, scrub_message};

/// A request to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRequest {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path with query string.
    pub path: String,
    /// Headers that the request needs beside those of the client that are passed on; lower-case names.
    pub headers: &'static [(&'static str, &'static str)],
    /// JSON body; its `content-type` is `application/json`.
    pub body: Option<Vec<u8>>,
}

/// In whose name nodes are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The client's: the node judges its key.
    Client,
    /// The cluster's own, to read a document that the client does not get, where this worker has been given a key for
    /// that; else the client's.
    Reader,
}

/// Why a node's answer with status 200 is none: cut short, not JSON, of wrong types, with missing fields. The node has
/// failed; its answer must not reach the client in any part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unusable answer: {0}")]
pub struct BadAnswer(pub String);

/// One read over all shards: makes the nodes' requests and merges their answers.
pub trait Gather {
    /// Index that is read.
    fn index(&self) -> &str;

    /// Hash of the index and of the query without its paging: picks the cover, so that all pages of a query come from
    /// the same replicas.
    fn query_hash(&self) -> u64;

    /// The request for a node that is asked for the shards of `clause` (made by
    /// [`crate::tag::quoted_clause`]). `part` is the number under which its answer will be given to
    /// [`Gather::accept`].
    fn request(&self, clause: &str, part: usize) -> NodeRequest;

    /// In whose name the next requests are made.
    fn authority(&self) -> Authority {
        Authority::Client
    }

    /// The error that stands for the body of a 200 answer, where that is no answer to what was asked: a document that
    /// does not belong where it lies. Another copy may have the one that does.
    fn belied(&self, _body: &[u8]) -> Option<ErrorBody> {
        None
    }

    /// Takes the body of a 200 answer. Parts come in any order and any number; together they must answer for each shard
    /// exactly once, and each part at most once. Ties between parts fall by part number, so numbers follow the nodes'
    /// positions in the cover.
    ///
    /// # Errors
    /// [`BadAnswer`]: nothing of the answer was kept, and the same shards can be asked for again under any number that
    /// has not been accepted. Faults in what only the page needs may be told by [`Gather::settle`] instead.
    fn accept(&mut self, part: usize, body: Vec<u8>) -> Result<(), BadAnswer>;

    /// Parts to be asked once more, after every part has been accepted: the same number, clause and node as before, the
    /// request made anew by [`Gather::request`]. Called until it is empty. (A deep page of a documents list first asks
    /// how many documents each part has, and then only the parts that the page lies in.)
    fn again(&mut self) -> Vec<usize> {
        Vec::new()
    }

    /// Puts the page together, once every part has been accepted and nothing is to be asked again. Comes before
    /// [`Gather::finish`].
    ///
    /// # Errors
    /// The number of a part whose answer turns out to be unusable: nothing can come of this gather any more.
    fn settle(&mut self) -> Result<(), usize> {
        Ok(())
    }

    /// The client's own request made cheap (no hits), to be sent to one node when a node has refused a rewritten one
    /// with 4xx, so that the message that the client reads is about the client's own request. Its text still has to go
    /// through [`scrub_message`].
    fn replay(&self) -> Option<NodeRequest>;

    /// The part whose node judges the client's own request where a node has refused a rewritten one; none: the one that
    /// has refused.
    fn judge(&self) -> Option<usize> {
        None
    }

    /// The body of the client's answer. `took_ms` is the time that the client has waited.
    fn finish(self: Box<Self>, took_ms: u64) -> Vec<u8>;
}

/// How a read is served.
pub enum Plan {
    /// Over all shards.
    Gather(Box<dyn Gather>),
    /// The engine refuses this request (or this build does not understand it): it goes to one node as the client sent
    /// it, and the refusal is relayed, through [`scrub_message`].
    Relay {
        /// The client's own request.
        request: NodeRequest,
        /// The answer where the node accepts the request after all: one node's hits are never a page.
        otherwise: ErrorBody,
    },
}

/// How a multi-search is served.
pub enum MultiPlan {
    /// Each query on its own, in order; the answers are joined by [`join_multi_search`].
    Separate(Vec<Box<dyn Gather>>),
    /// With `federation`: all queries at once, so that their indexes have to lie in one placement.
    Federated {
        /// Asks the nodes and merges their answers.
        gather: Box<dyn Gather>,
        /// Indexes of the queries.
        indexes: Vec<String>,
    },
    /// A query names an index that the map does not have.
    UnknownIndex {
        /// Position of the query.
        position: usize,
        /// Index that it names.
        uid: String,
    },
    /// As [`Plan::Relay`].
    Relay {
        /// The client's own request.
        request: NodeRequest,
        /// As in [`Plan::Relay`].
        otherwise: ErrorBody,
    },
}

/// What planning needs to know about an index.
#[derive(Clone, Copy, Debug)]
pub struct IndexFacts<'a> {
    /// Uid, already checked against the map.
    pub uid: &'a str,
    /// Primary key, once known.
    pub primary_key: Option<&'a str>,
    /// Settings that Miroir applies itself.
    pub view: &'a SearchView,
}

/// What planning needs to know about a request.
#[derive(Clone, Copy, Debug)]
pub struct ReadCall<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// Path without query string.
    pub path: &'a str,
    /// Query string without `?`.
    pub query: Option<&'a str>,
    /// Body; empty for GET.
    pub body: &'a [u8],
    /// The header `meili-include-metadata: true` was sent.
    pub include_metadata: bool,
}
