//! What is done with a request: the whole HTTP API of Meilisearch 1.50 as one table, from which
//! `docs/compatibility.md` is printed too. Matching follows the engine: the trailing slash is trimmed, repeated slashes
//! count as one, `HEAD` is a method like any other that no route has, an unknown path is 404 and a wrong method 405,
//! both with an empty body.

mod markdown;
mod table;

use std::borrow::Cow;

use crate::call::Reply;
use crate::error::ErrorBody;
use crate::wire::WriteKind;

pub use markdown::compatibility;
pub use table::PATHS;

/// One path of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// Segments; `{name}` stands for any one segment.
    pub pattern: &'static str,
    /// How many segments those are.
    pub depth: usize,
    /// Methods, in the order of the engine's `Allow` header.
    pub methods: &'static [MethodRule],
}

/// One method of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodRule {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// Action that an API key needs; empty where none is needed.
    pub action: &'static str,
    /// Who serves it.
    pub serve: Serve,
    /// One line for the reader of the compatibility table.
    pub note: &'static str,
}

/// Who serves a request, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// The filter reads from the nodes ([`crate::read`]); control is not asked.
    Read(ReadOp),
    /// The filter writes under a ticket of control's ([`crate::write`]).
    Write(WriteKind),
    /// The filter answers about itself: the state of its map.
    Filter,
    /// Envoy passes the request on to control.
    Control,
    /// Not served by this version: [`Matched::refusal`].
    Refuse(Refusal),
}

/// Reads that the filter serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOp {
    /// Whether all shards can be read, told from the map.
    Health,
    /// `GET` and `POST /indexes/{index_uid}/search`.
    Search,
    /// `POST /indexes/{index_uid}/facet-search`.
    FacetSearch,
    /// `GET` and `POST /indexes/{index_uid}/similar`.
    Similar,
    /// `GET /indexes/{index_uid}/documents` and `POST …/documents/fetch`.
    Documents,
    /// `GET /indexes/{index_uid}/documents/{document_id}`.
    Document,
    /// `POST /indexes/{index_uid}/fields`.
    Fields,
    /// `POST /multi-search`.
    MultiSearch,
}

/// Why a route is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Behind an experimental feature that cannot be turned on: 400 `feature_not_enabled`, as the engine answers while
    /// the feature is off.
    Experimental(&'static str),
    /// Part of the engine's Enterprise Edition: 451 `requires_enterprise_edition`, as the Community Edition answers.
    Enterprise,
    /// Not served in a cluster: 501. The engine has no code for that; `feature_not_enabled` comes nearest.
    Unsupported,
}

/// Outcome of [`route`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The API has this path and method.
    Found(Matched),
    /// The API has the path, but not with this method: 405, empty body, `allow` with this value.
    MethodNotAllowed(String),
    /// The API has no such path: 404, empty body.
    NotFound,
}

/// A row of the table together with what stands in the request's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The row's pattern.
    pub pattern: &'static str,
    /// The row.
    pub rule: &'static MethodRule,
    /// Values of the pattern's `{…}` segments in order, percent-decoded.
    pub segments: Vec<String>,
}

impl Matched {
    /// The `{index_uid}` of the path, for patterns below `/indexes/`.
    #[must_use]
    pub fn index(&self) -> Option<&str> {
        let indexed = self.pattern.starts_with("/indexes/{");
        self.segments.first().filter(|_| indexed).map(String::as_str)
    }

    /// The last `{…}` segment: a document id, task uid, key, ….
    #[must_use]
    pub fn last_segment(&self) -> Option<&str> {
        self.segments.last().map(String::as_str)
    }

    /// The answer to a route that is not served, with what to do instead; none for all others.
    #[must_use]
    pub fn refusal(&self) -> Option<Reply> {
        let Serve::Refuse(refusal) = self.rule.serve else { return None };
        let (method, pattern, note) = (self.rule.method, self.pattern, self.rule.note);
        Some(match refusal {
            Refusal::Experimental(feature) => ErrorBody::new(
                "feature_not_enabled",
                format!(
                    "`{method} {pattern}` requires enabling the `{feature}` experimental feature, which Miroir does not support. {note}"
                ),
            )
            .reply(),
            Refusal::Enterprise => ErrorBody::new(
                "requires_enterprise_edition",
                format!("`{method} {pattern}` requires the Enterprise Edition of Meilisearch."),
            )
            .reply(),
            Refusal::Unsupported => {
                let message = format!("`{method} {pattern}` is not supported by Miroir. {note}");
                ErrorBody::new("feature_not_enabled", message).reply_with_status(501)
            }
        })
    }
}

impl Route {
    /// The answer where nothing serves the request; none for [`Route::Found`].
    #[must_use]
    pub fn dead_end(&self) -> Option<Reply> {
        match self {
            Self::Found(_) => None,
            Self::MethodNotAllowed(allow) => {
                Some(Reply { status: 405, headers: vec![("allow".to_owned(), allow.clone())], body: Vec::new() })
            }
            Self::NotFound => Some(Reply { status: 404, headers: Vec::new(), body: Vec::new() }),
        }
    }
}

/// Finds the row for a request. `path` is the request's path as sent; a query string in it is ignored.
#[must_use]
pub fn route(method: &str, path: &str) -> Route {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<Cow<'_, str>> = path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
    let Some((rule, values)) = PATHS.iter().find_map(|rule| Some((rule, capture(rule, &segments)?))) else {
        return Route::NotFound;
    };
    match rule.methods.iter().find(|candidate| candidate.method == method) {
        Some(found) => Route::Found(Matched { pattern: rule.pattern, rule: found, segments: values }),
        None => {
            let allowed: Vec<&str> = rule.methods.iter().map(|candidate| candidate.method).collect();
            Route::MethodNotAllowed(allowed.join(", "))
        }
    }
}

/// The values of a pattern's variables, where the segments match it.
fn capture(rule: &PathRule, segments: &[Cow<'_, str>]) -> Option<Vec<String>> {
    if rule.depth != segments.len() {
        return None;
    }
    let pairs = || rule.pattern.split('/').skip(1).zip(segments);
    let matches = pairs().all(|(expected, segment)| expected.starts_with('{') || expected == segment);
    let variables = || pairs().filter(|(expected, _)| expected.starts_with('{'));
    matches.then(|| variables().map(|(_, segment)| segment.clone().into_owned()).collect())
}

/// Decodes `%XX`; anything else stays. Bytes that are not UTF-8 become U+FFFD, as in the engine.
fn decode(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.first_chunk::<2>().filter(|_| *first == b'%').and_then(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from((high << 4) | low).ok()
        });
        match digits {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
