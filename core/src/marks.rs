//! Where JSON strings may stop, 64 bytes at a time: one bit for each quote, backslash and control character of a block.
//! A block is read once however many strings stop in it. With vector instructions where the build has them, which are
//! named because the compilers find no such form by themselves; elsewhere in plain terms.

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use plain::marks;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use vectors::marks;

/// Bytes of a block.
const BLOCK: usize = 64;

/// The marks of the block that was read last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// Where the block begins.
    base: usize,
    /// Lowest bit for its first byte.
    stops: u64,
    /// There are bytes that are not ASCII in a block that has been read since the last [`Marks::forget`], or in the one
    /// that had been read then.
    seen: bool,
}

impl Marks {
    /// The block that begins at `at`.
    #[inline(always)]
    pub(crate) fn new(bytes: &[u8], at: usize) -> Self {
        let (stops, seen) = read(bytes, at);
        Self { base: at, stops, seen }
    }

    /// Position of the first quote, backslash or control character from `at` on; none if there is no more.
    #[inline(always)]
    pub(crate) fn stop(&mut self, bytes: &[u8], mut at: usize) -> Option<usize> {
        let offset = at.wrapping_sub(self.base);
        if offset < BLOCK {
            let rest = self.stops.wrapping_shr(offset as u32);
            if rest != 0 {
                return Some(at.wrapping_add(rest.trailing_zeros() as usize));
            }
            at = self.base.wrapping_add(BLOCK);
        }
        while at < bytes.len() {
            let (stops, high) = read(bytes, at);
            (self.base, self.stops, self.seen) = (at, stops, self.seen | high);
            if self.stops != 0 {
                return Some(at.wrapping_add(self.stops.trailing_zeros() as usize));
            }
            at = at.wrapping_add(BLOCK);
        }
        None
    }

    /// Whether a byte that is not ASCII may stand before any stop that was given since the last [`Marks::forget`].
    #[inline(always)]
    pub(crate) fn seen(&self) -> bool {
        self.seen
    }

    /// What comes from the present block on is to be told from what came before.
    #[inline(always)]
    pub(crate) fn forget(&mut self, bytes: &[u8]) {
        if self.seen {
            self.seen = read(bytes, self.base).1;
        }
    }
}

/// The marks of the block at `at`, and whether there are bytes in it that are not ASCII.
#[inline(always)]
fn read(bytes: &[u8], at: usize) -> (u64, bool) {
    match bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        Some(block) => marks(block),
        None => last(bytes, at),
    }
}

/// The same for the last bytes, which fill no block.
#[cold]
#[inline(never)]
fn last(bytes: &[u8], at: usize) -> (u64, bool) {
    let mut block = [b' '; BLOCK];
    for (to, from) in block.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    marks(&block)
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod vectors {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128, v128_or};

    use super::BLOCK;

    #[inline(always)]
    pub(super) fn marks(block: &[u8; BLOCK]) -> (u64, bool) {
        let ([a, b, c, d], _) = block.as_chunks::<16>() else { return (0, false) };
        let [a, b, c, d] = [a, b, c, d].map(|bytes| {
            let words = u128::from_le_bytes(*bytes);
            u64x2(words as u64, words.wrapping_shr(64) as u64)
        });
        let low = stops(a) | stops(b).wrapping_shl(16);
        let high = stops(c) | stops(d).wrapping_shl(16);
        let all = v128_or(v128_or(a, b), v128_or(c, d));
        (u64::from(low) | u64::from(high).wrapping_shl(32), u8x16_bitmask(all) != 0)
    }

    #[inline(always)]
    fn stops(bytes: v128) -> u32 {
        let quoted = v128_or(u8x16_eq(bytes, u8x16_splat(b'"')), u8x16_eq(bytes, u8x16_splat(b'\\')));
        u32::from(u8x16_bitmask(v128_or(quoted, u8x16_lt(bytes, u8x16_splat(0x20)))))
    }
}

#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
mod plain {
    use super::BLOCK;

    #[inline(always)]
    pub(super) fn marks(block: &[u8; BLOCK]) -> (u64, bool) {
        let mut ones = [0; BLOCK];
        // The compilers make vector instructions of this loop, but not of the next.
        for (one, byte) in ones.iter_mut().zip(block) {
            *one = u8::from((*byte < 0x20) | (*byte == b'"') | (*byte == b'\\'));
        }
        let gathered = ones.as_chunks::<8>().0.iter().rev().fold(0u64, |bits, ones| {
            // Brings the lowest bits of eight bytes together in the highest byte.
            let eight = u64::from_le_bytes(*ones).wrapping_mul(0x0102_0408_1020_4080).wrapping_shr(56);
            bits.wrapping_shl(8) | eight
        });
        (gathered, !block.is_ascii())
    }
}

#[cfg(test)]
pub(crate) mod checks {
    //! What the forms find, beside what a loop over the bytes finds: on every machine that the tests run on, wasm32
    //! included.
    use super::{BLOCK, Marks, marks, plain};

    fn stops(byte: u8) -> bool {
        byte < 0x20 || byte == b'"' || byte == b'\\'
    }

    fn one_by_one(block: &[u8; BLOCK]) -> (u64, bool) {
        let bits = block.iter().enumerate().map(|(position, byte)| u64::from(stops(*byte)) << position);
        (bits.sum(), !block.is_ascii())
    }

    /// Every stop from every position, as a loop over the bytes finds them.
    pub(crate) fn walks_right(bytes: &[u8]) {
        for start in 0..=bytes.len() + 1 {
            let mut marks = Marks::new(bytes, start);
            let mut at = start;
            loop {
                let expected = bytes.iter().skip(at).position(|byte| stops(*byte)).map(|offset| at + offset);
                assert_eq!(marks.stop(bytes, at), expected, "{bytes:?} from {start}, then from {at}");
                let ascii = bytes.iter().take(expected.unwrap_or(bytes.len())).skip(at).all(u8::is_ascii);
                assert!(ascii || marks.seen(), "{bytes:?} from {at}");
                let Some(stop) = expected else { break };
                at = stop + 1 + start % 3;
                marks.forget(bytes);
            }
        }
    }

    pub(crate) fn forms_agree() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                let mut block = [b'a'; BLOCK];
                block[place] = byte;
                block[BLOCK - 1 - place] = byte.wrapping_add(0x80);
                let expected = one_by_one(&block);
                assert_eq!(marks(&block), expected, "{byte} at {place}");
                assert_eq!(plain::marks(&block), expected, "{byte} at {place}");
            }
        }
        let text = "Words, \"quotes\", \\\\ and \u{e9}\u{2E00} \n".repeat(9);
        for length in 0..text.len() {
            walks_right(&text.as_bytes()[..length]);
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_forms_find_what_a_loop_finds() {
        checks::forms_agree();
    }

    proptest! {
        #[test]
        fn every_stop_is_found(bytes in prop::collection::vec(prop_oneof![4 => Just(b'a'), 1 => any::<u8>()], 0..200)) {
            checks::walks_right(&bytes);
        }

        #[test]
        fn blocks_of_any_bytes_are_read_alike(block: [u8; 32], other: [u8; 32]) {
            let mut whole = [0; BLOCK];
            whole[..32].copy_from_slice(&block);
            whole[32..].copy_from_slice(&other);
            prop_assert_eq!(marks(&whole), plain::marks(&whole));
        }
    }
}
