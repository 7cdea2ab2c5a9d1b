//! Plans: from the copies as they lie to the moves that bring them where they should be. A live job and a dry run walk
//! the same iterator.

use miroir_core::placement::{self, Move, Moves, NodeSpec, PlacementError};

/// A member as far as plans go.
#[derive(Clone, Debug, PartialEq)]
pub struct Seat {
    /// Id, weight and zone.
    pub spec: NodeSpec,
    /// Whether it may hold shards afterwards.
    pub takes: bool,
}

/// Copies as they lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Members.
    pub seats: Vec<Seat>,
    /// Number of shards.
    pub shards: u32,
    /// Copies of each shard wanted.
    pub replication_factor: u8,
    /// Owners by placement and shard, as positions in `seats`; the copies that can least be done without first.
    pub owners: Vec<Vec<Vec<usize>>>,
    /// How many owners of each shard, from the front, hold good copies.
    pub good: Vec<Vec<usize>>,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Every node that takes shards has its share, and no other node has any.
    Even,
    /// One node gets exactly what another one has.
    Hand {
        /// Position of the node that goes.
        from: usize,
        /// Position of the node that comes.
        to: usize,
    },
    /// The copies of a node whose disk is gone are made anew on it.
    Refill {
        /// Position of the node.
        node: usize,
    },
}

/// A move of a plan: positions in [`Layout::seats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Placement.
    pub placement: u16,
    /// Shard, receiver, and who leaves.
    pub step: Move,
}

/// The moves of a plan, in the order in which they start.
#[derive(Debug)]
pub struct Steps {
    parts: std::vec::IntoIter<(u16, Part)>,
    now: Option<(u16, Part)>,
}

#[derive(Debug)]
enum Part {
    Table(Moves),
    List(std::vec::IntoIter<Move>),
}

impl Layout {
    /// Nodes that may hold shards afterwards, with their positions in `seats`.
    fn takers(&self) -> (Vec<usize>, Vec<NodeSpec>) {
        let takers = self.seats.iter().enumerate().filter(|(_, seat)| seat.takes);
        takers.map(|(at, seat)| (at, seat.spec.clone())).unzip()
    }

    /// Copies that each seat should hold of one placement; 0 for those that take none.
    ///
    /// # Errors
    /// The nodes cannot carry the wanted copies.
    pub fn shares(&self) -> Result<Vec<f64>, PlacementError> {
        let (positions, specs) = self.takers();
        let mut shares = vec![0.0; self.seats.len()];
        let computed = placement::shares(&specs, self.shards, self.replication_factor)?;
        positions.into_iter().zip(computed).for_each(|(at, share)| shares[at] = share);
        Ok(shares)
    }

    /// Copies of each seat, over all placements.
    #[must_use]
    pub fn loads(&self) -> Vec<u64> {
        let mut loads = vec![0; self.seats.len()];
        self.owners.iter().flatten().flatten().for_each(|at| loads[*at] += 1);
        loads
    }

    /// The moves that reach a goal.
    ///
    /// # Errors
    /// The nodes cannot carry the wanted copies.
    pub fn steps(&self, goal: Goal) -> Result<Steps, PlacementError> {
        let specs: Vec<NodeSpec> = self.seats.iter().map(|seat| seat.spec.clone()).collect();
        let mut parts = Vec::new();
        for (placement, owners) in (0u16..).zip(&self.owners) {
            let part = match goal {
                Goal::Even => Part::Table(placement::moves(&specs, owners, &self.even(usize::from(placement))?)),
                Goal::Hand { from, to } => Part::Table(placement::moves(&specs, owners, &hand(owners, from, to))),
                Goal::Refill { node } => Part::List(self.refill(usize::from(placement), node).into_iter()),
            };
            parts.push((placement, part));
        }
        Ok(Steps { parts: parts.into_iter(), now: None })
    }

    /// Owners of a placement when every node has its share.
    fn even(&self, placement: usize) -> Result<Vec<Vec<usize>>, PlacementError> {
        let (positions, specs) = self.takers();
        let mut taker = vec![None; self.seats.len()];
        positions.iter().enumerate().for_each(|(at, seat)| taker[*seat] = Some(at));
        let wanted = usize::from(self.replication_factor);
        let in_force = |(owners, good): (&Vec<usize>, &usize)| -> Vec<usize> {
            // Where there are too many, one that is not good is the first to go.
            let kept = owners.len().min(wanted.max(*good));
            owners.iter().take(kept).filter_map(|at| taker[*at]).collect()
        };
        let current: Vec<Vec<usize>> = self.owners[placement].iter().zip(&self.good[placement]).map(in_force).collect();
        let placed = placement::rebalance(&specs, self.shards, self.replication_factor, &current)?;
        Ok(placed.into_iter().map(|owners| owners.into_iter().map(|at| positions[at]).collect()).collect())
    }

    fn refill(&self, placement: usize, node: usize) -> Vec<Move> {
        let shards = self.owners[placement].iter().zip(&self.good[placement]).enumerate();
        let lacks = shards.filter(|(_, (owners, good))| owners.iter().skip(**good).any(|at| *at == node));
        lacks.map(|(shard, _)| Move { shard, to: Some(node), leaving: None }).collect()
    }

    /// Copies that any plan for this goal has to make, at least.
    ///
    /// # Errors
    /// The nodes cannot carry the wanted copies.
    pub fn least(&self, goal: Goal) -> Result<u64, PlacementError> {
        match goal {
            Goal::Even => {
                let placements = self.owners.len() as f64;
                let loads = self.loads();
                let lacking = |(share, load): (&f64, &u64)| (share * placements - *load as f64).max(0.0);
                // Shares are no whole numbers: what is lacking in fractions need not move.
                Ok(self.shares()?.iter().zip(&loads).map(lacking).sum::<f64>().floor() as u64)
            }
            Goal::Hand { .. } | Goal::Refill { .. } => Ok(self.steps(goal)?.count() as u64),
        }
    }
}

/// The table when one node has taken over from another.
fn hand(owners: &[Vec<usize>], from: usize, to: usize) -> Vec<Vec<usize>> {
    let swapped = |at: &usize| if *at == from { to } else { *at };
    owners
        .iter()
        .map(|owners| {
            let mut owners: Vec<usize> = owners.iter().map(swapped).collect();
            owners.sort_unstable();
            owners.dedup();
            owners
        })
        .collect()
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some((placement, part)) = &mut self.now {
                let step = match part {
                    Part::Table(moves) => moves.next(),
                    Part::List(list) => list.next(),
                };
                if let Some(step) = step {
                    return Some(Step { placement: *placement, step });
                }
            }
            self.now = Some(self.parts.next()?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(nodes: usize, takes: &[bool], copies: u8, owners: Vec<Vec<usize>>) -> Layout {
        let seat = |at: usize| Seat {
            spec: NodeSpec { id: format!("n{at}"), weight: 1.0, zone: None },
            takes: takes.get(at).copied().unwrap_or(true),
        };
        let good = owners.iter().map(Vec::len).collect();
        Layout {
            seats: (0..nodes).map(seat).collect(),
            shards: owners.len() as u32,
            replication_factor: copies,
            owners: vec![owners],
            good: vec![good],
        }
    }

    #[test]
    fn a_node_that_takes_nothing_gives_everything() {
        let plan = layout(3, &[true, true, false], 1, vec![vec![0], vec![1], vec![2], vec![2]]);
        let steps: Vec<Move> = plan.steps(Goal::Even).unwrap().map(|step| step.step).collect();
        assert_eq!(
            steps.iter().map(|step| (step.shard, step.leaving)).collect::<Vec<_>>(),
            [(2, Some(2)), (3, Some(2))]
        );
        assert_eq!(plan.least(Goal::Even).unwrap(), 2);
    }

    #[test]
    fn a_successor_gets_what_its_predecessor_had() {
        let plan = layout(3, &[], 2, vec![vec![0, 1], vec![1, 0]]);
        let steps: Vec<Move> = plan.steps(Goal::Hand { from: 0, to: 2 }).unwrap().map(|step| step.step).collect();
        let one = |shard| Move { shard, to: Some(2), leaving: Some(0) };
        assert_eq!(steps, [one(0), one(1)]);
    }

    #[test]
    fn of_too_many_copies_the_bad_ones_go() {
        let mut plan = layout(3, &[], 2, vec![vec![0, 1, 2]; 4]);
        plan.good = vec![vec![2; 4]];
        let steps: Vec<Move> = plan.steps(Goal::Even).unwrap().map(|step| step.step).collect();
        assert!(steps.iter().filter(|step| step.leaving == Some(2) && step.to.is_none()).count() >= 1, "{steps:?}");
        assert!(steps.iter().filter(|step| step.to.is_some()).count() <= 2, "{steps:?}");
    }
}
