//! One shard: the documents of its copies, index by index.

use std::collections::{BTreeMap, BTreeSet};

use super::Unit;
use super::look::{Look, Reading};
use super::take_strangers;
use crate::Sequencer;
use crate::api::*;
use crate::state::{Copy, N, Op, Reach};
use crate::sync::Check;

/// Documents in one look at most: what a node shows at once.
const AT_ONCE: u64 = 500;
/// Longest reading, in milliseconds.
const READ: u64 = 120_000;
/// How often it is looked whether tasks have been read, or a ticket has ended, in milliseconds.
const SOON: u64 = 50;
/// Pause before documents that were being written are looked at again, in milliseconds.
const PAUSE: u64 = 500;

/// Looks in a row that writes of unknown keys made void, before an index is left to the next pass.
const VOID: u32 = 120;

/// A shard whose copies are being compared.
#[derive(Debug)]
pub(super) struct ShardUnit {
    pub(super) placement: u16,
    pub(super) shard: u32,
    /// Copies that are compared, the senior one first.
    pub(super) copies: Vec<Standing>,
    /// Their nodes.
    pub(super) nodes: Vec<N>,
    /// Indexes still to be compared, with their incarnation; the last one is under way.
    pub(super) indexes: Vec<(String, u64)>,
    pub(super) look: Option<Look>,
    /// What differs for certain, by node and index.
    pub(super) found: BTreeMap<(N, String), Differences>,
    pub(super) documents: u64,
    pub(super) undecided: bool,
    /// Looks in a row that came to nothing.
    pub(super) void: u32,
    pub(super) step: Step,
}

/// A copy that can be compared. Any change of this is a break: what was seen of the copy before says nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    /// Epoch since which it has been in sync.
    since: u64,
    rank: usize,
    node: N,
    /// The disk that it is on.
    incarnation: u64,
}

/// Documents in which a copy differs from the senior one.
#[derive(Clone, Debug, Default)]
pub(super) struct Differences {
    /// Of the index.
    pub(super) incarnation: u64,
    pub(super) primary_key: String,
    pub(super) keys: BTreeMap<String, Difference>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Both have it.
    Content,
    /// Only the senior one has it.
    Missing,
    /// Only the junior one has it.
    Extra,
}

#[derive(Debug)]
pub(super) enum Step {
    Idle,
    /// Nodes are being asked.
    Reading(Box<Reading>),
    /// Whatever is known of the nodes is known when their tasks have been read by this stamp.
    Evidence(Vec<(N, u64)>),
    /// The caller writes down what is about to be lost.
    Writing(OpId, Vec<Drift>),
}

impl ShardUnit {
    pub(super) fn new(placement: u16, shard: u32, copies: Vec<Standing>, indexes: Vec<(String, u64)>) -> Self {
        Self {
            placement,
            shard,
            nodes: copies.iter().map(|copy| copy.node).collect(),
            copies,
            indexes,
            look: None,
            found: BTreeMap::new(),
            documents: 0,
            undecided: false,
            void: 0,
            step: Step::Idle,
        }
    }

    /// An answer is awaited.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.step, Step::Reading(_) | Step::Writing(..))
    }
}

impl Sequencer {
    /// Copies that can be compared now, the senior one first: in sync, on nodes that have all that they must have.
    pub(super) fn comparable(&self, placement: u16, shard: u32) -> Vec<Standing> {
        let copies = self.shard_copies(placement, shard).iter().enumerate();
        let settled = |n: N| {
            let node = &self.nodes[n];
            node.reach == Reach::Up && !node.row.away && !node.row.drifted && node.journal.is_empty()
        };
        let usable = copies.filter(|(_, copy)| self.is_good(copy) && settled(copy.node));
        let standing = |(rank, copy): (usize, &Copy)| Standing {
            since: copy.since,
            rank,
            node: copy.node,
            incarnation: copy.incarnation,
        };
        let mut found: Vec<Standing> = usable.map(standing).collect();
        found.sort_unstable();
        if self.planted.junior_wins {
            found.reverse();
        }
        found
    }

    /// Whether a copy of the shard is being filled: then nothing of the shard is decided here.
    pub(super) fn is_moving(&self, placement: u16, shard: u32) -> bool {
        self.syncs.runs.keys().any(|(other, at, _)| (*other, *at) == (placement, shard))
    }

    /// Goes on with a shard.
    pub(super) fn step_shard(&mut self, mut unit: ShardUnit) {
        if unit.is_asking() {
            self.scrub.unit = Some(Unit::Shard(unit));
            return;
        }
        if self.comparable(unit.placement, unit.shard) != unit.copies {
            // Somebody knows more of these copies now.
            return self.unit_again();
        }
        if let Step::Evidence(stamps) = &unit.step {
            if stamps.iter().any(|(n, stamp)| self.nodes[*n].read_done < *stamp) {
                self.scrub.unit = Some(Unit::Shard(unit));
                return self.scrub_later(SOON);
            }
            unit.step = Step::Idle;
        }
        while let Some((uid, incarnation)) = unit.indexes.last().cloned() {
            let row = self.indexes.get(&uid).filter(|row| row.incarnation == incarnation);
            // Without a key there are no documents.
            match row.and_then(|row| row.primary_key.clone()) {
                Some(primary_key) if unit.void <= VOID => return self.look_on(unit, &uid, primary_key),
                Some(_) => unit.undecided = true,
                None => {}
            }
            unit.void = 0;
            unit.look = None;
            unit.found.retain(|(_, index), _| *index != uid);
            unit.indexes.pop();
        }
        self.shard_looked_at(unit);
    }

    /// Asks for what comes next of an index: its keys, then digests of some keys after the other.
    fn look_on(&mut self, mut unit: ShardUnit, uid: &str, primary_key: String) {
        let Some(look) = &mut unit.look else {
            return self.ask(unit, None, |index| NodeAction::ListKeys { index, primary_key, shard: 0 }, uid);
        };
        let at_once = usize::try_from(self.scrub_rate().min(AT_ONCE)).unwrap_or(usize::MAX);
        let keys = look.take(at_once);
        if keys.is_empty() {
            return self.look_ended(unit, uid, primary_key);
        }
        let list = Some(keys.iter().cloned().collect());
        self.ask(unit, Some(keys), |index| NodeAction::Digests { index, primary_key, shard: 0, keys: list }, uid);
    }

    fn ask(
        &mut self,
        mut unit: ShardUnit,
        keys: Option<BTreeSet<String>>,
        action: impl FnOnce(String) -> NodeAction,
        uid: &str,
    ) {
        let shard = (unit.placement, unit.shard);
        let floors = unit.nodes.iter().map(|n| self.floor_of(*n, shard, uid));
        let floor = floors.min().unwrap_or(0);
        self.scrub.asked += 1;
        self.scrub.asked_at = self.now;
        let reading = Reading::new(self.scrub.asked, keys, floor, self.touched_since(floor, shard, uid));
        if reading.says_nothing() {
            // A write of unknown keys, or an operation on the whole index, is under way.
            unit.void += 1;
            if let (Some(look), Some(keys)) = (&mut unit.look, reading.keys) {
                look.put_back(keys);
            }
            self.scrub.unit = Some(Unit::Shard(unit));
            return self.scrub_later(PAUSE);
        }
        let mut action = action(uid.to_owned());
        if let NodeAction::ListKeys { shard, .. } | NodeAction::Digests { shard, .. } = &mut action {
            *shard = unit.shard;
        }
        for n in unit.nodes.clone() {
            let op = self.op(Op::Scrub(self.scrub.asked, n));
            let node = self.nodes[n].row.id.clone();
            self.emit(Effect::Node { op, node, action: action.clone(), timeout_ms: READ });
        }
        unit.step = Step::Reading(Box::new(reading));
        self.scrub.unit = Some(Unit::Shard(unit));
    }

    /// A node answered.
    pub(crate) fn scrub_answered(&mut self, asked: u64, n: N, result: Result<NodeAnswer, NodeFault>) {
        match &self.scrub.unit {
            Some(Unit::Outsiders(_)) => self.outsiders_listed(asked, n, result),
            _ => self.scrub_read(asked, n, result),
        }
    }

    fn scrub_read(&mut self, asked: u64, n: N, result: Result<NodeAnswer, NodeFault>) {
        let Some(Unit::Shard(unit)) = &mut self.scrub.unit else { return };
        let (shard, index) = (unit.shard, unit.indexes.last().cloned());
        let Step::Reading(reading) = &mut unit.step else { return };
        if reading.asked != asked {
            return;
        }
        let mut others = Vec::new();
        match result {
            Ok(NodeAnswer::Keys(mut keys)) => {
                others = take_strangers(&mut keys, shard, self.config.shards);
                reading.answer(n, keys.into_iter().map(|key| (key, 0)).collect());
            }
            Ok(NodeAnswer::Digests(digests)) => reading.answer(n, digests.into_iter().collect()),
            Ok(NodeAnswer::Refused { status: 404, .. }) => return self.index_missing(n),
            _ => return self.unit_failed(),
        }
        let all = reading.answers() == unit.nodes.len();
        self.suspect(n, index.as_ref(), others);
        if all && let Some(Unit::Shard(unit)) = self.scrub.unit.take() {
            self.all_answered(unit);
        }
    }

    fn all_answered(&mut self, mut unit: ShardUnit) {
        let Step::Reading(mut reading) = std::mem::replace(&mut unit.step, Step::Idle) else { return };
        let index = unit.indexes.last().cloned();
        // What lies under another tag than its key's is told apart from what its key stands for: it decides nothing.
        for (n, keys) in reading.set_outsiders_aside() {
            self.suspect(n, index.as_ref(), keys);
        }
        let Some((uid, incarnation)) = index else { return self.unit_again() };
        let same = self.indexes.get(&uid).is_some_and(|row| row.incarnation == incarnation);
        let looked = match &mut unit.look {
            // What was read is of another index of that name (F24).
            _ if !same => 0,
            None => {
                unit.look = Some(Look::of(reading.all_keys()));
                0
            }
            Some(look) => {
                let looked = reading.keys.as_ref().map_or(0, BTreeSet::len) as u64;
                if look.is_first() {
                    unit.documents += looked;
                }
                unit.void = if reading.says_nothing() { unit.void + 1 } else { 0 };
                look.take_in(*reading, &unit.nodes);
                looked
            }
        };
        self.scrub.unit = Some(Unit::Shard(unit));
        self.scrub.pause = self.now + self.scrub_pause(looked);
        self.scrub_goes_on();
    }

    /// All keys of an index have been looked at: what differs again, as it did before, differs.
    fn look_ended(&mut self, mut unit: ShardUnit, uid: &str, primary_key: String) {
        let Some(look) = unit.look.take() else { return self.unit_again() };
        let incarnation = unit.indexes.last().map_or(0, |(_, incarnation)| *incarnation);
        let ended = look.end();
        for ((n, key), difference) in ended.certain {
            let found = unit.found.entry((n, uid.to_owned())).or_default();
            found.incarnation = incarnation;
            found.primary_key.clone_from(&primary_key);
            found.keys.insert(key, difference);
        }
        unit.undecided |= ended.given_up;
        let Some(next) = ended.next else {
            unit.indexes.pop();
            self.scrub.unit = Some(Unit::Shard(unit));
            return self.scrub_goes_on();
        };
        let first = next.number() == 1;
        unit.look = Some(next);
        // Whoever knows why they differ says so first.
        let stamps = unit.nodes.clone().into_iter().map(|n| (n, self.want_read(n)));
        unit.step = Step::Evidence(stamps.collect());
        self.scrub.unit = Some(Unit::Shard(unit));
        self.scrub_later(if first { SOON } else { PAUSE });
    }

    /// What tickets above a floor touch, or may.
    fn touched_since(&self, floor: u32, (placement, shard): (u16, u32), uid: &str) -> crate::sync::IndexRun {
        let mut run = crate::sync::IndexRun::new(0, Check::none());
        for ticket in self.tickets.range(floor.saturating_add(1)..).map(|(_, ticket)| ticket) {
            if ticket.live == crate::state::Live::Queued {
                continue;
            }
            match &ticket.row.work {
                TicketWork::Write(work) if work.index == uid && self.touches_shard(ticket, placement, shard) => {
                    run.touch(ticket, shard, self.config.shards);
                }
                TicketWork::Index(work) if crate::index_ops::uids_of(&work.operation).iter().any(|one| one == uid) => {
                    run.whole = ticket.row.uid;
                }
                _ => {}
            }
        }
        run
    }

    /// A write has been granted while copies are being read.
    pub(crate) fn scrub_granted(&mut self, ticket: u32) {
        let Some(Unit::Shard(unit)) = &mut self.scrub.unit else { return };
        let (Step::Reading(reading), Some((uid, _))) = (&mut unit.step, unit.indexes.last()) else { return };
        let Some(ticket) = self.tickets.get(&ticket) else { return };
        if let TicketWork::Write(work) = &ticket.row.work
            && work.index == *uid
        {
            reading.touched.touch(ticket, unit.shard, self.config.shards);
        }
    }

    /// An operation on whole indexes has been granted.
    pub(crate) fn scrub_index_granted(&mut self, ticket: u32, uids: &[String]) {
        let Some(Unit::Shard(unit)) = &mut self.scrub.unit else { return };
        if let (Step::Reading(reading), Some((uid, _))) = (&mut unit.step, unit.indexes.last())
            && uids.contains(uid)
        {
            reading.touched.whole = ticket;
        }
    }
}
