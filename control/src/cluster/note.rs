//! The note: what control leaves on every node of what nodes cannot tell by themselves, so that `recover` can rebuild
//! control's store from the nodes should it be lost. It is the description of the workers' own key ([`crate::keys`]),
//! follows changes within seconds, and holds no secret. Nothing is ever decided by it while the store is there.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::read::shard_ranges;
use miroir_core::shardmap::ShardMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Indexes;
use crate::config::Node;
use crate::settings::Settings;

/// Version of the form.
const FORM: u32 = 1;

/// What is left on nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Note {
    miroir_note: u32,
    /// Epoch of the map of which it tells.
    pub(crate) epoch: u64,
    pub(crate) shards: u32,
    pub(crate) replication_factor: u8,
    pub(crate) members: Vec<Member>,
    /// By placement: the shards whose copies on a node are read, as ranges.
    read: Vec<BTreeMap<String, String>>,
    /// By index: settings of the client's that nodes do not show.
    pub(crate) settings: BTreeMap<String, Value>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) weight: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_ca: Option<String>,
}

impl Note {
    pub(crate) fn new(map: &ShardMap, members: &[Node], indexes: &Indexes) -> Self {
        let behind: BTreeSet<(u16, u32, u16)> =
            map.stale.iter().map(|mark| (mark.placement, mark.shard, mark.node)).collect();
        let read = (0u16..).zip(&map.placements).map(|(at, placement)| {
            let mut read: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
            for (shard, owners) in (0u32..).zip(&placement.owners) {
                for node in owners.iter().filter(|node| !behind.contains(&(at, shard, **node))) {
                    if let Some(node) = map.nodes.get(usize::from(*node)) {
                        read.entry(&node.id).or_default().push(shard);
                    }
                }
            }
            read.into_iter().map(|(node, shards)| (node.to_owned(), shard_ranges(&shards))).collect()
        });
        let hidden = |(uid, row): (&String, &std::sync::Arc<super::IndexRow>)| {
            Some((uid.clone(), Settings::from_stored(&row.settings).hidden()?))
        };
        Self {
            miroir_note: FORM,
            epoch: map.epoch,
            shards: map.shards,
            replication_factor: map.replication_factor,
            members: members.iter().map(member).collect(),
            read: read.collect(),
            settings: indexes.iter().filter_map(hidden).collect(),
        }
    }

    /// The note in a key's description; none where it is none, or of a later form.
    pub(crate) fn read(description: &str) -> Option<Self> {
        serde_json::from_str(description).ok().filter(|note: &Self| note.miroir_note == FORM)
    }

    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether a node must be told: not where only the epoch differs.
    pub(crate) fn tells_more_than(&self, other: &Self) -> bool {
        Self { epoch: other.epoch, ..self.clone() } != *other
    }

    /// Whether any copy on a node was read.
    pub(crate) fn reads(&self, node: &str) -> bool {
        self.read.iter().any(|read| read.contains_key(node))
    }

    /// Whether the copy of a shard on a node was read.
    pub(crate) fn was_read(&self, placement: u16, shard: u32, node: &str) -> bool {
        let ranges = self.read.get(usize::from(placement)).and_then(|read| read.get(node));
        ranges.is_some_and(|text| text.split(',').any(|range| is_within(range.trim(), shard)))
    }
}

fn is_within(range: &str, shard: u32) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let bounds = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
    bounds.is_some_and(|(first, last)| (first..=last).contains(&shard))
}

fn member(node: &Node) -> Member {
    Member {
        id: node.id.clone(),
        url: node.url.to_string(),
        weight: node.weight,
        zone: node.zone.clone(),
        tls_ca: node.tls_ca.clone(),
    }
}

#[cfg(test)]
mod tests {
    use miroir_core::shardmap::{MapNode, Placement, StaleMark};

    use super::*;

    fn note() -> Note {
        let node = |id: &str| MapNode {
            id: id.to_owned(),
            cluster: String::new(),
            write_cluster: String::new(),
            readable: true,
            last_resort: false,
        };
        let map = ShardMap {
            cluster: "c0ffee00".into(),
            epoch: 7,
            shards: 4,
            replication_factor: 2,
            nodes: vec![node("a"), node("b")],
            stale: vec![StaleMark { placement: 0, shard: 2, node: 1 }],
            placements: vec![Placement { owners: vec![vec![0, 1], vec![0, 1], vec![0, 1], vec![1, 0]] }],
            indexes: BTreeMap::new(),
            limits: Default::default(),
            policies: Default::default(),
            control_cluster: String::new(),
            control_internal_cluster: String::new(),
        };
        Note::new(&map, &[], &Indexes::new())
    }

    #[test]
    fn a_note_tells_which_copies_were_read() {
        let note = Note::read(&note().text()).unwrap();
        let read = |node| (0..4).filter(|shard| note.was_read(0, *shard, node)).collect::<Vec<_>>();
        assert_eq!((read("a"), read("b"), read("c")), (vec![0, 1, 2, 3], vec![0, 1, 3], vec![]));
        assert!(!note.was_read(1, 0, "a"));
    }

    #[test]
    fn only_news_is_told() {
        let (old, mut new) = (note(), note());
        new.epoch = 9;
        assert!(!new.tells_more_than(&old));
        new.replication_factor = 3;
        assert!(new.tells_more_than(&old));
    }

    #[test]
    fn what_is_no_note_is_left() {
        assert_eq!(Note::read("a key"), None);
        assert_eq!(Note::read(&note().text().replace("\"miroirNote\":1", "\"miroirNote\":2")), None);
    }
}
