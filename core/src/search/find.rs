//! `GET` and `POST /indexes/{uid}/search`, and each query of a multi-search.

use std::collections::BTreeMap;
use std::collections::HashSet;

use super::answer::{Answer, Expected};
use super::facets::Facets;
use super::hits::{Hit, HitList, HitRules};
use super::merge::{BrokenList, Comparison, Merged, Place, Source};
use super::paging::{Paging, size};
use super::query::{Filter, NotUnderstood, Query};
use super::rank::is_semantic;
use super::rewrite::attributes;
use super::score::MostTypos;
use super::{BadAnswer, Gather, IndexFacts, NodeRequest};
use crate::shardmap::SearchView;

/// A search over all shards.
pub(super) struct Search {
    index: String,
    hash: u64,
    /// The rewritten query but for its filter and closing brace.
    body: Vec<u8>,
    filter: Filter,
    rules: HitRules,
    paging: Paging,
    view: SearchView,
    comparison: Comparison,
    /// The client's `q`, as JSON.
    q: String,
    facets_wanted: bool,
    include_metadata: bool,
    replay: NodeRequest,
    answers: BTreeMap<usize, Answer>,
    facets: Facets,
    page: Page,
}

/// The hits that the client gets.
#[derive(Debug, Default)]
struct Page {
    places: Vec<Place>,
    /// Their bytes, no less than they take.
    size: usize,
    /// Hits that were left out for a value that had been seen.
    repeated: u64,
    /// Hits of the page that the vector side has found.
    semantic: u64,
}

impl Search {
    /// Plans a search. `replay` is the client's own request.
    ///
    /// # Errors
    /// Where the query has a form that cannot be rewritten.
    pub fn plan(
        mut query: Query,
        index: &IndexFacts<'_>,
        include_metadata: bool,
        replay: NodeRequest,
    ) -> Result<Self, NotUnderstood> {
        let hash = query.hash(index.uid);
        // What asks other services or other nodes is the whole cluster's affair, not a node's.
        if query.raw("personalize").is_some() || query.get::<bool>("useNetwork")? == Some(true) {
            return Err(NotUnderstood);
        }
        let paging = Paging::take(&mut query)?;
        let filter = Filter::of(&query)?;
        query.remove("filter");
        let q: Option<String> = query.get("q")?;
        let facets: Option<Vec<String>> = query.get("facets")?;
        let comparison = Comparison { semantic_ratio: semantic_ratio(&query, q.as_deref())? };
        let rules = attributes(&mut query, index.view)?;
        if rules.keep_score || comparison.semantic_ratio.is_some() {
            query.set("showRankingScore", &true);
        }
        paging.ask(paging.needed(index.view.max_total_hits), &mut query);
        Ok(Self {
            index: index.uid.to_owned(),
            hash,
            body: query.open_json(),
            filter,
            rules,
            paging,
            view: index.view.clone(),
            comparison,
            q: serde_json::Value::from(q.unwrap_or_default()).to_string(),
            facets_wanted: facets.is_some_and(|facets| !facets.is_empty()),
            include_metadata,
            replay,
            answers: BTreeMap::new(),
            facets: Facets::default(),
            page: Page::default(),
        })
    }

    /// Merges the hits of all nodes into the page.
    fn merge(&mut self) -> Result<Page, BrokenList> {
        let (skip, end) = self.paging.window();
        let end = end.min(size(self.view.max_total_hits));
        let distinct = self.rules.distinct.is_some();
        let mut page = Page::default();
        let mut accepted = 0usize;
        let mut seen: HashSet<Box<str>> = HashSet::new();
        let mut merged = Merged::new(self.answers.values_mut(), self.comparison)?;
        // Values that repeat behind the page are not counted as hits either.
        while accepted < end || distinct {
            let look = |list: &HitList, hit: &Hit| {
                let repeats = list.distinct(hit).iter().any(|value| seen.contains(value));
                if !repeats {
                    seen.extend(list.distinct(hit).iter().cloned());
                }
                (repeats, is_semantic(list.keys(hit)), list.size(hit))
            };
            let Some((place, (repeats, semantic, size))) = merged.next(look)? else { break };
            if repeats {
                page.repeated = page.repeated.saturating_add(1);
                continue;
            }
            if accepted >= skip && accepted < end {
                page.semantic = page.semantic.saturating_add(u64::from(semantic));
                page.size = page.size.saturating_add(size).saturating_add(1);
                page.places.push(place);
            }
            accepted = accepted.saturating_add(1);
        }
        Ok(page)
    }

    fn total(&self) -> u64 {
        self.answers.values().map(|answer| answer.total).fold(0, u64::saturating_add)
    }
}

/// The share of the semantic side, where a search has both sides.
pub(super) fn semantic_ratio(query: &Query, q: Option<&str>) -> Result<Option<f64>, NotUnderstood> {
    let Some(hybrid) = query.get::<serde_json::Value>("hybrid")? else { return Ok(None) };
    let ratio = hybrid.get("semanticRatio").and_then(serde_json::Value::as_f64).unwrap_or(0.5);
    let both = ratio > 0.0 && ratio < 1.0 && q.is_some_and(|q| !q.trim().is_empty());
    Ok(both.then_some(ratio))
}

impl Gather for Search {
    fn index(&self) -> &str {
        &self.index
    }

    fn query_hash(&self) -> u64 {
        self.hash
    }

    fn request(&self, clause: &str, _part: usize) -> NodeRequest {
        let room = self.body.len().saturating_add(clause.len()).saturating_add(self.filter.len());
        let mut body = Vec::with_capacity(room.saturating_add(32));
        body.extend_from_slice(&self.body);
        body.extend_from_slice(b",\"filter\":");
        self.filter.write(clause, &mut body);
        body.push(b'}');
        let headers: &[_] = if self.include_metadata { &[("meili-include-metadata", "true")] } else { &[] };
        NodeRequest { method: "POST", path: format!("/indexes/{}/search", self.index), headers, body: Some(body) }
    }

    fn accept(&mut self, part: usize, body: Vec<u8>) -> Result<(), BadAnswer> {
        let expected = Expected {
            total: self.paging.total_name(),
            facets: self.facets_wanted,
            all_hits: self.rules.keep_score || self.rules.distinct.is_some(),
        };
        let (answer, facets) = Answer::read(body, &self.rules, expected)?;
        self.facets.add(facets);
        self.answers.insert(part, answer);
        Ok(())
    }

    fn settle(&mut self) -> Result<(), usize> {
        match self.merge() {
            Ok(page) => {
                self.page = page;
                Ok(())
            }
            Err(broken) => Err(self.answers.keys().nth(broken.0).copied().unwrap_or_default()),
        }
    }

    fn replay(&self) -> Option<NodeRequest> {
        Some(self.replay.clone())
    }

    fn finish(self: Box<Self>, took_ms: u64) -> Vec<u8> {
        let answers: Vec<&Answer> = self.answers.values().collect();
        let mut most_typos = MostTypos::default();
        if self.rules.keep_score {
            for list in answers.iter().map(|answer| answer.list()) {
                list.iter().for_each(|hit| most_typos.note(list.keys(hit)));
            }
        }
        let Page { places, size, repeated, semantic } = &self.page;
        let mut out = Vec::with_capacity(size.saturating_add(512));
        out.extend_from_slice(b"{\"hits\":[");
        for (number, place) in places.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            let Some(answer) = answers.get(place.list) else { continue };
            let Some(hit) = answer.list().get(place.rank) else { continue };
            let score = hit.score.filter(|_| self.rules.keep_score);
            let score = score.and_then(|(_, score)| most_typos.score(answer.list().keys(hit), score));
            answer.list().write(hit, &answer.body, score, &mut out);
        }
        out.extend_from_slice(b"],\"query\":");
        out.extend_from_slice(self.q.as_bytes());
        let first = |of: fn(&Answer) -> Option<super::scan::Span>| {
            answers.iter().find_map(|answer| of(answer).map(|span| answer.raw(span)))
        };
        optional("queryVector", first(|answer| answer.query_vector), &mut out);
        let total = self.total().saturating_sub(*repeated);
        out.extend_from_slice(format!(",\"processingTimeMs\":{took_ms},{}", self.paging.echo(total)).as_bytes());
        let slowest = answers.iter().max_by(|left, right| left.took_ms.total_cmp(&right.took_ms));
        let performance = slowest.and_then(|answer| answer.performance.map(|span| answer.raw(span)));
        let counted = total;
        self.facets.clone().write(&self.view, counted, &mut out);
        optional("requestUid", first(|answer| answer.request_uid), &mut out);
        optional("metadata", first(|answer| answer.metadata), &mut out);
        optional("performanceDetails", performance, &mut out);
        if answers.iter().any(|answer| answer.semantic) {
            out.extend_from_slice(format!(",\"semanticHitCount\":{semantic}").as_bytes());
        }
        out.push(b'}');
        out
    }
}

fn optional(name: &str, raw: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(raw) = raw {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        out.extend_from_slice(raw);
    }
}
