//! The map's written form: `{"schema":1,"checksum":"…","map":{…}}`. The checksum is XXH3-64 (seed 0, 16 hex digits)
//! over the exact bytes of the value of `map`, so that a cut or changed document is never taken for a map.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ShardMap;

/// Version of the document. A filter keeps the map it has when it meets another version.
pub const SCHEMA_VERSION: u32 = 1;

/// Why a document is not a map that this build can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Not JSON, or not the envelope.
    #[error("not a shard map: {0}")]
    Malformed(String),
    /// Another schema version.
    #[error("shard map has schema {found}, this build reads {SCHEMA_VERSION}")]
    Schema {
        /// The document's version.
        found: u32,
    },
    /// The checksum does not match.
    #[error("shard map checksum is {found}, computed {computed}")]
    Checksum {
        /// The document's checksum.
        found: String,
        /// The checksum of what arrived.
        computed: String,
    },
    /// Well-formed but contradictory.
    #[error("shard map is inconsistent: {0}")]
    Inconsistent(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    schema: u32,
    checksum: String,
    #[serde(borrow)]
    map: &'a RawValue,
}

fn checksum(map: &str) -> String {
    format!("{:016x}", twox_hash::XxHash3_64::oneshot(map.as_bytes()))
}

/// Writes the document.
///
/// # Errors
/// Never for a map built in memory; the serialiser's error is passed on.
pub fn print(map: &ShardMap) -> Result<String, MapError> {
    let body = serde_json::to_string(map).map_err(|error| MapError::Malformed(error.to_string()))?;
    Ok(format!(r#"{{"schema":{SCHEMA_VERSION},"checksum":"{}","map":{body}}}"#, checksum(&body)))
}

/// Reads a document strictly: schema, checksum, no unknown fields, and every reference within bounds.
///
/// # Errors
/// [`MapError`] says what is wrong; the caller keeps the map it has.
pub fn parse(text: &str) -> Result<ShardMap, MapError> {
    let malformed = |error: serde_json::Error| MapError::Malformed(error.to_string());
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(malformed)?;
    if envelope.schema != SCHEMA_VERSION {
        return Err(MapError::Schema { found: envelope.schema });
    }
    let computed = checksum(envelope.map.get());
    if computed != envelope.checksum {
        return Err(MapError::Checksum { found: envelope.checksum, computed });
    }
    let map: ShardMap = serde_json::from_str(envelope.map.get()).map_err(malformed)?;
    check(&map)?;
    Ok(map)
}

fn check(map: &ShardMap) -> Result<(), MapError> {
    let inconsistent = |text: String| Err(MapError::Inconsistent(text));
    let known = |node: u16| usize::from(node) < map.nodes.len();
    if map.shards == 0 || map.shards > crate::tag::MAX_SHARDS {
        return inconsistent(format!("{} shards", map.shards));
    }
    for (position, placement) in map.placements.iter().enumerate() {
        if placement.owners.len() != usize::try_from(map.shards).unwrap_or(usize::MAX) {
            return inconsistent(format!("placement {position} lists {} shards", placement.owners.len()));
        }
        for (shard, owners) in placement.owners.iter().enumerate() {
            if !owners.iter().all(|node| known(*node)) {
                return inconsistent(format!("placement {position}, shard {shard} names an unknown node"));
            }
            let repeated = owners.iter().enumerate().any(|(at, node)| owners.iter().take(at).any(|seen| seen == node));
            if repeated {
                return inconsistent(format!("placement {position}, shard {shard} names a node twice"));
            }
        }
    }
    for mark in &map.stale {
        if usize::from(mark.placement) >= map.placements.len() || mark.shard >= map.shards || !known(mark.node) {
            return inconsistent(format!("stale mark {mark:?}"));
        }
    }
    for (uid, index) in &map.indexes {
        if usize::from(index.placement) >= map.placements.len() || !index.unreadable.iter().all(|node| known(*node)) {
            return inconsistent(format!("index {uid}"));
        }
    }
    Ok(())
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::shardmap::{MapIndex, MapNode, Placement, StaleMark};
    use proptest::prelude::*;

    pub(crate) fn sample() -> ShardMap {
        ShardMap {
            cluster: "c0ffee00".into(),
            epoch: 7,
            shards: 4,
            replication_factor: 2,
            nodes: (0..3)
                .map(|at| MapNode {
                    id: format!("node-{at}"),
                    cluster: format!("miroir-node-{at}"),
                    write_cluster: format!("miroir-node-{at}-write"),
                    readable: true,
                    last_resort: false,
                })
                .collect(),
            stale: vec![],
            placements: vec![Placement { owners: vec![vec![0, 1], vec![1, 2], vec![2, 0], vec![0, 2]] }],
            indexes: Default::default(),
            limits: Default::default(),
            policies: Default::default(),
            control_cluster: "miroir-control".into(),
            control_internal_cluster: "miroir-control-internal".into(),
        }
    }

    /// A document of this map with the checksum that it should have.
    fn sealed(map: &str) -> String {
        format!(r#"{{"schema":{SCHEMA_VERSION},"checksum":"{}","map":{map}}}"#, checksum(map))
    }

    /// Maps that keep every contract.
    fn maps() -> impl Strategy<Value = ShardMap> {
        (1u16..5, 1usize..9, 1usize..4).prop_flat_map(|(nodes, shards, placements)| {
            let owners = prop::collection::btree_set(0..nodes, 0..=usize::from(nodes));
            let owners = prop::collection::vec(owners.prop_map(|owners| owners.into_iter().collect()), shards);
            let placements = prop::collection::vec(owners.prop_map(|owners| Placement { owners }), placements);
            (placements, 0..nodes).prop_map(move |(placements, unreadable)| {
                let index = MapIndex {
                    incarnation: 3,
                    primary_key: Some("id".into()),
                    placement: placements.len() as u16 - 1,
                    swapping: unreadable == 0,
                    unreadable: vec![unreadable],
                    view: Default::default(),
                };
                let node = sample().nodes.remove(0);
                ShardMap {
                    shards: shards as u32,
                    nodes: vec![node; usize::from(nodes)],
                    stale: vec![StaleMark { placement: 0, shard: shards as u32 - 1, node: unreadable }],
                    placements,
                    indexes: [("a".to_owned(), index)].into(),
                    ..sample()
                }
            })
        })
    }

    #[test]
    fn what_is_printed_is_read_back() {
        assert_eq!(parse(&print(&sample()).unwrap()), Ok(sample()));
    }

    #[test]
    fn another_schema_is_refused_by_name() {
        let text = print(&sample()).unwrap().replacen(r#""schema":1"#, r#""schema":2"#, 1);
        assert_eq!(parse(&text), Err(MapError::Schema { found: 2 }));
    }

    #[test]
    fn a_changed_byte_is_refused() {
        let text = print(&sample()).unwrap().replacen(r#""epoch":7"#, r#""epoch":8"#, 1);
        assert!(matches!(parse(&text), Err(MapError::Checksum { .. })));
    }

    #[test]
    fn unknown_nodes_repeats_and_wrong_lengths_are_refused() {
        for break_it in [
            (|map: &mut ShardMap| map.placements[0].owners[1] = vec![9]) as fn(&mut ShardMap),
            |map| map.placements[0].owners[1] = vec![1, 1],
            |map| map.placements[0].owners.truncate(3),
            |map| map.stale.push(crate::shardmap::StaleMark { placement: 0, shard: 4, node: 0 }),
            |map| map.shards = 0,
        ] {
            let mut map = sample();
            break_it(&mut map);
            assert!(matches!(parse(&print(&map).unwrap()), Err(MapError::Inconsistent(_))));
        }
    }

    proptest! {
        #[test]
        fn parse_never_panics(text in ".{0,400}") {
            let _ = parse(&text);
        }

        /// The checksum holds, so that it is the map itself that is judged.
        #[test]
        fn nothing_under_a_good_checksum_panics(at in 0usize..1000, byte in 0u8..128, text in ".{0,200}") {
            let mut body = serde_json::to_string(&sample()).unwrap().into_bytes();
            let at = at % body.len();
            body[at] = byte;
            for body in [String::from_utf8(body).unwrap(), text] {
                if let Ok(map) = parse(&sealed(&body)) {
                    let _ = crate::shardmap::CompiledMap::new(map);
                }
            }
        }

        #[test]
        fn any_map_that_keeps_its_contracts_is_read_back(map in maps()) {
            prop_assert_eq!(parse(&sealed(&serde_json::to_string(&map).unwrap())), Ok(map));
        }

        #[test]
        fn no_map_that_breaks_one_is_read(mut map in maps(), what in 0usize..11, at: usize, beyond in 0u16..3) {
            let (nodes, placements) = (map.nodes.len() as u16, map.placements.len() as u16);
            let owners = at % map.placements.len();
            let owners = &mut map.placements[owners].owners;
            let shard = at % owners.len();
            let mark = StaleMark { placement: 0, shard: 0, node: 0 };
            let index = MapIndex {
                incarnation: 1, primary_key: None, placement: 0, swapping: false, unreadable: vec![], view: Default::default(),
            };
            match what {
                0 => owners[shard].push(nodes + beyond),
                1 => owners[shard] = vec![0, 0],
                2 => drop(owners.pop()),
                3 => owners.push(vec![]),
                4 => map.shards = 0,
                5 => map.shards = crate::tag::MAX_SHARDS + 1 + u32::from(beyond),
                6 => map.stale.push(StaleMark { placement: placements + beyond, ..mark }),
                7 => map.stale.push(StaleMark { shard: map.shards + u32::from(beyond), ..mark }),
                8 => map.stale.push(StaleMark { node: nodes + beyond, ..mark }),
                9 => drop(map.indexes.insert("b".into(), MapIndex { placement: placements + beyond, ..index })),
                _ => drop(map.indexes.insert("b".into(), MapIndex { unreadable: vec![0, nodes + beyond], ..index })),
            }
            let read = parse(&sealed(&serde_json::to_string(&map).unwrap()));
            prop_assert!(matches!(read, Err(MapError::Inconsistent(_))), "{:?}", read);
        }

        #[test]
        fn no_prefix_of_a_map_is_a_map(cut in 0usize..1000) {
            let text = print(&sample()).unwrap();
            let cut = cut % text.len();
            prop_assert!(parse(&text[..cut]).is_err());
        }
    }
}
