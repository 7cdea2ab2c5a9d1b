//! Where the terms of a query are found in the documents.

use std::collections::BTreeMap;

use super::terms::{Alternative, Query, Term};
use crate::index::Index;
use crate::index::words::Place;

/// One occurrence of a term: the places of its first and last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// First word.
    pub(crate) first: Place,
    /// Last word.
    pub(crate) last: Place,
}

/// Occurrences of a term in one document, by number of typos, and of the exact word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// By number of typos.
    pub(crate) levels: [Vec<Hit>; 3],
    /// Of the word as it was typed.
    pub(crate) exact: Vec<Hit>,
}

/// A term with all its occurrences.
pub(crate) struct Node {
    /// The term.
    pub(crate) term: Term,
    /// Occurrences by document.
    pub(crate) found: BTreeMap<u32, Found>,
}

/// A query laid over an index.
pub(crate) struct Graph {
    /// Terms and n-grams.
    pub(crate) nodes: Vec<Node>,
    /// Number of terms.
    pub(crate) length: usize,
}

/// Whether a field takes part in the search.
pub(crate) type InFields<'a> = &'a dyn Fn(u16) -> bool;

impl Graph {
    /// Finds all terms and n-grams of a query.
    pub(crate) fn new(query: &Query, index: &Index, in_fields: InFields<'_>) -> Self {
        let mut nodes = Vec::new();
        for first in 0..query.terms.len() {
            nodes.push(query.terms[first].clone());
            nodes.extend((2..=3).filter_map(|count| query.ngram(first, count, index)));
        }
        let nodes = nodes.into_iter().map(|term| Node { found: find(&term, index, in_fields), term }).collect();
        Self { nodes, length: query.terms.len() }
    }

    /// All ways to lay nodes over these terms, each as a list of nodes.
    pub(crate) fn tilings(&self, terms: &[usize]) -> Vec<Vec<usize>> {
        let Some(first) = terms.first() else { return vec![Vec::new()] };
        let mut all = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let (start, count) = node.term.ids;
            let fits = start == *first && (0..count).all(|offset| terms.get(offset) == Some(&(start + offset)));
            if fits {
                for rest in self.tilings(&terms[count..]) {
                    all.push(std::iter::once(number).chain(rest).collect());
                }
            }
        }
        all
    }
}

/// Occurrences of a phrase.
pub(crate) fn phrase(words: &[Option<String>], index: &Index, in_fields: InFields<'_>) -> BTreeMap<u32, Vec<Hit>> {
    let mut found = BTreeMap::new();
    let Some((anchor, Some(word))) = words.iter().enumerate().find(|(_, word)| word.is_some()) else { return found };
    let anchor = u32::try_from(anchor).unwrap_or_default();
    for (document, places) in index.words.get(word).into_iter().flatten() {
        let hits: Vec<Hit> = places
            .iter()
            .filter(|(field, position)| in_fields(*field) && *position >= anchor)
            .filter_map(|(field, position)| {
                let start = position - anchor;
                let whole = (start..).zip(words).all(|(position, word)| {
                    word.as_ref().is_none_or(|word| {
                        let places = index.words.get(word).and_then(|documents| documents.get(document));
                        places.is_some_and(|places| places.contains(&(*field, position)))
                    })
                });
                let length = u32::try_from(words.len()).unwrap_or_default();
                whole.then_some(Hit { first: (*field, start), last: (*field, start + length - 1) })
            })
            .collect();
        if !hits.is_empty() {
            found.insert(*document, hits);
        }
    }
    found
}

fn alternative(wanted: &Alternative, index: &Index, in_fields: InFields<'_>) -> BTreeMap<u32, Vec<Hit>> {
    match wanted {
        Alternative::Phrase(words) => phrase(words, index, in_fields),
        Alternative::Word(word) => {
            let documents = index.words.get(word).into_iter().flatten();
            documents
                .map(|(document, places)| {
                    let places = places.iter().filter(|(field, _)| in_fields(*field));
                    (*document, places.map(|place| Hit { first: *place, last: *place }).collect::<Vec<_>>())
                })
                .filter(|(_, hits)| !hits.is_empty())
                .collect()
        }
    }
}

fn find(term: &Term, index: &Index, in_fields: InFields<'_>) -> BTreeMap<u32, Found> {
    let mut found: BTreeMap<u32, Found> = BTreeMap::new();
    for (level, alternatives) in term.levels.iter().enumerate() {
        for wanted in alternatives {
            for (document, hits) in alternative(wanted, index, in_fields) {
                found.entry(document).or_default().levels[level].extend(hits);
            }
        }
    }
    if let Some(exact) = term.exact() {
        for (document, hits) in alternative(&exact, index, in_fields) {
            found.entry(document).or_default().exact = hits;
        }
    }
    found
}
