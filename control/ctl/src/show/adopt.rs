//! `adopt`.

use miroir_admin::{AdoptedIndex, Adoption, Tagging};

use crate::output::{count, table};

/// What is there, and what becomes of it.
pub fn adoption(shown: &Adoption) -> String {
    let version = shown.version.as_deref().map(|version| format!(", Meilisearch {version}")).unwrap_or_default();
    let mut text = format!("{} at {}{version}\n\n", shown.node, shown.url);
    let row = |index: &AdoptedIndex| {
        vec![
            index.uid.clone(),
            count(index.documents),
            index.primary_key.clone().unwrap_or_default(),
            index.settings.join(", "),
        ]
    };
    text.push_str(&table(
        &["index", "documents", "primary key", "settings"],
        &["documents"],
        shown.indexes.iter().map(row),
    ));
    text.push_str(&format!("\n\nkeys  {}\n", shown.keys.join(", ")));
    for note in &shown.notes {
        text.push_str(&format!("note  {note}\n"));
    }
    text.push('\n');
    if !shown.refusals.is_empty() {
        text.push_str("it cannot be adopted:\n");
        shown.refusals.iter().for_each(|refusal| text.push_str(&format!("  - {refusal}\n")));
    } else if shown.adopted {
        text.push_str(
            "adopted: it is served as a cluster of one node; its documents are being tagged (miroirctl status)\n",
        );
    } else {
        text.push_str(
            "it becomes a cluster of one node, in place: nothing is copied, renamed or deleted. It gets settings of \
             Miroir's own beside these,\nwrite keys, and a field `_miroir_shard` in each document, page by page, while it \
             serves. Nobody may write to it past Miroir any more.\n",
        );
    }
    text
}

/// How far the tagging of documents is, where something is to be said.
pub fn tagging_line(tagging: &Tagging) -> Option<String> {
    let trouble = tagging.trouble.as_ref().map(|trouble| format!("; {trouble}")).unwrap_or_default();
    match (&tagging.index, tagging.left) {
        (Some(index), Some(left)) => {
            Some(format!("{} documents done, {} of index {index} to go{trouble}", count(tagging.tagged), count(left)))
        }
        _ if !trouble.is_empty() => Some(format!("{} documents done{trouble}", count(tagging.tagged))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Adoption {
        let index = |uid: &str, documents, settings: &[&str]| AdoptedIndex {
            uid: uid.into(),
            primary_key: Some("id".into()),
            documents,
            settings: settings.iter().map(|name| (*name).to_owned()).collect(),
        };
        Adoption {
            node: "node-0".into(),
            url: "http://10.0.0.1:7700".into(),
            version: Some("1.50.0".into()),
            indexes: vec![index("films", 3201, &["filterableAttributes", "synonyms"]), index("small", 1, &[])],
            keys: vec!["Default Search API Key".into()],
            notes: vec!["its tasks up to 7 stay in its own list".into()],
            ..Adoption::default()
        }
    }

    #[test]
    fn what_is_there_is_listed() {
        let text = adoption(&sample());
        for part in [
            "films      3,201  id",
            "filterableAttributes, synonyms",
            "keys  Default Search",
            "note  its tasks",
            "one node",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let text = adoption(&Adoption { refusals: vec!["too old".into()], ..sample() });
        assert!(text.ends_with("cannot be adopted:\n  - too old\n"), "{text}");
    }

    #[test]
    fn tagging_is_told_while_there_is_something_to_tell() {
        assert_eq!(tagging_line(&Tagging::default()), None);
        let tagging =
            Tagging { tagged: 1500, index: Some("films".into()), left: Some(1701), trouble: Some("no space".into()) };
        assert_eq!(tagging_line(&tagging).unwrap(), "1,500 documents done, 1,701 of index films to go; no space");
    }
}
