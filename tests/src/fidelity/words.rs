//! The words of a set of data, roughly as the engine sees them, and where the engine's own limits on derivations of
//! words bite: there a cluster, whose nodes each know fewer words, finds more.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::rngs::StdRng;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::data::{DIMENSIONS, Set};

/// Most words with one typo, with two, and of one beginning that the engine (1.50) derives from a word of a query.
const MOST_ONE_TYPO: usize = 150;
const MOST_TWO_TYPOS: usize = 50;
const MOST_PREFIXED: usize = 1_000;

/// Longest beginning of which the engine keeps a table, and how many words must have it.
const TABLED_BYTES: usize = 4;
const TABLED_FROM: usize = 100;

/// Letters from which on the engine forgives one typo, and two.
const ONE_TYPO_FROM: usize = 5;
const TWO_TYPOS_FROM: usize = 9;

/// Words of a text in lower case without accents.
pub(super) fn split(text: &str) -> Vec<String> {
    let plain: String = text.nfkd().filter(|letter| !is_combining_mark(*letter)).flat_map(char::to_lowercase).collect();
    let words = plain.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A vector in which texts with common words are near each other.
pub(super) fn vector(words: &[String]) -> Vec<f64> {
    let mut sum = vec![0.01; DIMENSIONS];
    for word in words {
        for (at, part) in sum.iter_mut().enumerate() {
            let hash = miroir_core::hash::key_hash(format!("{word} {at}").as_bytes());
            *part += f64::from((hash % 2_001) as u32) / 1_000.0 - 1.0;
        }
    }
    sum
}

/// All words, and which stand next to each other.
pub(super) struct Vocabulary {
    words: Vec<String>,
    pairs: BTreeMap<String, BTreeSet<usize>>,
}

impl Vocabulary {
    pub(super) fn of(set: &Set) -> Self {
        let mut words = BTreeSet::new();
        let mut pairs: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for document in &set.data.documents {
            for text in set.texts.iter().flat_map(|field| texts(&document[*field])) {
                let parts = split(text);
                for pair in parts.windows(2) {
                    if let [left, right] = pair {
                        pairs.entry(format!("{left}{right}")).or_default().insert(left.len());
                    }
                }
                words.extend(parts);
            }
        }
        Self { words: words.into_iter().collect(), pairs }
    }

    /// Any word.
    pub(super) fn word(&self, random: &mut StdRng) -> &str {
        let at = random.random_range(0..self.words.len().max(1));
        self.words.get(at).map_or("", String::as_str)
    }

    /// Whether the engine's limits keep it from finding all words that a query's words stand for.
    pub(super) fn limited(&self, query: &str) -> bool {
        let terms = split(query);
        let open = !query.ends_with([' ', '"']);
        // Words that stand together are also looked for as one.
        (1..=3).any(|length| {
            let mut runs = terms.windows(length).rev().enumerate();
            runs.any(|(behind, run)| self.is_limited(&run.concat(), open && behind == 0))
        })
    }

    fn is_limited(&self, term: &str, prefix: bool) -> bool {
        let letters = term.chars().count();
        let (mut prefixed, mut one, mut two) = (0, 0, 0);
        for word in &self.words {
            if prefix && word.starts_with(term) {
                prefixed += 1;
            } else if letters >= ONE_TYPO_FROM {
                match distance(term, word, prefix) {
                    1 => one += 1,
                    2 if letters >= TWO_TYPOS_FROM => two += 1,
                    _ => {}
                }
            }
        }
        prefixed >= MOST_PREFIXED || one >= MOST_ONE_TYPO || two >= MOST_TWO_TYPOS
    }

    /// Whether the query ends in a beginning that the engine has a table for.
    pub(super) fn is_tabled(&self, query: &str) -> bool {
        let last = split(query).pop().filter(|last| !query.ends_with([' ', '"']) && last.len() <= TABLED_BYTES);
        let begun = |last: &String| self.words.iter().filter(|word| word.starts_with(last.as_str())).count();
        last.is_some_and(|last| begun(&last) >= TABLED_FROM)
    }

    /// Whether a word of the query can be read as two words in several ways, of which a node takes the one that is most
    /// frequent with it.
    pub(super) fn splits_variously(&self, query: &str) -> bool {
        let ways = |word: &String| self.pairs.get(word).map_or(0, BTreeSet::len);
        split(query).iter().any(|word| ways(word) > 1)
    }
}

/// Typos between a word of a query and a word of the data, or its beginning; 3 for more than two. One in the first
/// letter counts double, as with the engine.
fn distance(term: &str, word: &str, prefix: bool) -> usize {
    let (wanted, length) = (term.chars().count(), word.chars().count());
    if length + 2 < wanted || (!prefix && length > wanted + 2) {
        return 3;
    }
    let ends = if prefix { wanted.saturating_sub(2)..=(wanted + 2).min(length) } else { length..=length };
    let typos = ends.map(|end| {
        let beginning: String = word.chars().take(end).collect();
        strsim::osa_distance(term, &beginning)
    });
    let typos = typos.min().unwrap_or(3);
    let first_differs = term.chars().next() != word.chars().next();
    (typos + usize::from(first_differs && typos > 0)).min(3)
}

/// The texts of a field: itself, or the members of a list.
pub(super) fn texts(value: &serde_json::Value) -> Vec<&str> {
    match value {
        serde_json::Value::Array(items) => items.iter().filter_map(serde_json::Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_the_engine_does() {
        assert_eq!(split("L'Été, à Zürich-West"), ["l", "ete", "a", "zurich", "west"]);
    }

    #[test]
    fn typos_are_counted() {
        assert_eq!(distance("casablanka", "casablanca", false), 1);
        assert_eq!(distance("casab", "casablanca", false), 3);
        assert_eq!(distance("casxb", "casablanca", true), 1);
        assert_eq!(distance("hasablanca", "casablanca", false), 2);
        assert_eq!(distance("casablanca", "casablanca", false), 0);
    }

    #[test]
    fn limits_are_seen_where_many_words_are_near() {
        let near = |count: usize| (0..count).map(|at| format!("prefix{at:04}")).collect();
        let few = Vocabulary { words: near(30), pairs: BTreeMap::new() };
        let many = Vocabulary { words: near(1_000), pairs: BTreeMap::new() };
        assert!(!few.limited("prefix"));
        assert!(many.limited("prefix"));
        assert!(!many.limited("prefix "), "a word that is finished is no beginning");
        assert!(many.limited("prefix0000 other"), "words with one typo are too many");
    }

    #[test]
    fn beginnings_of_many_words_are_tabled() {
        let words = (0..100).map(|at| format!("pre{at:03}")).collect();
        let words = Vocabulary { words, pairs: BTreeMap::new() };
        assert!(words.is_tabled("the pre"));
        assert!(!words.is_tabled("the pre "));
        assert!(!words.is_tabled("pre00"), "too long, and too few");
    }

    #[test]
    fn words_that_split_in_two_ways_are_known() {
        let pairs = BTreeMap::from([
            ("nowhere".to_owned(), BTreeSet::from([2, 3])),
            ("sunflower".to_owned(), BTreeSet::from([3])),
        ]);
        let words = Vocabulary { words: Vec::new(), pairs };
        assert!(words.splits_variously("go nowhere"));
        assert!(!words.splits_variously("sunflower"));
    }
}
