//! Writing one node's part of a payload: its documents as they came, each with its shard's tag as last field.

use super::{Layout, SplitPlan};
use crate::tag::{self, TAG_FIELD};

/// The documents of the shards that `wanted` takes, in their order, in the format that came; exactly as much memory
/// is reserved as is used. `body` is the body that was planned. A part without documents is an empty payload of the
/// format (`[]`, no lines, a header only); for a single object it is empty.
#[must_use]
pub fn payload(body: &[u8], plan: &SplitPlan, wanted: &dyn Fn(u32) -> bool) -> Vec<u8> {
    let tails = Tails::new(plan, wanted);
    let mut head = Vec::new();
    plan.layout.head(body, &mut head);
    // An open quote can only be the last document's; room for closing it is reserved where that one is wanted.
    let close = plan.layout.is_open() && plan.items.last().is_some_and(|last| tails.get(last.shard).is_some());
    let length = [head.len(), tails.documents, usize::from(close)].into_iter().fold(0, usize::saturating_add);
    let mut part = Vec::with_capacity(length.saturating_add(plan.layout.around(tails.items)));
    part.extend_from_slice(&head);
    write(body, plan, &tails, &mut part);
    part
}

/// What follows each document of the wanted shards.
struct Tails {
    /// By shard: where its tail stands in `bytes`, in tails, from 1; 0 for shards that are not wanted.
    slots: Vec<u32>,
    /// Tails, all of one length.
    bytes: Vec<u8>,
    length: usize,
    /// Wanted documents.
    items: usize,
    /// Their bytes with their tails.
    documents: usize,
}

impl Tails {
    fn new(plan: &SplitPlan, wanted: &dyn Fn(u32) -> bool) -> Self {
        let last = plan.shards.last().and_then(|touched| usize::try_from(touched.shard).ok());
        let slots = vec![0; last.map_or(0, |last| last.saturating_add(1))];
        let mut tails = Self { slots, bytes: Vec::new(), length: 0, items: 0, documents: 0 };
        let cut = plan.layout.cut();
        let mut made = 0u32;
        for (touched, tally) in plan.shards.iter().zip(&plan.tallies).filter(|(touched, _)| wanted(touched.shard)) {
            made = made.saturating_add(1);
            if let Some(slot) = usize::try_from(touched.shard).ok().and_then(|shard| tails.slots.get_mut(shard)) {
                *slot = made;
            }
            let start = tails.bytes.len();
            plan.layout.tail(&tag::encode(touched.shard, plan.shard_count), &mut tails.bytes);
            tails.length = tails.bytes.len().saturating_sub(start);
            tails.items = tails.items.saturating_add(tally.items);
            let each = tails.length.saturating_sub(cut).saturating_mul(tally.items);
            tails.documents = tails.documents.saturating_add(tally.bytes).saturating_add(each);
        }
        tails
    }

    /// The tail for a document of this shard; none if it is not wanted.
    #[inline]
    fn get(&self, shard: u16) -> Option<&[u8]> {
        let slot = usize::try_from(*self.slots.get(usize::from(shard))?).ok()?;
        let start = slot.checked_sub(1)?.wrapping_mul(self.length);
        self.bytes.get(start..start.wrapping_add(self.length))
    }
}

impl Layout {
    /// Bytes that end a document whose tag has this value.
    fn tail(&self, tag: &str, out: &mut Vec<u8>) {
        match self {
            Self::Array | Self::Object | Self::Ndjson => {
                for piece in [",\"", TAG_FIELD, "\":\"", tag, "\"}"] {
                    out.extend_from_slice(piece.as_bytes());
                }
                if matches!(self, Self::Ndjson) {
                    out.push(b'\n');
                }
            }
            Self::Csv { delimiter, .. } => {
                out.push(*delimiter);
                out.extend_from_slice(tag.as_bytes());
                out.push(terminator(*delimiter));
            }
            Self::Ids => {}
        }
    }

    /// Bytes cut off a document's end, which its tail brings again: the closing brace.
    fn cut(&self) -> usize {
        match self {
            Self::Array | Self::Object | Self::Ndjson => 1,
            Self::Csv { .. } | Self::Ids => 0,
        }
    }

    /// True for a list of items with commas between them.
    fn is_list(&self) -> bool {
        matches!(self, Self::Array | Self::Ids)
    }

    /// True if the payload ended within a quoted field.
    fn is_open(&self) -> bool {
        matches!(self, Self::Csv { open: true, .. })
    }

    /// Bytes between so many documents, and behind them.
    fn around(&self, items: usize) -> usize {
        if self.is_list() { items.max(1) } else { 0 }
    }

    /// What comes before all documents.
    fn head(&self, body: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Array | Self::Ids => out.push(b'['),
            Self::Object | Self::Ndjson => {}
            Self::Csv { delimiter, header, .. } => {
                out.extend_from_slice(body.get(header.clone()).unwrap_or_default());
                if self.is_open() && header.end == body.len() {
                    out.push(b'"');
                }
                out.push(*delimiter);
                // The name must be quoted where one of its own characters is the delimiter.
                let quote: &[u8] = if TAG_FIELD.as_bytes().contains(delimiter) { b"\"" } else { b"" };
                for piece in [quote, TAG_FIELD.as_bytes(), quote, &[terminator(*delimiter)]] {
                    out.extend_from_slice(piece);
                }
            }
        }
    }
}

/// A byte that ends records and is not the delimiter.
fn terminator(delimiter: u8) -> u8 {
    if delimiter == b'\n' { b'\r' } else { b'\n' }
}

fn write(body: &[u8], plan: &SplitPlan, tails: &Tails, part: &mut Vec<u8>) {
    let (list, cut, open) = (plan.layout.is_list(), plan.layout.cut(), plan.layout.is_open());
    let mut first = true;
    for item in &plan.items {
        let Some(tail) = tails.get(item.shard) else { continue };
        if list && !first {
            part.push(b',');
        }
        first = false;
        part.extend_from_slice(body.get(item.start..item.end.saturating_sub(cut)).unwrap_or_default());
        if open && item.end == body.len() {
            part.push(b'"');
        }
        part.extend_from_slice(tail);
    }
    if list {
        part.push(b']');
    }
}
