//! A validating JSON scanner: one pass over the bytes, no tree, no recursion, no allocation. It accepts exactly what
//! `serde_json` accepts when it reads raw values; what it refuses is read again by [`super::diagnose`] for the
//! message.

use std::ops::Range;

use super::shape::Shape;
use crate::marks::Marks;

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

/// What is known besides the position.
#[derive(Clone, Copy)]
struct State {
    marks: Marks,
    /// Since the last [`Scanner::take_odd`] something came by that is well-formed but that the engine may still refuse
    /// when it reads values: a surrogate escape, a number that may be beyond a double, deep nesting.
    odd: bool,
}

/// A cursor over JSON bytes.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    state: State,
    shape: Shape,
}

/// What the reader of a member says of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// It need not be shown again if the next document has it at the same place.
    None,
    /// It is to be shown again.
    Some,
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
        let byte = *bytes.get(at)?;
        // The first comparison is enough for most.
        if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
            return Some((at, byte));
        }
        at = at.wrapping_add(1);
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
fn closing_quote(bytes: &[u8], start: usize, state: &mut State) -> Option<(usize, bool)> {
    let mut at = start;
    let mut escaped = false;
    loop {
        let stop = state.marks.stop(bytes, at)?;
        match *bytes.get(stop)? {
            b'"' => return Some((stop, escaped)),
            b'\\' => {
                escaped = true;
                let next = *bytes.get(stop.wrapping_add(1))?;
                at = stop.wrapping_add(2);
                // Quotes are escaped more often than all else.
                if next != b'"' {
                    match next {
                        b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            let (end, surrogate) = behind_unicode(bytes, at)?;
                            state.odd |= surrogate;
                            at = end;
                        }
                        _ => return None,
                    }
                }
            }
            _ => return None,
        }
    }
}

/// Position behind the four digits of a `\u` escape, which begin at `at`, and whether it is half of a surrogate pair
/// (D800 to DFFF): halves must match where the string is decoded.
fn behind_unicode(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let end = at.wrapping_add(4);
    let digits = bytes.get(at..end)?;
    let surrogate = matches!(digits, [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
    digits.iter().all(u8::is_ascii_hexdigit).then_some((end, surrogate))
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
fn behind_number(bytes: &[u8], start: usize, state: &mut State) -> Option<usize> {
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
        state.odd |= at.wrapping_sub(exponent) > 2;
    }
    state.odd |= at.wrapping_sub(start) > ODD_NUMBER_BYTES;
    Some(at)
}

/// Position behind a word that must stand at `at`.
#[inline]
fn behind_word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let end = at.wrapping_add(word.len());
    (bytes.get(at..end)? == word).then_some(end)
}

/// Position behind a member's name and its colon; white space may come before.
#[inline(always)]
fn behind_name(bytes: &[u8], at: usize, state: &mut State) -> Option<usize> {
    let (quote, _) = closing_quote(bytes, behind(bytes, at, b'"')?, state)?;
    behind(bytes, quote.wrapping_add(1), b':')
}

/// Position behind a value other than an object or an array, which begins with `first` at `at`.
#[inline(always)]
fn behind_scalar(bytes: &[u8], at: usize, first: u8, state: &mut State) -> Option<usize> {
    match first {
        b'"' => Some(closing_quote(bytes, at.wrapping_add(1), state)?.0.wrapping_add(1)),
        b'-' | b'0'..=b'9' => behind_number(bytes, at, state),
        b't' => behind_word(bytes, at, b"true"),
        b'f' => behind_word(bytes, at, b"false"),
        b'n' => behind_word(bytes, at, b"null"),
        _ => None,
    }
}

/// Position behind an object or an array that begins with `first` at `at`.
fn behind_container(bytes: &[u8], mut at: usize, mut first: u8, mut state: State) -> Option<(usize, State)> {
    // One bit a level: set for an object, the innermost level lowest.
    let mut levels = 0u128;
    let mut depth = 0u32;
    loop {
        // A value begins here with its first byte.
        let ended = if matches!(first, b'{' | b'[') {
            depth = depth.wrapping_add(1);
            if depth > MAX_DEPTH {
                return None;
            }
            state.odd |= depth >= ODD_DEPTH;
            let object = first == b'{';
            levels = (levels << 1) | u128::from(object);
            let (inner, byte) = after_space(bytes, at.wrapping_add(1))?;
            at = inner;
            byte == if object { b'}' } else { b']' }
        } else {
            at = behind_scalar(bytes, at, first, &mut state)?;
            true
        };
        if ended {
            // Behind it, or at the closing bracket of an empty one.
            loop {
                let object = levels & 1 == 1;
                let (next, byte) = after_space(bytes, at)?;
                at = next.wrapping_add(1);
                match byte {
                    b',' => break,
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return None,
                }
                levels >>= 1;
                depth = depth.wrapping_sub(1);
                if depth == 0 {
                    return Some((at, state));
                }
            }
        }
        if levels & 1 == 1 {
            at = behind_name(bytes, at, &mut state)?;
        }
        (at, first) = after_space(bytes, at)?;
    }
}

/// Position behind a value that begins with `first` at `start`.
#[inline(always)]
fn behind_value(bytes: &[u8], start: usize, first: u8, state: &mut State) -> Option<usize> {
    if !matches!(first, b'{' | b'[') {
        return behind_scalar(bytes, start, first, state);
    }
    let (end, after) = behind_container(bytes, start, first, *state)?;
    *state = after;
    Some(end)
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, state: State { marks: Marks::new(bytes, 0), odd: false }, shape: Shape::default() }
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
        std::mem::take(&mut self.state.odd)
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
        self.state.marks.forget(self.bytes);
        let (start, first) = after_space(self.bytes, self.at).ok_or(Fault)?;
        let end = behind_value(self.bytes, start, first, &mut self.state).ok_or(Fault)?;
        self.pass(start..end)
    }

    /// Skips one object and shows each member's name and value to `each`, except those in which it had no interest when
    /// they stood at the same place in the object before; returns where the object stands.
    #[inline]
    pub(super) fn members(&mut self, each: impl FnMut(Text, Range<usize>) -> Interest) -> Result<Range<usize>, Fault> {
        let mut state = self.state;
        state.marks.forget(self.bytes);
        let range = members(self.bytes, self.at, &mut state, &mut self.shape, each).ok_or(Fault)?;
        self.state = state;
        self.pass(range)
    }

    /// Moves behind what has been scanned since the marks were told to forget. Its strings must be UTF-8; all else in
    /// it is ASCII.
    fn pass(&mut self, range: Range<usize>) -> Result<Range<usize>, Fault> {
        if self.state.marks.seen() {
            let scanned = self.bytes.get(range.clone()).ok_or(Fault)?;
            simdutf8::basic::from_utf8(scanned).map_err(|_| Fault)?;
        }
        self.at = range.end;
        Ok(range)
    }
}

#[inline]
fn members(
    bytes: &[u8],
    at: usize,
    state: &mut State,
    shape: &mut Shape,
    mut each: impl FnMut(Text, Range<usize>) -> Interest,
) -> Option<Range<usize>> {
    let mut from = behind(bytes, at, b'{')?;
    let start = from.wrapping_sub(1);
    let mut place = 0usize;
    loop {
        let (name, value, idle) = match shape.repeated(place, bytes, from) {
            Some(joint) => (Text { range: joint.name(from), escaped: false }, joint.end(from), joint.is_idle()),
            None => {
                let (next, byte) = after_space(bytes, from)?;
                let behind_byte = next.wrapping_add(1);
                let name = match byte {
                    b'}' => return Some(start..behind_byte),
                    b'"' if place == 0 => behind_byte,
                    b',' if place > 0 => behind(bytes, behind_byte, b'"')?,
                    _ => return None,
                };
                let (quote, escaped) = closing_quote(bytes, name, state)?;
                let (value, _) = after_space(bytes, behind(bytes, quote.wrapping_add(1), b':')?)?;
                let name = Text { range: name..quote, escaped };
                shape.note(place, bytes, from..value, &name);
                (name, value, false)
            }
        };
        // The same joint may be followed by more space than before.
        let (value, first) = after_space(bytes, value)?;
        from = behind_value(bytes, value, first, state)?;
        if !idle && each(name, value..from) == Interest::None {
            shape.set_idle(place);
        }
        place = place.wrapping_add(1);
    }
}
