//! Outsiders: documents on a node that belong to none of its copies. They have no tag, the tag of a shard that the node
//! does not hold, or another tag than their key's: somebody wrote them to the node itself. No search finds those of the
//! first two kinds, but a later update of part of one would be merged with it on this node alone; and one of the third
//! kind stands where the document of its key should be. So they are reported with what they say, and go.
//!
//! Evidence comes before seniority: that the tag does not fit the key tells who is wrong, whoever is senior. Where the node
//! holds the shard of the key, that copy lacks its document, and is repaired in it from another one.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::{hash, tag};
use serde_json::json;

use super::Unit;
use super::indexes::is_settled;
use crate::Sequencer;
use crate::api::*;
use crate::disk::deletion;
use crate::state::{N, Op, Reach};

/// Longest listing, in milliseconds.
const READ: u64 = 120_000;
/// How often it is looked whether tasks have been read, in milliseconds.
const SOON: u64 = 50;
/// Suspects of one index on a node that are remembered; a later pass finds the rest.
const MOST: usize = 1_000;

/// What is to be looked at in between.
#[derive(Debug, Default)]
pub(super) struct Outsiders {
    nodes: BTreeSet<N>,
    /// Keys that were seen under another shard's tag, by node and index.
    suspects: BTreeMap<(N, String), BTreeSet<String>>,
}

/// The documents of some nodes that belong to none of their copies.
#[derive(Debug)]
pub(super) struct OutsiderUnit {
    /// Nodes still to be looked at; the last one is under way.
    nodes: Vec<N>,
    /// It belongs to the pass; otherwise it came in between.
    counts: bool,
    /// Indexes of the node that have been looked at.
    done: BTreeSet<String>,
    /// Those of the index under way that were found in the look before, and whether these were all.
    before: Option<(BTreeSet<String>, bool)>,
    found: BTreeMap<String, Strangers>,
    findings: u32,
    step: Step,
}

/// Outsiders of an index on the node under way.
#[derive(Debug)]
struct Strangers {
    incarnation: u64,
    primary_key: String,
    keys: BTreeSet<String>,
    /// There are no others than these.
    complete: bool,
}

#[derive(Debug)]
enum Step {
    Idle,
    /// The node lists what it has of an index; its row as it was then.
    Asking(u64, Box<IndexRow>),
    /// Whatever is known of the node is known when its tasks have been read by this stamp.
    Evidence(u64),
    /// The caller writes down what is about to be lost.
    Writing(OpId, Vec<Drift>),
}

impl OutsiderUnit {
    /// Those of a node on which there may be some.
    pub(super) fn of(n: N) -> Self {
        Self::new(vec![n], false, 0)
    }

    fn new(nodes: Vec<N>, counts: bool, findings: u32) -> Self {
        let (done, found) = Default::default();
        Self { nodes, counts, done, before: None, found, findings, step: Step::Idle }
    }

    pub(super) fn writes(&self, op: OpId) -> bool {
        matches!(&self.step, Step::Writing(asked, _) if *asked == op)
    }

    /// An answer is awaited.
    fn is_asking(&self) -> bool {
        matches!(self.step, Step::Asking(..) | Step::Writing(..))
    }

    /// Whether it waits for nothing but answers: one that came in between is for what is known to be wrong.
    pub(super) fn may_go_on(&self) -> bool {
        !self.counts || self.is_asking()
    }
}

/// Takes those keys out that are of another shard than this one, of `shards`.
pub(crate) fn take_strangers(keys: &mut Vec<String>, shard: u32, shards: u32) -> Vec<String> {
    let (own, others) =
        std::mem::take(keys).into_iter().partition(|key| hash::shard_of(key.as_bytes(), shards) == shard);
    *keys = own;
    others
}

impl Sequencer {
    /// Documents were seen on a node under another tag than their key's, in an index of this incarnation.
    pub(crate) fn suspect(&mut self, n: N, index: Option<&(String, u64)>, keys: Vec<String>) {
        let Some((uid, incarnation)) = index.filter(|_| !keys.is_empty()) else { return };
        if self.indexes.get(uid).is_none_or(|row| row.incarnation != *incarnation) {
            return;
        }
        let known = self.scrub.outsiders.suspects.entry((n, uid.clone())).or_default();
        known.extend(keys.into_iter().take(MOST.saturating_sub(known.len())));
        self.suspect_node(n);
        self.hasten_scrub();
    }

    /// Somebody may have written to a node: it is looked at in between, as soon as it has its indexes.
    pub(crate) fn suspect_node(&mut self, n: N) {
        self.scrub.outsiders.nodes.insert(n);
    }

    /// Has what is to be looked at in between not wait for the next unit's time.
    pub(crate) fn hasten_scrub(&mut self) {
        if self.scrub.unit.is_none() && self.suspected_node().is_some() {
            self.scrub.pause = self.scrub.pause.min(self.now);
        }
        self.scrub_goes_on();
    }

    /// Keys that were seen under another shard's tag and have not been looked at, by node and index.
    pub(super) fn suspects(&self) -> impl Iterator<Item = (&(N, String), &BTreeSet<String>)> {
        self.scrub.outsiders.suspects.iter()
    }

    pub(super) fn suspected_node(&self) -> Option<N> {
        self.scrub.outsiders.nodes.iter().copied().find(|n| self.has_its_indexes(*n))
    }

    /// Looks at all nodes, as a part of the pass in which `findings` have been made of the indexes.
    pub(super) fn look_for_outsiders(&mut self, findings: u32) {
        let nodes = (0..self.nodes.len()).rev().collect();
        self.scrub.unit = Some(Unit::Outsiders(OutsiderUnit::new(nodes, true, findings)));
        self.scrub_goes_on();
    }

    /// Goes on with them.
    pub(super) fn step_outsiders(&mut self, mut unit: OutsiderUnit) {
        if unit.is_asking() {
            self.scrub.unit = Some(Unit::Outsiders(unit));
            return;
        }
        if let (Step::Evidence(stamp), Some(n)) = (&unit.step, unit.nodes.last())
            && self.nodes[*n].reach == Reach::Up
            && self.nodes[*n].read_done < *stamp
        {
            self.scrub.unit = Some(Unit::Outsiders(unit));
            return self.scrub_later(SOON);
        }
        unit.step = Step::Idle;
        // An existing node's documents have no tag until they have got theirs.
        let waived = self.meta.untagged || self.planted.outsiders_ignored;
        while unit.nodes.last().is_some_and(|n| waived || !self.has_its_indexes(*n)) {
            self.next_node(&mut unit);
        }
        let Some(n) = unit.nodes.last().copied() else { return self.outsiders_done(&unit) };
        let next = self.indexes.values().find(|row| is_settled(row) && !unit.done.contains(&row.uid));
        let Some(row) = next.cloned() else { return self.outsiders_looked_at(unit, n) };
        let Some(primary_key) = row.primary_key.clone() else { return self.unit_again() };
        self.scrub.asked += 1;
        self.scrub.asked_at = self.now;
        let suspects = self.scrub.outsiders.suspects.get(&(n, row.uid.clone()));
        let action = NodeAction::ListOutsiders {
            index: row.uid.clone(),
            primary_key,
            held: self.held_on(n, row.placement),
            keys: suspects.into_iter().flatten().cloned().collect(),
        };
        let op = self.op(Op::Scrub(self.scrub.asked, n));
        let node = self.nodes[n].row.id.clone();
        unit.step = Step::Asking(self.scrub.asked, Box::new(row));
        self.scrub.unit = Some(Unit::Outsiders(unit));
        self.emit(Effect::Node { op, node, action, timeout_ms: READ });
    }

    /// Shards of which a node has documents rightly: of copies in whatever state, and of those that are being deleted.
    fn held_on(&self, n: N, placement: u16) -> Vec<u32> {
        let holds = |shard: &u32| {
            self.shard_copies(placement, *shard).iter().any(|copy| copy.node == n)
                || self.syncs.retires.contains_key(&(placement, *shard, n))
        };
        (0..self.config.shards).filter(holds).collect()
    }

    pub(super) fn outsiders_listed(&mut self, asked: u64, n: N, result: Result<NodeAnswer, NodeFault>) {
        let Some(Unit::Outsiders(mut unit)) = self.scrub.unit.take() else { return };
        let row = match std::mem::replace(&mut unit.step, Step::Idle) {
            Step::Asking(id, row) if id == asked => row,
            step => {
                unit.step = step;
                self.scrub.unit = Some(Unit::Outsiders(unit));
                return;
            }
        };
        let (keys, all) = match result {
            Ok(NodeAnswer::Keys(keys)) => {
                let all = keys.len() < MOST_OUTSIDERS;
                (self.to_be_dropped(n, &row, keys), all)
            }
            Ok(NodeAnswer::Refused { status: 404, .. }) => (BTreeSet::new(), true),
            _ if unit.counts => return self.unit_failed(),
            _ => {
                self.scrub.outsiders.nodes.remove(&n);
                return self.unit_again();
            }
        };
        let same = self.indexes.get(&row.uid).is_some_and(|now| now.incarnation == row.incarnation);
        let pause = self.scrub_pause(0);
        match unit.before.take() {
            None if same && !keys.is_empty() => {
                unit.before = Some((keys, all));
                unit.step = Step::Evidence(self.want_read(n));
                self.scrub.unit = Some(Unit::Outsiders(unit));
                return self.scrub_later(pause.max(SOON));
            }
            before => {
                let (before, complete) = before.map_or_else(Default::default, |(keys, before)| (keys, before && all));
                let keys: BTreeSet<String> = before.into_iter().filter(|key| keys.contains(key)).collect();
                unit.done.insert(row.uid.clone());
                if same && !keys.is_empty() {
                    let primary_key = row.primary_key.clone().unwrap_or_default();
                    unit.found.insert(row.uid, Strangers { incarnation: row.incarnation, primary_key, keys, complete });
                }
            }
        }
        let pause = if unit.counts { pause } else { 0 };
        self.scrub.unit = Some(Unit::Outsiders(unit));
        self.scrub.pause = self.now + pause;
        self.scrub_goes_on();
    }

    /// Without those under another tag than their key's where the node has the last copy of the key's shard: no other
    /// has their document.
    fn to_be_dropped(&self, n: N, row: &IndexRow, keys: Vec<String>) -> BTreeSet<String> {
        let suspects = self.scrub.outsiders.suspects.get(&(n, row.uid.clone()));
        let is_last = |key: &String| {
            let copies = self.shard_copies(row.placement, hash::shard_of(key.as_bytes(), self.config.shards));
            copies.iter().any(|copy| copy.node == n) && !copies.iter().any(|copy| copy.node != n && self.is_good(copy))
        };
        let kept = |key: &String| suspects.is_some_and(|suspects| suspects.contains(key)) && is_last(key);
        keys.into_iter().filter(|key| !kept(key)).collect()
    }

    /// All indexes of a node have been looked at.
    fn outsiders_looked_at(&mut self, mut unit: OutsiderUnit, n: N) {
        let indexes = &self.indexes;
        unit.found.retain(|uid, found| indexes.get(uid).is_some_and(|row| row.incarnation == found.incarnation));
        if unit.found.is_empty() {
            self.next_node(&mut unit);
            self.scrub.unit = Some(Unit::Outsiders(unit));
            return self.scrub_goes_on();
        }
        let lost = self.nodes[n].row.id.clone();
        let drift = |(id, (uid, found)): (u64, (&String, &Strangers))| Drift {
            id,
            index: uid.clone(),
            placement: indexes.get(uid).map_or(0, |row| row.placement),
            kept: None,
            lost: lost.clone(),
            what: Drifted::Outsiders {
                primary_key: found.primary_key.clone(),
                keys: found.keys.iter().cloned().collect(),
            },
        };
        let drifts: Vec<Drift> = (self.next_finding()..).zip(&unit.found).map(drift).collect();
        let op = self.write_down(drifts.clone());
        unit.step = Step::Writing(op, drifts);
        self.scrub.unit = Some(Unit::Outsiders(unit));
    }

    pub(super) fn outsiders_written_down(&mut self, mut unit: OutsiderUnit) {
        let Step::Writing(_, drifts) = std::mem::replace(&mut unit.step, Step::Idle) else { return };
        let Some(n) = unit.nodes.last().copied() else { return self.unit_again() };
        let same = |(uid, found): (&String, &Strangers)| {
            self.indexes.get(uid).is_some_and(|row| row.incarnation == found.incarnation)
        };
        if !self.has_its_indexes(n) || self.is_being_told(n) || !unit.found.iter().all(same) {
            return self.unit_again();
        }
        unit.findings += u32::try_from(drifts.len()).unwrap_or(u32::MAX);
        for drift in drifts {
            self.find(drift, None);
        }
        let mut steps = Vec::new();
        for (uid, found) in std::mem::take(&mut unit.found) {
            let placement = self.indexes.get(&uid).map_or(0, |row| row.placement);
            let held = self.held_on(n, placement);
            // One that has got its tag meanwhile is none any more. What has not been written down stays.
            if found.complete {
                let others = tag::filter_others(&held, self.config.shards);
                steps.push(deletion(&uid, "delete", &json!({ "filter": others })));
            }
            let mut by_shard: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
            for key in found.keys {
                by_shard.entry(hash::shard_of(key.as_bytes(), self.config.shards)).or_default().insert(key);
            }
            let (own, none): (Vec<_>, Vec<_>) = by_shard.into_iter().partition(|(shard, _)| held.contains(shard));
            let none: Vec<String> = none.into_iter().flat_map(|(_, keys)| keys).collect();
            if !none.is_empty() {
                steps.push(deletion(&uid, "delete-batch", &json!(none)));
            }
            for (shard, keys) in own {
                let why = "it has documents under other tags than their keys', and nobody knows why";
                self.mend_keys((placement, shard, n), &uid, keys, why);
            }
        }
        self.tell(n, steps);
        self.next_node(&mut unit);
        self.scrub.unit = Some(Unit::Outsiders(unit));
        self.scrub_goes_on();
    }

    fn next_node(&mut self, unit: &mut OutsiderUnit) {
        let Some(n) = unit.nodes.pop() else { return };
        (unit.done, unit.found) = Default::default();
        unit.before = None;
        // One that has not got its indexes yet is looked at when it has.
        if self.has_its_indexes(n) {
            self.forget_suspects(n);
        }
    }

    fn forget_suspects(&mut self, n: N) {
        self.scrub.outsiders.nodes.remove(&n);
        self.scrub.outsiders.suspects.retain(|(node, _), _| *node != n);
    }

    fn outsiders_done(&mut self, unit: &OutsiderUnit) {
        if unit.counts {
            return self.unit_done(|tally| tally.findings += unit.findings);
        }
        self.meta.scrub.tally.findings += unit.findings;
        self.out.meta = true;
        self.scrub.unit = None;
        self.scrub_goes_on();
    }
}
