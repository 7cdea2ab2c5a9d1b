//! How much a copy holds: nodes are asked for what they have of each index, and that is shared out over the copies that
//! they hold. An estimate, and called so: shards are of much the same size, since keys are hashed to them.

use super::intent::Intent;
use super::plan::{Goal, Step};
use crate::Sequencer;
use crate::api::*;
use crate::state::{N, Op, Reach};

/// Seconds that a move is taken to need beside its documents (comparing, flipping, deleting), until a job has shown what
/// this cluster does. A join of 64 moves of 25 documents each was measured at about that.
const ASSUMED_MOVE: u64 = 4;
/// Documents a second, likewise.
const ASSUMED_DOCUMENTS: u64 = 1_000;
/// Bytes a second, likewise: the pace for which deadlines of writes allow.
const ASSUMED_BYTES: u64 = 5_000_000;

/// What an estimate is for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// An operator wants a plan.
    Plan(RequestId, Box<Intent>),
    /// A job's total.
    Job(JobId),
}

/// What so many copies hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    whole: Amount,
    copies: u64,
}

impl Held {
    /// What some copies hold, if all hold the same: shared out only here, lest small shards come to nothing.
    fn share(self, copies: u64) -> Amount {
        let share = |whole: u64| {
            let (all, some) = (u128::from(self.copies.max(1)), u128::from(copies));
            u64::try_from((u128::from(whole) * some + all / 2) / all).unwrap_or(u64::MAX)
        };
        Amount { documents: share(self.whole.documents), bytes: share(self.whole.bytes) }
    }
}

/// By placement; none where nobody said.
type Means = Vec<Option<Held>>;

impl Sequencer {
    pub(crate) fn measure(&mut self, asked: Asked) {
        let up: Vec<NodeId> =
            self.nodes.iter().filter(|node| node.reach == Reach::Up).map(|node| node.row.id.clone()).collect();
        self.ask_measure(asked, up);
    }

    pub(crate) fn on_measured(&mut self, op: OpId, sizes: &[(NodeId, Vec<(String, Amount)>)]) {
        let Some(Op::Measure(asked)) = self.ops.remove(&op) else { return };
        let means = self.means(sizes);
        match asked {
            Asked::Plan(request, intent) => {
                let answer = match self.plan_view(&intent, &means) {
                    Ok(plan) => AdminAnswer::Plan(plan),
                    Err(refused) => AdminAnswer::Refused(refused),
                };
                self.emit(Effect::Admin { request, answer: Box::new(answer) });
            }
            Asked::Job(id) => {
                let moves = self.jobs.moves.range((id, 0)..=(id, u32::MAX)).map(|(_, row)| row);
                let copies: Vec<u16> = moves.filter(|row| row.to.is_some()).map(|row| row.placement).collect();
                let estimate = total(&means, copies.into_iter());
                let copied = self.jobs.rows.get(&id).map(|row| row.copied).unwrap_or_default();
                if let Some(row) = self.job_mut(id) {
                    row.estimate = estimate.map(|more| add(copied, more));
                }
            }
        }
    }

    fn means(&self, sizes: &[(NodeId, Vec<(String, Amount)>)]) -> Means {
        let means = (0u16..).zip(&self.copies).map(|(placement, shards)| {
            let (mut whole, mut copies) = (Amount::default(), 0u64);
            for (id, indexes) in sizes {
                let Some(n) = self.node_at(id) else { continue };
                let full = |node: N| {
                    let full = |state| matches!(state, CopyState::InSync | CopyState::Retiring);
                    shards.iter().flatten().filter(|copy| copy.node == node && full(copy.state)).count()
                };
                let held = full(n) as u64;
                if held == 0 {
                    continue;
                }
                copies += held;
                let own = |uid: &str| self.indexes.get(uid).is_some_and(|row| row.placement == placement);
                for (_, amount) in indexes.iter().filter(|(uid, _)| own(uid)) {
                    whole = add(whole, *amount);
                }
            }
            (copies > 0).then_some(Held { whole, copies })
        });
        means.collect()
    }

    /// The plan of a command, from the same steps that its job would walk.
    fn plan_view(&self, intent: &Intent, means: &Means) -> Result<PlanView, Refusal> {
        let (layout, goal) = self.layout(&intent.kind, intent.newcomer.as_ref());
        let id = |at: usize| layout.seats.get(at).map(|seat| seat.spec.id.clone());
        let before = layout.loads();
        let mut after = before.clone();
        let mut moves = Vec::new();
        for Step { placement, step } in layout.steps(goal)? {
            if goal == Goal::Even || step.leaving.is_some() {
                step.to.into_iter().for_each(|at| after[at] += 1);
                step.leaving.into_iter().for_each(|at| after[at] = after[at].saturating_sub(1));
            }
            let shard = ShardName { placement, shard: u32::try_from(step.shard).unwrap_or(u32::MAX) };
            moves.push(MoveView {
                shard,
                to: step.to.and_then(id),
                leaving: step.leaving.and_then(id),
                estimate: step.to.and_then(|_| total(means, std::iter::once(placement))),
            });
        }
        let made = moves.iter().filter(|step| step.to.is_some());
        let estimate = total(means, made.clone().map(|step| step.shard.placement));
        let copies_made = made.count() as u64;
        let shares = match goal {
            Goal::Even => layout.shares()?,
            Goal::Hand { .. } | Goal::Refill { .. } => after.iter().map(|load| *load as f64).collect(),
        };
        let nodes = layout.seats.iter().zip(before.iter().zip(&after)).zip(shares);
        let nodes = nodes.map(|((seat, (before, after)), share)| NodeLoad {
            id: seat.spec.id.clone(),
            before: *before,
            after: *after,
            share,
        });
        Ok(PlanView {
            copies_made,
            copies_least: layout.least(goal)?.min(copies_made),
            time: estimate.map(|amount| self.time_for(copies_made, amount)),
            estimate,
            nodes: nodes.collect(),
            moves,
        })
    }

    /// How long copies of an amount in all take: at the pace of the last job that copied anything, and no faster than the
    /// throttle.
    fn time_for(&self, copies: u64, amount: Amount) -> PlanTime {
        let last = self.jobs.rows.values().rev().find(|row| row.finished_ms.is_some() && row.copied.documents > 0);
        let measured = last.and_then(|row| {
            let ms = row.finished_ms?.saturating_sub(row.started_ms?).max(1);
            let ms = u128::from(amount.documents) * u128::from(ms) / u128::from(row.copied.documents);
            u64::try_from(ms.div_ceil(1_000)).ok()
        });
        let at = |documents: u64, bytes: u64| {
            amount.documents.div_ceil(documents.max(1)).max(amount.bytes.div_ceil(bytes.max(1)))
        };
        let free = match measured {
            Some(seconds) => PlanTime { seconds, pace: Pace::Measured },
            None => {
                let seconds = at(ASSUMED_DOCUMENTS, ASSUMED_BYTES).saturating_add(copies.saturating_mul(ASSUMED_MOVE));
                PlanTime { seconds, pace: Pace::Assumed }
            }
        };
        let throttle = &self.meta.throttle;
        let seconds =
            at(throttle.documents_per_second.unwrap_or(u64::MAX), throttle.bytes_per_second.unwrap_or(u64::MAX));
        if seconds > free.seconds { PlanTime { seconds, pace: Pace::Throttled } } else { free }
    }
}

pub(super) fn add(left: Amount, right: Amount) -> Amount {
    Amount { documents: left.documents.saturating_add(right.documents), bytes: left.bytes.saturating_add(right.bytes) }
}

/// What copies of these placements hold together; none as soon as nobody said for one of them.
fn total(means: &Means, copies: impl Iterator<Item = u16>) -> Option<Amount> {
    let mut counts: std::collections::BTreeMap<u16, u64> = std::collections::BTreeMap::new();
    copies.for_each(|placement| *counts.entry(placement).or_default() += 1);
    let held = |placement: u16| means.get(usize::from(placement)).copied().flatten();
    counts
        .into_iter()
        .try_fold(Amount::default(), |sum, (placement, count)| Some(add(sum, held(placement)?.share(count))))
}
