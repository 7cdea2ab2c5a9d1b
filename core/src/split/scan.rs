//! A validating JSON scanner: one pass over the bytes, no tree, no recursion, no allocation. It accepts exactly what
//! `serde_json` accepts when it reads raw values; what it refuses is read again by [`super::diagnose`] for the
//! message. Strings are skipped eight bytes at a time.

use std::ops::Range;

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

/// The high bit of the first byte that is a quote, a backslash or a control character (and maybe of later ones).
#[inline]
fn stops(word: u64) -> u64 {
    let control = word.wrapping_sub(LOW.wrapping_mul(0x20)) & !word;
    let quote = word ^ LOW.wrapping_mul(0x22);
    let quote = quote.wrapping_sub(LOW) & !quote;
    let backslash = word ^ LOW.wrapping_mul(0x5C);
    let backslash = backslash.wrapping_sub(LOW) & !backslash;
    (control | quote | backslash) & HIGH
}

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
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn step(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    /// Skips white space and returns the byte after it without moving on.
    #[inline]
    pub(super) fn peek_after_space(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.step(),
                other => return other,
            }
        }
    }

    /// Moves over this byte, which must come next after white space.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek_after_space() == Some(byte) {
            self.step();
            Ok(())
        } else {
            Err(Fault)
        }
    }

    /// Moves over this byte if it comes next after white space.
    #[inline]
    pub(super) fn accept(&mut self, byte: u8) -> bool {
        self.expect(byte).is_ok()
    }

    /// Skips one string, quotes included; white space may come before.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text, Fault> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        let mut seen = 0u64;
        loop {
            let rest = self.bytes.get(self.at..).ok_or(Fault)?;
            let byte = if let Some(chunk) = rest.first_chunk::<8>() {
                let word = u64::from_le_bytes(*chunk);
                let stop = stops(word);
                seen |= word;
                if stop == 0 {
                    self.at = self.at.wrapping_add(8);
                    continue;
                }
                let offset = stop.trailing_zeros() >> 3;
                self.at = self.at.wrapping_add(offset as usize);
                self.peek()
            } else {
                let byte = rest.first().copied();
                seen |= u64::from(byte.unwrap_or_default());
                byte
            };
            match byte {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                None | Some(0..0x20) => return Err(Fault),
                Some(_) => self.step(),
            }
        }
        let range = start..self.at;
        self.step();
        if seen & HIGH != 0 {
            let text = self.bytes.get(range.clone()).ok_or(Fault)?;
            std::str::from_utf8(text).map_err(|_| Fault)?;
        }
        Ok(Text { range, escaped })
    }

    /// Skips one escape, from its backslash.
    fn escape(&mut self) -> Result<(), Fault> {
        self.step();
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.step(),
            Some(b'u') => {
                self.step();
                let end = self.at.wrapping_add(4);
                let digits = self.bytes.get(self.at..end).ok_or(Fault)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Fault);
                }
                // Halves of surrogate pairs must match where the string is decoded: D800 to DFFF.
                if let [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..] = digits {
                    self.odd = true;
                }
                self.at = end;
            }
            _ => return Err(Fault),
        }
        Ok(())
    }

    /// Skips digits; false if there are none.
    #[inline]
    fn digits(&mut self) -> bool {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.step();
        }
        self.at != start
    }

    /// Skips one number.
    #[inline]
    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.step();
        }
        match self.peek() {
            Some(b'0') => {
                self.step();
                if let Some(b'0'..=b'9') = self.peek() {
                    return Err(Fault);
                }
            }
            Some(b'1'..=b'9') => {
                self.digits();
            }
            _ => return Err(Fault),
        }
        if self.peek() == Some(b'.') {
            self.step();
            if !self.digits() {
                return Err(Fault);
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.step();
            if let Some(b'+' | b'-') = self.peek() {
                self.step();
            }
            let exponent = self.at;
            if !self.digits() {
                return Err(Fault);
            }
            self.odd |= self.at.wrapping_sub(exponent) > 2;
        }
        self.odd |= self.at.wrapping_sub(start) > ODD_NUMBER_BYTES;
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        let end = self.at.wrapping_add(word.len());
        if self.bytes.get(self.at..end) == Some(word) {
            self.at = end;
            Ok(())
        } else {
            Err(Fault)
        }
    }

    /// Skips a member's name and the colon behind it.
    #[inline]
    fn name(&mut self) -> Result<Text, Fault> {
        let name = self.string()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// Skips one value and returns where it stands; white space may come before.
    pub(super) fn value(&mut self) -> Result<Range<usize>, Fault> {
        self.peek_after_space();
        let start = self.at;
        // One bit a level: set for an object, the innermost level lowest.
        let mut levels = 0u128;
        let mut depth = 0u32;
        loop {
            let opened = match self.peek_after_space().ok_or(Fault)? {
                b'"' => {
                    self.string()?;
                    false
                }
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                    false
                }
                b't' => {
                    self.literal(b"true")?;
                    false
                }
                b'f' => {
                    self.literal(b"false")?;
                    false
                }
                b'n' => {
                    self.literal(b"null")?;
                    false
                }
                byte @ (b'{' | b'[') => {
                    self.step();
                    depth = depth.wrapping_add(1);
                    if depth > MAX_DEPTH {
                        return Err(Fault);
                    }
                    self.odd |= depth >= ODD_DEPTH;
                    let object = byte == b'{';
                    levels = (levels << 1) | u128::from(object);
                    let closing = if object { b'}' } else { b']' };
                    if self.peek_after_space() == Some(closing) {
                        false
                    } else {
                        if object {
                            self.name()?;
                        }
                        true
                    }
                }
                _ => return Err(Fault),
            };
            if opened {
                continue;
            }
            // A value has ended, or an empty container waits for its closing bracket.
            loop {
                if depth == 0 {
                    return Ok(start..self.at);
                }
                let object = levels & 1 == 1;
                match self.peek_after_space().ok_or(Fault)? {
                    b',' => {
                        self.step();
                        if object {
                            self.name()?;
                        }
                        break;
                    }
                    b'}' if object => self.step(),
                    b']' if !object => self.step(),
                    _ => return Err(Fault),
                }
                levels >>= 1;
                depth = depth.wrapping_sub(1);
            }
        }
    }

    /// Skips one object and shows each member's name and value to `each`; returns where the object stands.
    #[inline]
    pub(super) fn members(&mut self, mut each: impl FnMut(Text, Range<usize>)) -> Result<Range<usize>, Fault> {
        self.expect(b'{')?;
        let start = self.at.wrapping_sub(1);
        if self.accept(b'}') {
            return Ok(start..self.at);
        }
        loop {
            let name = self.name()?;
            let value = self.value()?;
            each(name, value);
            match self.peek_after_space() {
                Some(b',') => self.step(),
                Some(b'}') => {
                    self.step();
                    return Ok(start..self.at);
                }
                _ => return Err(Fault),
            }
        }
    }
}
