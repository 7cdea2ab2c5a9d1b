//! Names that repeat. The documents of a payload mostly have the same members in the same order, so that what stands
//! between two values (a comma, a name, a colon, white space) is compared as a whole with what stood there in the
//! document before, and only read where it differs.

use std::ops::Range;

use super::scan::Text;

/// Members of a document that are remembered.
const MOST_MEMBERS: usize = 128;

/// Longest joint that is remembered, in bytes.
const LONGEST: usize = 16;

/// What stands before a value: from the opening brace or the end of the value before, to its first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joint {
    /// Its bytes and some that follow, the first lowest.
    bytes: u128,
    /// The bits of `bytes` that belong to it.
    mask: u128,
    /// Its length.
    length: usize,
    /// Where the name begins in it.
    name: usize,
    /// Where the name ends in it.
    quote: usize,
    /// The name is of no interest, whatever its value.
    idle: bool,
}

impl Joint {
    fn new(body: &[u8], at: Range<usize>, name: &Range<usize>) -> Option<Self> {
        let length = at.len();
        let bits = u32::try_from(LONGEST.checked_sub(length)?).ok()?.wrapping_mul(8);
        let bytes = window(body, at.start)?;
        let from_start = |position: usize| position.wrapping_sub(at.start);
        let (name, quote) = (from_start(name.start), from_start(name.end));
        Some(Self { bytes, mask: u128::MAX.checked_shr(bits)?, length, name, quote, idle: false })
    }

    /// Where the name stands in a joint like this that begins at `at`.
    #[inline(always)]
    pub(super) fn name(&self, at: usize) -> Range<usize> {
        at.wrapping_add(self.name)..at.wrapping_add(self.quote)
    }

    #[inline(always)]
    pub(super) fn is_idle(&self) -> bool {
        self.idle
    }

    /// Position behind a joint like this that begins at `at`.
    #[inline(always)]
    pub(super) fn end(&self, at: usize) -> usize {
        at.wrapping_add(self.length)
    }
}

/// As many bytes as a joint may have, from `at` on; none so near to the end.
#[inline(always)]
fn window(body: &[u8], at: usize) -> Option<u128> {
    Some(u128::from_le_bytes(*body.get(at..)?.first_chunk::<LONGEST>()?))
}

/// The joints of the document that was read last, in their order.
#[derive(Debug, Default)]
pub(super) struct Shape(Vec<Option<Joint>>);

impl Shape {
    /// The joint at this place in the order, if the same bytes stand at `at`. What such bytes mean depends on what came
    /// before them only in being the first joint or a later one.
    #[inline(always)]
    pub(super) fn repeated(&self, place: usize, body: &[u8], at: usize) -> Option<&Joint> {
        let joint = self.0.get(place)?.as_ref()?;
        ((window(body, at)? ^ joint.bytes) & joint.mask == 0).then_some(joint)
    }

    /// Remembers a joint that has been read; `name` is where its name stands. Names with escapes are to be read anew.
    pub(super) fn note(&mut self, place: usize, body: &[u8], at: Range<usize>, name: &Text) {
        let joint = if name.escaped { None } else { Joint::new(body, at, &name.range) };
        if let Some(old) = self.0.get_mut(place) {
            *old = joint;
        } else if self.0.len() < MOST_MEMBERS {
            // Places are noted in their order, so this is the next.
            self.0.push(joint);
        }
    }

    /// The name at this place is of no interest, whatever its value.
    pub(super) fn set_idle(&mut self, place: usize) {
        if let Some(Some(joint)) = self.0.get_mut(place) {
            joint.idle = true;
        }
    }
}
