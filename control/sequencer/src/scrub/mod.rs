//! SCRUB: a pass over all shards, spread out over a day, that compares the copies in sync with each other while reads
//! and writes go on (F25).
//!
//! Copies in sync take the same tickets in the same order, so that two of them must show the same wherever both have
//! finished the same tickets. A *look* reads keys and digests of all copies of a shard, some keys at a time, and sets
//! aside what an unfinished ticket touches; that is looked at again. What differs is looked at again as well, after the
//! tasks of all nodes have been read: if AUDIT, OUTCOME or WITNESS know which copy deviated, it is stale by then, and
//! the resilver's. What still differs has no known reason. Then the *senior* copy wins, the one that has been in sync
//! for longest without a break: the caller writes the other versions down, and only when that is durable the copies
//! that have them become stale, and are repaired like any other.
//!
//! Unit after unit: first the indexes themselves on every node, and what on it belongs to none of its copies, then each
//! shard with all its indexes. Where a pass is, is
//! kept with the unit; a unit that was interrupted is begun anew.

mod documents;
mod findings;
mod indexes;
mod look;
mod outsiders;
mod pace;
pub(crate) mod rows;
mod verdict;

use std::collections::BTreeMap;

use crate::api::*;

use documents::ShardUnit;
use indexes::IndexUnit;
pub(crate) use outsiders::take_strangers;
use outsiders::{OutsiderUnit, Outsiders};

/// Everything about the comparison that is in memory.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    /// What is being looked at.
    unit: Option<Unit>,
    /// When nodes were last asked for documents.
    asked_at: u64,
    /// Nothing before this time.
    pause: u64,
    /// Why it does not get on.
    waiting: Option<String>,
    /// Why findings cannot be written down.
    blocked: Option<String>,
    /// Failures in a row at this unit.
    fails: u32,
    /// Counts what was asked of nodes: answers to anything but the last question say nothing.
    asked: u64,
    /// What is known of documents that belong to no copy, and has not been looked at yet.
    outsiders: Outsiders,
    /// By number.
    pub(crate) findings: BTreeMap<u64, FindingRow>,
}

/// What is being looked at.
#[derive(Debug)]
enum Unit {
    Indexes(IndexUnit),
    Outsiders(OutsiderUnit),
    Shard(ShardUnit),
}
