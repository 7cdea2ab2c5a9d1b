//! Ranking: documents are put into buckets, rule by rule. A document stands in a bucket together with the ways (paths)
//! in which the query fits it; each rule takes the cheapest of these ways and leaves only them to the next rule.

use std::collections::BTreeMap;

use serde_json::Value;

use super::detail::Detail;
use super::graph::{Graph, Hit};
use super::sort::{self, Criterion};
use crate::index::Index;

/// How the query may fit a document: nodes side by side, and, after the typo rule, the number of typos of each.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    nodes: Vec<usize>,
    typos: Option<Vec<usize>>,
}

/// A document with the ways that are left.
#[derive(Clone, Debug)]
struct Entry {
    document: u32,
    /// How many words of the query are missing.
    missing: usize,
    ways: Vec<Way>,
}

/// A ranked document: its internal id and what each rule said about it.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    /// Internal id.
    pub(crate) document: u32,
    /// In the order of the rules.
    pub(crate) details: Vec<Detail>,
}

/// Which words of a query must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// The last words may be missing.
    Last,
    /// All of them.
    All,
    /// The most frequent words may be missing.
    Frequency,
}

/// A rule.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// A rule by words; its name in the settings, where `attribute` stands for two.
    Words(&'static str),
    /// A sort criterion.
    By(Criterion),
}

/// What ranking works on.
pub(crate) struct Ranking<'a> {
    /// The index.
    pub(crate) index: &'a Index,
    /// The query laid over it; none for a search without words.
    pub(crate) graph: Option<&'a Graph>,
    /// The rules.
    pub(crate) rules: &'a [Rule],
    /// The strategy.
    pub(crate) strategy: Strategy,
}

impl Ranking<'_> {
    /// Ranks these documents; those that the query does not fit are left out.
    pub(crate) fn rank(&self, documents: Vec<u32>) -> Vec<Ranked> {
        let mut ranked = Vec::new();
        let Some(graph) = self.graph.filter(|graph| graph.length > 0) else {
            let plain = |document| Entry { document, missing: 0, ways: Vec::new() };
            self.bucket(documents.into_iter().map(plain).collect(), 0, &mut Vec::new(), &mut ranked);
            return ranked;
        };
        let levels: Vec<Vec<Vec<usize>>> = self.levels(graph).iter().map(|terms| graph.tilings(terms)).collect();
        let entry = |document: u32| {
            let fits = |nodes: &&Vec<usize>| nodes.iter().all(|node| graph.nodes[*node].found.contains_key(&document));
            levels.iter().enumerate().find_map(|(missing, tilings)| {
                let ways: Vec<Way> =
                    tilings.iter().filter(fits).map(|nodes| Way { nodes: nodes.clone(), typos: None }).collect();
                (!ways.is_empty()).then_some(Entry { document, missing, ways })
            })
        };
        self.bucket(documents.into_iter().filter_map(entry).collect(), 0, &mut Vec::new(), &mut ranked);
        ranked
    }

    /// Splits a bucket by the number of words found.
    fn by_words(
        &self,
        graph: &Graph,
        entries: Vec<Entry>,
        rule: usize,
        details: &mut Vec<Detail>,
        ranked: &mut Vec<Ranked>,
    ) {
        let phrases = graph.nodes.iter().filter_map(|node| node.term.phrase.as_ref());
        let extra: usize = phrases.map(|words| words.iter().flatten().count()).sum();
        let max = self.levels(graph).len() + extra.saturating_sub(1);
        let mut buckets: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            buckets.entry(entry.missing).or_default().push(entry);
        }
        for (missing, entries) in buckets {
            details.push(Detail::Words { matching: max - missing, max });
            self.bucket(entries, rule + 1, details, ranked);
            details.pop();
        }
    }

    /// The terms that must be found, from all of them to the fewest.
    fn levels(&self, graph: &Graph) -> Vec<Vec<usize>> {
        let all: Vec<usize> = (0..graph.length).collect();
        let single = |id: usize| graph.nodes.iter().find(|node| node.term.ids == (id, 1));
        let phrase = |id: usize| single(id).is_some_and(|node| node.term.phrase.is_some());
        let mut order: Vec<usize> = all.iter().copied().filter(|id| !phrase(*id)).collect();
        if order.len() == all.len() && self.strategy != Strategy::Frequency {
            order.remove(0);
        }
        match self.strategy {
            Strategy::All => order.clear(),
            Strategy::Last => order.reverse(),
            Strategy::Frequency => {
                let count = |id: &usize| single(*id).map_or(0, |node| node.found.len());
                order.sort_by_key(|id| {
                    std::cmp::Reverse(match count(id) {
                        0 => usize::MAX,
                        count => count,
                    })
                });
                if order.len() == all.len() {
                    order.pop();
                }
            }
        }
        let mut levels = vec![all];
        for id in order {
            let last = levels.last().cloned().unwrap_or_default();
            levels.push(last.into_iter().filter(|term| *term != id).collect());
        }
        levels
    }

    fn bucket(&self, entries: Vec<Entry>, rule: usize, details: &mut Vec<Detail>, ranked: &mut Vec<Ranked>) {
        if entries.is_empty() {
            return;
        }
        let Some(next) = self.rules.get(rule) else {
            ranked
                .extend(entries.into_iter().map(|entry| Ranked { document: entry.document, details: details.clone() }));
            return;
        };
        match (next, self.graph.filter(|graph| graph.length > 0)) {
            (Rule::By(criterion), _) => {
                for (value, entries) in self.sorted(criterion, entries) {
                    details.push(Detail::By { criterion: criterion.clone(), value });
                    self.bucket(entries, rule + 1, details, ranked);
                    details.pop();
                }
            }
            (_, None) => self.bucket(entries, rule + 1, details, ranked),
            (Rule::Words("words"), Some(graph)) => self.by_words(graph, entries, rule, details, ranked),
            (Rule::Words("exactness"), Some(graph)) => {
                for (kind, entries) in exact_attribute(graph, self.index, entries) {
                    details.push(Detail::ExactAttribute(kind));
                    self.by_cost("exactWords", graph, entries, rule, details, ranked);
                    details.pop();
                }
            }
            (Rule::Words(name), Some(graph)) => self.by_cost(name, graph, entries, rule, details, ranked),
        }
    }

    fn by_cost(
        &self,
        name: &'static str,
        graph: &Graph,
        entries: Vec<Entry>,
        rule: usize,
        details: &mut Vec<Detail>,
        ranked: &mut Vec<Ranked>,
    ) {
        let cost = super::cost::of(name);
        let max =
            entries.iter().flat_map(|entry| &entry.ways).map(|way| (cost.most)(graph, self.index, &way.nodes)).max();
        let mut max = max.unwrap_or_default();
        // Where no words may be missing, the first rule still sees all ways, also those that fit no document.
        if self.strategy == Strategy::All && !details.iter().any(|detail| matches!(detail, Detail::Priced { .. })) {
            let terms: Vec<usize> = (0..graph.length).collect();
            let all = graph.tilings(&terms).into_iter().map(|nodes| (cost.most)(graph, self.index, &nodes)).max();
            max = max.max(all.unwrap_or_default());
        }
        let mut buckets: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            let mut best: Option<u32> = None;
            let mut ways: Vec<Way> = Vec::new();
            for way in &entry.ways {
                let (price, typos) = price(name, graph, self.index, way, entry.document, cost.step);
                if best.is_none_or(|best| price < best) {
                    best = Some(price);
                    ways.clear();
                }
                if best == Some(price) {
                    ways.push(Way { nodes: way.nodes.clone(), typos: typos.or_else(|| way.typos.clone()) });
                }
            }
            buckets.entry(best.unwrap_or_default()).or_default().push(Entry { ways, ..entry });
        }
        for (price, entries) in buckets {
            details.push(Detail::rank(name, price, max));
            self.bucket(entries, rule + 1, details, ranked);
            details.pop();
        }
    }

    fn sorted(&self, criterion: &Criterion, entries: Vec<Entry>) -> Vec<(Value, Vec<Entry>)> {
        let mut keyed: Vec<(sort::Key, Entry)> = entries
            .into_iter()
            .filter_map(|entry| {
                let document = self.index.documents.get(&entry.document)?;
                Some((sort::key(criterion, document), entry))
            })
            .collect();
        keyed.sort_by(|left, right| {
            sort::compare(criterion, &left.0, &right.0).then(left.1.document.cmp(&right.1.document))
        });
        let mut buckets: Vec<(sort::Key, Vec<Entry>)> = Vec::new();
        for (key, entry) in keyed {
            match buckets.last_mut() {
                Some((last, entries)) if sort::compare(criterion, last, &key).is_eq() => entries.push(entry),
                _ => buckets.push((key, vec![entry])),
            }
        }
        buckets.into_iter().map(|(key, entries)| (key.shown(), entries)).collect()
    }
}

/// What one step of a way costs in a document: the node, the node before it, and their occurrences.
pub(crate) type Step = fn(&Graph, &Index, Option<(usize, &[Hit])>, (usize, &[Hit], bool)) -> u32;

fn price(name: &str, graph: &Graph, index: &Index, way: &Way, document: u32, step: Step) -> (u32, Option<Vec<usize>>) {
    let mut total = 0;
    let mut chosen = Vec::new();
    let mut before: Option<(usize, Vec<Hit>)> = None;
    for (position, node) in way.nodes.iter().enumerate() {
        let Some(found) = graph.nodes[*node].found.get(&document) else { continue };
        let level = way.typos.as_ref().and_then(|typos| typos.get(position)).copied();
        let least = (0..3).find(|level| !found.levels[*level].is_empty()).unwrap_or_default();
        let hits: Vec<Hit> = match level {
            Some(level) => found.levels[level].clone(),
            None => found.levels.concat(),
        };
        if name == "typo" {
            total += u32::try_from(least).unwrap_or_default() + graph.nodes[*node].term.typo_base();
            chosen.push(least);
        } else {
            let previous = before.as_ref().map(|(node, hits)| (*node, hits.as_slice()));
            total +=
                step(graph, index, previous, (*node, &hits, !found.exact.is_empty() && level.unwrap_or_default() == 0));
        }
        before = Some((*node, hits));
    }
    (total, (name == "typo").then_some(chosen))
}

/// Splits a bucket by whether a field is the query, starts with it, or neither.
fn exact_attribute(graph: &Graph, index: &Index, entries: Vec<Entry>) -> Vec<(&'static str, Vec<Entry>)> {
    let mut terms: Vec<usize> = Vec::new();
    for node in entries
        .iter()
        .flat_map(|entry| &entry.ways)
        .flat_map(|way| way.nodes.iter().enumerate().map(move |(at, node)| (way, at, *node)))
    {
        let (way, at, node) = node;
        let clean = way.typos.as_ref().is_none_or(|typos| typos.get(at) == Some(&0));
        if clean && graph.nodes[node].term.exact().is_some() && !terms.contains(&node) {
            terms.push(node);
        }
    }
    terms.sort_by_key(|node| graph.nodes[*node].term.ids.0);
    let whole = terms.iter().enumerate().all(|(at, node)| graph.nodes[*node].term.ids.0 == at) && !terms.is_empty();
    let mut kinds: [(&'static str, Vec<Entry>); 3] =
        [("exactMatch", Vec::new()), ("matchesStart", Vec::new()), ("noExactMatch", Vec::new())];
    let length: u32 =
        terms.iter().map(|node| graph.nodes[*node].term.positions).map(|(start, end)| end - start + 1).sum();
    for entry in entries {
        let exact: Vec<&[Hit]> = terms
            .iter()
            .map(|node| graph.nodes[*node].found.get(&entry.document).map_or(&[][..], |found| found.exact.as_slice()))
            .collect();
        let placed = whole
            && terms.iter().zip(&exact).all(|(node, hits)| {
                let start = super::cost::bucket(graph.nodes[*node].term.positions.0);
                hits.iter().any(|hit| super::cost::bucket(hit.first.1) == start)
            });
        let mut fields: Vec<u16> = exact.iter().flat_map(|hits| hits.iter().map(|hit| hit.first.0)).collect();
        fields.sort_unstable();
        fields.dedup();
        fields.retain(|field| exact.iter().all(|hits| hits.iter().any(|hit| hit.first.0 == *field)));
        let kind = if !placed || fields.is_empty() {
            2
        } else if fields.iter().any(|field| index.words.count(entry.document, *field) == length) {
            0
        } else {
            1
        };
        kinds[kind].1.push(entry);
    }
    kinds.into_iter().filter(|(_, entries)| !entries.is_empty()).collect()
}
