//! The inner loops of the JSON scanners: how far a string goes without a quote, a backslash or a control character, and
//! whether bytes repeat. Sixteen bytes at a time where the build has vector instructions, which are named because the
//! compilers find no vector form by themselves; elsewhere eight bytes at a time in a word.

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use words::stop as stop_in_blocks;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use vectors::stop as stop_in_blocks;

/// Position of the first quote, backslash or control character from `at` on (the end where there is none), and whether
/// a byte that is not ASCII may stand before it.
#[inline(always)]
pub(crate) fn stop(bytes: &[u8], at: usize) -> (usize, bool) {
    stop_in_blocks(bytes, at)
}

/// The last few bytes, one at a time.
#[cold]
fn tail(bytes: &[u8], at: usize) -> (usize, bool) {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
    (at.saturating_add(length).min(bytes.len()), rest.iter().take(length).any(|byte| !byte.is_ascii()))
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod vectors {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128_or};

    #[inline(always)]
    pub(super) fn stop(bytes: &[u8], mut at: usize) -> (usize, bool) {
        let mut seen = u64x2(0, 0);
        while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>) {
            let [low, high] = *chunk.as_chunks::<8>().0 else { break };
            let block = u64x2(u64::from_le_bytes(low), u64::from_le_bytes(high));
            let quoted = v128_or(u8x16_eq(block, u8x16_splat(b'"')), u8x16_eq(block, u8x16_splat(b'\\')));
            let marks = u8x16_bitmask(v128_or(quoted, u8x16_lt(block, u8x16_splat(0x20))));
            if marks != 0 {
                let offset = marks.trailing_zeros();
                let before = u32::from(u8x16_bitmask(block)) & 1u32.wrapping_shl(offset).wrapping_sub(1);
                return (at.wrapping_add(offset as usize), before != 0 || u8x16_bitmask(seen) != 0);
            }
            seen = v128_or(seen, block);
            at = at.wrapping_add(16);
        }
        let (end, high) = super::tail(bytes, at);
        (end, high || u8x16_bitmask(seen) != 0)
    }
}

#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
mod words {
    use super::tail;

    const HIGHS: u64 = 0x8080_8080_8080_8080;

    #[inline(always)]
    pub(super) fn stop(bytes: &[u8], mut at: usize) -> (usize, bool) {
        let mut seen = 0u64;
        while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let marks = marks(word);
            seen |= word;
            if marks != 0 {
                // The lowest mark is exact: borrows only go upwards. Bytes behind the stop may count as seen.
                let offset = (marks.trailing_zeros() >> 3) as usize;
                return (at.wrapping_add(offset), seen & HIGHS != 0);
            }
            at = at.wrapping_add(8);
        }
        let (end, high) = tail(bytes, at);
        (end, high || seen & HIGHS != 0)
    }

    /// The high bit of the first byte at which a string stops (and maybe of later ones).
    #[inline(always)]
    fn marks(word: u64) -> u64 {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let quote = word ^ ONES.wrapping_mul(0x22);
        let slash = word ^ ONES.wrapping_mul(0x5c);
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word);
        found & HIGHS
    }
}

/// Whether `bytes` holds the same at `at` as at the earlier place from `start` to `end`; without a call, and a word at
/// a time.
#[inline]
pub(crate) fn repeats(bytes: &[u8], at: usize, start: usize, end: usize) -> bool {
    let Some(known) = bytes.get(start..end) else { return false };
    let Some(here) = bytes.get(at..).and_then(|rest| rest.get(..known.len())) else { return false };
    let same = |left: &[u8; 8], right: &[u8; 8]| u64::from_le_bytes(*left) == u64::from_le_bytes(*right);
    // The last word overlaps the one before it.
    if let (Some(known), Some(here)) = (known.last_chunk::<8>(), here.last_chunk::<8>()) {
        if !same(known, here) {
            return false;
        }
    } else if let (Some(last), Some(here_last)) = (known.last_chunk::<4>(), here.last_chunk::<4>()) {
        return last == here_last && known.first_chunk::<4>() == here.first_chunk::<4>();
    } else {
        return known.iter().zip(here).all(|(left, right)| left == right);
    }
    let (known, here) = (known.as_chunks::<8>().0, here.as_chunks::<8>().0);
    known.iter().zip(here).all(|(left, right)| same(left, right))
}

#[cfg(test)]
pub(crate) mod checks {
    //! What the vector form and the form of words both find: on every machine that the tests run on, wasm32 included.
    use super::{repeats, stop, words};

    /// Bytes of all kinds in an order that depends on `seed`; most of them do not stop a string.
    fn sample(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let byte = |roll: u32| match roll % 41 {
            0 => b'"',
            1 => b'\\',
            2 => ((roll >> 8) % 0x20) as u8,
            3 => 0x7f | (roll >> 8) as u8,
            _ => b' ' + ((roll >> 8) % 95) as u8,
        };
        (0..length).map(|_| byte(next())).collect()
    }

    pub(crate) fn forms_agree() {
        for seed in 0..400 {
            let bytes = sample(seed, (seed % 83) as usize);
            for at in 0..=bytes.len() + 1 {
                let rest = bytes.get(at..).unwrap_or_default();
                let length = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
                let end = length.map_or(bytes.len(), |length| at + length);
                let ascii = bytes.get(at..end).unwrap_or_default().is_ascii();
                for (found, high) in [stop(&bytes, at), words::stop(&bytes, at)] {
                    assert_eq!(found, end, "{bytes:?} from {at}");
                    assert!(high || ascii, "{bytes:?} from {at}");
                }
            }
        }
        for byte in 0..=u8::MAX {
            for length in 0..40 {
                let mut bytes = vec![b'a'; length];
                bytes.push(byte);
                let stops = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(stop(&bytes, 0).0, if stops { length } else { length + 1 }, "{byte} behind {length}");
                assert!(repeats(&bytes, length, length, length + 1));
            }
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vector_form_and_the_form_of_words_agree() {
        checks::forms_agree();
    }

    proptest! {
        #[test]
        fn the_stop_is_exact(bytes in prop::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..60), at in 0usize..64) {
            let rest = bytes.get(at..).unwrap_or_default();
            let length = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
            let end = length.map_or(bytes.len(), |length| at + length);
            let (found, high) = stop(&bytes, at);
            prop_assert_eq!(found, end);
            prop_assert!(high || bytes.get(at..end).unwrap_or_default().is_ascii());
        }

        #[test]
        fn repetition_is_exact(bytes in prop::collection::vec(0u8..2, 0..60), at in 0usize..64, start in 0usize..64, end in 0usize..64) {
            let same = bytes.get(start..end).is_some_and(|known| bytes.get(at..).is_some_and(|rest| rest.starts_with(known)));
            prop_assert_eq!(repeats(&bytes, at, start, end), same);
        }
    }
}
