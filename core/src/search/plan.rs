//! From a client's request to its [`Plan`].

use super::documents::Documents;
use super::facet_search::FacetSearch;
use super::fields::Fields;
use super::find::Search;
use super::hits::{HitList, HitRules, Ranked};
use super::query::{NotUnderstood, Query};
use super::scan::Scanner;
use super::similar::Similar;
use super::{BadAnswer, IndexFacts, MultiPlan, NodeRequest, Plan, ReadCall, multi, reserved, url};
use crate::error::ErrorBody;

/// Plans `GET` and `POST /indexes/{uid}/search`.
#[must_use]
pub fn plan_search(call: &ReadCall<'_>, index: &IndexFacts<'_>) -> Plan {
    let plan = || -> Result<Search, NotUnderstood> {
        let is_get = call.method == "GET";
        let mut query = if is_get { url::search(call.query)? } else { Query::parse(call.body)? };
        let replay = replay(call, &mut query);
        Search::plan(query, index, call.include_metadata, replay)
    };
    plan().map_or_else(|_| relay(call), |search| Plan::Gather(Box::new(search)))
}

/// The client's own request, asking for no hits, and with the reserved name hidden there and in `query`.
fn replay(call: &ReadCall<'_>, query: &mut Query) -> NodeRequest {
    let hidden = reserved::hide(query);
    if call.method != "GET" {
        return NodeRequest { method: "POST", path: sent_path(call), headers: &[], body: Some(without_hits(query)) };
    }
    let (sent, _) = as_sent(call);
    if !hidden {
        return sent;
    }
    let path = call.path.trim_end_matches('/');
    let path = if path.ends_with("/documents") { format!("{path}/fetch") } else { path.to_owned() };
    NodeRequest { method: "POST", path, headers: sent.headers, body: Some(without_hits(query)) }
}

/// The client's query, asking for no hits.
fn without_hits(query: &Query) -> Vec<u8> {
    let mut query = query.clone();
    if query.raw("page").is_some() || query.raw("hitsPerPage").is_some() {
        query.set("hitsPerPage", &0);
    } else {
        query.set("limit", &0);
    }
    query.json()
}

/// Plans `POST /indexes/{uid}/facet-search`.
#[must_use]
pub fn plan_facet_search(call: &ReadCall<'_>, index: &IndexFacts<'_>) -> Plan {
    let plan = Query::parse(call.body).and_then(|mut query| {
        let (mut replay, _) = as_sent(call);
        if reserved::hide(&mut query) {
            replay.body = Some(query.json());
        }
        FacetSearch::plan(query, index, replay)
    });
    plan.map_or_else(|_| relay(call), |search| Plan::Gather(Box::new(search)))
}

/// Plans `POST /indexes/{uid}/fields`.
#[must_use]
pub fn plan_fields(call: &ReadCall<'_>, index: &IndexFacts<'_>) -> Plan {
    let plan = Query::parse(call.body).and_then(|query| Fields::plan(query, index, as_sent(call).0));
    plan.map_or_else(|_| relay(call), |fields| Plan::Gather(Box::new(fields)))
}

/// Plans `GET /indexes/{uid}/documents` and `POST /indexes/{uid}/documents/fetch`.
#[must_use]
pub fn plan_documents(call: &ReadCall<'_>, index: &IndexFacts<'_>) -> Plan {
    let plan = || -> Result<Documents, NotUnderstood> {
        let is_get = call.method == "GET";
        let mut query = if is_get { url::documents(call.query)? } else { Query::parse(call.body)? };
        let replay = replay(call, &mut query);
        Documents::plan(query, index, replay)
    };
    plan().map_or_else(|_| relay(call), |documents| Plan::Gather(Box::new(documents)))
}

/// Plans `GET` and `POST /indexes/{uid}/similar`.
#[must_use]
pub fn plan_similar(call: &ReadCall<'_>, index: &IndexFacts<'_>) -> Plan {
    let plan = || -> Result<Similar, NotUnderstood> {
        let is_get = call.method == "GET";
        let mut query = if is_get { url::similar(call.query)? } else { Query::parse(call.body)? };
        let replay = replay(call, &mut query);
        Similar::plan(query, index, replay)
    };
    plan().map_or_else(|_| relay(call), |similar| Plan::Gather(Box::new(similar)))
}

/// Plans `POST /multi-search`. `lookup` finds an index of the map.
#[must_use]
pub fn plan_multi_search<'a>(call: &ReadCall<'_>, lookup: &dyn Fn(&str) -> Option<IndexFacts<'a>>) -> MultiPlan {
    let (request, otherwise) = as_sent(call);
    multi::plan(call.body, lookup, call.include_metadata, &request).unwrap_or(MultiPlan::Relay { request, otherwise })
}

/// Joins the answers of a multi-search: for each query its index and the body of its [`super::Gather::finish`].
#[must_use]
pub fn join_multi_search(answers: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    multi::join(answers)
}

/// Removes the reserved field from the document that a node returned for its id.
///
/// # Errors
/// [`BadAnswer`] where the answer is no JSON object.
pub fn strip_document(raw: &[u8]) -> Result<Vec<u8>, BadAnswer> {
    let mut scanner = Scanner::new(raw);
    let mut list = HitList::default();
    let document = list.read_hit(&mut scanner, &HitRules::plain(Ranked::Unranked), 0)?;
    scanner.end()?;
    let mut out = Vec::with_capacity(raw.len());
    list.write(&document, raw, None, &mut out);
    Ok(out)
}

fn relay(call: &ReadCall<'_>) -> Plan {
    let (request, otherwise) = as_sent(call);
    Plan::Relay { request, otherwise }
}

fn sent_path(call: &ReadCall<'_>) -> String {
    call.query.map_or_else(|| call.path.to_owned(), |query| format!("{}?{query}", call.path))
}

fn as_sent(call: &ReadCall<'_>) -> (NodeRequest, ErrorBody) {
    let path = sent_path(call);
    let body = (!call.body.is_empty()).then(|| call.body.to_vec());
    let method = if call.method == "GET" { "GET" } else { "POST" };
    let otherwise =
        ErrorBody::new("bad_request", "The request has a form that this version of Miroir cannot spread over shards.");
    (NodeRequest { method, path, headers: &[], body }, otherwise)
}
