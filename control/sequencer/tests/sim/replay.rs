//! A seed that failed can be run again: all that happens is the same, event by event and effect by effect.

use std::hash::{DefaultHasher, Hash, Hasher};

use miroir_sequencer::planted::Planted;

use crate::modes::{Mode, live};
use crate::world::World;

/// All that happened in a world, in a nutshell.
#[derive(Debug, Default)]
pub struct Tape {
    hasher: DefaultHasher,
    lines: u64,
}

impl Tape {
    pub fn record(&mut self, at: u64, what: &impl std::fmt::Debug) {
        (at, format!("{what:?}")).hash(&mut self.hasher);
        self.lines += 1;
    }
}

fn trace(mode: Mode, seed: u64) -> (u64, u64) {
    let mut world = World::new(seed, mode.swarm(seed), Planted::default());
    world.tape = Some(Tape::default());
    live(&mut world);
    let tape = world.tape.expect("a tape");
    (tape.lines, tape.hasher.finish())
}

#[test]
fn a_seed_replays_exactly() {
    for mode in [Mode::Plain, Mode::Drifting, Mode::Operated] {
        for seed in [3, 8] {
            let first = trace(mode, seed);
            assert!(first.0 > 1_000, "{mode:?}, seed {seed}: {first:?}");
            assert_eq!(first, trace(mode, seed), "{mode:?}, seed {seed}");
        }
        assert_ne!(trace(mode, 3).1, trace(mode, 8).1, "{mode:?}");
    }
}
