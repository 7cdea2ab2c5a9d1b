//! `_formatted` and `_matchesPosition`: highlighting and cropping.

use charabia::{SeparatorKind, Token};
use serde_json::{Map, Value, json};

use super::terms::{Alternative, Query, Term};
use crate::index::Index;
use crate::index::words::Analysis;

/// How hits are to be formatted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Format {
    /// Fields to highlight.
    pub(crate) highlight: Vec<String>,
    /// Fields to crop, each `name` or `name:length`.
    pub(crate) crop: Vec<String>,
    /// Words of a crop.
    pub(crate) crop_length: usize,
    /// Stands where text was cut.
    pub(crate) marker: String,
    /// Before a match.
    pub(crate) pre: String,
    /// After a match.
    pub(crate) post: String,
    /// `_matchesPosition` is wanted.
    pub(crate) positions: bool,
}

/// A match within a text, in bytes; the words it covers; its term.
#[derive(Clone, Copy, Debug)]
struct Match {
    start: usize,
    length: usize,
    first_token: usize,
    last_token: usize,
}

/// Formats hits of one query.
pub(crate) struct Formatter<'a> {
    index: &'a Index,
    analysis: Analysis,
    terms: Vec<Term>,
    format: &'a Format,
}

impl<'a> Formatter<'a> {
    /// For a query.
    pub(crate) fn new(index: &'a Index, query: &Query, format: &'a Format) -> Self {
        let mut terms = query.terms.clone();
        for first in 0..query.terms.len() {
            terms.extend((2..=3).filter_map(|count| query.ngram(first, count, index)));
        }
        terms.sort_by_key(|term| term.prefix);
        Self { index, analysis: Analysis::new(&index.settings), terms, format }
    }

    /// Whether anything is to be formatted: a field that the index knows.
    pub(crate) fn wanted(&self) -> bool {
        let crops = self.format.crop.iter().map(|entry| entry.split(':').next().unwrap_or_default());
        let mut selectors = self.format.highlight.iter().map(String::as_str).chain(crops);
        selectors.any(|selector| self.index.knows(selector))
    }

    fn selected(selectors: &[String], name: &str) -> bool {
        selectors.iter().any(|selector| selector == "*" || crate::index::paths::under(name, selector))
    }

    fn crop_of(&self, name: &str) -> Option<usize> {
        self.format.crop.iter().rev().find_map(|entry| {
            let (selector, length) = match entry.rsplit_once(':') {
                Some((selector, length)) if length.parse::<usize>().is_ok() => (selector, length.parse().ok()?),
                _ => (entry.as_str(), self.format.crop_length),
            };
            (selector == "*" || crate::index::paths::under(name, selector)).then_some(length)
        })
    }

    /// `_formatted` of a document.
    pub(crate) fn formatted(&self, document: &Map<String, Value>) -> Map<String, Value> {
        document.iter().map(|(name, value)| (name.clone(), self.value(name, value))).collect()
    }

    fn value(&self, name: &str, value: &Value) -> Value {
        let highlight = Self::selected(&self.format.highlight, name);
        let crop = self.crop_of(name);
        match value {
            Value::String(text) => json!(self.text(text, highlight, crop)),
            Value::Number(_) => json!(self.text(&value.to_string(), highlight, crop)),
            Value::Array(items) => items.iter().map(|item| self.value(name, item)).collect(),
            Value::Object(object) => Value::Object(
                object.iter().map(|(key, value)| (key.clone(), self.value(&format!("{name}.{key}"), value))).collect(),
            ),
            other => other.clone(),
        }
    }

    /// `_matchesPosition` of a document.
    pub(crate) fn positions(&self, document: &Map<String, Value>) -> Map<String, Value> {
        let mut positions = Map::new();
        for (name, value) in document {
            self.collect(name, value, None, &mut positions);
        }
        positions
    }

    fn collect(&self, name: &str, value: &Value, indices: Option<&[usize]>, positions: &mut Map<String, Value>) {
        match value {
            Value::String(_) | Value::Number(_) => {
                if self.index.settings.weight(name).is_none() {
                    return;
                }
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let found = self.analysis.with(|tokenizer| {
                    let tokens: Vec<Token<'_>> = tokenizer.tokenize(&text).collect();
                    self.matches(&tokens)
                });
                let list = found.iter().map(|found| match indices {
                    Some(indices) => json!({"start": found.start, "length": found.length, "indices": indices}),
                    None => json!({"start": found.start, "length": found.length}),
                });
                let list: Vec<Value> = list.collect();
                if !list.is_empty() {
                    let slot = positions.entry(name).or_insert_with(|| json!([]));
                    if let Some(slot) = slot.as_array_mut() {
                        slot.extend(list);
                    }
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let inner: Vec<usize> = indices.unwrap_or_default().iter().copied().chain([at]).collect();
                    self.collect(name, item, Some(&inner), positions);
                }
            }
            Value::Object(object) => {
                for (key, value) in object {
                    self.collect(&format!("{name}.{key}"), value, indices, positions);
                }
            }
            _ => {}
        }
    }

    fn matches(&self, tokens: &[Token<'_>]) -> Vec<Match> {
        let words: Vec<usize> =
            (0..tokens.len()).filter(|at| tokens[*at].is_word() || tokens[*at].is_stopword()).collect();
        let mut found = Vec::new();
        let mut position = 0;
        while position < words.len() {
            match self.match_at(tokens, &words[position..]) {
                Some((length, bytes)) => {
                    let (first, last) = (words[position], words[position + length - 1]);
                    let start = tokens[first].byte_start;
                    let end = if length == 1 { start + bytes } else { tokens[last].byte_end };
                    found.push(Match { start, length: end - start, first_token: first, last_token: last });
                    position += length;
                }
                None => position += 1,
            }
        }
        found
    }

    /// What matches at the first of these words: how many words, and how many bytes of a single one.
    fn match_at(&self, tokens: &[Token<'_>], words: &[usize]) -> Option<(usize, usize)> {
        let lemma = |at: usize| words.get(at).map(|token| tokens[*token].lemma());
        let phrases = self.terms.iter().flat_map(|term| term.levels.iter().flatten());
        for alternative in phrases {
            if let Alternative::Phrase(phrase) = alternative
                && phrase.iter().enumerate().all(|(at, word)| match word {
                    Some(word) => lemma(at) == Some(word),
                    None => lemma(at).is_some(),
                })
            {
                let token = &tokens[words[0]];
                return Some((phrase.len(), token.byte_end - token.byte_start));
            }
        }
        let token = &tokens[*words.first()?];
        for term in &self.terms {
            let full = term
                .levels
                .iter()
                .flatten()
                .any(|word| matches!(word, Alternative::Word(word) if word == token.lemma()));
            if term.prefix {
                let mut starts = term.levels.iter().flatten().filter_map(|word| match word {
                    Alternative::Word(word) if token.lemma().starts_with(word.as_str()) => Some(word),
                    _ => None,
                });
                if let Some(word) = starts.next() {
                    let length: usize = word.chars().take(term.word.chars().count()).map(char::len_utf8).sum();
                    return Some((1, token.original_lengths(length).1));
                }
            } else if full {
                return Some((1, token.byte_end - token.byte_start));
            }
        }
        None
    }

    fn text(&self, text: &str, highlight: bool, crop: Option<usize>) -> String {
        if !highlight && crop.is_none() {
            return text.to_owned();
        }
        self.analysis.with(|tokenizer| {
            let tokens: Vec<Token<'_>> = tokenizer.tokenize(text).collect();
            let matches = self.matches(&tokens);
            let (start, end) = crop
                .filter(|length| *length > 0)
                .map_or((0, text.len()), |length| window(&tokens, &matches, length, text.len()));
            let mut out = String::new();
            if start > 0 {
                out.push_str(&self.format.marker);
            }
            let mut at = start;
            for found in matches.iter().filter(|found| found.start >= start && found.start + found.length <= end) {
                if highlight {
                    out.push_str(&text[at..found.start]);
                    out.push_str(&self.format.pre);
                    out.push_str(&text[found.start..found.start + found.length]);
                    out.push_str(&self.format.post);
                    at = found.start + found.length;
                }
            }
            out.push_str(&text[at..end]);
            if end < text.len() {
                out.push_str(&self.format.marker);
            }
            out
        })
    }
}

/// The bytes of a crop of `length` words around as many matches as fit: it grows on both sides, over words rather than
/// separators, and over soft separators rather than hard ones.
fn window(tokens: &[Token<'_>], matches: &[Match], length: usize, whole: usize) -> (usize, usize) {
    let word = |at: usize| !tokens[at].is_separator();
    let words = |first: usize, last: usize| (first..=last).filter(|at| word(*at)).count();
    let mut best: Option<(usize, usize, usize)> = None;
    for (at, first) in matches.iter().enumerate() {
        let fitting = matches[at..].iter().take_while(|last| words(first.first_token, last.last_token) <= length);
        if let Some((count, last)) = fitting.enumerate().last()
            && best.is_none_or(|(most, ..)| count > most)
        {
            best = Some((count, first.first_token, last.last_token));
        }
    }
    let (mut first, mut behind) = best.map_or((0, 0), |(_, first, last)| (first, last + 1));
    let mut left = length.saturating_sub(if best.is_some() { words(first, behind - 1) } else { 0 });
    let hard = |at: usize| tokens[at].separator_kind() == Some(SeparatorKind::Hard);
    while left > 0 {
        let before = first.checked_sub(1);
        let after = (behind < tokens.len()).then_some(behind);
        let (back, forth) = match (before, after) {
            (None, None) => break,
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(before), Some(after)) => match (word(before), word(after)) {
                (true, true) => (true, left > 1),
                (true, false) => (true, false),
                (false, true) => (false, true),
                (false, false) if hard(before) == hard(after) => (true, left > 1),
                (false, false) => (!hard(before), hard(before)),
            },
        };
        if back {
            first -= 1;
            left -= usize::from(word(first));
        }
        if forth {
            left -= usize::from(word(behind));
            behind += 1;
        }
    }
    let start = tokens.get(first).map_or(0, |token| token.byte_start);
    let end = behind.checked_sub(1).and_then(|last| tokens.get(last)).map_or(whole, |token| token.byte_end);
    (start, end)
}
