//! A validating JSON scanner: one pass over the bytes, no tree, no recursion, no allocation. It accepts exactly what
//! `serde_json` accepts when it reads raw values; what it refuses is read again by [`super::diagnose`] for the
//! message.

use std::ops::Range;

use crate::block;

/// The scanner met something that is not JSON, or nested deeper than [`MAX_DEPTH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault;

/// Deepest nesting of a field's value that the engine indexes (it fails the task beyond).
const MAX_DEPTH: u32 = 127;

/// Nesting from which a value is worth a second look: a single object is read whole by the engine, so that its fields
/// have a little less room.
const ODD_DEPTH: u32 = 120;

/// Longest number that cannot be beyond a double if its exponent has at most two digits.
const ODD_NUMBER_BYTES: usize = 200;

/// A string as it stands between its quotes.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// Bytes between the quotes.
    pub(super) range: Range<usize>,
    /// There are escapes in it.
    pub(super) escaped: bool,
}

/// A cursor over JSON bytes.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Since the last [`Scanner::take_odd`] something came by that is well-formed but that the engine may still refuse
    /// when it reads values: a surrogate escape, a number that may be beyond a double, deep nesting.
    odd: bool,
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Position of the first of three bytes, from `at` on; the end if there is none.
#[inline]
pub(super) fn first_of_three(bytes: &[u8], mut at: usize, needles: [u8; 3]) -> usize {
    let patterns = needles.map(|needle| LOW.wrapping_mul(u64::from(needle)));
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let hits = patterns.iter().fold(0, |hits, pattern| {
            let zero = word ^ pattern;
            hits | (zero.wrapping_sub(LOW) & !zero)
        }) & HIGH;
        if hits != 0 {
            return at.wrapping_add((hits.trailing_zeros() >> 3) as usize);
        }
        at = at.wrapping_add(8);
    }
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().position(|byte| needles.contains(byte)).map_or(bytes.len(), |offset| at.wrapping_add(offset))
}

/// Position of the first byte from `at` on that is no white space, with that byte.
#[inline(always)]
fn after_space(bytes: &[u8], mut at: usize) -> Option<(usize, u8)> {
    loop {
        match *bytes.get(at)? {
            b' ' | b'\n' | b'\t' | b'\r' => at = at.wrapping_add(1),
            byte => return Some((at, byte)),
        }
    }
}

/// Position behind a byte that must come next after white space.
#[inline(always)]
fn behind(bytes: &[u8], at: usize, expected: u8) -> Option<usize> {
    match after_space(bytes, at)? {
        (at, byte) if byte == expected => Some(at.wrapping_add(1)),
        _ => None,
    }
}

/// Position of the quote that closes a string whose text begins at `start`, and whether there are escapes in it.
#[inline(always)]
fn closing_quote(bytes: &[u8], start: usize, odd: &mut bool) -> Option<(usize, bool)> {
    let mut at = start;
    let mut escaped = false;
    let mut high = false;
    loop {
        let (end, seen) = block::stop(bytes, at);
        high |= seen;
        match *bytes.get(end)? {
            b'"' => {
                at = end;
                break;
            }
            b'\\' => {
                escaped = true;
                at = behind_escape(bytes, end, odd)?;
            }
            _ => return None,
        }
    }
    if high && std::str::from_utf8(bytes.get(start..at)?).is_err() {
        return None;
    }
    Some((at, escaped))
}

/// Position behind an escape whose backslash is at `at`.
fn behind_escape(bytes: &[u8], at: usize, odd: &mut bool) -> Option<usize> {
    let at = at.wrapping_add(1);
    let next = at.wrapping_add(1);
    match bytes.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(next),
        b'u' => {
            let end = next.wrapping_add(4);
            let digits = bytes.get(next..end)?;
            // Halves of surrogate pairs must match where the string is decoded: D800 to DFFF.
            *odd |= matches!(digits, [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
            digits.iter().all(u8::is_ascii_hexdigit).then_some(end)
        }
        _ => None,
    }
}

/// Position behind the digits from `at` on.
#[inline]
fn behind_digits(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at = at.wrapping_add(1);
    }
    at
}

/// Position behind a number that begins at `start`.
#[inline(always)]
fn behind_number(bytes: &[u8], start: usize, odd: &mut bool) -> Option<usize> {
    let mut at = start;
    if bytes.get(at) == Some(&b'-') {
        at = at.wrapping_add(1);
    }
    let digits = behind_digits(bytes, at);
    if digits == at || (bytes.get(at) == Some(&b'0') && digits != at.wrapping_add(1)) {
        return None;
    }
    at = digits;
    if bytes.get(at) == Some(&b'.') {
        let fraction = at.wrapping_add(1);
        at = behind_digits(bytes, fraction);
        if at == fraction {
            return None;
        }
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let mut exponent = at.wrapping_add(1);
        if let Some(b'+' | b'-') = bytes.get(exponent) {
            exponent = exponent.wrapping_add(1);
        }
        at = behind_digits(bytes, exponent);
        if at == exponent {
            return None;
        }
        *odd |= at.wrapping_sub(exponent) > 2;
    }
    *odd |= at.wrapping_sub(start) > ODD_NUMBER_BYTES;
    Some(at)
}

/// Position behind a word that must stand at `at`.
#[inline]
fn behind_word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let end = at.wrapping_add(word.len());
    (bytes.get(at..end)? == word).then_some(end)
}

/// Position behind a member's name and its colon; white space may come before.
#[inline]
fn behind_name(bytes: &[u8], at: usize, odd: &mut bool) -> Option<usize> {
    let (quote, _) = closing_quote(bytes, behind(bytes, at, b'"')?, odd)?;
    behind(bytes, quote.wrapping_add(1), b':')
}

/// Position behind a value other than an object or an array, which begins with `first` at `at`.
#[inline(always)]
fn behind_scalar(bytes: &[u8], at: usize, first: u8, odd: &mut bool) -> Option<usize> {
    match first {
        b'"' => Some(closing_quote(bytes, at.wrapping_add(1), odd)?.0.wrapping_add(1)),
        b'-' | b'0'..=b'9' => behind_number(bytes, at, odd),
        b't' => behind_word(bytes, at, b"true"),
        b'f' => behind_word(bytes, at, b"false"),
        b'n' => behind_word(bytes, at, b"null"),
        _ => None,
    }
}

/// Position behind an object or an array that begins at `at`.
fn behind_container(bytes: &[u8], mut at: usize, odd: &mut bool) -> Option<usize> {
    // One bit a level: set for an object, the innermost level lowest.
    let mut levels = 0u128;
    let mut depth = 0u32;
    loop {
        // A value comes next.
        let (start, first) = after_space(bytes, at)?;
        at = if matches!(first, b'{' | b'[') {
            depth = depth.wrapping_add(1);
            if depth > MAX_DEPTH {
                return None;
            }
            *odd |= depth >= ODD_DEPTH;
            let object = first == b'{';
            levels = (levels << 1) | u128::from(object);
            let inside = start.wrapping_add(1);
            let (inner, byte) = after_space(bytes, inside)?;
            if byte != if object { b'}' } else { b']' } {
                at = if object { behind_name(bytes, inner, odd)? } else { inner };
                continue;
            }
            inner
        } else {
            behind_scalar(bytes, start, first, odd)?
        };
        // A value has ended, or an empty container waits for its closing bracket.
        loop {
            let object = levels & 1 == 1;
            let (next, byte) = after_space(bytes, at)?;
            at = next.wrapping_add(1);
            match byte {
                b',' => {
                    if object {
                        at = behind_name(bytes, at, odd)?;
                    }
                    break;
                }
                b'}' if object => {}
                b']' if !object => {}
                _ => return None,
            }
            levels >>= 1;
            depth = depth.wrapping_sub(1);
            if depth == 0 {
                return Some(at);
            }
        }
    }
}

/// Where the value stands that comes next after white space.
#[inline(always)]
fn value(bytes: &[u8], at: usize, odd: &mut bool) -> Option<Range<usize>> {
    let (start, first) = after_space(bytes, at)?;
    let end = match first {
        b'{' | b'[' => behind_container(bytes, start, odd)?,
        _ => behind_scalar(bytes, start, first, odd)?,
    };
    Some(start..end)
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, odd: false }
    }

    /// Position of the next byte.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Goes (back) to a position.
    pub(super) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// Whether something odd came by since the last call.
    pub(super) fn take_odd(&mut self) -> bool {
        std::mem::take(&mut self.odd)
    }

    /// Next byte without moving.
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips white space and returns the byte after it without moving on.
    #[inline]
    pub(super) fn peek_after_space(&mut self) -> Option<u8> {
        match after_space(self.bytes, self.at) {
            Some((at, byte)) => {
                self.at = at;
                Some(byte)
            }
            None => {
                self.at = self.bytes.len();
                None
            }
        }
    }

    /// Moves over this byte, which must come next after white space.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        self.at = behind(self.bytes, self.at, byte).ok_or(Fault)?;
        Ok(())
    }

    /// Moves over this byte if it comes next after white space.
    #[inline]
    pub(super) fn accept(&mut self, byte: u8) -> bool {
        self.expect(byte).is_ok()
    }

    /// Skips one value and returns where it stands; white space may come before.
    pub(super) fn value(&mut self) -> Result<Range<usize>, Fault> {
        let range = value(self.bytes, self.at, &mut self.odd).ok_or(Fault)?;
        self.at = range.end;
        Ok(range)
    }

    /// Skips one object and shows each member's name and value to `each`; returns where the object stands.
    #[inline]
    pub(super) fn members(&mut self, each: impl FnMut(Text, Range<usize>)) -> Result<Range<usize>, Fault> {
        let mut odd = self.odd;
        let range = members(self.bytes, self.at, &mut odd, each).ok_or(Fault)?;
        self.odd = odd;
        self.at = range.end;
        Ok(range)
    }
}

#[inline]
fn members(bytes: &[u8], at: usize, odd: &mut bool, mut each: impl FnMut(Text, Range<usize>)) -> Option<Range<usize>> {
    let inside = behind(bytes, at, b'{')?;
    let start = inside.wrapping_sub(1);
    let (mut at, first) = after_space(bytes, inside)?;
    if first == b'}' {
        return Some(start..at.wrapping_add(1));
    }
    loop {
        let name = behind(bytes, at, b'"')?;
        let (quote, escaped) = closing_quote(bytes, name, odd)?;
        let value = value(bytes, behind(bytes, quote.wrapping_add(1), b':')?, odd)?;
        let end = value.end;
        each(Text { range: name..quote, escaped }, value);
        let (next, byte) = after_space(bytes, end)?;
        at = next.wrapping_add(1);
        match byte {
            b',' => {}
            b'}' => return Some(start..at),
            _ => return None,
        }
    }
}
