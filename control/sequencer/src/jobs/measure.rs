//! How much a copy holds: nodes are asked for what they have of each index, and that is shared out over the copies that
//! they hold. An estimate, and called so: shards are of much the same size, since keys are hashed to them.

use std::collections::BTreeMap;

use super::intent::Intent;
use super::plan::{Goal, Step};
use crate::Sequencer;
use crate::api::*;
use crate::state::{N, Op, Reach};

/// Milliseconds that a wave of moves is taken to need beside its documents (comparing, what waits in nodes' queues,
/// flipping), until a job has shown what this cluster does. Joins of shards with few documents were measured at about
/// that.
const ASSUMED_WAVE: u64 = 4_000;
/// Documents a second, likewise.
const ASSUMED_DOCUMENTS: u64 = 1_000;
/// Bytes a second, likewise: the pace for which deadlines of writes allow.
const ASSUMED_BYTES: u64 = 5_000_000;

/// Jobs that an estimate goes by, at most: the last ones.
const RECENT: usize = 3;

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
        let (layout, goal) = self.layout_after_queue(intent);
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
        let copies_made = made.clone().count() as u64;
        let waves = self.waves(made.filter_map(|step| step.to.as_deref()));
        let leave = moves.iter().any(|step| step.leaving.is_some());
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
            time: estimate.map(|amount| self.time_for(waves, amount, leave)),
            estimate,
            nodes: nodes.collect(),
            moves,
        })
    }

    /// How often as many copies as may be are filled at once, until all of these receivers have theirs.
    pub(super) fn waves<'a>(&self, receivers: impl Iterator<Item = &'a str>) -> u64 {
        let (mut counts, mut all) = (BTreeMap::<&str, usize>::new(), 0usize);
        for to in receivers {
            *counts.entry(to).or_default() += 1;
            all += 1;
        }
        let most = counts.values().copied().max().unwrap_or(0);
        let waves = all.div_ceil(self.moves_at_once()).max(most.div_ceil(self.syncs.limits.syncs(0)));
        waves as u64
    }

    /// How long the copying of an amount takes, and the deletion of what leaves: at the pace of the last jobs, and no
    /// faster than the throttle.
    fn time_for(&self, waves: u64, amount: Amount, leave: bool) -> PlanTime {
        let done = |row: &&JobRow| row.state == JobState::Done && row.busy_ms > 0 && row.copied.documents > 0;
        let recent: Vec<&JobRow> = self.jobs.rows.values().rev().filter(done).take(RECENT).collect();
        let assumed = assumed_ms(waves, amount);
        let (free, pace) = if recent.is_empty() {
            (assumed, Pace::Assumed)
        } else {
            // What the same reckoning says of those jobs is set against the time that they took.
            let took: u64 = recent.iter().map(|row| row.busy_ms).sum();
            let said: u64 = recent.iter().map(|row| assumed_ms(row.waves, row.copied)).sum();
            let ms = u128::from(assumed) * u128::from(took) / u128::from(said.max(1));
            (u64::try_from(ms).unwrap_or(u64::MAX), Pace::Measured)
        };
        let throttle = &self.meta.throttle;
        let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        let slowed = at_pace(amount, most(throttle.documents_per_second), most(throttle.bytes_per_second));
        let (copying, pace) = if slowed > free { (slowed, Pace::Throttled) } else { (free, pace) };
        // Whoever reads the last copy that leaves is given this long.
        let deleting = if leave { self.config.timing.vm_silent } else { 0 };
        PlanTime { seconds: copying.saturating_add(deleting).div_ceil(1_000), pace }
    }
}

/// Milliseconds that so many waves of moves with an amount in all are taken to need, as long as nothing was measured.
fn assumed_ms(waves: u64, amount: Amount) -> u64 {
    waves.saturating_mul(ASSUMED_WAVE).saturating_add(at_pace(amount, ASSUMED_DOCUMENTS, ASSUMED_BYTES))
}

/// Milliseconds for an amount at so many documents and bytes a second, whichever take longer.
fn at_pace(amount: Amount, documents: u64, bytes: u64) -> u64 {
    let ms = |all: u64, rate: u64| (u128::from(all) * 1_000).div_ceil(u128::from(rate.max(1)));
    u64::try_from(ms(amount.documents, documents).max(ms(amount.bytes, bytes))).unwrap_or(u64::MAX)
}

pub(super) fn add(left: Amount, right: Amount) -> Amount {
    Amount { documents: left.documents.saturating_add(right.documents), bytes: left.bytes.saturating_add(right.bytes) }
}

/// What copies of these placements hold together; none as soon as nobody said for one of them.
fn total(means: &Means, copies: impl Iterator<Item = u16>) -> Option<Amount> {
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    copies.for_each(|placement| *counts.entry(placement).or_default() += 1);
    let held = |placement: u16| means.get(usize::from(placement)).copied().flatten();
    counts
        .into_iter()
        .try_fold(Amount::default(), |sum, (placement, count)| Some(add(sum, held(placement)?.share(count))))
}
