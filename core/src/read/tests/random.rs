//! Whatever nodes do, in whatever order: one reply, and a whole page where every shard has a copy on a node that
//! answers.

use super::*;
use proptest::prelude::*;

/// How a node behaves, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Proper,
    /// Proper, but the proxy's checks hold it for bad.
    HeldBack,
    Dead,
    Hung,
    Broken,
    Garbage,
    ServerError,
    NoIndex,
    Overloaded,
    Forbidden,
}

fn result(conduct: Conduct, call: &Call) -> CallResult {
    match conduct {
        Conduct::Proper => ok(call),
        Conduct::HeldBack => held_back(call),
        Conduct::Dead => dead(call),
        Conduct::Hung => hung(call),
        Conduct::Broken => broken(call),
        Conduct::Garbage => answer(200, "{\"hits\":["),
        Conduct::ServerError => engine_error(500, "internal", "m"),
        Conduct::NoIndex => no_index(call),
        Conduct::Overloaded => overloaded(call),
        Conduct::Forbidden => forbidden(call),
    }
}

fn conduct() -> impl Strategy<Value = Conduct> {
    prop_oneof![
        6 => Just(Conduct::Proper),
        1 => Just(Conduct::HeldBack),
        1 => Just(Conduct::Dead),
        1 => Just(Conduct::Hung),
        1 => Just(Conduct::Broken),
        1 => Just(Conduct::Garbage),
        1 => Just(Conduct::ServerError),
        1 => Just(Conduct::NoIndex),
        1 => Just(Conduct::Overloaded),
        1 => Just(Conduct::Forbidden),
    ]
}

fn map_of(nodes: u16, replicas: u16, shards: u16, stale: &[(u32, NodeIndex)]) -> ShardMap {
    let mut map = shard_map(nodes, replicas.min(nodes), shards);
    map.stale = stale
        .iter()
        .filter(|(shard, node)| *shard < u32::from(shards) && *node < nodes)
        .map(|(shard, node)| StaleMark { placement: 0, shard: *shard, node: *node })
        .collect();
    map
}

/// Ends calls in the order that `picks` give until the machine has ended.
fn play(drive: &mut Drive, conducts: &[Conduct], picks: &[usize]) {
    let mut picks = picks.iter().cycle();
    while !drive.calls.is_empty() && !drive.done {
        let at = picks.next().unwrap() % drive.calls.len();
        drive.now_ms += 7;
        let node = usize::from(node_of(&drive.calls[at]));
        drive.end_at(at, |call| result(conducts[node], call));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_page_is_whole_wherever_every_shard_has_a_proper_copy(
        nodes in 1u16..6,
        replicas in 1u16..4,
        shards in 1u16..17,
        conducts in prop::collection::vec(conduct(), 6),
        stale in prop::collection::vec((0u32..17, 0u16..6), 0..6),
        picks in prop::collection::vec(0usize..64, 1..20),
        wishes in prop_oneof![Just(""), Just("again")],
        partial: bool,
        requests in 1usize..4,
    ) {
        let map = map_of(nodes, replicas, shards, &stale);
        let compiled = CompiledMap::new(map.clone());
        let proper = |node: &NodeIndex| matches!(conducts[usize::from(*node)], Conduct::Proper | Conduct::HeldBack);
        let whole = (0..u32::from(shards)).all(|shard| compiled.readable(0, shard).iter().any(proper));
        let forbidding = conducts[..usize::from(nodes)].iter().filter(|conduct| **conduct == Conduct::Forbidden).count();
        let health = healthy();
        for turn in 0..requests {
            let policy = [("x-miroir-partial", if partial { "allow" } else { "refuse" })];
            let now = 1_000 + 100 * u64::try_from(turn).unwrap();
            let mut drive = Drive::fake(map.clone(), &health, &policy, wishes, "/indexes/a/search", now);
            play(&mut drive, &conducts, &picks);
            prop_assert!(drive.done, "never ended: {:?}", drive.asking());
            prop_assert_eq!(drive.replies.len(), 1);
            prop_assert!(drive.asked.len() <= 4 * usize::from(nodes) * (1 + usize::from(nodes)), "{} calls", drive.asked.len());
            for call in &drive.asked {
                let node = node_of(call);
                for shard in shards_of_count(call, u32::from(shards)) {
                    prop_assert!(compiled.readable(0, shard).contains(&node), "a stale copy was asked");
                }
            }
            let reply = drive.reply();
            if whole && forbidding < 2 {
                prop_assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
                prop_assert_eq!(merged(reply), (0..u32::from(shards)).collect::<Vec<_>>());
            } else if reply.status == 200 {
                let got = merged(reply);
                let told = format!("{}/{shards}", got.len());
                prop_assert_eq!(drive.reply_header("x-miroir-shards"), Some(told.as_str()));
                prop_assert_eq!(got.len() == usize::from(shards), drive.reply_header("x-miroir-degraded").is_none());
                prop_assert!(partial || got.len() == usize::from(shards));
            } else {
                prop_assert!([403, 404, 503].contains(&reply.status));
            }
        }
    }

    #[test]
    fn nothing_is_said_twice_whatever_comes_after_the_end(
        events in prop::collection::vec((0u8..4, 0usize..64, conduct()), 0..40),
        wishes in prop_oneof![Just(""), Just("again")],
    ) {
        // The driver fails on a second reply, on a call after the reply, and on any action after the end.
        let mut drive = Drive::search(shard_map(3, 2, 16), &healthy(), &[], wishes);
        for (kind, at, conduct) in events {
            match kind {
                0 | 1 if !drive.calls.is_empty() => {
                    let at = at % drive.calls.len();
                    drive.end_at(at, |call| result(conduct, call));
                }
                2 => drive.wake(1_000 + 900 * u64::try_from(at).unwrap()),
                3 if at == 0 => drive.leave(),
                _ => {}
            }
        }
        drive.wake(90_000);
        // The first one came far too late, and the deadline may have been put off.
        drive.wake(100_000);
        prop_assert!(drive.done);
    }
}

fn shards_of_count(call: &Call, shard_count: u32) -> Vec<u32> {
    let clause: String = serde_json::from_slice(&call.body).unwrap_or_default();
    clause.split('"').skip(1).step_by(2).map(|value| tag::decode(value, shard_count).unwrap()).collect()
}
