//! The inverted index: which words stand where in which documents.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use charabia::{SeparatorKind, TokenKind, Tokenizer, TokenizerBuilder};
use serde_json::{Map, Value};

use super::paths;
use crate::settings::Settings;

/// Distance that a hard separator, or a new value of the same field, puts between words.
pub(crate) const FAR: u32 = 8;

/// Longest word that is indexed, in bytes.
const LONGEST: usize = 250;

/// Field number and position of a word.
pub(crate) type Place = (u16, u32);

/// Words with their documents and places, under one set of settings.
#[derive(Default)]
pub(crate) struct Words {
    postings: BTreeMap<String, BTreeMap<u32, Vec<Place>>>,
    of_document: HashMap<u32, BTreeSet<String>>,
    counts: HashMap<(u32, u16), u32>,
    fields: Vec<String>,
}

/// What the tokenizer needs, kept alive as long as it works.
pub(crate) struct Analysis {
    separators: Vec<String>,
    dictionary: Vec<String>,
    stop_words: BTreeSet<String>,
}

impl Analysis {
    /// Of an index.
    pub(crate) fn new(settings: &Settings) -> Self {
        let not: BTreeSet<String> = settings.texts("nonSeparatorTokens").into_iter().collect();
        let more = settings.texts("separatorTokens");
        let separators = if not.is_empty() && more.is_empty() {
            Vec::new()
        } else {
            let defaults = charabia::separators::DEFAULT_SEPARATORS.iter().map(|text| (*text).to_owned());
            defaults.filter(|text| !not.contains(text)).chain(more).collect()
        };
        Self {
            separators,
            dictionary: settings.texts("dictionary"),
            stop_words: settings.texts("stopWords").into_iter().collect(),
        }
    }

    /// Runs with a tokenizer.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&Tokenizer<'_>) -> R) -> R {
        let separators: Vec<&str> = self.separators.iter().map(String::as_str).collect();
        let dictionary: Vec<&str> = self.dictionary.iter().map(String::as_str).collect();
        let mut builder = TokenizerBuilder::<Vec<u8>>::new();
        builder.create_char_map(true);
        if !separators.is_empty() {
            builder.separators(&separators);
        }
        if !dictionary.is_empty() {
            builder.words_dict(&dictionary);
        }
        let tokenizer = builder.build();
        work(&tokenizer)
    }

    /// Whether a word is not searched for.
    pub(crate) fn stops(&self, word: &str) -> bool {
        self.stop_words.contains(word)
    }

    fn positions(&self, tokenizer: &Tokenizer<'_>, text: &str, start: u32, mut found: impl FnMut(u32, &str)) {
        let mut position = start;
        let mut last: Option<TokenKind> = None;
        for token in tokenizer.tokenize(text).skip_while(|token| token.is_separator()) {
            match token.kind {
                TokenKind::Word | TokenKind::StopWord if !token.lemma().is_empty() => {
                    position += match last {
                        Some(TokenKind::Separator(SeparatorKind::Hard)) => FAR,
                        Some(_) => 1,
                        None => 0,
                    };
                    last = Some(token.kind);
                    let word = token.lemma().trim();
                    if !word.is_empty() && word.len() <= LONGEST {
                        found(position, word);
                    }
                }
                TokenKind::Separator(SeparatorKind::Hard) => last = Some(token.kind),
                TokenKind::Separator(SeparatorKind::Soft)
                    if last != Some(TokenKind::Separator(SeparatorKind::Hard)) =>
                {
                    last = Some(token.kind);
                }
                _ => {}
            }
        }
    }
}

impl Words {
    /// The number of a field, given on first sight.
    fn field(&mut self, name: &str) -> u16 {
        let found = self.fields.iter().position(|field| field == name).unwrap_or_else(|| {
            self.fields.push(name.to_owned());
            self.fields.len() - 1
        });
        u16::try_from(found).unwrap_or(u16::MAX)
    }

    /// The name of a field.
    pub(crate) fn name(&self, field: u16) -> &str {
        self.fields.get(usize::from(field)).map_or("", String::as_str)
    }

    /// Adds a document.
    pub(crate) fn add(&mut self, id: u32, document: &Map<String, Value>, settings: &Settings, analysis: &Analysis) {
        analysis.with(|tokenizer| {
            let mut last: HashMap<u16, u32> = HashMap::new();
            paths::leaves(document, &mut |name, value| {
                if settings.weight(name).is_none() || name.starts_with("_vectors") {
                    return;
                }
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(_) | Value::Bool(_) => value.to_string(),
                    _ => return,
                };
                let field = self.field(name);
                let start = last.get(&field).map_or(0, |position| position + FAR);
                let mut end = start;
                analysis.positions(tokenizer, &text, start, |position, word| {
                    end = position;
                    *self.counts.entry((id, field)).or_default() += 1;
                    if analysis.stops(word) {
                        return;
                    }
                    let places = self.postings.entry(word.to_owned()).or_default().entry(id).or_default();
                    places.push((field, position));
                    self.of_document.entry(id).or_default().insert(word.to_owned());
                });
                last.insert(field, end);
            });
        });
    }

    /// Forgets a document.
    pub(crate) fn remove(&mut self, id: u32) {
        for word in self.of_document.remove(&id).unwrap_or_default() {
            if let Some(documents) = self.postings.get_mut(&word) {
                documents.remove(&id);
                if documents.is_empty() {
                    self.postings.remove(&word);
                }
            }
        }
        self.counts.retain(|(document, _), _| *document != id);
    }

    /// Documents and places of a word.
    pub(crate) fn get(&self, word: &str) -> Option<&BTreeMap<u32, Vec<Place>>> {
        self.postings.get(word)
    }

    /// All words that start with a text, in order.
    pub(crate) fn starting_with<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        self.postings
            .range(start.to_owned()..)
            .map(|(word, _)| word.as_str())
            .take_while(move |word| word.starts_with(start))
    }

    /// All words.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.postings.keys().map(String::as_str)
    }

    /// Number of words in a field of a document.
    pub(crate) fn count(&self, document: u32, field: u16) -> u32 {
        self.counts.get(&(document, field)).copied().unwrap_or_default()
    }
}
