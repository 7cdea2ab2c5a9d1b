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
            Self::Csv { delimiter, .. } => {
                let mut tail = vec![*delimiter];
                tail.extend_from_slice(tag.as_bytes());
                tail.push(terminator(*delimiter));
                tail
            }
            Self::Ids => b",".to_vec(),
        }
    }

    /// What comes before all documents.
    fn head(&self, body: &[u8], writer: &mut Writer) {
        match self {
            Self::Array | Self::Ids => writer.put(b"["),
            Self::Object | Self::Ndjson => {}
            Self::Csv { delimiter, header, .. } => {
                writer.put(body.get(header.clone()).unwrap_or_default());
                self.close(body, header.end, writer);
                writer.put(&[*delimiter]);
                // The name must be quoted where one of its own characters is the delimiter.
                let quote: &[u8] = if TAG_FIELD.as_bytes().contains(delimiter) { b"\"" } else { b"" };
                writer.put(quote);
                writer.put(TAG_FIELD.as_bytes());
                writer.put(quote);
                writer.put(&[terminator(*delimiter)]);
            }
        }
    }

    /// Closes the quoted field in which the body ended, if the record that ends here is the one.
    fn close(&self, body: &[u8], end: usize, writer: &mut Writer) {
        if matches!(self, Self::Csv { open: true, .. }) && end == body.len() {
            writer.put(b"\"");
        }
    }
}

/// A byte that ends records and is not the delimiter.
fn terminator(delimiter: u8) -> u8 {
    if delimiter == b'\n' { b'\r' } else { b'\n' }
}

fn write(body: &[u8], plan: &SplitPlan, tags: &Tags, writer: &mut Writer) {
    let layout = &plan.layout;
    layout.head(body, writer);
    let wanted = plan.items.iter().filter_map(|item| Some((item, tags.get(item.shard)?)));
    match layout {
        Layout::Array | Layout::Object | Layout::Ndjson => {
            for (position, (item, tail)) in wanted.enumerate() {
                if position > 0 && matches!(layout, Layout::Array) {
                    writer.put(b",");
                }
                // All but the closing brace, which the tail brings.
                writer.put(body.get(item.start..item.end.saturating_sub(1)).unwrap_or_default());
                writer.put(tail);
            }
        }
        Layout::Csv { .. } => {
            for (item, tail) in wanted {
                writer.put(body.get(item.start..item.end).unwrap_or_default());
                layout.close(body, item.end, writer);
                writer.put(tail);
            }
        }
        Layout::Ids => {
            for (position, (item, comma)) in wanted.enumerate() {
                if position > 0 {
                    writer.put(comma);
                }
                writer.put(body.get(item.start..item.end).unwrap_or_default());
            }
        }
    }
    if matches!(layout, Layout::Array | Layout::Ids) {
        writer.put(b"]");
    }
}
