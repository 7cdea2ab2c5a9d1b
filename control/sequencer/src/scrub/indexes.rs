//! The indexes themselves, node by node: each must be there with its key and its settings. What differs without a known
//! reason is written down, and then put right like any drift of a node's indexes.

use std::collections::BTreeSet;

use super::Unit;
use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, N, Op, Reach};

/// How often it is looked whether tasks have been read, in milliseconds.
const SOON: u64 = 50;
/// Pause while an operation on indexes is under way, in milliseconds.
const PAUSE: u64 = 500;
/// Looks at a node whose indexes are being changed, before it is passed over.
const PATIENCE: u32 = 20;

/// The indexes of some nodes.
#[derive(Debug)]
pub(super) struct IndexUnit {
    /// Nodes still to be looked at; the last one is under way.
    nodes: Vec<N>,
    /// It is one of the pass; otherwise it came in between.
    counts: bool,
    /// Indexes that differed in the look before.
    before: BTreeSet<String>,
    looks: u32,
    findings: u32,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Idle,
    /// The caller looks at a node; the index rows as they were then, by their count of changes.
    Looking(u64, u64),
    /// Whatever is known of the node is known when its tasks have been read by this stamp.
    Evidence(u64),
    /// The caller writes down what is about to be lost; indexes that more than their settings differ of.
    Writing(OpId, Vec<Drift>, BTreeSet<String>),
}

impl IndexUnit {
    /// Those of all nodes.
    pub(super) fn all(nodes: usize) -> Self {
        Self::new((0..nodes).rev().collect(), true)
    }

    fn new(nodes: Vec<N>, counts: bool) -> Self {
        Self { nodes, counts, before: BTreeSet::new(), looks: 0, findings: 0, step: Step::Idle }
    }

    pub(super) fn writes(&self, op: OpId) -> bool {
        matches!(&self.step, Step::Writing(asked, ..) if *asked == op)
    }

    /// An answer is awaited.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.step, Step::Looking(..) | Step::Writing(..))
    }

    fn next_node(&mut self) {
        self.nodes.pop();
        (self.before, self.looks, self.step) = (BTreeSet::new(), 0, Step::Idle);
    }
}

impl Sequencer {
    /// Goes on with the indexes.
    pub(super) fn step_indexes(&mut self, mut unit: IndexUnit) {
        if let Step::Evidence(stamp) = unit.step
            && let Some(n) = unit.nodes.last()
        {
            if self.nodes[*n].reach == Reach::Up && self.nodes[*n].read_done < stamp {
                self.scrub.unit = Some(Unit::Indexes(unit));
                return self.scrub_later(SOON);
            }
            unit.step = Step::Idle;
        }
        if !matches!(unit.step, Step::Idle) {
            self.scrub.unit = Some(Unit::Indexes(unit));
            return;
        }
        // One that is away or known to differ is being put right anyway.
        while unit.nodes.last().is_some_and(|n| !self.has_its_indexes(*n)) || unit.looks > PATIENCE {
            unit.next_node();
        }
        let Some(n) = unit.nodes.last().copied() else { return self.indexes_done(&unit) };
        if self.is_operating() {
            unit.looks += 1;
            self.scrub.unit = Some(Unit::Indexes(unit));
            return self.scrub_later(PAUSE);
        }
        self.scrub.asked += 1;
        unit.step = Step::Looking(self.scrub.asked, self.syncs.index_changes);
        let op = self.op(Op::Scrub(self.scrub.asked, n));
        let node = self.nodes[n].row.id.clone();
        let indexes = self.indexes.values().filter(|row| is_settled(row)).cloned().collect();
        self.scrub.unit = Some(Unit::Indexes(unit));
        self.emit(Effect::Reconcile { op, node, indexes });
    }

    fn indexes_done(&mut self, unit: &IndexUnit) {
        if unit.counts {
            return self.look_for_outsiders(unit.findings);
        }
        self.meta.scrub.tally.findings += unit.findings;
        self.out.meta = true;
        self.unit_again();
    }

    pub(super) fn has_its_indexes(&self, n: N) -> bool {
        let node = &self.nodes[n];
        let drifted = node.row.drifted || node.row.doubted;
        let settled = !node.row.away && !node.row.rebuild && !drifted && node.journal.is_empty();
        node.reach == Reach::Up && settled && self.is_member(n)
    }

    /// An operation on indexes may have changed a node and not yet the rows, or the other way round.
    fn is_operating(&self) -> bool {
        self.tickets.values().any(|ticket| {
            matches!(ticket.row.work, TicketWork::Index(_) | TicketWork::Reconcile(_))
                && matches!(ticket.live, Live::Granted | Live::Decided)
        })
    }

    /// The caller has looked at a node.
    pub(crate) fn scrub_looked(&mut self, asked: u64, n: N, steps: Result<Vec<NodeStep>, String>) {
        let operating = self.is_operating();
        let Some(Unit::Indexes(unit)) = &mut self.scrub.unit else { return };
        let Step::Looking(id, changes) = unit.step else { return };
        if id != asked {
            return;
        }
        unit.step = Step::Idle;
        unit.looks += 1;
        let Ok(steps) = steps else { return self.unit_failed() };
        if operating || changes != self.syncs.index_changes {
            return self.scrub_later(PAUSE);
        }
        let row = |step: &&NodeStep| self.indexes.get(step.task_index.as_ref()?);
        let known = |step: &&NodeStep| row(step).is_some_and(is_settled);
        let uid = |step: &NodeStep| step.task_index.clone().unwrap_or_default();
        let differing: BTreeSet<String> = steps.iter().filter(known).map(uid).collect();
        let beyond = |step: &&NodeStep| step.task_type != "settingsUpdate";
        let beyond: BTreeSet<String> = steps.iter().filter(known).filter(beyond).map(uid).collect();
        let certain: Vec<String> = differing.intersection(&unit.before).cloned().collect();
        if certain.is_empty() {
            if differing.is_empty() {
                unit.next_node();
                return self.scrub_goes_on();
            }
            unit.before = differing;
            let stamp = self.want_read(n);
            if let Some(Unit::Indexes(unit)) = &mut self.scrub.unit {
                unit.step = Step::Evidence(stamp);
            }
            return self.scrub_later(SOON);
        }
        let lost = self.nodes[n].row.id.clone();
        let placement = |uid: &String| self.indexes.get(uid).map_or(0, |row| row.placement);
        let drift = |(id, index): (u64, String)| {
            let placement = placement(&index);
            Drift { id, placement, index, kept: None, lost: lost.clone(), what: Drifted::Index }
        };
        let drifts: Vec<Drift> = (self.next_finding()..).zip(certain).map(drift).collect();
        let op = self.write_down(drifts.clone());
        if let Some(Unit::Indexes(unit)) = &mut self.scrub.unit {
            unit.step = Step::Writing(op, drifts, beyond);
        }
    }

    pub(super) fn indexes_written_down(&mut self, mut unit: IndexUnit) {
        let Step::Writing(_, drifts, beyond) = std::mem::replace(&mut unit.step, Step::Idle) else { return };
        let Some(n) = unit.nodes.last().copied() else { return self.unit_again() };
        unit.findings += u32::try_from(drifts.len()).unwrap_or(u32::MAX);
        for drift in drifts {
            let index = drift.index.clone();
            self.find(drift, None);
            if beyond.contains(&index) {
                // Its documents went with it, or are of another index.
                self.exclude(&index, n, "is not there, or is another one");
            }
        }
        self.mend_indexes(n);
        unit.next_node();
        self.scrub.unit = Some(Unit::Indexes(unit));
        self.scrub_goes_on();
    }

    /// A node that is being compared does not have an index: that is looked at first.
    pub(super) fn index_missing(&mut self, n: N) {
        self.scrub.fails += 1;
        if self.scrub.fails > 2 {
            return self.unit_failed();
        }
        self.scrub.unit = Some(Unit::Indexes(IndexUnit::new(vec![n], false)));
        self.scrub_goes_on();
    }
}

/// What a first write has reserved is not known to every node yet, and without a key there are no documents.
pub(super) fn is_settled(row: &IndexRow) -> bool {
    row.primary_key.is_some() && !row.provisional
}
