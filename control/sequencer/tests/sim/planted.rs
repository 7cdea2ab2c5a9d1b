//! Each rule, switched off, is missed by the invariants: so the simulation would notice if it broke.

use std::time::Instant;

use miroir_sequencer::planted::Planted;

use crate::faults::{Comeback, Fault};
use crate::modes::{number, replay_line, run};
use crate::plants::{PLANTS, Plant, restless, rough};
use crate::swarm::Swarm;
use crate::world::World;

/// Seeds that are tried until one shows a bug.
const SEEDS: u64 = 5_000;

fn named(name: &str) -> Plant {
    *PLANTS.iter().find(|plant| plant.name == name).unwrap_or_else(|| panic!("nothing of the name {name} is planted"))
}

/// Runs seeds of a mixture with a bug planted until one breaks an invariant that holds without it. A seed that is broken
/// with no rule switched off at all is a bug that nobody has planted.
pub fn find(name: &str) {
    let plant = named(name);
    let (planted, beside) = ((plant.planted)(), (plant.beside)());
    let began = Instant::now();
    for seed in 1..=SEEDS {
        let broken = run(seed, (plant.mixture)(seed), planted).broken;
        if broken.is_empty() {
            continue;
        }
        let without = run(seed, (plant.mixture)(seed), beside);
        if without.broken.is_empty() {
            let first = broken.first().and_then(|text| text.lines().next()).unwrap_or_default();
            return eprintln!("{name}: seed {seed} in {:.1} s, {first}", began.elapsed().as_secs_f64());
        }
        assert!(
            beside != Planted::default(),
            "seed {seed} is broken without {name}: {}\nreplay with {}",
            without.broken.join("\n"),
            replay_line(&format!("SIM_PLANT={name} SIM_WITHOUT=1 SIM_SEED={seed}"), "planted::one_planted_seed")
        );
    }
    let line = replay_line(&format!("SIM_PLANT={name} SIM_SEED=1"), "planted::one_planted_seed");
    panic!("no seed of {SEEDS} finds {name}\nrun one with {line}");
}

/// The world of a bug, without it, must break nothing.
pub fn holds(name: &str, seed: u64) {
    let plant = named(name);
    let broken = run(seed, (plant.mixture)(seed), Planted::default()).broken;
    let line = replay_line(&format!("SIM_PLANT={name} SIM_WITHOUT=1 SIM_SEED={seed}"), "planted::one_planted_seed");
    assert!(broken.is_empty(), "{name}, seed {seed}: {}\nreplay with {line}", broken.join("\n"));
}

/// One seed of one bug, `SIM_PLANT`, or of its world without it (`SIM_WITHOUT`); tells what breaks.
#[test]
fn one_planted_seed() {
    let chosen = std::env::var("SIM_PLANT").ok();
    let without = chosen.is_none() || std::env::var_os("SIM_WITHOUT").is_some();
    let name = chosen.as_deref().unwrap_or(PLANTS[0].name);
    let (plant, seed) = (named(name), number("SIM_SEED", 1));
    let planted = if without { (plant.beside)() } else { (plant.planted)() };
    let world = run(seed, (plant.mixture)(seed), planted);
    eprintln!("{name}, seed {seed}: {:#?}", world.broken);
    assert_eq!(world.broken.is_empty(), without, "seed {seed}: {}", world.broken.join("\n"));
}

/// What the world finds in the leader's rows, the leader has seen as well, and says so.
#[test]
fn a_leader_reports_that_a_shard_has_lost_its_last_copy() {
    let planted = Planted { last_copy_made_stale: true, ..Planted::default() };
    let kinds = ["kill-node", "stop-node", "wipe-node"];
    let lost = |world: &World| world.broken.iter().any(|text| text.contains(": invariant 6"));
    let world = (1..500).map(|seed| run(seed, rough(seed, &kinds), planted)).find(lost).expect("a seed that loses one");
    let reported = |text: &String| text.contains("control reports: invariant 6");
    assert!(world.broken.iter().any(reported), "{:?}", world.broken);
}

#[test]
fn tasks_that_nobody_audits_are_found() {
    let planted = Planted { audit_off: true, ..Planted::default() };
    // Reads may see a foreign write until the next poll, and one on the last copy can only be reported: so look at
    // seeds that come to rest cleanly with the audit.
    let mixture = |seed| Swarm { reads: false, writes: 6, ..rough(seed, &["stray"]) };
    let clean = |seed: &u64| run(*seed, mixture(*seed), Planted::default()).broken.is_empty();
    let found = |seed: &u64| !run(*seed, mixture(*seed), planted).broken.is_empty();
    assert!((1..200).filter(clean).any(|seed| found(&seed)), "no seed finds audit off");
}

/// The store takes what a leader writes whose lease is over.
#[test]
fn a_store_without_the_fence_of_the_lease_is_found() {
    let mixture = |seed, store_unfenced| Swarm { store_unfenced, ..rough(seed, &["depose"]) };
    let broken = |seed, unfenced| run(seed, mixture(seed, unfenced), Planted::default()).broken;
    let seed = (1..SEEDS).find(|seed| !broken(*seed, true).is_empty()).expect("no seed finds it");
    eprintln!("lease fence off: found by seed {seed}: {:?}", broken(seed, true));
    assert_eq!(broken(seed, false), Vec::<String>::new(), "seed {seed} with the fence");
}

/// Documents are counted by node, and not by shard: copies that nobody reads count as well.
#[test]
fn totals_of_whole_nodes_are_found() {
    let mixture = |seed, whole_totals| Swarm { whole_totals, ..restless(seed, &["move"]) };
    let broken = |seed, whole| run(seed, mixture(seed, whole), Planted::default()).broken;
    let counted = |seed: &u64| broken(*seed, true).iter().any(|text| text.contains("are counted as"));
    let seed = (1..SEEDS).find(counted).expect("no seed finds it");
    eprintln!("totals of whole nodes: found by seed {seed}");
    assert_eq!(broken(seed, false), Vec::<String>::new(), "seed {seed}, counted by shard");
}

/// The store loses its last rows, as in a failover to a replica that was behind: what control is told of then.
fn after_a_failover(seed: u64, planted: Planted) -> Vec<String> {
    let mut world = World::new(seed, Swarm { writes: 60, reads: false, ..Swarm::calm() }, planted);
    world.run(world.net.now + 8_000);
    let kept = (world.control.store.clone(), world.control.tasks.clone());
    world.run(world.net.now + 300 * (1 + seed % 5));
    world.fault(Fault::KillControl);
    (world.control.store, world.control.tasks) = kept;
    world.note_older_store();
    world.fault(Fault::ControlBack);
    world.run(world.net.now + 10_000);
    world.broken
}

#[test]
fn numbers_that_are_given_twice_are_found() {
    let planted = Planted { numbers_from_store: true, ..Planted::default() };
    let twice = |broken: &[String]| broken.iter().any(|text| text.contains("F16"));
    let seed = (1..200).find(|seed| twice(&after_a_failover(*seed, planted))).expect("no seed finds it");
    eprintln!("numbers from the store alone: found by seed {seed}");
    for seed in 1..100 {
        assert_eq!(after_a_failover(seed, Planted::default()), Vec::<String>::new(), "seed {seed}");
    }
}

/// An Envoy starts, and before control hears of it a node misses writes, comes back, and control dies.
fn started_just_before(seed: u64, reads_at_once: bool) -> World {
    let swarm = Swarm { reads_at_once, writes: 60, ..Swarm::calm() };
    let mut world = World::new(seed, swarm, Planted::default());
    let mut then = |pause: u64, fault: Fault| {
        world.run(world.net.now + pause);
        world.fault(fault);
    };
    then(12_000, Fault::KillVm(0));
    then(10_500, Fault::VmBack(0));
    then(200, Fault::KillNode(1));
    then(4_000, Fault::KillControl);
    then(0, Fault::NodeBack(1, Comeback::Same));
    world.run(world.net.now + 5_000);
    world
}

#[test]
fn a_filter_that_reads_before_control_knows_it_is_found() {
    let found = |seed: &u64| !started_just_before(*seed, true).broken.is_empty();
    let seed = (1..200).find(found).expect("no seed finds it");
    eprintln!("reads at once: found by seed {seed}");
    for seed in 1..200 {
        let world = started_just_before(seed, false);
        assert!(world.broken.is_empty(), "seed {seed}: {}", world.broken.join("\n"));
    }
}
