//! The kinds of world that seeds are run in, and the sweeps over many of them.

use std::time::Instant;

use miroir_sequencer::planted::Planted;

use crate::swarm::{Stats, Swarm};
use crate::world::World;

/// What goes wrong in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whatever the seed draws.
    Plain,
    /// The same, with operators' commands.
    Operated,
    /// The same, with disks that change behind everybody's back.
    Drifting,
    /// Nothing but disks that change.
    OnlyDrift,
    /// Nothing.
    Calm,
}

impl Mode {
    pub fn swarm(self, seed: u64) -> Swarm {
        let drawn = self.drawn(seed);
        Swarm { batch: number("SIM_BATCH", drawn.batch), ..drawn }
    }

    fn drawn(self, seed: u64) -> Swarm {
        match self {
            Self::Plain => Swarm::of(seed),
            Self::Operated => Swarm::operated(seed),
            Self::Drifting => Swarm::drifting(seed),
            Self::OnlyDrift => Swarm::only_drift(seed),
            Self::Calm => Swarm { fatal: 0, ..Swarm::calm() },
        }
    }

    /// The test that runs one seed of it.
    fn test(self) -> &'static str {
        match self {
            Self::Plain => "one_seed",
            Self::Operated => "one_operated_seed",
            Self::Drifting => "one_drifting_seed",
            Self::OnlyDrift => "one_only_drift_seed",
            Self::Calm => "one_calm_seed",
        }
    }

    /// Runs a seed that must break nothing.
    pub fn holds(self, seed: u64) -> World {
        self.holds_in(self.swarm(seed), seed)
    }

    /// The same where nodes do one task after the other, as `SIM_BATCH=1` has it.
    pub fn holds_unbatched(self, seed: u64) -> World {
        self.holds_in(Swarm { batch: 1, ..self.swarm(seed) }, seed)
    }

    fn holds_in(self, swarm: Swarm, seed: u64) -> World {
        let world = run(seed, swarm, Planted::default());
        assert!(
            world.broken.is_empty(),
            "{self:?}, seed {seed}: {}\n{:?}\nreplay with {}",
            world.broken.join("\n"),
            world.swarm,
            replay_line(&format!("SIM_BATCH={} SIM_SEED={seed}", world.swarm.batch), self.test())
        );
        world
    }
}

/// The command that runs one test with what it needs to know.
pub fn replay_line(variables: &str, test: &str) -> String {
    format!("{variables} SIM_TRACE=1 cargo test -p miroir-sequencer --test sim -- {test} --exact --nocapture")
}

pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs `SIM_SEEDS` seeds (or so many) from `SIM_FIRST` on; says how long it took.
pub fn sweep(mode: Mode, default: u64) -> Stats {
    let (first, count) = (number("SIM_FIRST", 1), number("SIM_SEEDS", default));
    let began = Instant::now();
    let mut stats = Stats::default();
    for seed in first..first + count {
        stats.add(&mode.holds(seed).stats);
    }
    eprintln!("{mode:?}: {count} seeds from {first} on in {:.1} s", began.elapsed().as_secs_f64());
    stats
}

pub fn run(seed: u64, swarm: Swarm, planted: Planted) -> World {
    let mut world = World::new(seed, swarm, planted);
    live(&mut world);
    world
}

/// A world's whole life: troubles, their end, and what is left when all has come to rest.
pub fn live(world: &mut World) {
    world.run(1_000_000 + 35_000);
    if !world.broken.is_empty() {
        return;
    }
    world.heal();
    let rest = world.net.now + 150_000;
    world.run(rest);
    // Jobs take turns, and each waits for its deletions.
    let mut patience = 20;
    while patience > 0 && world.broken.is_empty() && world.has_open_jobs() {
        patience -= 1;
        world.run(world.net.now + 60_000);
    }
    if world.broken.is_empty() {
        world.check_at_rest();
    }
}
