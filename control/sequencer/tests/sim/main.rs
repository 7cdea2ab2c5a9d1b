//! Deterministic simulation of the write path: the real sequencer and the filter's real write machine, between model
//! nodes, under a seeded scheduler that delays, loses, reorders, kills, stops and restores whatever it likes.
//!
//! `SIM_SEED=123 SIM_TRACE=1 cargo test -p miroir-sequencer --test sim -- one_seed --exact --nocapture` replays one run;
//! every failure ends with the line that replays it. `SIM_SEEDS=5000` sets how many are tried, `SIM_FIRST` where they
//! begin; `SIM_BATCH=1` makes nodes do one task after the other, whatever the seed has drawn.

mod batch;
mod catalogue;
mod checks;
mod clients;
mod contents;
mod drift;
mod engine;
mod faults;
mod host;
mod leaders;
mod modes;
mod names;
mod network;
mod notes;
mod operations;
mod operators;
mod parse;
mod planted;
mod plants;
mod random;
mod readers;
mod repair;
mod replay;
mod shell;
mod successes;
mod swarm;
mod vm;
mod world;

use modes::{Mode, number, sweep};

#[test]
fn one_seed() {
    Mode::Plain.holds(number("SIM_SEED", 1));
}

#[test]
fn one_operated_seed() {
    Mode::Operated.holds(number("SIM_SEED", 1));
}

#[test]
fn one_drifting_seed() {
    Mode::Drifting.holds(number("SIM_SEED", 1));
}

#[test]
fn one_only_drift_seed() {
    Mode::OnlyDrift.holds(number("SIM_SEED", 1));
}

#[test]
fn one_calm_seed() {
    Mode::Calm.holds(number("SIM_SEED", 1));
}

#[test]
fn no_seed_breaks_an_invariant() {
    let stats = sweep(Mode::Plain, 2_000);
    eprintln!("{stats:#?}");
}

/// Operators' commands among everything else that goes wrong: no job is left halfway, and no invariant breaks.
#[test]
fn no_command_of_an_operator_breaks_an_invariant() {
    sweep(Mode::Operated, 300);
}

/// Disks that change behind everybody's back, among everything else: in the end all copies are equal.
#[test]
fn no_drift_stays_unnoticed() {
    sweep(Mode::Drifting, 300);
}

/// Drift alone: the senior copy wins, and what is lost has been written down.
#[test]
fn drift_is_written_down_and_the_senior_copy_wins() {
    let alerts = sweep(Mode::OnlyDrift, 100).alerts.get("replica_drift").copied().unwrap_or_default();
    assert!(alerts > 100, "{alerts} findings");
}

#[test]
fn a_calm_world_takes_every_write() {
    let stats = sweep(Mode::Calm, 20);
    assert_eq!(stats.replies.keys().copied().collect::<Vec<_>>(), [202]);
    assert!(!stats.alerts.contains_key("copy_stale"), "{:?}", stats.alerts);
}

/// Each of them broke an invariant once.
#[test]
fn no_seed_breaks_an_invariant_that_once_did() {
    // A filter that vanished after its commit had come: its write was to be sent once more, and its locks waited.
    Mode::Plain.holds_unbatched(230);
    Mode::Operated.holds_unbatched(207);
    // Nodes that hung in turns: locks waited for a moment in which all could be asked.
    planted::holds("the_only_copy_of_a_write_given_up_is_found", 76);
}
