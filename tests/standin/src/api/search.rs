//! Search routes.

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use super::{body, check_uid};
use crate::answer::{Answer, Refusal, no_index, ok, refuse};
use crate::auth::check;
use crate::filter::Scope;
use crate::node::{Node, Shared};
use crate::query::{self, BODY, Request};
use crate::shape::{self, Field, Is};

/// `GET /indexes/{index}/search`
pub(super) async fn by_url(
    State(node): State<Shared>,
    Path(index): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    check(&node, &headers, "search", Some(&index))?;
    check_uid(&index)?;
    ok(Value::Object(run(&node, &index, &query::from_url(query.as_deref())?)?))
}

/// `POST /indexes/{index}/search`
pub(super) async fn by_body(
    State(node): State<Shared>,
    Path(index): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    check(&node, &headers, "search", Some(&index))?;
    check_uid(&index)?;
    let request = body(&headers, &bytes)?;
    let request = Request::new(shape::object(&request)?, BODY, "")?;
    ok(Value::Object(run(&node, &index, &request)?))
}

fn run(node: &Node, index: &str, request: &Request) -> Result<Map<String, Value>, Refusal> {
    let state = node.state();
    let found = state.indexes.get(index).ok_or_else(|| no_index(index))?;
    query::search(found, request, state.feature("containsFilter"))
}

/// `POST /multi-search`, without federation.
pub(super) async fn multi(State(node): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Answer {
    let right = check(&node, &headers, "search", None)?;
    let request = body(&headers, &bytes)?;
    let fields = shape::object(&request)?;
    shape::check(fields, &[("queries", Is::Any, "bad_request"), ("federation", Is::Any, "bad_request")], "")?;
    if fields.get("federation").is_some_and(|federation| !federation.is_null()) {
        return Err(refuse("feature_not_enabled", "The stand-in does not do federated searches."));
    }
    let queries = fields.get("queries").ok_or_else(|| refuse("bad_request", "Missing field `queries`"))?;
    let queries =
        queries.as_array().ok_or_else(|| shape::wrong_type("bad_request", ".queries", "an array", queries))?;
    let known: Vec<Field> = [("indexUid", Is::Text, "invalid_index_uid")]
        .into_iter()
        .chain(BODY.iter().copied())
        .chain([("federationOptions", Is::Any, "invalid_multi_search_federation_options")])
        .collect();
    let mut requests = Vec::new();
    for (position, query) in queries.iter().enumerate() {
        let place = format!(".queries[{position}]");
        let query = query.as_object().ok_or_else(|| shape::wrong_type("bad_request", &place, "an object", query))?;
        shape::check(query, &known, &place)?;
        let uid = query
            .get("indexUid")
            .and_then(Value::as_str)
            .ok_or_else(|| refuse("missing_index_uid", format!("Missing field `indexUid` inside `{place}`")))?;
        if !super::valid_uid(uid) {
            let message = format!("Invalid value at `{place}.indexUid`: {}", super::uid_text(uid));
            return Err(refuse("invalid_index_uid", message));
        }
        requests.push((uid.to_owned(), Request::new(query, &known, &place)?));
    }
    let mut results = Vec::new();
    for (position, (uid, request)) in requests.iter().enumerate() {
        let inside = |Refusal(mut body, status): Refusal| {
            body.message = format!("Inside `.queries[{position}]`: {}", body.message);
            Refusal(body, if status == 404 { 400 } else { status })
        };
        if !right.covers(uid) {
            return Err(inside(refuse("invalid_api_key", "The provided API key is invalid.")));
        }
        let mut result = Map::from_iter([("indexUid".to_owned(), json!(uid))]);
        result.extend(run(&node, uid, request).map_err(inside)?);
        results.push(Value::Object(result));
    }
    ok(json!({"results": results}))
}

/// `POST /indexes/{index}/facet-search`
pub(super) async fn facet(
    State(node): State<Shared>,
    Path(index): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    check(&node, &headers, "search", Some(&index))?;
    check_uid(&index)?;
    let request = body(&headers, &bytes)?;
    let fields = shape::object(&request)?;
    let Some(name) = fields.get("facetName") else {
        return Err(refuse("missing_facet_search_facet_name", "Missing field `facetName`"));
    };
    let name = name
        .as_str()
        .ok_or_else(|| shape::wrong_type("invalid_facet_search_facet_name", ".facetName", "a string", name))?;
    let text = fields.get("facetQuery").filter(|text| !text.is_null());
    if let Some(text) = text.filter(|text| !text.is_string()) {
        return Err(shape::wrong_type("invalid_facet_search_query", ".facetQuery", "a string", text));
    }
    let text = text.and_then(Value::as_str);
    let mut inner = fields.clone();
    for own in ["facetName", "facetQuery", "exhaustiveFacetCount"] {
        inner.remove(own);
    }
    inner.retain(|name, _| BODY.iter().any(|(known, ..)| known == name));
    let search = Request::new(&inner, BODY, "")?;
    let state = node.state();
    let found = state.indexes.get(&index).ok_or_else(|| no_index(&index))?;
    let ranked = query::find(found, &search, state.feature("containsFilter"), Scope::Documents)?.ranked;
    let documents: Vec<u32> = ranked.iter().map(|ranked| ranked.document).collect();
    let hits = query::facets::search(found, name, text, &documents)?;
    ok(json!({"facetHits": hits, "facetQuery": text, "processingTimeMs": 0}))
}
