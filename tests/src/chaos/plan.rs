//! What is broken when: made from a seed alone, so that a run can be repeated.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A part of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A node, by position.
    Node(usize),
    /// An Envoy, by position.
    Envoy(usize),
    /// The control service.
    Control,
}

/// How it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// `kill -9`, and started again later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Stop,
    /// `kill -9`, and started again later with an empty disk, where no document is lost by that.
    Wipe,
}

/// One step of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Milliseconds since the round began.
    pub at_ms: u64,
    /// What is broken.
    pub target: Target,
    /// How.
    pub harm: Harm,
    /// For how many milliseconds.
    pub for_ms: u64,
}

/// A time at which the operator looks whether there is something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Milliseconds since the round began.
    pub at_ms: u64,
    /// Which node, among those that can be taken.
    pub which: u32,
    /// A job that is under way is cancelled.
    pub cancels: bool,
}

/// The operator's turns of one round.
#[must_use]
pub fn turns(seed: u64, round: u64, length_ms: u64) -> Vec<Turn> {
    let mut random = StdRng::seed_from_u64(!seed ^ round.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut turns = Vec::new();
    let mut at_ms = random.random_range(200..1500);
    while at_ms < length_ms {
        turns.push(Turn { at_ms, which: random.random(), cancels: random.random_range(0..6) == 0 });
        at_ms += random.random_range(1000..4000);
    }
    turns
}

/// What there is to break.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Nodes.
    pub nodes: usize,
    /// Envoys; one of them is always left alone.
    pub envoys: usize,
    /// Copies of each shard.
    pub replication_factor: u8,
    /// Disks are emptied too.
    pub wipes: bool,
}

/// The steps of one round of `length_ms`. Now and then more nodes are broken at once than the replication factor covers:
/// then answers may be refused, and still nothing may be lost.
#[must_use]
pub fn round(seed: u64, round: u64, shape: Shape, length_ms: u64) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed ^ round.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut steps: Vec<Step> = Vec::new();
    let mut at_ms = random.random_range(300..1500);
    while at_ms < length_ms {
        let target = match random.random_range(0..10) {
            0..6 => Target::Node(random.random_range(0..shape.nodes)),
            6..8 => Target::Envoy(random.random_range(0..shape.envoys)),
            _ => Target::Control,
        };
        let harm = match (random.random_range(0..10), target) {
            (0..5, _) => Harm::Kill,
            (5, Target::Node(_)) if shape.wipes => Harm::Wipe,
            _ => Harm::Stop,
        };
        let for_ms = random.random_range(100..5000);
        let beyond = random.random_range(0..8) == 0;
        let broken = |kind: fn(Target) -> bool| {
            let now = steps.iter().filter(|step| step.at_ms + step.for_ms + RECOVERY_MS > at_ms);
            now.filter(|step| kind(step.target)).count()
        };
        let free = match target {
            Target::Node(_) if beyond => broken(|target| matches!(target, Target::Node(_))) < shape.nodes,
            Target::Node(_) => {
                broken(|target| matches!(target, Target::Node(_))) < usize::from(shape.replication_factor).max(2) - 1
            }
            Target::Envoy(_) => broken(|target| matches!(target, Target::Envoy(_))) + 1 < shape.envoys,
            Target::Control => broken(|target| target == Target::Control) == 0,
        };
        let busy = steps.iter().any(|step| step.target == target && step.at_ms + step.for_ms + RECOVERY_MS > at_ms);
        if free && !busy {
            steps.push(Step { at_ms, target, harm, for_ms });
        }
        at_ms += random.random_range(100..1800);
    }
    steps
}

/// Time that a part is given to get back on its feet before it is broken again.
const RECOVERY_MS: u64 = 700;

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { nodes: 3, envoys: 2, replication_factor: 2, wipes: true };

    #[test]
    fn a_seed_repeats_its_plan_and_others_differ() {
        assert_eq!(round(7, 1, SHAPE, 60_000), round(7, 1, SHAPE, 60_000));
        assert_ne!(round(7, 1, SHAPE, 60_000), round(8, 1, SHAPE, 60_000));
        assert_ne!(round(7, 1, SHAPE, 60_000), round(7, 2, SHAPE, 60_000));
    }

    #[test]
    fn the_operators_turns_are_a_seeds_own_too() {
        assert_eq!(turns(7, 1, 60_000), turns(7, 1, 60_000));
        assert_ne!(turns(7, 1, 60_000), turns(7, 2, 60_000));
        let all: Vec<Turn> = (0..20).flat_map(|round| turns(7, round, 60_000)).collect();
        let cancels = all.iter().filter(|turn| turn.cancels).count();
        assert!(all.len() > 300 && cancels > 20 && cancels < all.len() / 2, "{cancels} of {}", all.len());
    }

    #[test]
    fn everything_is_broken_some_time_and_never_two_envoys() {
        let steps: Vec<Step> = (0..20).flat_map(|at| round(3, at, SHAPE, 60_000)).collect();
        for target in [Target::Node(0), Target::Node(2), Target::Envoy(0), Target::Envoy(1), Target::Control] {
            for harm in [Harm::Kill, Harm::Stop] {
                assert!(steps.iter().any(|step| step.target == target && step.harm == harm), "{target:?} {harm:?}");
            }
        }
        assert!(steps.iter().any(|step| step.harm == Harm::Wipe));
        for plan in (0..20).map(|at| round(3, at, SHAPE, 60_000)) {
            for step in &plan {
                let envoys = plan.iter().filter(|other| {
                    let at_once = other.at_ms <= step.at_ms && step.at_ms < other.at_ms + other.for_ms;
                    at_once && matches!(other.target, Target::Envoy(_))
                });
                assert!(envoys.count() <= 1);
            }
        }
    }
}
