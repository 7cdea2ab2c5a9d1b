//! The GET forms of searches and document lists, translated to the POST forms, which is what nodes are sent.

use serde_json::Value;

use super::query::{NotUnderstood, Query};

/// How the text of a parameter becomes JSON.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Whole,
    Decimal,
    Flag,
    List,
    Numbers,
    Filter,
    Sort,
    /// A list in which `*` stands for all.
    StarList,
}

const SEARCH: &[(&str, Kind)] = &[
    ("q", Kind::Text),
    ("offset", Kind::Whole),
    ("limit", Kind::Whole),
    ("page", Kind::Whole),
    ("hitsPerPage", Kind::Whole),
    ("attributesToRetrieve", Kind::List),
    ("attributesToCrop", Kind::List),
    ("cropLength", Kind::Whole),
    ("cropMarker", Kind::Text),
    ("attributesToHighlight", Kind::List),
    ("highlightPreTag", Kind::Text),
    ("highlightPostTag", Kind::Text),
    ("showMatchesPosition", Kind::Flag),
    ("filter", Kind::Filter),
    ("sort", Kind::Sort),
    ("distinct", Kind::Text),
    ("facets", Kind::List),
    ("matchingStrategy", Kind::Text),
    ("attributesToSearchOn", Kind::List),
    ("rankingScoreThreshold", Kind::Decimal),
    ("locales", Kind::List),
    ("hybridEmbedder", Kind::Text),
    ("hybridSemanticRatio", Kind::Decimal),
    ("vector", Kind::Numbers),
    ("retrieveVectors", Kind::Flag),
    ("personalizeUserContext", Kind::Text),
    ("useNetwork", Kind::Flag),
    ("showRankingScore", Kind::Flag),
    ("showRankingScoreDetails", Kind::Flag),
    ("showPerformanceDetails", Kind::Flag),
];

const DOCUMENTS: &[(&str, Kind)] = &[
    ("offset", Kind::Whole),
    ("limit", Kind::Whole),
    ("fields", Kind::StarList),
    ("retrieveVectors", Kind::Flag),
    ("ids", Kind::List),
    ("filter", Kind::Filter),
    ("sort", Kind::Sort),
];

const SIMILAR: &[(&str, Kind)] = &[
    ("id", Kind::Text),
    ("embedder", Kind::Text),
    ("offset", Kind::Whole),
    ("limit", Kind::Whole),
    ("filter", Kind::Filter),
    ("attributesToRetrieve", Kind::List),
    ("retrieveVectors", Kind::Flag),
    ("showRankingScore", Kind::Flag),
    ("showRankingScoreDetails", Kind::Flag),
    ("showPerformanceDetails", Kind::Flag),
    ("rankingScoreThreshold", Kind::Decimal),
];

/// `GET /indexes/{uid}/search`.
pub(super) fn search(query: Option<&str>) -> Result<Query, NotUnderstood> {
    let mut members = translate(query, SEARCH)?;
    let embedder: Option<String> = members.get("hybridEmbedder")?;
    let ratio: Option<f64> = members.get("hybridSemanticRatio")?;
    members.remove("hybridEmbedder");
    members.remove("hybridSemanticRatio");
    match (embedder, ratio) {
        (Some(embedder), Some(ratio)) => {
            members.set("hybrid", &serde_json::json!({ "embedder": embedder, "semanticRatio": ratio }));
        }
        (Some(embedder), None) => members.set("hybrid", &serde_json::json!({ "embedder": embedder })),
        (None, None) if members.raw("vector").is_none() => {}
        (None, _) => return Err(NotUnderstood),
    }
    if members.raw("personalizeUserContext").is_some() {
        return Err(NotUnderstood);
    }
    Ok(members)
}

/// `GET /indexes/{uid}/documents`.
pub(super) fn documents(query: Option<&str>) -> Result<Query, NotUnderstood> {
    translate(query, DOCUMENTS)
}

/// `GET /indexes/{uid}/similar`.
pub(super) fn similar(query: Option<&str>) -> Result<Query, NotUnderstood> {
    translate(query, SIMILAR)
}

fn translate(query: Option<&str>, known: &[(&str, Kind)]) -> Result<Query, NotUnderstood> {
    let mut members = Query::default();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        let (_, kind) = known.iter().find(|(known, _)| *known == name).ok_or(NotUnderstood)?;
        match json(*kind, value)? {
            Some(value) => members.set(&name, &value),
            None => members.remove(&name),
        }
    }
    Ok(members)
}

fn json(kind: Kind, text: String) -> Result<Option<Value>, NotUnderstood> {
    let number = |text: &str| {
        let number: f64 = text.parse().map_err(|_| NotUnderstood)?;
        serde_json::Number::from_f64(number).map(Value::Number).ok_or(NotUnderstood)
    };
    let list = || text.split(',').filter(|item| !item.is_empty());
    Ok(Some(match kind {
        Kind::Whole => Value::from(text.parse::<u64>().map_err(|_| NotUnderstood)?),
        Kind::Flag => Value::from(text.parse::<bool>().map_err(|_| NotUnderstood)?),
        Kind::Decimal => number(&text)?,
        Kind::Numbers => Value::Array(list().map(number).collect::<Result<_, _>>()?),
        Kind::StarList if list().any(|item| item == "*") => return Ok(None),
        Kind::List | Kind::StarList => list().map(Value::from).collect(),
        Kind::Sort => sort_rules(&text).into_iter().map(Value::from).collect(),
        Kind::Filter => match serde_json::from_str(&text) {
            // Null is no filter in a body, but is refused in a query string.
            Ok(Value::Null) => return Err(NotUnderstood),
            Ok(value) => value,
            Err(_) => Value::from(text),
        },
        Kind::Text => Value::from(text),
    }))
}

/// Splits the rules at commas, but not within the parentheses of `_geoPoint(…)`. Quotes around the whole are dropped,
/// and blanks around the rules, as the engine does it.
fn sort_rules(text: &str) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    let mut within_point = false;
    for piece in text.trim_matches('"').split(',').map(str::trim) {
        match rules.last_mut() {
            Some(point) if within_point => {
                point.push(',');
                point.push_str(piece);
                within_point = !(piece.ends_with("):asc") || piece.ends_with("):desc"));
            }
            _ => {
                rules.push(piece.to_owned());
                within_point = piece.starts_with("_geoPoint(");
            }
        }
    }
    rules
}

/// Decodes a form-encoded name or value; what is no UTF-8 is replaced.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let code = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
                let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
                match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(code) => {
                        bytes.push(code);
                        rest = tail.get(2..).unwrap_or_default();
                    }
                    None => bytes.push(b'%'),
                }
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(query: &str) -> String {
        String::from_utf8(search(Some(query)).unwrap().json()).unwrap()
    }

    #[test]
    fn a_get_becomes_the_post_of_the_same_meaning() {
        assert_eq!(
            post("q=la%20la+land&limit=5&attributesToRetrieve=title,,id&showRankingScore=true"),
            r#"{"q":"la la land","limit":5,"attributesToRetrieve":["title","id"],"showRankingScore":true}"#
        );
        assert_eq!(post("filter=a%20%3D%201"), r#"{"filter":"a = 1"}"#);
        assert_eq!(post("filter=%5B%22a%20%3D%201%22%5D"), r#"{"filter":["a = 1"]}"#);
        assert_eq!(
            post("sort=_geoPoint(1.5,%202):asc,title:desc"),
            r#"{"sort":["_geoPoint(1.5,2):asc","title:desc"]}"#
        );
        assert_eq!(
            post("hybridEmbedder=e&hybridSemanticRatio=0.5&vector=1,0.25"),
            r#"{"vector":[1.0,0.25],"hybrid":{"embedder":"e","semanticRatio":0.5}}"#
        );
        assert_eq!(post("q=a&q=b"), r#"{"q":"b"}"#);
    }

    #[test]
    fn what_the_engine_refuses_is_not_understood() {
        for query in [
            "limit=x",
            "limit=-1",
            "page=",
            "nope=1",
            "showRankingScore=1",
            "vector=1",
            "hybridSemanticRatio=1",
            "filter=null",
        ] {
            assert!(search(Some(query)).is_err(), "{query}");
        }
    }

    #[test]
    fn a_star_among_fields_is_all_fields() {
        assert_eq!(documents(Some("fields=*&limit=1")).unwrap().json(), br#"{"limit":1}"#);
        assert_eq!(documents(Some("fields=a,b")).unwrap().json(), br#"{"fields":["a","b"]}"#);
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%4"), "%4");
        assert_eq!(decode("%zz%41"), "%zzA");
    }
}
