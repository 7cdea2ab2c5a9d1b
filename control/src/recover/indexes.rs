//! Indexes with their keys and settings, from the nodes that have them.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use jiff::Timestamp;
use miroir_sequencer::{NodeAction, NodeAnswer, NodeStep};
use serde_json::Value;

use super::fence::ended;
use super::known::Known;
use super::survey::{ANSWER, Found, Index, Survey};
use crate::cluster::{FoundIndex, IndexRow, Note, Planner};
use crate::config::Config;
use crate::node::Client;
use crate::settings::{Settings, SettingsPlanner};

/// The rows, and what is to be said of them.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    pub(super) rows: Vec<IndexRow>,
    pub(super) said: Vec<String>,
}

/// Every index that a node has. Incarnations are numbers from `first` on, so that no filter takes one for the index that
/// it knew.
pub(super) fn rebuild(survey: &Survey, known: &Known, note: Option<&Note>, first: u32) -> anyhow::Result<Rebuilt> {
    let mut held: BTreeMap<&str, Vec<(&Found, &Index)>> = BTreeMap::new();
    for found in &survey.found {
        for index in &found.indexes {
            held.entry(&index.found.uid).or_default().push((found, index));
        }
    }
    let mut rebuilt = Rebuilt::default();
    for (incarnation, (uid, copies)) in (u64::from(first)..).zip(&held) {
        if copies.len() < survey.found.len() {
            let nodes: Vec<&str> = copies.iter().map(|(found, _)| found.node.id.as_str()).collect();
            rebuilt
                .said
                .push(format!("index {uid} is on {} only: it is kept; delete it if it was deleted", nodes.join(", ")));
        }
        let row = row(uid, incarnation, copies, known, note, &mut rebuilt.said)?;
        rebuilt.rows.push(row);
    }
    let gone = known.snapshot.indexes.iter().filter(|row| !held.contains_key(row.uid.as_str()));
    rebuilt.said.extend(gone.map(|row| format!("index {} is in the backup and on no node: it was deleted", row.uid)));
    Ok(rebuilt)
}

fn row(
    uid: &str,
    incarnation: u64,
    copies: &[(&Found, &Index)],
    known: &Known,
    note: Option<&Note>,
    said: &mut Vec<String>,
) -> anyhow::Result<IndexRow> {
    let keys = || copies.iter().filter_map(|(found, index)| Some((found, index.found.primary_key.as_ref()?)));
    let primary_key = keys().next().map(|(_, key)| key.clone());
    if let Some((found, other)) = keys().find(|(_, key)| primary_key.as_ref() != Some(*key)) {
        bail!(
            "index {uid} has primary key {other} on {} and {} on others: delete the one that is wrong on its node",
            found.node.id,
            primary_key.unwrap_or_default()
        );
    }
    // What most have; of equals, what one has that was read, and then what was changed last.
    let like = |index: &Index| copies.iter().filter(|(_, other)| other.found.settings == index.found.settings).count();
    let rank = |(found, index): &&(&Found, &Index)| {
        let read = note.is_none_or(|note| note.reads(&found.node.id));
        (read, like(index), index.updated_at.clone())
    };
    let Some((_, best)) = copies.iter().max_by_key(rank) else { bail!("index {uid} is on no node") };
    if like(best) < copies.len() {
        said.push(format!("index {uid} has other settings on some nodes: what most have is kept"));
    }
    let old = known.snapshot.indexes.iter().find(|row| row.uid == uid);
    let settings = settings(uid, &best.found.settings, old, note, said);
    let times = |read: fn(&Index) -> &String| copies.iter().filter_map(move |(_, index)| millis(read(index)));
    Ok(IndexRow {
        uid: uid.to_owned(),
        incarnation,
        placement: 0,
        primary_key,
        provisional: false,
        swapping: false,
        settings: settings.to_stored(),
        view: settings.search_view(),
        created_ms: times(|index| &index.created_at).min().unwrap_or(0),
        updated_ms: times(|index| &index.updated_at).max().unwrap_or(0),
    })
}

/// The backup's where nodes have them still, because they are the client's own words; else what nodes tell.
fn settings(uid: &str, node: &Value, old: Option<&IndexRow>, note: Option<&Note>, said: &mut Vec<String>) -> Settings {
    let old = old.map(|row| Settings::from_stored(&row.settings));
    let hidden = match (note, &old) {
        (Some(note), _) => note.settings.get(uid).cloned(),
        (None, Some(old)) => old.hidden(),
        (None, None) => {
            said.push(format!(
                "index {uid}: no note tells of its displayedAttributes, which are all shown now: set them if they were limited"
            ));
            None
        }
    };
    if let Some(old) = old.filter(|old| old.hidden() == hidden && old.agrees_with_node(node)) {
        return old;
    }
    let (settings, keyless) = Settings::from_node(node, hidden.as_ref());
    for embedder in keyless {
        said.push(format!("index {uid}: embedder {embedder} had a secret, which nodes do not show: set it again"));
    }
    settings
}

/// Unix milliseconds.
pub(super) fn millis(time: &str) -> Option<u64> {
    let time: Timestamp = time.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// Brings to nodes the indexes and settings that they lack; with `carry_out`, else only says so.
pub(super) async fn tell_nodes(
    client: &Client,
    config: &Config,
    survey: &Survey,
    rows: &[IndexRow],
    carry_out: bool,
) -> anyhow::Result<()> {
    for found in &survey.found {
        let shown: Vec<FoundIndex> = found.indexes.iter().map(|index| index.found.clone()).collect();
        for step in SettingsPlanner.reconcile(rows, &shown) {
            super::say(&format!("{} is to be told: {} {}", found.node.id, step.method, step.path));
            if carry_out {
                tell(client, config, &found.node.id, step).await?;
            }
        }
    }
    Ok(())
}

async fn tell(client: &Client, config: &Config, node: &str, step: NodeStep) -> anyhow::Result<()> {
    let (path, tolerate) = (step.path.clone(), step.tolerate.clone());
    let action = NodeAction::Request { key: config.secrets.master_key.clone(), step };
    match client.act(node, action, ANSWER).await {
        Ok(NodeAnswer::Enqueued { uid, .. }) => {
            let error = ended(client, node, uid).await?;
            let error = error.filter(|code| !tolerate.contains(code));
            ensure!(error.is_none(), "{node} failed {path}: {}", error.unwrap_or_default());
            Ok(())
        }
        answer => bail!("{node} does not take {path}: {answer:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::survey::Tasks;
    use super::super::testing::node;
    use super::*;

    fn found(id: &str, indexes: &[(&str, Option<&str>, Value)]) -> Found {
        let index = |(uid, key, change): &(&str, Option<&str>, Value)| {
            let mut settings = Settings::default().view();
            settings["filterableAttributes"] = Settings::default().node_settings()["filterableAttributes"].clone();
            for (name, value) in change.as_object().unwrap() {
                settings[name.as_str()] = value.clone();
            }
            Index {
                found: FoundIndex { uid: (*uid).to_owned(), primary_key: key.map(str::to_owned), settings },
                created_at: "2026-01-01T00:00:00Z".into(),
                updated_at: "2026-01-02T00:00:00Z".into(),
                documents: 0,
            }
        };
        Found {
            node: node(id),
            keys: Vec::new(),
            write_keys: Vec::new(),
            note: None,
            tasks: Tasks::default(),
            indexes: indexes.iter().map(index).collect(),
            features: Value::Null,
        }
    }

    fn rebuilt(found: Vec<Found>) -> anyhow::Result<Rebuilt> {
        rebuild(&Survey { found, silent: Vec::new() }, &Known::default(), None, 200_000)
    }

    #[test]
    fn every_index_of_any_node_comes_back() {
        let nodes = vec![
            found("a", &[("films", Some("id"), json!({})), ("new", None, json!({}))]),
            found("b", &[("films", None, json!({}))]),
        ];
        let rebuilt = rebuilt(nodes).unwrap();
        let rows: Vec<_> =
            rebuilt.rows.iter().map(|row| (row.uid.as_str(), row.incarnation, row.primary_key.as_deref())).collect();
        assert_eq!(rows, [("films", 200_000, Some("id")), ("new", 200_001, None)]);
        assert!(rebuilt.said.iter().any(|line| line.contains("index new is on a only")), "{:?}", rebuilt.said);
        assert!(rebuilt.said.iter().any(|line| line.contains("displayedAttributes")), "{:?}", rebuilt.said);
    }

    #[test]
    fn settings_that_most_nodes_have_are_kept() {
        let (old, new) = (json!({"stopWords": ["a"]}), json!({"stopWords": ["a", "the"]}));
        let nodes = [("a", &old), ("b", &new), ("c", &new)];
        let nodes = nodes.map(|(id, settings)| found(id, &[("films", Some("id"), settings.clone())]));
        let rebuilt = rebuilt(nodes.into()).unwrap();
        assert_eq!(rebuilt.rows[0].settings, json!({"stopWords": ["a", "the"]}));
        assert!(rebuilt.said.iter().any(|line| line.contains("other settings")));
    }

    #[test]
    fn two_primary_keys_are_for_an_operator_to_judge() {
        let nodes = [("a", "id"), ("b", "sku")];
        let nodes = nodes.map(|(id, key)| found(id, &[("films", Some(key), json!({}))]));
        assert!(rebuilt(nodes.into()).unwrap_err().to_string().contains("sku"));
    }
}
