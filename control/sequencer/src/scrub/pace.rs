//! When the comparison goes on: its place in the pass, its pace, and what it makes way for.

use super::documents::ShardUnit;
use super::indexes::IndexUnit;
use super::outsiders::OutsiderUnit;
use super::{Unit, rows::*};
use crate::Sequencer;
use crate::state::{Timer, Todo};

/// How often it is looked whether what is in the way has gone, in milliseconds.
const AGAIN: u64 = 1_000;
/// Failures in a row after which a unit is passed over.
const PATIENCE: u32 = 3;
/// Pause after findings could not be written down, in milliseconds.
const BLOCKED: u64 = 60_000;

impl Sequencer {
    /// Goes on with the comparison as far as it can.
    pub(crate) fn drive_scrub(&mut self) {
        // What somebody has written to a node is looked for all the same.
        if self.config.scrub.interval == 0 && self.scrub.unit.is_none() && self.suspected_node().is_none() {
            return;
        }
        if self.scrub.pause > self.now {
            let at = self.scrub.pause;
            return self.at(at, Timer::Scrub);
        }
        match self.scrub.unit.take() {
            None => self.next_unit(),
            Some(Unit::Indexes(unit)) if unit.is_asking() || self.may_go_on(None) => self.step_indexes(unit),
            Some(Unit::Outsiders(unit)) if unit.may_go_on() || self.may_go_on(None) => self.step_outsiders(unit),
            Some(Unit::Shard(unit)) if unit.is_asking() || self.may_go_on(Some((unit.placement, unit.shard))) => {
                self.step_shard(unit);
            }
            unit => self.wait_in_line(unit),
        }
    }

    /// Copies that are being filled come first: they restore redundancy, and load the same nodes. A unit has its share
    /// of the pass to wait for them, since some are not full for as long as a node is away. After that it goes on
    /// beside them, but for a shard of which a copy is being filled: that one may be about to leave, and decides
    /// nothing.
    fn may_go_on(&mut self, shard: Option<(u16, u32)>) -> bool {
        let moving = shard.is_some_and(|(placement, shard)| self.is_moving(placement, shard));
        let patient = self.now < self.unit_due(self.meta.scrub.done + 1);
        let waiting = if self.syncs.limits.paused {
            Some("copying is paused")
        } else if moving || patient && !self.syncs.runs.is_empty() {
            Some("copies are being filled")
        } else {
            None
        };
        self.scrub.waiting = waiting.map(str::to_owned);
        waiting.is_none()
    }

    /// Waits for what is in the way, or leaves the unit to the next pass when its share of this one is over.
    fn wait_in_line(&mut self, unit: Option<Unit>) {
        self.scrub.unit = unit;
        if !self.syncs.limits.paused && self.now >= self.unit_due(self.meta.scrub.done + 1) {
            return self.pass_over();
        }
        self.scrub_later(AGAIN);
    }

    /// When a unit's turn comes: they are spread evenly over the interval.
    fn unit_due(&self, done: u32) -> u64 {
        let interval = self.config.scrub.interval;
        self.meta.scrub.started_ms + interval.saturating_mul(u64::from(done) + 1) / u64::from(self.scrub_units())
    }

    /// Looks again after some milliseconds.
    pub(super) fn scrub_later(&mut self, pause: u64) {
        self.scrub.pause = self.now + pause;
        let at = self.scrub.pause;
        self.at(at, Timer::Scrub);
    }

    pub(crate) fn scrub_goes_on(&mut self) {
        self.todo.insert(Todo::Scrub);
    }

    /// The indexes themselves are one unit, and each shard is one.
    fn scrub_units(&self) -> u32 {
        let shards = self.copies.iter().map(|shards| u32::try_from(shards.len()).unwrap_or(u32::MAX));
        shards.fold(1, u32::saturating_add)
    }

    fn shard_of_unit(&self, done: u32) -> Option<(u16, u32)> {
        let shards = (0u16..).zip(&self.copies);
        let mut all = shards.flat_map(|(placement, shards)| (0u32..).zip(shards).map(move |(at, _)| (placement, at)));
        all.nth(usize::try_from(done.checked_sub(1)?).ok()?)
    }

    /// Begins the next unit when its time has come.
    fn next_unit(&mut self) {
        if let Some(n) = self.suspected_node() {
            return self.step_outsiders(OutsiderUnit::of(n));
        }
        if self.config.scrub.interval == 0 {
            return;
        }
        let (now, units) = (self.now, self.scrub_units());
        let row = &mut self.meta.scrub;
        if row.started_ms == 0 || row.started_ms > now {
            (row.started_ms, row.pass) = (now, row.pass.max(1));
            self.out.meta = true;
        }
        if row.done >= units {
            let ended = ScrubPass { pass: row.pass, started_ms: row.started_ms, ended_ms: now, tally: row.tally };
            *row = ScrubRow { pass: row.pass + 1, started_ms: now, last: Some(ended), ..ScrubRow::default() };
            self.out.meta = true;
        }
        let done = self.meta.scrub.done;
        let due = self.unit_due(done);
        if due > now {
            return self.scrub_later(due - now);
        }
        let shard = self.shard_of_unit(done);
        if !self.may_go_on(shard) {
            return self.wait_in_line(None);
        }
        let unit = match shard {
            None => Unit::Indexes(IndexUnit::all(self.nodes.len())),
            Some((placement, shard)) => {
                let copies = self.comparable(placement, shard);
                if copies.len() < 2 {
                    return self.pass_over();
                }
                let indexes = self.indexes.values().filter(|row| row.placement == placement);
                let indexes = indexes.map(|row| (row.uid.clone(), row.incarnation)).rev().collect();
                Unit::Shard(ShardUnit::new(placement, shard, copies, indexes))
            }
        };
        self.scrub.unit = Some(unit);
        self.scrub_goes_on();
    }

    /// The unit is done: the next one's turn.
    pub(super) fn unit_done(&mut self, tell: impl FnOnce(&mut ScrubTally)) {
        (self.scrub.unit, self.scrub.fails, self.scrub.blocked) = (None, 0, None);
        let row = &mut self.meta.scrub;
        row.done += 1;
        tell(&mut row.tally);
        self.out.meta = true;
        self.scrub_goes_on();
    }

    fn pass_over(&mut self) {
        let counts = self.meta.scrub.done > 0;
        self.unit_done(|tally| tally.passed_over += u32::from(counts));
    }

    /// What the unit rested on has changed: it is begun anew.
    pub(super) fn unit_again(&mut self) {
        self.scrub.unit = None;
        self.scrub_later(AGAIN);
    }

    /// A node did not answer as it should; after a few times the unit is passed over.
    pub(super) fn unit_failed(&mut self) {
        self.scrub.fails += 1;
        if self.scrub.fails >= PATIENCE {
            return self.pass_over();
        }
        self.unit_again();
    }

    /// What was found cannot be written down: nothing is repaired, and it is looked at again later.
    pub(super) fn unit_blocked(&mut self, why: &str) {
        self.alert("finding_unwritten", None, format!("replicas differ and are not repaired: {why}"));
        self.scrub.blocked = Some(why.to_owned());
        self.scrub.unit = None;
        self.scrub_later(BLOCKED);
    }

    /// Pause after nodes have shown so many documents.
    pub(super) fn scrub_pause(&self, looked: u64) -> u64 {
        let took = self.now.saturating_sub(self.scrub.asked_at);
        pause_after(looked, took, self.scrub_rate(), self.config.scrub.busy_percent)
    }

    /// Documents looked at count against the pace: at most so many are in one look, and so long it takes.
    pub(super) fn scrub_rate(&self) -> u64 {
        let own = self.config.scrub.documents_per_s.max(1);
        match self.syncs.limits.documents_per_s {
            0 => own,
            throttle => own.min(throttle),
        }
    }

    /// The background comparison, as an operator wants to see it.
    #[must_use]
    pub fn scrub(&self) -> ScrubView {
        ScrubView {
            row: self.meta.scrub.clone(),
            units: self.scrub_units(),
            interval: self.config.scrub.interval,
            waiting: self.scrub.waiting.clone(),
            blocked: self.scrub.blocked.clone(),
            findings: self.scrub.findings.values().cloned().collect(),
        }
    }
}

/// No more documents a second than that, and no larger share of the time spent on asking: large documents, long lists of
/// keys and nodes that are busy with other things make it slower.
fn pause_after(looked: u64, took: u64, rate: u64, busy_percent: u64) -> u64 {
    let busy = busy_percent.clamp(1, 100);
    let by_share = took.saturating_mul(100 - busy) / busy;
    by_share.max(looked.saturating_mul(1_000) / rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::pause_after;

    #[test]
    fn documents_and_the_time_that_nodes_take_bound_the_pace() {
        assert_eq!(pause_after(500, 20, 1_000, 10), 500, "small documents: by their number");
        assert_eq!(pause_after(500, 200, 1_000, 10), 1_800, "large ones, or busy nodes: by the time");
        assert_eq!(pause_after(0, 300, 1_000, 25), 900, "a list of keys has no documents, and costs");
        assert_eq!(pause_after(0, 300, 1_000, 100), 0);
    }
}
