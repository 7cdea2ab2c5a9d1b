//! Search requests.

use serde_json::{Map, Value, json};

use super::format::Format;
use super::rank::Strategy;
use crate::answer::{Refusal, refuse};
use crate::shape::{self, Field, Is};

/// Fields of a search body.
pub(crate) const BODY: &[Field] = &[
    ("q", Is::Text, "invalid_search_q"),
    ("offset", Is::Count, "invalid_search_offset"),
    ("limit", Is::Count, "invalid_search_limit"),
    ("page", Is::Count, "invalid_search_page"),
    ("hitsPerPage", Is::Count, "invalid_search_hits_per_page"),
    ("attributesToRetrieve", Is::Texts, "invalid_search_attributes_to_retrieve"),
    ("attributesToCrop", Is::Texts, "invalid_search_attributes_to_crop"),
    ("cropLength", Is::Count, "invalid_search_crop_length"),
    ("cropMarker", Is::Text, "invalid_search_crop_marker"),
    ("attributesToHighlight", Is::Texts, "invalid_search_attributes_to_highlight"),
    ("highlightPreTag", Is::Text, "invalid_search_highlight_pre_tag"),
    ("highlightPostTag", Is::Text, "invalid_search_highlight_post_tag"),
    ("showMatchesPosition", Is::Flag, "invalid_search_show_matches_position"),
    ("filter", Is::Any, "invalid_search_filter"),
    ("sort", Is::Texts, "invalid_search_sort"),
    ("distinct", Is::Text, "invalid_search_distinct"),
    ("facets", Is::Texts, "invalid_search_facets"),
    ("matchingStrategy", Is::Text, "invalid_search_matching_strategy"),
    ("attributesToSearchOn", Is::Texts, "invalid_search_attributes_to_search_on"),
    ("rankingScoreThreshold", Is::Number, "invalid_search_ranking_score_threshold"),
    ("locales", Is::Texts, "invalid_search_locales"),
    ("hybrid", Is::Any, "invalid_search_hybrid_query"),
    ("vector", Is::Any, "invalid_search_vector"),
    ("retrieveVectors", Is::Flag, "invalid_search_retrieve_vectors"),
    ("media", Is::Any, "invalid_search_media"),
    ("personalize", Is::Any, "invalid_search_personalize"),
    ("useNetwork", Is::Flag, "invalid_search_use_network"),
    ("showRankingScore", Is::Flag, "invalid_search_show_ranking_score"),
    ("showRankingScoreDetails", Is::Flag, "invalid_search_show_ranking_score_details"),
    ("showPerformanceDetails", Is::Flag, "invalid_search_show_performance_details"),
];

/// Parameters of a search by `GET`.
const URL: &[Field] = &[
    BODY[0],
    BODY[1],
    BODY[2],
    BODY[3],
    BODY[4],
    BODY[5],
    BODY[6],
    BODY[7],
    BODY[8],
    BODY[9],
    BODY[10],
    BODY[11],
    BODY[12],
    ("filter", Is::Text, "invalid_search_filter"),
    ("sort", Is::Text, "invalid_search_sort"),
    BODY[15],
    BODY[16],
    BODY[17],
    BODY[18],
    BODY[19],
    BODY[20],
    ("hybridEmbedder", Is::Text, "invalid_search_embedder"),
    ("hybridSemanticRatio", Is::Number, "invalid_search_semantic_ratio"),
    ("vector", Is::Any, "invalid_search_vector"),
    BODY[23],
    ("personalizeUserContext", Is::Text, "invalid_search_personalize_user_context"),
    BODY[26],
    BODY[27],
    BODY[28],
    BODY[29],
];

/// A checked search.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Query text.
    pub(crate) q: Option<String>,
    /// Hits to skip.
    pub(crate) offset: usize,
    /// Hits to show.
    pub(crate) limit: usize,
    /// Page and hits a page, if the request pages so.
    pub(crate) page: Option<(usize, usize)>,
    /// Fields to show.
    pub(crate) retrieve: Option<Vec<String>>,
    /// Highlighting and cropping.
    pub(crate) format: Format,
    /// The filter, as it came.
    pub(crate) filter: Value,
    /// Sort criteria.
    pub(crate) sort: Vec<String>,
    /// Distinct field.
    pub(crate) distinct: Option<String>,
    /// Facets.
    pub(crate) facets: Option<Vec<String>>,
    /// Matching strategy.
    pub(crate) strategy: Strategy,
    /// Fields to search in.
    pub(crate) search_on: Option<Vec<String>>,
    /// Least score.
    pub(crate) threshold: Option<f64>,
    /// Show scores.
    pub(crate) score: bool,
    /// Show details of scores.
    pub(crate) details: bool,
}

impl Request {
    /// Checks a body; `place` stands before field names in complaints.
    pub(crate) fn new(body: &Map<String, Value>, known: &[Field], place: &str) -> Result<Self, Refusal> {
        shape::check(body, known, place)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let number =
            |name: &str| body.get(name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        let flag = |name: &str| body.get(name) == Some(&Value::Bool(true));
        let texts = |name: &str| -> Option<Vec<String>> {
            let items = body.get(name)?.as_array()?;
            Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
        };
        let strategy = match text("matchingStrategy").as_deref() {
            None | Some("last") => Strategy::Last,
            Some("all") => Strategy::All,
            Some("frequency") => Strategy::Frequency,
            Some(other) => {
                return Err(refuse(
                    "invalid_search_matching_strategy",
                    format!(
                        "Unknown value `{other}` at `{place}.matchingStrategy`: expected one of `last`, `all`, `frequency`"
                    ),
                ));
            }
        };
        if ["vector", "media"].iter().any(|name| body.get(*name).is_some_and(|value| !value.is_null()))
            && !body.contains_key("hybrid")
        {
            return Err(refuse(
                "missing_search_hybrid",
                "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.",
            ));
        }
        if let Some(hybrid) = body.get("hybrid").and_then(Value::as_object)
            && !hybrid.contains_key("embedder")
        {
            return Err(refuse(
                "invalid_search_hybrid_query",
                format!("Missing field `embedder` inside `{place}.hybrid`"),
            ));
        }
        let page = match (number("page"), number("hitsPerPage")) {
            (None, None) => None,
            (page, per_page) => Some((page.unwrap_or(1), per_page.unwrap_or(20))),
        };
        Ok(Self {
            q: text("q"),
            offset: number("offset").unwrap_or(0),
            limit: number("limit").unwrap_or(20),
            page,
            retrieve: texts("attributesToRetrieve"),
            format: Format {
                highlight: texts("attributesToHighlight").unwrap_or_default(),
                crop: texts("attributesToCrop").unwrap_or_default(),
                crop_length: number("cropLength").unwrap_or(10),
                marker: text("cropMarker").unwrap_or_else(|| "…".into()),
                pre: text("highlightPreTag").unwrap_or_else(|| "<em>".into()),
                post: text("highlightPostTag").unwrap_or_else(|| "</em>".into()),
                positions: flag("showMatchesPosition"),
            },
            filter: body.get("filter").cloned().unwrap_or_default(),
            sort: texts("sort").unwrap_or_default(),
            distinct: text("distinct"),
            facets: texts("facets"),
            strategy,
            search_on: texts("attributesToSearchOn"),
            threshold: body.get("rankingScoreThreshold").and_then(Value::as_f64),
            score: flag("showRankingScore"),
            details: flag("showRankingScoreDetails"),
        })
    }
}

/// Reads a search by `GET`: the sort is split at commas outside of parentheses, the filter may be a JSON list.
pub(crate) fn from_url(query: Option<&str>) -> Result<Request, Refusal> {
    let mut body = shape::query(query, URL)?;
    if let Some(Value::String(sort)) = body.get("sort").cloned() {
        let mut parts = vec![String::new()];
        let mut depth = 0;
        for character in sort.chars() {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            match parts.last_mut() {
                Some(last) if character != ',' || depth > 0 => last.push(character),
                _ => parts.push(String::new()),
            }
        }
        body.insert("sort".into(), json!(parts.iter().map(|part| part.trim()).collect::<Vec<_>>()));
    }
    if let Some(Value::String(filter)) = body.get("filter")
        && let Ok(list @ Value::Array(_)) = serde_json::from_str::<Value>(filter)
    {
        body.insert("filter".into(), list);
    }
    for name in ["hybridEmbedder", "hybridSemanticRatio", "personalizeUserContext", "vector"] {
        body.remove(name);
    }
    Request::new(&body, BODY, "").map_err(|Refusal(mut body, status)| {
        body.message = body.message.replace(" at `.matchingStrategy`", " for parameter `matchingStrategy`");
        Refusal(body, status)
    })
}
