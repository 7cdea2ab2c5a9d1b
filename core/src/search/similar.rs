//! `GET` and `POST /indexes/{uid}/similar`. The document that others are to resemble lies in one shard only, so its vector
//! is fetched first. Then the node that has it is asked for what resembles it, and all others are searched by its vector.

use std::collections::BTreeMap;

use super::answer::{Answer, Expected};
use super::hits::{Hit, HitList, HitRules};
use super::merge::{BrokenList, Comparison, Merged, Place, Source};
use super::paging::size;
use super::query::{Filter, NotUnderstood, Query};
use super::rank::Key;
use super::rewrite::attributes;
use super::scan::bad;
use super::{Authority, BadAnswer, Gather, IndexFacts, NodeRequest};
use crate::shardmap::SearchView;

/// Members of a request.
const MEMBERS: [&str; 11] = [
    "id",
    "embedder",
    "offset",
    "limit",
    "filter",
    "attributesToRetrieve",
    "retrieveVectors",
    "showRankingScore",
    "showRankingScoreDetails",
    "showPerformanceDetails",
    "rankingScoreThreshold",
];

/// Most hits that a node is asked for: it makes room for all of them before it looks for the first.
const MOST: u64 = 1_000_000;

/// What is being asked for.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// The document, of whoever has it.
    Document,
    /// What one node says to the client's own request: no shard has the document.
    Missing,
    /// What resembles it. The part that has it, and its vector as JSON, where it has one.
    Hits { part: usize, vector: Option<String> },
}

/// A request for similar documents over all shards.
pub(super) struct Similar {
    index: String,
    hash: u64,
    /// The client's id, as JSON.
    id: String,
    embedder: String,
    /// What both kinds of requests share, as an open JSON object.
    body: Vec<u8>,
    filter: Filter,
    rules: HitRules,
    offset: u64,
    limit: u64,
    threshold: Option<f64>,
    replay: NodeRequest,
    step: Step,
    found: Option<(usize, Option<String>)>,
    parts: Vec<usize>,
    answers: BTreeMap<usize, Answer>,
    page: Vec<Place>,
    /// Bytes of the page, no less than it takes.
    size: usize,
    total: u64,
    /// The engine counts no further, though it lists further (1.50).
    most_counted: u64,
}

impl Similar {
    /// Plans a request. `replay` is the client's own.
    ///
    /// # Errors
    /// Where the query has a form that cannot be rewritten.
    pub fn plan(mut query: Query, index: &IndexFacts<'_>, replay: NodeRequest) -> Result<Self, NotUnderstood> {
        if query.names().any(|name| !MEMBERS.contains(&name)) {
            return Err(NotUnderstood);
        }
        let id = query.raw("id").ok_or(NotUnderstood)?.to_owned();
        let is_text = id.starts_with('"');
        if !is_text && !id.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Err(NotUnderstood);
        }
        let embedder: String = query.get("embedder")?.ok_or(NotUnderstood)?;
        let offset: u64 = query.strict("offset")?.unwrap_or(0);
        let limit: u64 = query.strict("limit")?.unwrap_or(20);
        let threshold: Option<f64> = query.get("rankingScoreThreshold")?;
        if threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) {
            return Err(NotUnderstood);
        }
        let filter = Filter::of(&query)?;
        let hash = query.hash(index.uid);
        ["id", "embedder", "offset", "limit", "filter", "rankingScoreThreshold"]
            .iter()
            .for_each(|name| query.remove(name));
        // Documents of one distinct value may all be similar.
        let view = SearchView { distinct: None, ..index.view.clone() };
        let rules = attributes(&mut query, &IndexFacts { view: &view, ..*index })?;
        if rules.keep_score || threshold.is_some() {
            query.set("showRankingScore", &true);
        }
        query.set("offset", &0);
        query.set("limit", &offset.saturating_add(limit).min(MOST));
        Ok(Self {
            index: index.uid.to_owned(),
            hash,
            id,
            embedder,
            body: query.open_json(),
            filter,
            rules,
            offset,
            limit,
            threshold,
            replay,
            step: Step::Document,
            found: None,
            parts: Vec::new(),
            answers: BTreeMap::new(),
            page: Vec::new(),
            size: 128,
            total: 0,
            most_counted: index.view.max_total_hits,
        })
    }

    /// The document with its vectors. The client's key need not open documents, nor does the client get to see it.
    fn fetch(&self, clause: &str) -> NodeRequest {
        let mut body = format!("{{\"ids\":[{}],\"retrieveVectors\":true,\"filter\":", self.id).into_bytes();
        Filter::default().write(clause, &mut body);
        body.push(b'}');
        let path = format!("/indexes/{}/documents/fetch", self.index);
        NodeRequest { method: "POST", path, headers: &[], body: Some(body) }
    }

    /// The first vector of the document, if it is there at all: the engine too goes by that one alone.
    fn read_document(&mut self, part: usize, body: &[u8]) -> Result<(), BadAnswer> {
        #[derive(serde::Deserialize)]
        struct Fetched {
            results: Vec<serde_json::Value>,
        }
        let fetched: Fetched =
            serde_json::from_slice(body).map_err(|_| BadAnswer("answer without results".to_owned()))?;
        if let Some(document) = fetched.results.first() {
            let vectors = document.get("_vectors").and_then(|vectors| vectors.get(&self.embedder));
            let embeddings = vectors.and_then(|vectors| vectors.get("embeddings"));
            let first = embeddings.and_then(|embeddings| embeddings.get(0));
            let vector = if first.is_some_and(serde_json::Value::is_array) { first } else { embeddings };
            let vector = vector.filter(|vector| vector.as_array().is_some_and(|numbers| !numbers.is_empty()));
            self.found = Some((part, vector.map(ToString::to_string)));
        }
        self.parts.push(part);
        Ok(())
    }

    /// Merges the hits of all parts into the page.
    fn merge(&mut self) -> Result<(), BrokenList> {
        let (skip, end) = (size(self.offset), size(self.offset.saturating_add(self.limit)));
        self.total = self.answers.values().map(|answer| answer.total).fold(0, u64::saturating_add);
        let mut merged = Merged::new(self.answers.values_mut(), Comparison::default())?;
        let look = |list: &HitList, hit: &Hit| {
            let resembles = list.keys(hit).iter().any(|key| matches!(key, Key::Similarity(Some(_))));
            (resembles, hit.score.map(|(_, score)| score), list.size(hit))
        };
        let mut rank = 0usize;
        while rank < end
            && let Some((place, (resembles, score, size))) = merged.next(look)?
        {
            // Documents without a vector come last in a search, and are similar to none.
            if !resembles {
                break;
            }
            if rank >= skip {
                let below = self.threshold.zip(score).is_some_and(|(threshold, score)| score < threshold);
                if below {
                    self.total = u64::try_from(rank).unwrap_or(u64::MAX);
                    break;
                }
                self.size = self.size.saturating_add(size).saturating_add(1);
                self.page.push(place);
            }
            rank = rank.saturating_add(1);
        }
        Ok(())
    }
}

impl Gather for Similar {
    fn index(&self) -> &str {
        &self.index
    }

    fn query_hash(&self) -> u64 {
        self.hash
    }

    fn request(&self, clause: &str, part: usize) -> NodeRequest {
        let (home, vector) = match &self.step {
            Step::Document => return self.fetch(clause),
            Step::Missing => return self.replay.clone(),
            Step::Hits { part, vector } => (*part, vector.as_deref()),
        };
        let mut body = self.body.clone();
        let embedder = serde_json::Value::from(self.embedder.as_str());
        let route = if part == home {
            body.extend_from_slice(format!(",\"id\":{},\"embedder\":{embedder}", self.id).as_bytes());
            "similar"
        } else {
            if let Some(vector) = vector {
                let hybrid = format!("{{\"embedder\":{embedder},\"semanticRatio\":1.0}}");
                body.extend_from_slice(format!(",\"hybrid\":{hybrid},\"vector\":{vector}").as_bytes());
            }
            "search"
        };
        body.extend_from_slice(b",\"filter\":");
        self.filter.write(clause, &mut body);
        body.push(b'}');
        let path = format!("/indexes/{}/{route}", self.index);
        NodeRequest { method: "POST", path, headers: &[], body: Some(body) }
    }

    fn authority(&self) -> Authority {
        if self.step == Step::Document { Authority::Reader } else { Authority::Client }
    }

    fn accept(&mut self, part: usize, body: Vec<u8>) -> Result<(), BadAnswer> {
        match &self.step {
            Step::Document => self.read_document(part, &body),
            Step::Missing => Err(bad("a document that was not there a moment ago", 0)),
            Step::Hits { .. } => {
                let expected = Expected { total: b"estimatedTotalHits", facets: false, all_hits: true };
                let answer = Answer::read(body, &self.rules, expected)?;
                self.answers.insert(part, answer);
                Ok(())
            }
        }
    }

    fn again(&mut self) -> Vec<usize> {
        if self.step != Step::Document {
            return Vec::new();
        }
        match self.found.take() {
            Some((part, vector)) => {
                self.step = Step::Hits { part, vector };
                self.parts.clone()
            }
            None => {
                self.step = Step::Missing;
                self.parts.first().copied().into_iter().collect()
            }
        }
    }

    fn settle(&mut self) -> Result<(), usize> {
        self.merge().map_err(|broken| self.answers.keys().nth(broken.0).copied().unwrap_or_default())
    }

    fn replay(&self) -> Option<NodeRequest> {
        Some(self.replay.clone())
    }

    fn judge(&self) -> Option<usize> {
        match &self.step {
            Step::Hits { part, .. } => Some(*part),
            Step::Document | Step::Missing => None,
        }
    }

    fn finish(self: Box<Self>, took_ms: u64) -> Vec<u8> {
        let answers: Vec<&Answer> = self.answers.values().collect();
        let mut out = Vec::with_capacity(self.size);
        out.extend_from_slice(b"{\"hits\":[");
        for (number, place) in self.page.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            let Some(answer) = answers.get(place.list) else { continue };
            let Some(hit) = answer.list().get(place.rank) else { continue };
            answer.list().write(hit, &answer.body, None, &mut out);
        }
        // A number is shown as a text too.
        let id = if self.id.starts_with('"') { self.id.clone() } else { format!("\"{}\"", self.id) };
        let (limit, offset, total) = (self.limit, self.offset, self.total.min(self.most_counted));
        let rest = format!(
            "],\"id\":{id},\"processingTimeMs\":{took_ms},\"limit\":{limit},\"offset\":{offset},\"estimatedTotalHits\":{total}"
        );
        out.extend_from_slice(rest.as_bytes());
        let slowest = answers.iter().max_by(|left, right| left.took_ms.total_cmp(&right.took_ms));
        if let Some(span) = slowest.and_then(|answer| Some(answer.raw(answer.performance?))) {
            out.extend_from_slice(b",\"performanceDetails\":");
            out.extend_from_slice(span);
        }
        out.push(b'}');
        out
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
