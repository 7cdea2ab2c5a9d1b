//! One index: documents, settings, words.

pub(crate) mod geo;
pub(crate) mod key;
pub(crate) mod paths;
pub(crate) mod vectors;
pub(crate) mod words;

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::settings::Settings;
use vectors::Vectors;
use words::{Analysis, Words};

/// An index.
pub(crate) struct Index {
    /// Its uid.
    pub(crate) uid: String,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    pub(crate) updated_at: Timestamp,
    /// Its primary key.
    pub(crate) primary_key: Option<String>,
    /// Its settings.
    pub(crate) settings: Settings,
    /// Documents by internal id.
    pub(crate) documents: BTreeMap<u32, Map<String, Value>>,
    /// Vectors by internal id.
    vectors: HashMap<u32, Vectors>,
    /// Internal ids by document id.
    ids: HashMap<String, u32>,
    /// Field names in the order in which they were first met.
    fields: Vec<String>,
    /// The inverted index.
    pub(crate) words: Words,
}

impl Index {
    /// A new, empty index.
    pub(crate) fn new(uid: &str, primary_key: Option<String>, at: Timestamp) -> Self {
        Self {
            uid: uid.to_owned(),
            created_at: at,
            updated_at: at,
            primary_key,
            settings: Settings::default(),
            documents: BTreeMap::new(),
            vectors: HashMap::new(),
            ids: HashMap::new(),
            fields: Vec::new(),
            words: Words::default(),
        }
    }

    /// As the index routes show it.
    pub(crate) fn view(&self) -> Value {
        json!({
            "uid": self.uid,
            "createdAt": clock::text(self.created_at),
            "updatedAt": clock::text(self.updated_at),
            "primaryKey": self.primary_key,
        })
    }

    /// The document with this id.
    pub(crate) fn get(&self, id: &str) -> Option<&Map<String, Value>> {
        self.documents.get(self.ids.get(id)?)
    }

    /// Its vectors.
    pub(crate) fn vectors(&self, internal: u32) -> Option<&Vectors> {
        self.vectors.get(&internal)
    }

    /// Keeps the vectors of a document that is there.
    pub(crate) fn put_vectors(&mut self, id: &str, vectors: Vectors) {
        if let Some(internal) = self.internal(id) {
            self.vectors.insert(internal, vectors);
        }
    }

    /// Whether a selector means a field that some document had.
    pub(crate) fn knows(&self, selector: &str) -> bool {
        selector == "*" || self.fields.iter().any(|name| paths::under(name, selector) || paths::under(selector, name))
    }

    /// Internal id of a document id.
    pub(crate) fn internal(&self, id: &str) -> Option<u32> {
        self.ids.get(id).copied()
    }

    /// Stores a whole document under its id; internal ids are given lowest first.
    pub(crate) fn put(&mut self, id: &str, document: &Map<String, Value>, analysis: &Analysis) {
        for name in document.keys() {
            if !self.fields.contains(name) {
                self.fields.push(name.clone());
            }
        }
        let internal = self.ids.get(id).copied().unwrap_or_else(|| self.free());
        let ordered: Map<String, Value> = self
            .fields
            .iter()
            .filter_map(|name| document.get(name).map(|value| (name.clone(), value.clone())))
            .collect();
        self.words.remove(internal);
        self.words.add(internal, &ordered, &self.settings, analysis);
        self.ids.insert(id.to_owned(), internal);
        self.documents.insert(internal, ordered);
    }

    fn free(&self) -> u32 {
        let mut free = 0;
        for used in self.documents.keys() {
            if *used != free {
                break;
            }
            free += 1;
        }
        free
    }

    /// Merges fields into a document, or stores them as a new one.
    pub(crate) fn merge(&mut self, id: &str, fields: &Map<String, Value>, analysis: &Analysis) {
        let mut document = self.get(id).cloned().unwrap_or_default();
        document.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.put(id, &document, analysis);
    }

    /// Removes a document; tells whether it was there.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let Some(internal) = self.ids.remove(id) else { return false };
        self.words.remove(internal);
        self.vectors.remove(&internal);
        self.documents.remove(&internal);
        true
    }

    /// Removes all documents and tells how many they were.
    pub(crate) fn clear(&mut self) -> u64 {
        let count = self.documents.len();
        self.documents.clear();
        self.ids.clear();
        self.vectors.clear();
        self.words = Words::default();
        u64::try_from(count).unwrap_or_default()
    }

    /// Document id of an internal id.
    pub(crate) fn id_of(&self, internal: u32) -> Option<String> {
        let document = self.documents.get(&internal)?;
        key::of(document, self.primary_key.as_deref()?).ok()
    }

    /// Builds the words anew, after a change of settings.
    pub(crate) fn reindex(&mut self) {
        let analysis = Analysis::new(&self.settings);
        self.words = Words::default();
        for (internal, document) in &self.documents {
            self.words.add(*internal, document, &self.settings, &analysis);
        }
    }

    /// How many documents have each field.
    pub(crate) fn field_distribution(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for document in self.documents.values() {
            for name in document.keys().filter(|name| *name != vectors::FIELD) {
                *counts.entry(name.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// As the stats routes show it.
    pub(crate) fn stats(&self, indexing: bool) -> Value {
        let sizes: usize = self.documents.values().map(|document| 8 + document.len() * 16).sum();
        let count = self.documents.len();
        let all = self.vectors.values().map(|vectors| {
            let lists = vectors.values().filter_map(|vectors| vectors["embeddings"].as_array());
            lists.map(Vec::len).sum::<usize>()
        });
        let (embeddings, embedded) = all.fold((0, 0), |(sum, with), has| (sum + has, with + usize::from(has > 0)));
        json!({
            "numberOfDocuments": count,
            "rawDocumentDbSize": sizes,
            "avgDocumentSize": sizes.checked_div(count).unwrap_or_default(),
            "isIndexing": indexing,
            "numberOfEmbeddings": embeddings,
            "numberOfEmbeddedDocuments": embedded,
            "fieldDistribution": self.field_distribution(),
        })
    }
}
