//! What becomes of a difference that nobody can explain: the senior copy wins, the other versions are written down, and
//! only then their copies become stale (F25).

use std::collections::{BTreeMap, BTreeSet};

use super::Unit;
use super::documents::{Difference, Differences, ShardUnit, Step};
use crate::Sequencer;
use crate::api::*;
use crate::state::{N, Op};

impl Sequencer {
    /// All indexes of a shard have been compared.
    pub(super) fn shard_looked_at(&mut self, mut unit: ShardUnit) {
        // What was found in another index of that name says nothing of this one (F24).
        let indexes = &self.indexes;
        unit.found.retain(|(_, uid), found| indexes.get(uid).is_some_and(|row| row.incarnation == found.incarnation));
        if unit.found.is_empty() {
            return self.shard_done(&unit, 0);
        }
        self.add_suspects(&mut unit);
        let Some(kept) = unit.nodes.first().map(|n| self.nodes[*n].row.id.clone()) else { return self.unit_again() };
        let (placement, shard) = (unit.placement, unit.shard);
        let drifts: Vec<Drift> = (self.next_finding()..)
            .zip(&unit.found)
            .map(|(id, ((n, index), differences))| Drift {
                id,
                index: index.clone(),
                placement,
                kept: Some(kept.clone()),
                lost: self.nodes[*n].row.id.clone(),
                what: drifted(shard, differences),
            })
            .collect();
        let op = self.write_down(drifts.clone());
        unit.step = Step::Writing(op, drifts);
        self.scrub.unit = Some(Unit::Shard(unit));
    }

    /// Whatever repairs a copy may write over what else lies under keys of its shard: that is written down with the rest.
    fn add_suspects(&self, unit: &mut ShardUnit) {
        let losers: BTreeSet<N> = unit.found.keys().map(|(n, _)| *n).collect();
        for ((n, uid), keys) in self.suspects().filter(|((n, _), _)| losers.contains(n)) {
            let row = self.indexes.get(uid).filter(|row| row.placement == unit.placement);
            let Some((row, primary_key)) = row.and_then(|row| Some((row, row.primary_key.clone()?))) else { continue };
            let here = |key: &&String| miroir_core::hash::shard_of(key.as_bytes(), self.config.shards) == unit.shard;
            let keys: Vec<String> = keys.iter().filter(here).cloned().collect();
            if !keys.is_empty() {
                let found = unit.found.entry((*n, uid.clone())).or_default();
                (found.incarnation, found.primary_key) = (row.incarnation, primary_key);
                found.keys.extend(keys.into_iter().map(|key| (key, Difference::Content)));
            }
        }
    }

    /// Asks the caller to write down what is about to be lost.
    pub(super) fn write_down(&mut self, drifts: Vec<Drift>) -> OpId {
        let op = self.op(Op::WriteDown);
        if self.planted.drift_unwritten {
            self.todo.insert(crate::state::Todo::Unwritten(op));
        } else {
            self.emit(Effect::WriteDown { op, drifts });
        }
        op
    }

    /// The findings are written down, or cannot be.
    pub(crate) fn on_written_down(&mut self, op: OpId, result: Result<(), String>) {
        if !matches!(self.ops.remove(&op), Some(Op::WriteDown)) {
            return;
        }
        match self.scrub.unit.take() {
            Some(Unit::Shard(unit)) if matches!(&unit.step, Step::Writing(asked, _) if *asked == op) => match result {
                Ok(()) => self.shard_written_down(unit),
                Err(why) => self.unit_blocked(&why),
            },
            Some(Unit::Indexes(unit)) if unit.writes(op) => match result {
                Ok(()) => self.indexes_written_down(unit),
                Err(why) => self.unit_blocked(&why),
            },
            Some(Unit::Outsiders(unit)) if unit.writes(op) => match result {
                Ok(()) => self.outsiders_written_down(unit),
                Err(why) => self.unit_blocked(&why),
            },
            other => self.scrub.unit = other,
        }
    }

    fn shard_written_down(&mut self, mut unit: ShardUnit) {
        let Step::Writing(_, drifts) = std::mem::replace(&mut unit.step, Step::Idle) else { return };
        if self.comparable(unit.placement, unit.shard) != unit.copies || self.is_moving(unit.placement, unit.shard) {
            // The one that was to win may be the one that deviates, or the one that leaves.
            return self.unit_again();
        }
        let findings = u32::try_from(drifts.len()).unwrap_or(u32::MAX);
        let mut lost: BTreeMap<N, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for ((n, index), differences) in std::mem::take(&mut unit.found) {
            let keys = differences.keys.into_keys().collect();
            lost.entry(n).or_default().insert(index, keys);
        }
        for drift in drifts {
            self.find(drift, Some(unit.shard));
        }
        let senior = unit.nodes.first().map(|n| self.nodes[*n].row.id.clone()).unwrap_or_default();
        for (n, keys) in lost {
            let place = (unit.placement, unit.shard, n);
            self.mark_drifted(place, &keys, &format!("it differs from {senior}, and nobody knows why"));
        }
        self.shard_done(&unit, findings);
    }

    fn shard_done(&mut self, unit: &ShardUnit, findings: u32) {
        self.unit_done(|tally| {
            tally.compared += 1;
            tally.documents += unit.documents;
            tally.undecided += u32::from(unit.undecided);
            tally.findings += findings;
        });
    }
}

fn drifted(shard: u32, differences: &Differences) -> Drifted {
    let of = |wanted: Difference| {
        differences.keys.iter().filter(|(_, what)| **what == wanted).map(|(key, _)| key.clone()).collect()
    };
    Drifted::Documents {
        shard,
        primary_key: differences.primary_key.clone(),
        differing: of(Difference::Content),
        missing: of(Difference::Missing),
        extra: of(Difference::Extra),
    }
}
