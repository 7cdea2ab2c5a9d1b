//! `POST /multi-search` without federation: each query is a search of its own.

use serde_json::value::RawValue;

use super::find::Search;
use super::query::{NotUnderstood, Query};
use super::{Gather, IndexFacts, MultiPlan, NodeRequest, federated, reserved};

/// Members that a query of a multi-search may have as null, but a search may not.
const NULLABLE: [&str; 3] = ["offset", "limit", "showPerformanceDetails"];

/// Plans the queries. `replay` is the client's own request: a refusal of any query is told by it, with the position of
/// the query.
///
/// # Errors
/// Where the request has a form that cannot be taken apart.
pub(super) fn plan<'a>(
    body: &[u8],
    lookup: &dyn Fn(&str) -> Option<IndexFacts<'a>>,
    include_metadata: bool,
    replay: &NodeRequest,
) -> Result<MultiPlan, NotUnderstood> {
    let request = Query::parse(body)?;
    if request.raw("federation").is_some() {
        return federated::plan(&request, lookup, include_metadata, replay);
    }
    if request.names().any(|name| !matches!(name, "federation" | "queries")) {
        return Err(NotUnderstood);
    }
    let queries: Vec<&RawValue> = request.strict("queries")?.ok_or(NotUnderstood)?;
    let mut queries =
        queries.into_iter().map(|raw| Query::parse(raw.get().as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let hidden = queries.iter_mut().fold(false, |hidden, query| reserved::hide(query) | hidden);
    let mut replay = replay.clone();
    if hidden {
        replay.body = Some(join_queries(&queries));
    }
    let mut gathers: Vec<Box<dyn Gather>> = Vec::with_capacity(queries.len());
    for (position, mut query) in queries.into_iter().enumerate() {
        if query.raw("federationOptions").is_some() {
            return Err(NotUnderstood);
        }
        let uid: String = query.strict("indexUid")?.ok_or(NotUnderstood)?;
        let Some(index) = lookup(&uid) else { return Ok(MultiPlan::UnknownIndex { position, uid }) };
        query.remove("indexUid");
        query.remove("federationOptions");
        for name in NULLABLE {
            if query.is_null(name) {
                query.remove(name);
            }
        }
        gathers.push(Box::new(Search::plan(query, &index, include_metadata, replay.clone())?));
    }
    Ok(MultiPlan::Separate(gathers))
}

/// The body of a multi-search of these queries.
fn join_queries(queries: &[Query]) -> Vec<u8> {
    let mut body = b"{\"queries\":[".to_vec();
    for (position, query) in queries.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&query.json());
    }
    body.extend_from_slice(b"]}");
    body
}

/// Puts the answers of the queries together.
pub(super) fn join(answers: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let size = answers.iter().map(|(uid, body)| uid.len().saturating_add(body.len()).saturating_add(16));
    let mut out = Vec::with_capacity(size.fold(16, usize::saturating_add));
    out.extend_from_slice(b"{\"results\":[");
    for (position, (uid, body)) in answers.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("{{\"indexUid\":{}", serde_json::Value::from(uid)).as_bytes());
        match body.strip_prefix(b"{") {
            Some(members) if !members.starts_with(b"}") => {
                out.push(b',');
                out.extend_from_slice(members);
            }
            _ => out.push(b'}'),
        }
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shardmap::SearchView;

    fn planned(body: &str) -> Result<MultiPlan, NotUnderstood> {
        let view = SearchView::default();
        let replay = NodeRequest { method: "POST", path: "/multi-search".into(), headers: &[], body: None };
        let lookup =
            |uid: &str| (uid == "films").then_some(IndexFacts { uid: "films", primary_key: None, view: &view });
        plan(body.as_bytes(), &lookup, false, &replay)
    }

    #[test]
    fn each_query_becomes_a_search() {
        let body = r#"{"queries":[{"indexUid":"films","q":"a","limit":null},{"indexUid":"films","x":1}]}"#;
        let Ok(MultiPlan::Separate(gathers)) = planned(body) else { panic!("not separate") };
        let request = gathers[1].request("s", 0);
        assert_eq!(request.path, "/indexes/films/search");
        let body = String::from_utf8(request.body.unwrap()).unwrap();
        assert!(body.contains("\"x\":1") && body.contains("\"limit\":20") && !body.contains("indexUid"), "{body}");
    }

    #[test]
    fn other_forms_are_told_apart() {
        let federated = r#"{"queries":[{"indexUid":"films"}],"federation":{}}"#;
        assert!(matches!(planned(federated), Ok(MultiPlan::Federated { indexes, .. }) if indexes == ["films"]));
        assert!(matches!(planned(r#"{"queries":[],"federation":null}"#), Ok(MultiPlan::Separate(_))));
        let unknown = planned(r#"{"queries":[{"indexUid":"films"},{"indexUid":"books"}]}"#);
        assert!(matches!(unknown, Ok(MultiPlan::UnknownIndex { position: 1, uid }) if uid == "books"));
        for body in [
            "",
            "{}",
            r#"{"queries":{}}"#,
            r#"{"queries":[],"x":1}"#,
            r#"{"queries":[{"indexUid":"films"}],"x":null}"#,
            r#"{"queries":[1]}"#,
            r#"{"queries":[{}]}"#,
            r#"{"queries":[{"indexUid":"films","federationOptions":{}}]}"#,
            r#"{"queries":[{"indexUid":"films","limit":"x"}]}"#,
        ] {
            assert!(planned(body).is_err(), "{body}");
        }
    }

    #[test]
    fn answers_are_joined_in_order() {
        let joined = join(vec![("a".into(), b"{\"hits\":[]}".to_vec()), ("b".into(), b"{}".to_vec())]);
        assert_eq!(joined, br#"{"results":[{"indexUid":"a","hits":[]},{"indexUid":"b"}]}"#);
        assert_eq!(join(Vec::new()), br#"{"results":[]}"#);
    }
}
