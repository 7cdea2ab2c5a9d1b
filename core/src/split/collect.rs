//! Gathers what the readers of all formats find: where each document stands, its shard, the distinct keys of every
//! shard, and the first fault of each rank.

use std::borrow::Cow;
use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{Layout, SplitError, SplitPlan};
use crate::error::ErrorBody;
use crate::hash;
use crate::wire::{KeySource, ShardCount};

/// Where one document (or one id of a deletion) stands in the body.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Its first byte.
    pub(super) start: usize,
    /// The byte behind its last.
    pub(super) end: usize,
    /// Where its key's raw bytes begin, counted from `start`.
    key_at: u32,
    /// Length of the key's raw bytes. An id has at most 511 characters, each at most 6 bytes when escaped.
    key_length: u16,
    /// Its shard ([`crate::tag::MAX_SHARDS`] is 2^16).
    pub(super) shard: u16,
}

impl Item {
    /// The raw bytes of the key.
    pub(super) fn key<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        let start = self.start.saturating_add(usize::try_from(self.key_at).unwrap_or(usize::MAX));
        body.get(start..start.saturating_add(usize::from(self.key_length))).unwrap_or_default()
    }
}

/// Most documents for which memory is set aside after the first one.
const MOST_RESERVED: usize = 1 << 16;

/// What a payload holds of one shard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Distinct keys.
    keys: u32,
    /// Documents, repeated keys counted.
    pub(super) items: usize,
    /// Bytes of these documents.
    pub(super) bytes: usize,
}

/// Turns a key's raw bytes, which have passed the rules of [`crate::key`], into its canonical text.
pub(super) type Canonical = fn(&[u8]) -> Option<Cow<'_, str>>;

/// Half of a key's hash, and the position in the items of the first document that has it. They are small, so that the
/// caches hold the table.
#[derive(Clone, Copy)]
struct First {
    hash: u32,
    position: u32,
}

impl First {
    /// The hash by which the table places it: spread again over 64 bits, of which the table takes both ends.
    fn spread(&self) -> u64 {
        u64::from(self.hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// What has been found so far.
pub(super) struct Collector<'a> {
    body: &'a [u8],
    shard_count: u32,
    canonical: Canonical,
    items: Vec<Item>,
    received: u64,
    /// What has come by shard.
    shards: Vec<Tally>,
    /// The first document of each key.
    distinct: HashTable<First>,
    /// First fault of a key: only these fail a task before any value is read.
    key_fault: Option<ErrorBody>,
    /// First fault of another field.
    field_fault: Option<ErrorBody>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(body: &'a [u8], shard_count: u32, canonical: Canonical) -> Self {
        let shards = usize::try_from(shard_count).unwrap_or_default();
        Self {
            body,
            shard_count,
            canonical,
            items: Vec::new(),
            received: 0,
            shards: vec![Tally::default(); shards],
            distinct: HashTable::new(),
            key_fault: None,
            field_fault: None,
        }
    }

    /// Notes a fault of the keys of the whole payload.
    pub(super) fn fail(&mut self, fault: ErrorBody) {
        self.key_fault.get_or_insert(fault);
    }

    /// Counts a document that cannot be placed.
    pub(super) fn refuse_key(&mut self, fault: ErrorBody) {
        self.count_only();
        self.fail(fault);
    }

    /// Notes a fault of a document's field. The document is still to be counted by one of the other functions.
    pub(super) fn refuse_field(&mut self, fault: impl FnOnce() -> ErrorBody) {
        self.field_fault.get_or_insert_with(fault);
    }

    /// Counts a document that is not to be placed.
    pub(super) fn count_only(&mut self) {
        self.received = self.received.saturating_add(1);
    }

    /// True once the task is bound to fail for a key: documents are then only counted.
    pub(super) fn key_failed(&self) -> bool {
        self.key_fault.is_some()
    }

    /// The canonical text of a key's raw bytes; none if it is no valid id.
    pub(super) fn canonical_of<'r>(&self, raw: &'r [u8]) -> Option<Cow<'r, str>> {
        (self.canonical)(raw)
    }

    /// Places a document that stands at `at`, by the key whose raw bytes stand at `key`; `canonical` are the
    /// bytes of its canonical text.
    pub(super) fn place(&mut self, at: Range<usize>, key: Range<usize>, canonical: &[u8]) {
        self.received = self.received.saturating_add(1);
        let hash = hash::key_hash(canonical);
        let shard = hash::shard_of_hash(hash, self.shard_count);
        let item = Item {
            start: at.start,
            end: at.end,
            key_at: u32::try_from(key.start.saturating_sub(at.start)).unwrap_or(u32::MAX),
            key_length: u16::try_from(key.end.saturating_sub(key.start)).unwrap_or(u16::MAX),
            shard: u16::try_from(shard).unwrap_or_default(),
        };
        let (items, body, read) = (&self.items, self.body, self.canonical);
        let first = First { hash: (hash >> 32) as u32, position: u32::try_from(items.len()).unwrap_or(u32::MAX) };
        // Equal hashes are nearly always equal keys; the text decides, so that no crafted collision spoils the count.
        let same = |other: &First| {
            let other = usize::try_from(other.position).ok().filter(|_| other.hash == first.hash);
            other
                .and_then(|position| items.get(position))
                .is_some_and(|other| read(other.key(body)).is_some_and(|other| other.as_bytes() == canonical))
        };
        let new = match self.distinct.entry(first.spread(), same, First::spread) {
            Entry::Vacant(entry) => {
                entry.insert(first);
                1
            }
            Entry::Occupied(_) => 0,
        };
        if let Some(tally) = self.shards.get_mut(usize::from(item.shard)) {
            tally.keys = tally.keys.saturating_add(new);
            tally.items = tally.items.saturating_add(1);
            tally.bytes = tally.bytes.saturating_add(item.end.saturating_sub(item.start));
        }
        if self.items.is_empty() {
            // As many as there would be if all were like the first, within reason: growing step by step costs more.
            let like_first = self.body.len().checked_div(item.end.saturating_sub(item.start)).unwrap_or_default();
            self.items.reserve(like_first.saturating_add(1).min(MOST_RESERVED));
            self.distinct.reserve(like_first.min(MOST_RESERVED), First::spread);
        }
        self.items.push(item);
    }

    /// The plan, or the fault that the task fails with.
    pub(super) fn finish(
        self,
        layout: Layout,
        primary_key: Option<String>,
        key_source: KeySource,
    ) -> Result<SplitPlan, SplitError> {
        if let Some(error) = self.key_fault.or(self.field_fault) {
            return Err(SplitError::Task { error, received: self.received });
        }
        let touched = || (0u32..).zip(&self.shards).filter(|(_, tally)| tally.items > 0);
        Ok(SplitPlan {
            primary_key,
            key_source,
            received: self.received,
            shards: touched().map(|(shard, tally)| ShardCount { shard, keys: tally.keys }).collect(),
            tallies: touched().map(|(_, tally)| *tally).collect(),
            shard_count: self.shard_count,
            layout,
            items: self.items,
            canonical: self.canonical,
        })
    }
}
