//! `POST /multi-search` with `federation`: one request to each node with all queries, each within the node's shards. A
//! document lies on one of the nodes that are asked, so that a node drops what several queries find, and the totals and
//! facets of the nodes add up. Hits of one query are merged as those of a search are, hits of different queries as the
//! engine does it.

mod answer;
mod facets;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use serde_json::value::RawValue;

use self::answer::Answer;
use super::hits::HitRules;
use super::hybrid::Sides;
use super::merge::{Comparison, by_key};
use super::order;
use super::paging::{Paging, size};
use super::query::{Filter, NotUnderstood, Query};
use super::rank::is_semantic;
use super::rewrite::attributes;
use super::score::MostTypos;
use super::{BadAnswer, Gather, IndexFacts, MultiPlan, NodeRequest, reserved};
use crate::shardmap::SearchView;

/// One of the queries.
struct Part {
    index: String,
    view: SearchView,
    /// The rewritten query but for its filter and closing brace.
    body: Vec<u8>,
    filter: Filter,
    rules: HitRules,
    weight: f64,
    comparison: Comparison,
}

/// A federated search over all shards.
struct Federated {
    hash: u64,
    parts: Vec<Part>,
    /// The rewritten `federation`.
    federation: Vec<u8>,
    paging: Paging,
    /// `mergeFacets`, with its limit.
    merge_facets: Option<Option<usize>>,
    distinct: bool,
    include_metadata: bool,
    replay: NodeRequest,
    answers: BTreeMap<usize, Answer>,
}

/// Plans a federated search.
///
/// # Errors
/// Where the request has a form that cannot be taken apart.
pub(super) fn plan<'a>(
    request: &Query,
    lookup: &dyn Fn(&str) -> Option<IndexFacts<'a>>,
    include_metadata: bool,
    replay: &NodeRequest,
) -> Result<MultiPlan, NotUnderstood> {
    let mut federation: Query = request.get("federation")?.ok_or(NotUnderstood)?;
    let queries: Vec<&RawValue> = request.strict("queries")?.ok_or(NotUnderstood)?;
    let mut queries =
        queries.into_iter().map(|raw| Query::parse(raw.get().as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let others = request.names().any(|name| !matches!(name, "federation" | "queries"));
    if others || federation.raw("personalize").is_some() {
        return Err(NotUnderstood);
    }
    if queries.is_empty() {
        return Ok(MultiPlan::Separate(Vec::new()));
    }
    queries.iter_mut().for_each(|query| {
        reserved::hide(query);
    });
    reserved::hide(&mut federation);
    let hash = federated_hash(&federation, &queries);
    let mut replay = replay.clone();
    let paging = Paging::take(&mut federation)?;
    let mut judged = federation.clone();
    paging.ask(0, &mut judged);
    replay.body = Some(body_of(&judged.json(), queries.iter().map(Query::json)));

    let merge_facets = match federation.get::<Query>("mergeFacets")? {
        Some(merge) if merge.names().any(|name| name != "maxValuesPerFacet") => return Err(NotUnderstood),
        Some(merge) => Some(merge.whole("maxValuesPerFacet")?.map(size)),
        None => None,
    };
    federation.remove("mergeFacets");
    let distinct: Option<String> = federation.get("distinct")?;
    paging.ask(paging.needed(u64::MAX), &mut federation);
    let mut parts = Vec::with_capacity(queries.len());
    for (position, query) in queries.into_iter().enumerate() {
        let uid: String = query.strict("indexUid")?.ok_or(NotUnderstood)?;
        let Some(index) = lookup(&uid) else { return Ok(MultiPlan::UnknownIndex { position, uid }) };
        parts.push(Part::plan(query, &index, distinct.as_deref())?);
    }
    let gather = Federated {
        hash,
        federation: federation.json(),
        paging,
        merge_facets,
        distinct: distinct.is_some(),
        include_metadata,
        replay,
        answers: BTreeMap::new(),
        parts,
    };
    let indexes = gather.parts.iter().map(|part| part.index.clone()).collect();
    Ok(MultiPlan::Federated { gather: Box::new(gather), indexes })
}

fn federated_hash(federation: &Query, queries: &[Query]) -> u64 {
    let hash = |query: &Query| query.hash("").rotate_left(7);
    queries.iter().fold(hash(federation), |sum, query| sum.rotate_left(11) ^ hash(query))
}

fn body_of(federation: &[u8], queries: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut body = b"{\"federation\":".to_vec();
    body.extend_from_slice(federation);
    body.extend_from_slice(b",\"queries\":[");
    for (position, query) in queries.enumerate() {
        if position > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&query);
    }
    body.extend_from_slice(b"]}");
    body
}

impl Part {
    fn plan(mut query: Query, index: &IndexFacts<'_>, distinct: Option<&str>) -> Result<Self, NotUnderstood> {
        let options: Option<Query> = query.get("federationOptions")?;
        let weight = match &options {
            // Both need the network of the engine's own.
            Some(options) if options.raw("remote").is_some() || options.raw("queryPosition").is_some() => {
                return Err(NotUnderstood);
            }
            Some(options) => options.get::<f64>("weight")?.unwrap_or(1.0),
            None => 1.0,
        };
        if query.raw("personalize").is_some() || query.get::<bool>("useNetwork")? == Some(true) {
            return Err(NotUnderstood);
        }
        let filter = Filter::of(&query)?;
        query.remove("filter");
        let q: Option<String> = query.get("q")?;
        let comparison = Comparison { sides: Sides::of(&query, q.as_deref())? };
        // The attribute by which all are told apart has to be seen in each.
        let own: Option<String> = query.get("distinct")?;
        if let Some(distinct) = distinct {
            query.set("distinct", distinct);
        }
        let rules = attributes(&mut query, index)?;
        match own {
            Some(own) => query.set("distinct", &own),
            None => query.remove("distinct"),
        }
        query.set("showRankingScore", &true);
        Ok(Self {
            index: index.uid.to_owned(),
            view: index.view.clone(),
            body: query.open_json(),
            filter,
            rules,
            weight,
            comparison,
        })
    }
}

/// A hit: the position of its answer and its rank there.
type Place = (usize, usize);

impl Federated {
    /// Compares hits; the one that comes first is greater.
    fn compare(&self, answers: &[&Answer], left: Place, right: Place) -> Ordering {
        let at = |(answer, rank): Place| answers.get(answer).and_then(|answer| answer.hit(rank));
        let (Some((from, hit, keys)), Some((from_other, other, other_keys))) = (at(left), at(right)) else {
            return Ordering::Equal;
        };
        let (Some(part), Some(other_part)) = (self.parts.get(from.query), self.parts.get(from_other.query)) else {
            return Ordering::Equal;
        };
        let by_rank = if from.query == from_other.query {
            part.comparison.compare((hit, keys), (other, other_keys)).then_with(|| by_key(hit, other))
        } else {
            let rank = |keys, score, weight| order::Rank { keys, score, weight };
            order::compare(&rank(keys, from.score, part.weight), &rank(other_keys, from_other.score, other_part.weight))
        };
        by_rank
            .then_with(|| other_part.index.cmp(&part.index))
            .then_with(|| from_other.query.cmp(&from.query))
            .then_with(|| right.0.cmp(&left.0))
    }

    /// The hits up to the end of the page, without those that repeat a distinct value, and how many these are.
    fn merge(&self, answers: &[&Answer]) -> (Vec<Place>, u64) {
        let (skip, end) = self.paging.window();
        let mut heads = vec![0usize; answers.len()];
        let (mut places, mut repeated) = (Vec::new(), 0u64);
        let mut seen: HashSet<(usize, &str)> = HashSet::new();
        loop {
            let open = heads.iter().copied().enumerate();
            let open = open.filter(|(answer, rank)| answers.get(*answer).is_some_and(|of| of.hit(*rank).is_some()));
            let Some(place) = open.max_by(|left, right| self.compare(answers, *left, *right)) else { break };
            if let Some(head) = heads.get_mut(place.0) {
                *head = head.saturating_add(1);
            }
            let Some((origin, hit, _)) = answers.get(place.0).and_then(|answer| answer.hit(place.1)) else { continue };
            let list = answers.get(place.0).map(|answer| &answer.list);
            // Each query has its own values, unless all share them.
            let query = if self.distinct { 0 } else { origin.query };
            let values = list.map(|list| list.distinct(hit)).unwrap_or_default();
            if values.iter().any(|value| seen.contains(&(query, &**value))) {
                repeated = repeated.saturating_add(1);
                continue;
            }
            seen.extend(values.iter().map(|value| (query, &**value)));
            places.push(place);
            if places.len() >= end && self.parts.iter().all(|part| part.rules.distinct.is_none()) {
                break;
            }
        }
        places.truncate(end);
        (places.into_iter().skip(skip).collect(), repeated)
    }
}

impl Gather for Federated {
    fn index(&self) -> &str {
        self.parts.first().map_or("", |part| part.index.as_str())
    }

    fn query_hash(&self) -> u64 {
        self.hash
    }

    fn request(&self, clause: &str, _part: usize) -> NodeRequest {
        let query = |part: &Part| {
            let mut body = part.body.clone();
            body.extend_from_slice(b",\"filter\":");
            part.filter.write(clause, &mut body);
            body.push(b'}');
            body
        };
        let body = body_of(&self.federation, self.parts.iter().map(query));
        let headers: &[_] = if self.include_metadata { &[("meili-include-metadata", "true")] } else { &[] };
        NodeRequest { method: "POST", path: "/multi-search".to_owned(), headers, body: Some(body) }
    }

    fn accept(&mut self, part: usize, body: Vec<u8>) -> Result<(), BadAnswer> {
        let answer = Answer::read(body, &self.parts, self.paging.total_name())?;
        self.answers.insert(part, answer);
        Ok(())
    }

    fn replay(&self) -> Option<NodeRequest> {
        Some(self.replay.clone())
    }

    fn finish(mut self: Box<Self>, took_ms: u64) -> Vec<u8> {
        let read = self.answers.values_mut().flat_map(|answer| std::mem::take(&mut answer.facets)).collect();
        let answers: Vec<&Answer> = self.answers.values().collect();
        let mut most_typos = vec![MostTypos::default(); self.parts.len()];
        for answer in &answers {
            for (hit, origin) in answer.list.iter().zip(&answer.origins) {
                most_typos.get_mut(origin.query).into_iter().for_each(|most| most.note(answer.list.keys(hit)));
            }
        }
        let (places, repeated) = self.merge(&answers);
        let (mut out, mut semantic) = (b"{\"hits\":[".to_vec(), 0u64);
        for (number, (answer, rank)) in places.into_iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            let Some(answer) = answers.get(answer) else { continue };
            let Some((origin, hit, keys)) = answer.hit(rank) else { continue };
            let keeps = self.parts.get(origin.query).is_some_and(|part| part.rules.keep_score);
            let score = hit.score.filter(|_| keeps).zip(most_typos.get(origin.query));
            let score = score.and_then(|((_, score), most)| most.score(keys, score));
            semantic = semantic.saturating_add(u64::from(is_semantic(keys)));
            answer.list.write(hit, &answer.body, score, &mut out);
        }
        let total = answers.iter().map(|answer| answer.total).fold(0, u64::saturating_add).saturating_sub(repeated);
        out.extend_from_slice(format!("],\"processingTimeMs\":{took_ms},{}", self.paging.echo(total)).as_bytes());
        let views: BTreeMap<&str, &SearchView> =
            self.parts.iter().map(|part| (part.index.as_str(), &part.view)).collect();
        facets::write(read, &views, self.merge_facets, total, &mut out);
        for (name, span) in [
            ("requestUid", answers.iter().find_map(|answer| Some((answer, answer.request_uid?)))),
            ("metadata", answers.iter().find_map(|answer| Some((answer, answer.metadata?)))),
            ("queryVectors", answers.iter().find_map(|answer| Some((answer, answer.query_vectors?)))),
            ("performanceDetails", answers.iter().find_map(|answer| Some((answer, answer.performance?)))),
        ] {
            if let Some((answer, span)) = span {
                out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                out.extend_from_slice(span.of(&answer.body));
            }
        }
        if answers.iter().any(|answer| answer.semantic) {
            out.extend_from_slice(format!(",\"semanticHitCount\":{semantic}").as_bytes());
        }
        out.push(b'}');
        out
    }
}
