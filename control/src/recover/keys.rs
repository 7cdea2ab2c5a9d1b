//! API keys and experimental features from the nodes. A key that not every node has was made or deleted while one was
//! away: it is left out, because to bring back a key that was revoked would harm more than to miss one.

use jiff::Timestamp;
use serde_json::Value;

use super::known::Known;
use super::survey::Survey;
use crate::cluster::KeyRecord;
use crate::keys::default_keys;
use crate::stats::{FEATURES, from_nodes};

/// The keys, and what is to be said of them.
#[derive(Debug)]
pub(super) struct Rebuilt {
    pub(super) records: Vec<KeyRecord>,
    pub(super) said: Vec<String>,
}

pub(super) fn rebuild(survey: &Survey, known: &Known) -> Rebuilt {
    if survey.found.iter().all(|found| found.write_keys.is_empty() && found.keys.is_empty()) {
        // Without a master key nodes have none.
        return Rebuilt { records: known.keys.clone().unwrap_or_else(default_keys), said: Vec::new() };
    }
    let mut said = Vec::new();
    let mut records: Vec<KeyRecord> = Vec::new();
    for found in &survey.found {
        for key in found.keys.iter().filter_map(record) {
            if records.iter().any(|other| other.uid == key.uid) {
                continue;
            }
            let has = |keys: &[Value]| keys.iter().filter_map(record).any(|other| same(&other, &key));
            match survey.found.iter().all(|found| has(&found.keys)) {
                true => records.push(key),
                false => {
                    said.push(format!("key {} ({}) is not the same on all nodes: it is left out", key.uid, name(&key)))
                }
            }
        }
    }
    for key in &mut records {
        // Of when it was made nodes know only when they got it.
        if let Some(old) = known.keys.iter().flatten().find(|old| same(old, key)) {
            key.created_at = old.created_at;
        }
    }
    let now = Timestamp::now();
    let gone = known.keys.iter().flatten().filter(|old| records.iter().all(|key| key.uid != old.uid));
    // Nodes do not take keys that have expired.
    let (expired, gone): (Vec<&KeyRecord>, Vec<_>) = gone.partition(|key| key.expires_at.is_some_and(|end| end <= now));
    let expired: Vec<KeyRecord> = expired.into_iter().cloned().collect();
    for gone in gone {
        said.push(format!("key {} ({}) is in the backup and not on the nodes: it is left out", gone.uid, name(gone)));
    }
    records.extend(expired);
    said.sort();
    said.dedup();
    records.sort_by_key(|key| (key.created_at, key.uid));
    Rebuilt { records, said }
}

/// The keys of the only node.
pub(super) fn of_one(survey: &Survey) -> Vec<KeyRecord> {
    let mut records: Vec<KeyRecord> = survey.found.iter().flat_map(|found| &found.keys).filter_map(record).collect();
    records.sort_by_key(|key| (key.created_at, key.uid));
    records
}

fn record(key: &Value) -> Option<KeyRecord> {
    serde_json::from_value(key.clone()).ok()
}

fn same(left: &KeyRecord, right: &KeyRecord) -> bool {
    let rights = |key: &KeyRecord| (key.uid, key.actions.clone(), key.indexes.clone(), key.expires_at);
    rights(left) == rights(right)
}

fn name(key: &KeyRecord) -> &str {
    key.name.as_deref().unwrap_or("without name")
}

/// The stored features: those that nodes serve as they have them, the others as they were.
pub(super) fn features(survey: &Survey, known: &Known) -> Option<Value> {
    let shown = survey.found.first().map(|found| &found.features);
    from_nodes(known.values.get(FEATURES), shown?)
}

#[cfg(test)]
mod tests {
    use miroir_sequencer::NodeRow;
    use serde_json::json;

    use super::super::survey::{Found, Tasks};
    use super::*;
    use crate::node::WriteKey;

    fn node(keys: &[&KeyRecord]) -> Found {
        let write = WriteKey { cluster: "c".into(), node: "n".into(), generation: 1, term: 1 };
        Found {
            node: super::super::testing::node("n"),
            keys: keys.iter().map(|key| serde_json::to_value(key).unwrap()).collect(),
            write_keys: vec![write],
            note: None,
            tasks: Tasks::default(),
            indexes: Vec::new(),
            features: json!({"containsFilter": true, "metrics": false}),
        }
    }

    #[test]
    fn only_keys_that_all_nodes_have_come_back() {
        let keys = default_keys();
        let changed = KeyRecord { actions: vec!["*".into()], ..keys[3].clone() };
        let survey = Survey {
            found: vec![node(&[&keys[0], &keys[1], &keys[3]]), node(&[&keys[1], &keys[2], &changed])],
            silent: Vec::new(),
        };
        let rebuilt = rebuild(&survey, &Known::default());
        assert_eq!(rebuilt.records, [keys[1].clone()]);
        assert_eq!(rebuilt.said.len(), 3, "{:?}", rebuilt.said);
    }

    #[test]
    fn a_key_that_was_deleted_after_the_backup_stays_deleted() {
        let keys = default_keys();
        let survey = Survey { found: vec![node(&[&keys[0]])], silent: Vec::new() };
        let mut snapshot = miroir_sequencer::Snapshot::default();
        snapshot.nodes.push(NodeRow::default());
        let known = Known { keys: Some(vec![keys[0].clone(), keys[1].clone()]), snapshot, ..Known::default() };
        let rebuilt = rebuild(&survey, &known);
        assert_eq!(rebuilt.records, [keys[0].clone()]);
        assert!(rebuilt.said[0].contains(&keys[1].uid.to_string()), "{:?}", rebuilt.said);
    }

    #[test]
    fn features_that_nodes_serve_are_theirs_to_tell() {
        let survey = Survey { found: vec![node(&[])], silent: Vec::new() };
        let stored = json!({"network": true, "containsFilter": false, "multimodal": true});
        let known = Known { values: [(FEATURES.to_owned(), stored)].into(), ..Known::default() };
        let after = features(&survey, &known).unwrap();
        assert_eq!(
            (&after["network"], &after["containsFilter"], &after["multimodal"]),
            (&json!(true), &json!(true), &json!(false))
        );
    }
}
