//! `GET` and `POST /indexes/{uid}/search`, and each query of a multi-search.

use std::collections::BTreeMap;

use super::answer::{Answer, Expected};
use super::facets::Facets;
use super::hits::HitRules;
use super::hybrid::Sides;
use super::merge::{Comparison, Place, Source};
use super::page::{Page, distinct_hits, merge};
use super::paging::{Paging, size};
use super::query::{Filter, NotUnderstood, Query};
use super::rewrite::attributes;
use super::rounds::{Again, Asked, only_values};
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
    /// Hits in all.
    total: u64,
    asked: Asked,
    /// Only where the first answers may leave something open.
    again: Option<Again>,
    /// Answers beside `answers`, by part.
    more: BTreeMap<usize, Answer>,
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
        let comparison = Comparison { sides: Sides::of(&query, q.as_deref())? };
        let rules = attributes(&mut query, index)?;
        if rules.keep_score || comparison.sides.is_some() {
            query.set("showRankingScore", &true);
        }
        let most = index.view.max_total_hits;
        let needed = if comparison.sides.is_some() { paging.reached(most) } else { paging.needed(most) };
        paging.ask(needed, &mut query);
        let again = match (&rules.distinct, comparison.sides) {
            (_, Some(sides)) => sides.may_leave_out().then(|| Again::hybrid(&query, paging)),
            (Some(attribute), None) => Again::values(&query, paging, attribute),
            (None, None) => None,
        };
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
            total: 0,
            asked: Asked::default(),
            again,
            more: BTreeMap::new(),
        })
    }

    /// How answers to what is asked for now are read.
    fn expected(&self) -> Expected<'static> {
        Expected {
            total: self.paging.total_name(),
            facets: self.facets_wanted && self.asked != Asked::Values,
            all_hits: self.rules.keep_score || self.rules.distinct.is_some() || self.again.is_some(),
        }
    }

    /// The parts to be asked next for `asked`.
    fn ask(&mut self, asked: Asked, parts: Vec<usize>) -> Vec<usize> {
        self.asked = if parts.is_empty() { Asked::Nothing } else { asked };
        parts
    }

    /// What the first answers leave open.
    fn after_hits(&mut self) -> Vec<usize> {
        let (asked, parts) = match self.comparison.sides {
            Some(sides) => self.sides_left_open(sides),
            None => (Asked::Values, self.values_left_open()),
        };
        self.ask(asked, parts)
    }

    /// The parts that have to be asked for the other side than they have answered with, if any.
    fn sides_left_open(&self, sides: Sides) -> (Asked, Vec<usize>) {
        let needed = self.paging.reached(self.view.max_total_hits);
        let has_left_out = |(_, answer): &(&usize, &Answer)| sides.has_left_out(answer.list(), needed);
        let (left_out, both): (Vec<_>, Vec<_>) = self.answers.iter().partition(has_left_out);
        let lists: Vec<_> = self.answers.values().map(Source::list).collect();
        // Where a value may be that of several hits, the lists do not show how many hits by words count.
        if both.is_empty() || self.rules.distinct.is_some() || sides.may_be_good(&lists, needed) {
            return (Asked::Words, both.into_iter().map(|(part, _)| *part).collect());
        }
        (Asked::Both, self.may_add(left_out.into_iter()))
    }

    /// Those of the parts that left out their semantic side which can be had with it.
    fn may_add<'a>(&self, left_out: impl Iterator<Item = (&'a usize, &'a Answer)>) -> Vec<usize> {
        left_out.filter(|(_, answer)| answer.total < self.view.max_total_hits).map(|(part, _)| *part).collect()
    }

    /// Decides whether the words alone do. All parts have answered by words now.
    fn after_words(&mut self, sides: Sides) -> Vec<usize> {
        let mut both = std::mem::take(&mut self.more);
        for (part, answer) in &mut both {
            self.answers.get_mut(part).into_iter().for_each(|known| std::mem::swap(known, answer));
        }
        if self.are_good(sides) {
            return self.ask(Asked::Nothing, Vec::new());
        }
        let left_out = self.answers.iter().filter(|(part, _)| !both.contains_key(part));
        let parts = self.may_add(left_out);
        self.answers.append(&mut both);
        self.ask(Asked::Both, parts)
    }

    /// Whether the first hits by words of all nodes are as many as needed, and good enough.
    fn are_good(&mut self, sides: Sides) -> bool {
        let needed = self.paging.reached(self.view.max_total_hits);
        let distinct = self.rules.distinct.is_some();
        // All were read when they were accepted.
        let Ok(page) = merge(self.answers.values_mut(), Comparison::default(), (0, needed), distinct) else {
            return false;
        };
        let most_typos = MostTypos::of(self.answers.values().map(Source::list));
        let lists: Vec<_> = self.answers.values().map(Source::list).collect();
        let is_good = |place: &Place| {
            let hit = lists.get(place.list).and_then(|list| Some((list, list.get(place.rank)?)));
            hit.is_some_and(|(list, hit)| sides.is_good(hit, list.keys(hit), &most_typos))
        };
        page.places.len() >= needed && page.places.iter().all(is_good)
    }

    /// The parts that have to be asked for their distinct values, if any: nodes count each its own, and only what they
    /// list can be told apart. Where a node has more than it lists at all, the total stays an upper bound.
    fn values_left_open(&self) -> Vec<usize> {
        let most = self.view.max_total_hits;
        let counting = self.answers.values().filter(|answer| answer.total > 0).count();
        if counting < 2 || self.answers.values().any(|answer| answer.total > most) {
            return Vec::new();
        }
        let is_cut = |answer: &Answer| size(answer.total) > answer.list().len();
        self.answers.iter().filter(|(_, answer)| is_cut(answer)).map(|(part, _)| *part).collect()
    }
}

impl Gather for Search {
    fn index(&self) -> &str {
        &self.index
    }

    fn query_hash(&self) -> u64 {
        self.hash
    }

    fn request(&self, clause: &str, part: usize) -> NodeRequest {
        let total = self.answers.get(&part).map_or(0, |answer| answer.total);
        let again = self.again.as_ref().filter(|_| self.asked != Asked::Hits);
        let again = again.map(|again| again.body(self.asked, total));
        let open = again.as_ref().unwrap_or(&self.body);
        let room = open.len().saturating_add(clause.len()).saturating_add(self.filter.len());
        let mut body = Vec::with_capacity(room.saturating_add(32));
        body.extend_from_slice(open);
        body.extend_from_slice(b",\"filter\":");
        self.filter.write(clause, &mut body);
        body.push(b'}');
        let headers: &[_] = if self.include_metadata { &[("meili-include-metadata", "true")] } else { &[] };
        NodeRequest { method: "POST", path: format!("/indexes/{}/search", self.index), headers, body: Some(body) }
    }

    fn accept(&mut self, part: usize, body: Vec<u8>) -> Result<(), BadAnswer> {
        let mut answer = match self.asked {
            Asked::Values => Answer::read(body, &only_values(&self.rules), self.expected())?,
            _ => Answer::read(body, &self.rules, self.expected())?,
        };
        if self.again.is_none() {
            self.facets.add(std::mem::take(&mut answer.facets));
        }
        let answers = if self.asked == Asked::Hits { &mut self.answers } else { &mut self.more };
        answers.insert(part, answer);
        Ok(())
    }

    fn again(&mut self) -> Vec<usize> {
        if self.again.is_none() {
            return Vec::new();
        }
        match (self.asked, self.comparison.sides) {
            (Asked::Hits, _) => self.after_hits(),
            (Asked::Words, Some(sides)) => self.after_words(sides),
            (Asked::Both, _) => {
                self.answers.append(&mut self.more);
                self.ask(Asked::Nothing, Vec::new())
            }
            (Asked::Words | Asked::Values | Asked::Nothing, _) => Vec::new(),
        }
    }

    fn settle(&mut self) -> Result<(), usize> {
        let (skip, end) = self.paging.window();
        let window = (skip, end.min(size(self.view.max_total_hits)));
        let distinct = self.rules.distinct.is_some();
        let page = merge(self.answers.values_mut(), self.comparison, window, distinct);
        self.page = page.map_err(|broken| self.answers.keys().nth(broken.0).copied().unwrap_or_default())?;
        self.total = if self.more.is_empty() {
            let all = self.answers.values().map(|answer| answer.total).fold(0, u64::saturating_add);
            all.saturating_sub(self.page.repeated)
        } else {
            distinct_hits(self.answers.iter().map(|(part, answer)| self.more.get(part).unwrap_or(answer)))
        };
        for answer in self.answers.values_mut().filter(|_| self.again.is_some()) {
            self.facets.add(std::mem::take(&mut answer.facets));
        }
        Ok(())
    }

    fn replay(&self) -> Option<NodeRequest> {
        Some(self.replay.clone())
    }

    fn finish(self: Box<Self>, took_ms: u64) -> Vec<u8> {
        let answers: Vec<&Answer> = self.answers.values().collect();
        let kept = answers.iter().filter(|_| self.rules.keep_score);
        let most_typos = MostTypos::of(kept.map(|answer| answer.list()));
        let Page { places, size, semantic, .. } = &self.page;
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
        let total = self.total;
        out.extend_from_slice(format!(",\"processingTimeMs\":{took_ms},{}", self.paging.echo(total)).as_bytes());
        let slowest = answers.iter().max_by(|left, right| left.took_ms.total_cmp(&right.took_ms));
        let performance = slowest.and_then(|answer| answer.performance.map(|span| answer.raw(span)));
        self.facets.clone().write(&self.view, total, &mut out);
        optional("requestUid", first(|answer| answer.request_uid), &mut out);
        optional("metadata", first(|answer| answer.metadata), &mut out);
        optional("performanceDetails", performance, &mut out);
        let hybrid = self.comparison.sides.is_some() && !answers.is_empty();
        if hybrid || answers.iter().any(|answer| answer.semantic) {
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
