//! Writing one node's part of a payload: its documents as they came, each with its shard's tag as last field.

use super::{Layout, SplitPlan};
use crate::tag::{self, TAG_FIELD};

/// The documents of the shards that `wanted` takes, in their order, in the format that came; exactly as much memory
/// is reserved as is used. `body` is the body that was planned. A part without documents is an empty payload of the
/// format (`[]`, no lines, a header only); for a single object it is empty.
#[must_use]
pub fn payload(body: &[u8], plan: &SplitPlan, wanted: &dyn Fn(u32) -> bool) -> Vec<u8> {
    let tags = Tags::new(plan, wanted);
    let mut writer = Writer { length: 0, bytes: None };
    write(body, plan, &tags, &mut writer);
    let mut writer = Writer { length: 0, bytes: Some(Vec::with_capacity(writer.length)) };
    write(body, plan, &tags, &mut writer);
    writer.bytes.unwrap_or_default()
}

/// Counts bytes, and writes them on the second run.
struct Writer {
    length: usize,
    bytes: Option<Vec<u8>>,
}

impl Writer {
    #[inline]
    fn put(&mut self, piece: &[u8]) {
        match &mut self.bytes {
            Some(bytes) => bytes.extend_from_slice(piece),
            None => self.length = self.length.saturating_add(piece.len()),
        }
    }
}

/// What follows a document's last byte but its closing one, by shard; empty for shards that are not wanted.
struct Tags {
    of: Vec<Vec<u8>>,
}

impl Tags {
    fn new(plan: &SplitPlan, wanted: &dyn Fn(u32) -> bool) -> Self {
        let mut of = Vec::new();
        for touched in plan.shards.iter().filter(|touched| wanted(touched.shard)) {
            let at = usize::try_from(touched.shard).unwrap_or_default();
            if of.len() <= at {
                of.resize(at.saturating_add(1), Vec::new());
            }
            if let Some(tail) = of.get_mut(at) {
                *tail = plan.layout.tail(&tag::encode(touched.shard, plan.shard_count));
            }
        }
        Self { of }
    }

    #[inline]
    fn get(&self, shard: u16) -> Option<&[u8]> {
        self.of.get(usize::from(shard)).map(Vec::as_slice).filter(|tail| !tail.is_empty())
    }
}

impl Layout {
    /// Bytes that end a document whose tag has this value.
    fn tail(&self, tag: &str) -> Vec<u8> {
        match self {
            Self::Array | Self::Object => format!(r#","{TAG_FIELD}":"{tag}"}}"#).into_bytes(),
            Self::Ndjson => format!(",\"{TAG_FIELD}\":\"{tag}\"}}\n").into_bytes(),
            // The byte that is cut off below.
            Self::Ids => b",".to_vec(),
        }
    }
}

fn write(body: &[u8], plan: &SplitPlan, tags: &Tags, writer: &mut Writer) {
    let list = matches!(plan.layout, Layout::Array | Layout::Ids);
    if list {
        writer.put(b"[");
    }
    let mut first = true;
    for item in &plan.items {
        let Some(tail) = tags.get(item.shard) else { continue };
        if list && !first {
            writer.put(b",");
        }
        first = false;
        if matches!(plan.layout, Layout::Ids) {
            writer.put(body.get(item.start..item.end).unwrap_or_default());
        } else {
            // All but the closing brace, which the tail brings.
            writer.put(body.get(item.start..item.end.saturating_sub(1)).unwrap_or_default());
            writer.put(tail);
        }
    }
    if list {
        writer.put(b"]");
    }
}
