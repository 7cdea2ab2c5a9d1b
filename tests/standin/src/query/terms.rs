//! From the text of a query to its terms: words, phrases, n-grams, and what in the index each of them may stand for.

use std::collections::BTreeSet;

use charabia::{SeparatorKind, TokenKind};

use crate::index::Index;
use crate::index::words::{Analysis, Words};

/// Most terms of a query that count.
const MOST_TERMS: usize = 10;

/// One thing that a term may stand for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alternative {
    /// A word of the index.
    Word(String),
    /// Consecutive words; none is any stop word.
    Phrase(Vec<Option<String>>),
}

/// A word, phrase or n-gram of the query.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    /// The word, or the words of an n-gram run together.
    pub(crate) word: String,
    /// Set if it is a quoted phrase.
    pub(crate) phrase: Option<Vec<Option<String>>>,
    /// The last word, which may be unfinished.
    pub(crate) prefix: bool,
    /// First and last position in the query.
    pub(crate) positions: (u32, u32),
    /// Number of the first term, and number of terms (more than one for an n-gram).
    pub(crate) ids: (usize, usize),
    /// Typos allowed.
    pub(crate) typos: u8,
    /// What it may stand for, by number of typos.
    pub(crate) levels: [BTreeSet<Alternative>; 3],
}

/// A parsed query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    /// The terms in order, without n-grams.
    pub(crate) terms: Vec<Term>,
    /// Words that must not appear.
    pub(crate) negative_words: Vec<String>,
    /// Phrases that must not appear.
    pub(crate) negative_phrases: Vec<Vec<Option<String>>>,
}

#[derive(Default)]
struct Building {
    words: Vec<Option<String>>,
    start: u32,
    end: u32,
}

/// Parses a query.
pub(crate) fn parse(text: &str, index: &Index) -> Query {
    let analysis = Analysis::new(&index.settings);
    let prefixes = index.settings.get("prefixSearch") != "disabled";
    analysis.with(|tokenizer| {
        let tokens: Vec<_> = tokenizer.tokenize(text).filter(|token| !token.lemma().is_empty()).collect();
        let mut query = Query::default();
        let mut next = 0;
        let mut phrase: Option<Building> = None;
        let (mut negative, mut negative_phrase, mut after_blank) = (false, false, true);
        for (at, token) in tokens.iter().enumerate() {
            if query.terms.len() >= MOST_TERMS {
                break;
            }
            let last = at + 1 == tokens.len();
            match token.kind {
                TokenKind::Separator(kind) => {
                    if kind == SeparatorKind::Hard {
                        next += 7;
                        if let Some(done) = phrase.take() {
                            query.close(done, negative_phrase);
                            phrase = Some(Building::default());
                        }
                    }
                    let mut quotes = token.lemma().matches('"').count();
                    if quotes > 0 {
                        if let Some(done) = phrase.take() {
                            quotes -= 1;
                            query.close(done, negative_phrase);
                            negative_phrase = false;
                        }
                        if quotes % 2 == 1 {
                            negative_phrase = negative;
                            phrase = Some(Building::default());
                        }
                    }
                    negative = phrase.is_none() && token.lemma() == "-" && after_blank;
                }
                TokenKind::Word | TokenKind::StopWord => {
                    let position = next;
                    next += 1;
                    let word = token.lemma().to_owned();
                    let stops = analysis.stops(&word);
                    if let Some(building) = &mut phrase {
                        if building.words.iter().all(Option::is_none) {
                            building.start = position;
                        }
                        building.end = position;
                        building.words.push((!stops).then_some(word));
                    } else if negative {
                        query.negative_words.push(word);
                        negative = false;
                    } else if last || !stops {
                        let typos = index.settings.typos(&word);
                        let id = query.terms.len();
                        query.terms.push(Term {
                            word,
                            phrase: None,
                            prefix: last && prefixes,
                            positions: (position, position),
                            ids: (id, 1),
                            typos,
                            levels: Default::default(),
                        });
                    }
                }
                TokenKind::Unknown => {}
            }
            after_blank = token.lemma().chars().last().is_some_and(char::is_whitespace);
        }
        if let Some(done) = phrase {
            query.close(done, negative_phrase);
        }
        for term in &mut query.terms {
            fill(term, index, None);
        }
        query
    })
}

impl Query {
    fn close(&mut self, done: Building, negative: bool) {
        if done.words.iter().all(Option::is_none) {
            return;
        }
        if negative {
            self.negative_phrases.push(done.words);
            return;
        }
        let id = self.terms.len();
        self.terms.push(Term {
            word: String::new(),
            phrase: Some(done.words),
            prefix: false,
            positions: (done.start, done.end),
            ids: (id, 1),
            typos: 0,
            levels: Default::default(),
        });
    }

    /// The n-gram of `count` terms from `first` on, if these terms can form one.
    pub(crate) fn ngram(&self, first: usize, count: usize, index: &Index) -> Option<Term> {
        let parts = self.terms.get(first..first + count)?;
        if parts.iter().any(|part| part.phrase.is_some())
            || parts.windows(2).any(|pair| pair[0].positions.1 + 1 != pair[1].positions.0)
        {
            return None;
        }
        let word: String = parts.iter().map(|part| part.word.as_str()).collect();
        let less = u8::try_from(count).unwrap_or(u8::MAX).saturating_sub(1);
        let mut term = Term {
            typos: index.settings.typos(&word).saturating_sub(less),
            word,
            phrase: None,
            prefix: parts.last()?.prefix,
            positions: (parts.first()?.positions.0, parts.last()?.positions.1),
            ids: (first, count),
            levels: Default::default(),
        };
        let words: Vec<&str> = parts.iter().map(|part| part.word.as_str()).collect();
        fill(&mut term, index, Some(&words));
        Some(term)
    }
}

impl Term {
    /// Whether it may be split in two words.
    pub(crate) fn splits(&self) -> bool {
        self.phrase.is_none()
    }

    /// Most typos that a path through this term can cost.
    pub(crate) fn most_typos(&self) -> u32 {
        u32::from(self.typos.max(u8::from(self.splits()))) + self.typo_base()
    }

    /// What an n-gram costs in typos before any typo.
    pub(crate) fn typo_base(&self) -> u32 {
        if self.ids.1 == 1 { 0 } else { u32::try_from(self.ids.1).unwrap_or_default() }
    }

    /// The word itself, if the index has it and the term is no n-gram.
    pub(crate) fn exact(&self) -> Option<Alternative> {
        match &self.phrase {
            Some(words) => Some(Alternative::Phrase(words.clone())),
            None if self.ids.1 == 1 => {
                Some(Alternative::Word(self.word.clone())).filter(|word| self.levels[0].contains(word))
            }
            None => None,
        }
    }
}

/// Finds what a term may stand for. `parts` are the words of an n-gram.
fn fill(term: &mut Term, index: &Index, parts: Option<&[&str]>) {
    if let Some(words) = &term.phrase {
        term.levels[0].insert(Alternative::Phrase(words.clone()));
        return;
    }
    let words = &index.words;
    if words.get(&term.word).is_some() {
        term.levels[0].insert(Alternative::Word(term.word.clone()));
    }
    if term.prefix {
        term.levels[0].extend(words.starting_with(&term.word).map(|word| Alternative::Word(word.to_owned())));
    }
    let asked = parts.map_or_else(|| term.word.clone(), |parts| parts.join(" "));
    for synonym in synonyms(index, &asked) {
        term.levels[0].insert(Alternative::Phrase(synonym));
    }
    if term.typos > 0 {
        for word in words.all() {
            let level = typo_level(&term.word, word, term.typos, term.prefix);
            if let Some(slot @ 1..) = level {
                term.levels[slot].insert(Alternative::Word(word.to_owned()));
            }
        }
    }
    if let Some((left, right)) = best_split(&term.word, words)
        && parts.is_none_or(|parts| parts != [left.as_str(), right.as_str()])
    {
        term.levels[1].insert(Alternative::Phrase(vec![Some(left), Some(right)]));
    }
}

fn synonyms(index: &Index, asked: &str) -> Vec<Vec<Option<String>>> {
    let analysis = Analysis::new(&index.settings);
    analysis.with(|tokenizer| {
        let split = |text: &str| -> Vec<String> {
            tokenizer.tokenize(text).filter(|token| token.is_word()).map(|token| token.lemma().to_owned()).collect()
        };
        let asked: Vec<String> = asked.split(' ').map(str::to_owned).collect();
        let all = index.settings.get("synonyms").as_object().into_iter().flatten();
        all.filter(|(word, _)| split(word) == asked)
            .flat_map(|(_, list)| list.as_array().into_iter().flatten())
            .filter_map(|synonym| synonym.as_str())
            .map(|synonym| split(synonym).into_iter().map(Some).collect())
            .collect()
    })
}

/// Typos between a word of the query and one of the index: a differing first letter counts twice.
fn typo_level(asked: &str, word: &str, most: u8, prefix: bool) -> Option<usize> {
    let same_start = asked.chars().next() == word.chars().next();
    let limit = if most == 1 || !same_start { 1 } else { 2 };
    if most == 1 && !same_start {
        return None;
    }
    match (distance(asked, word, limit, prefix)?, same_start) {
        (_, false) => Some(2),
        (count, true) => Some(count),
    }
}

/// Edits (also swaps of neighbours) from one word to another, or to a start of it; none above the limit.
fn distance(asked: &str, word: &str, limit: usize, prefix: bool) -> Option<usize> {
    let asked: Vec<char> = asked.chars().collect();
    let word: Vec<char> = word.chars().collect();
    if asked.len() > word.len() + limit || (!prefix && word.len() > asked.len() + limit) {
        return None;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=asked.len()).collect()];
    let mut best = if prefix { asked.len() } else { usize::MAX };
    for (at, letter) in word.iter().enumerate() {
        let mut row = vec![at + 1];
        for (position, wanted) in asked.iter().enumerate() {
            let above = &rows[at];
            let mut cost =
                (above[position] + usize::from(wanted != letter)).min(above[position + 1] + 1).min(row[position] + 1);
            if at > 0 && position > 0 && word[at - 1] == *wanted && asked[position - 1] == *letter {
                cost = cost.min(rows[at - 1][position - 1] + 1);
            }
            row.push(cost);
        }
        if row.iter().min().is_some_and(|least| *least > limit) {
            break;
        }
        if prefix || at + 1 == word.len() {
            best = best.min(row[asked.len()]);
        }
        rows.push(row);
    }
    (best <= limit).then_some(best)
}

/// The split of a word whose halves stand next to each other in the most documents; the first of equals.
fn best_split(word: &str, words: &Words) -> Option<(String, String)> {
    let mut best: Option<(usize, &str, &str)> = None;
    for (at, _) in word.char_indices().skip(1) {
        let (left, right) = word.split_at(at);
        let (Some(lefts), Some(rights)) = (words.get(left), words.get(right)) else { continue };
        let count = lefts
            .iter()
            .filter(|(document, places)| {
                rights.get(document).is_some_and(|others| {
                    places.iter().any(|(field, position)| others.contains(&(*field, position + 1)))
                })
            })
            .count();
        if count > 0 && best.is_none_or(|(most, ..)| count > most) {
            best = Some((count, left, right));
        }
    }
    best.map(|(_, left, right)| (left.to_owned(), right.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_as_the_engine_counts_them() {
        assert_eq!(typo_level("wars", "wras", 1, false), Some(1));
        assert_eq!(typo_level("wars", "bars", 2, false), Some(2));
        assert_eq!(typo_level("wars", "bars", 1, false), None);
        assert_eq!(typo_level("beginn", "beginning", 1, true), Some(0));
        assert_eq!(typo_level("begimn", "beginning", 1, true), Some(1));
        assert_eq!(typo_level("begimm", "beginning", 1, true), None);
        assert_eq!(typo_level("colour", "color", 2, false), Some(1));
    }
}
