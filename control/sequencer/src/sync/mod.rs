//! Moves and repair: one copy of a shard is brought in sync with another one while reads and writes go on (protocol
//! 1.2), and a copy that leaves is retired (F6).
//!
//! A *sync* fills the copy of a shard on one node, for all indexes of a placement. From its start the copy is `dual`:
//! every later grant includes its node. What remains is to make the two copies equal as of some ticket, key by key; as
//! both take the same tickets in the same order from then on, they stay equal. So a sync works in rounds: it reads what
//! both have, sets aside the keys that a ticket touched which was not finished on both when the reading began, writes
//! what differs as *pages* (tickets of their own, under the shard's lock for one round trip), and compares again what
//! it wrote or set aside, until nothing is left. Then the map flips.

pub(crate) mod drive;
mod flip;
mod missed;
mod page_ends;
mod pages;
mod rebuild;
mod retire;
pub(crate) mod round;
pub(crate) mod rows;
mod start;
mod tickets;
mod turns;
pub(crate) mod waits;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::*;
use crate::state::{N, Ticket};

pub(crate) use missed::Missed;

/// A copy: placement, shard, node.
pub(crate) type Place = (u16, u32, N);

/// Everything about moves and repair that is in memory.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    pub(crate) limits: SyncLimits,
    /// Wanted syncs, running or waiting. A repair gets its row when it starts.
    pub(crate) rows: BTreeMap<Place, SyncRow>,
    /// Those that run: their copies are dual.
    pub(crate) runs: BTreeMap<Place, Run>,
    /// Copies to be deleted.
    pub(crate) retires: BTreeMap<Place, Retire>,
    /// What stale copies are known to have missed; no entry: anything.
    pub(crate) missed: BTreeMap<Place, Missed>,
    /// Syncs that failed lately: how often, and when they may be tried again.
    pub(crate) trouble: BTreeMap<Place, Trouble>,
    /// VMs by id, with the epoch that they are known to run and when they were last heard (and stored).
    pub(crate) vms: BTreeMap<String, SeenVm>,
    /// Nodes that are being looked at, or told what they must have; and when a failed attempt may be repeated.
    pub(crate) rebuilds: BTreeMap<N, rebuild::Rebuild>,
    /// Grows with every change of the index rows.
    pub(crate) index_changes: u64,
    /// No page before this time (throttle).
    pub(crate) next_page: u64,
    pub(crate) next_run: u64,
    /// When it is looked again whether something that waits can start.
    pub(crate) next_scan: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) times: u32,
    pub(crate) until: u64,
    pub(crate) why: String,
}

#[derive(Clone, Debug)]
pub(crate) struct SeenVm {
    /// Node id of its Envoy.
    pub(crate) envoy: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) heard: u64,
    pub(crate) stored: u64,
}

/// A retirement.
#[derive(Clone, Debug)]
pub(crate) struct Retire {
    pub(crate) row: RetireRow,
    /// Indexes whose documents are gone from the node, verified.
    pub(crate) done: BTreeSet<(String, u64)>,
    /// The deletion that is under way.
    pub(crate) ticket: Option<u32>,
    /// The count that is being read.
    pub(crate) counting: Option<(OpId, (String, u64))>,
    pub(crate) retry: u64,
    /// When it is looked at again.
    pub(crate) look: u64,
}

/// A sync that runs.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: u64,
    /// The copy that is read.
    pub(crate) from: N,
    /// Tickets from this number on came after its start.
    pub(crate) since: u32,
    /// Tickets that were granted before `to` was dual and that `from` has not finished.
    pub(crate) before: BTreeSet<u32>,
    /// Tickets since then whose parts have not all ended.
    pub(crate) open: BTreeSet<u32>,
    /// By index uid.
    pub(crate) indexes: BTreeMap<String, IndexRun>,
    pub(crate) step: Step,
    /// Incarnation of the index that is being read.
    pub(crate) reading: u64,
    /// Pages in the queue of `to`.
    pub(crate) pages: BTreeMap<u32, pages::Sent>,
    /// Keys in the next page.
    pub(crate) page_keys: usize,
    /// How long the lock may be held for hot keys next time, in milliseconds.
    pub(crate) hold: u64,
    /// Reads and pages in a row that failed.
    pub(crate) fails: u32,
    /// Nothing before this time.
    pub(crate) pause: u64,
    /// The reading of the source's tasks, begun after the last look at its documents, that shows whether it still has
    /// the disk that was meant (F9).
    pub(crate) confirmed: Option<u64>,
    /// All is equal: what `to` has in its queue now counts for the tasks that it belongs to.
    pub(crate) closing: bool,
}

impl Run {
    /// Keys that it still has to write.
    pub(crate) fn keys(&self) -> usize {
        self.indexes.values().map(|index| index.copy.len() + index.remove.len()).sum()
    }
}

/// What a run does at the moment.
#[derive(Debug)]
pub(crate) enum Step {
    Idle,
    /// A node is being asked.
    Reading(OpId, Reading),
    /// A page ticket waits for its lock, or its answer.
    Page(pages::PageInHand),
}

/// What is being read.
#[derive(Debug)]
pub(crate) enum Reading {
    /// What `to` has.
    To { index: String, check: Check, floor: u32 },
    /// What `from` has.
    From { index: String, check: Check, floor: u32, to: BTreeMap<String, u128> },
    /// Documents for a page.
    Fetch { index: String, keys: Vec<String>, floor: u32 },
}

impl Reading {
    pub(crate) fn index(&self) -> &str {
        match self {
            Self::To { index, .. } | Self::From { index, .. } | Self::Fetch { index, .. } => index,
        }
    }
}

/// Keys to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    All,
    Keys(BTreeSet<String>),
}

/// One index of a run.
#[derive(Clone, Debug)]
pub(crate) struct IndexRun {
    pub(crate) incarnation: u64,
    pub(crate) check: Check,
    /// Keys that differ: to be read from `from` and written to `to`.
    pub(crate) copy: BTreeSet<String>,
    /// Keys that only `to` has, if no ticket above `remove_floor` touched them.
    pub(crate) remove: BTreeSet<String>,
    pub(crate) remove_floor: u32,
    /// Keys touched since the copy became dual; those that matter no more are forgotten at the start of a round.
    pub(crate) touched: BTreeMap<String, Touch>,
    /// The last ticket that may have touched any key.
    pub(crate) whole: u32,
    /// Since when such tickets have kept it from being compared; none while they do not.
    pub(crate) blocked: Option<u64>,
    /// How often keys had to be set aside.
    pub(crate) delays: BTreeMap<String, u32>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touch {
    /// The last ticket that touched it.
    pub(crate) last: u32,
    /// Both copies are known to be equal as of some ticket since it became dual, whatever came later included.
    pub(crate) clean: bool,
}

impl Default for Check {
    fn default() -> Self {
        Self::none()
    }
}

impl Check {
    pub(crate) fn none() -> Self {
        Self::Keys(BTreeSet::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Keys(keys) if keys.is_empty())
    }

    /// More keys than this are compared by reading the whole shard.
    const MOST: usize = 5_000;

    pub(crate) fn add(&mut self, key: String) {
        if let Self::Keys(keys) = self {
            keys.insert(key);
            if keys.len() > Self::MOST {
                *self = Self::All;
            }
        }
    }

    pub(crate) fn join(&mut self, other: Self) {
        match other {
            Self::All => *self = Self::All,
            Self::Keys(keys) => keys.into_iter().for_each(|key| self.add(key)),
        }
    }
}

impl IndexRun {
    pub(crate) fn new(incarnation: u64, check: Check) -> Self {
        Self {
            incarnation,
            check,
            copy: BTreeSet::new(),
            remove: BTreeSet::new(),
            remove_floor: 0,
            touched: BTreeMap::new(),
            whole: 0,
            blocked: None,
            delays: BTreeMap::new(),
        }
    }

    /// Whether nothing is left to do for it.
    pub(crate) fn is_done(&self) -> bool {
        self.check.is_empty() && self.copy.is_empty() && self.remove.is_empty()
    }

    /// A ticket above `floor` may have touched this key.
    pub(crate) fn touched_above(&self, key: &str, floor: u32) -> bool {
        self.whole > floor || self.touched.get(key).is_some_and(|touch| touch.last > floor)
    }

    /// Takes note of what a write touches of a shard.
    pub(crate) fn touch(&mut self, ticket: &Ticket, shard: u32, shards: u32) {
        let uid = ticket.row.uid;
        let Some(keys) = &ticket.keys else {
            self.whole = uid;
            return;
        };
        for key in keys.iter().filter(|key| miroir_core::hash::shard_of(key.as_bytes(), shards) == shard) {
            self.touched.entry(key.clone()).or_default().last = uid;
        }
    }

    fn is_clean(&self, key: &str) -> bool {
        self.touched.get(key).is_some_and(|touch| touch.clean)
    }

    /// Whether writes of unknown keys leave it no moment in which both copies show the same tickets: then keys are made
    /// equal one page after the other under the lock, and stay so whatever comes later.
    pub(crate) fn is_starved(&self, now: u64, limit: u64) -> bool {
        self.blocked.is_some_and(|since| since + limit <= now)
    }

    /// Sets a key aside: it is compared by its id in the next round.
    pub(crate) fn delay(&mut self, key: String) {
        *self.delays.entry(key.clone()).or_default() += 1;
        self.check.add(key);
    }
}
