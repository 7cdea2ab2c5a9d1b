//! A JSON scanner over the bytes of one answer: it walks forward once, never allocates for what it skips, and never
//! trusts the answer. Values are found, checked for their grammar, and named by their position.

use super::BadAnswer;
use super::token::number_length;
use crate::block;

/// Deepest nesting that is followed. The engine itself refuses documents nested deeper than 128.
const DEEPEST: u32 = 128;

/// Where something lies in the answer: first byte, and one past the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    /// The bytes themselves; empty where the span is not one of these bytes.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.end).unwrap_or_default()
    }
}

/// A member of an object whose value comes next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// The comma before it, or the position after the opening brace.
    pub comma: usize,
    /// Opening quote of its name.
    pub start: usize,
    /// The name, as written between its quotes.
    pub name: Span,
}

/// The scanner.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

#[cold]
pub(super) fn bad(reason: &str, at: usize) -> BadAnswer {
    BadAnswer(format!("{reason} at byte {at}"))
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A scanner that goes on where another one stood.
    pub fn resumed(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Position of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes on at a position that was found before.
    pub fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[cold]
    fn fail<T>(&self, reason: &str) -> Result<T, BadAnswer> {
        Err(bad(reason, self.at))
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    // A position within the bytes of an answer is far from the end of the numbers: sums here cannot wrap, and tests for
    // that would cost as much as the rest of a step.
    fn step(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    #[inline(always)]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.step();
        }
    }

    /// The first byte of the next value.
    pub fn peek(&mut self) -> Option<u8> {
        self.space();
        self.byte()
    }

    #[inline(always)]
    fn expect(&mut self, wanted: u8, reason: &str) -> Result<(), BadAnswer> {
        if self.byte() != Some(wanted) {
            self.space();
            if self.byte() != Some(wanted) {
                return self.fail(reason);
            }
        }
        self.step();
        Ok(())
    }

    /// Enters an object.
    pub fn open_object(&mut self) -> Result<(), BadAnswer> {
        self.expect(b'{', "expected an object")
    }

    /// Enters an array.
    pub fn open_array(&mut self) -> Result<(), BadAnswer> {
        self.expect(b'[', "expected an array")
    }

    /// The next member of the object that was entered, or none after its closing brace. `first` starts as true.
    #[inline]
    pub fn member(&mut self, first: &mut bool) -> Result<Option<Member>, BadAnswer> {
        let Some(comma) = self.another_member(first)? else { return Ok(None) };
        let start = self.at;
        let name = self.name()?;
        Ok(Some(Member { comma, start, name }))
    }

    /// As [`Self::member`], stopping before the name: returns [`Member::comma`].
    #[inline(always)]
    pub fn another_member(&mut self, first: &mut bool) -> Result<Option<usize>, BadAnswer> {
        // As nearly all come.
        if !*first && matches!(self.rest(), [b',', b'"', ..]) {
            let comma = self.at;
            self.step();
            return Ok(Some(comma));
        }
        self.any_member(first)
    }

    fn any_member(&mut self, first: &mut bool) -> Result<Option<usize>, BadAnswer> {
        let end = self.at;
        if !self.goes_on(first, b'}')? {
            return Ok(None);
        }
        self.space();
        let comma = if self.bytes.get(end) == Some(&b',') { end } else { self.comma_before(end, self.at) };
        Ok(Some(comma))
    }

    /// A member's name and its colon.
    pub fn name(&mut self) -> Result<Span, BadAnswer> {
        let name = self.string()?;
        self.expect(b':', "expected a colon")?;
        Ok(name)
    }

    /// Skips what comes next where it is, byte for byte, what stands at an earlier place.
    pub fn skip_repeated(&mut self, known: Span) -> bool {
        let same = block::repeats(self.bytes, self.at, known.start, known.end);
        if same {
            self.at = self.at.wrapping_add(known.end.wrapping_sub(known.start));
        }
        same
    }

    /// Position of the comma between the end of the last value and this member: blanks may stand before it.
    fn comma_before(&self, from: usize, to: usize) -> usize {
        let gap = self.bytes.get(from..to).unwrap_or_default();
        gap.iter().position(|byte| *byte == b',').map_or(from, |offset| from.saturating_add(offset))
    }

    /// True where the array that was entered has another element, which comes next; false after its closing bracket.
    pub fn element(&mut self, first: &mut bool) -> Result<bool, BadAnswer> {
        self.goes_on(first, b']')
    }

    #[inline(always)]
    fn goes_on(&mut self, first: &mut bool, close: u8) -> Result<bool, BadAnswer> {
        if !matches!(self.byte(), Some(b',' | b'}' | b']' | b'"')) {
            self.space();
        }
        match self.byte() {
            Some(byte) if byte == close => {
                self.step();
                return Ok(false);
            }
            Some(b',') if !*first => self.step(),
            Some(_) if *first => {}
            _ => return self.fail("expected a comma or an end"),
        }
        *first = false;
        Ok(true)
    }

    /// After the last value: nothing but blanks may follow.
    pub fn end(&mut self) -> Result<(), BadAnswer> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { self.fail("expected the end") }
    }

    /// Skips a string and returns what stands between its quotes.
    #[inline(always)]
    pub fn string(&mut self) -> Result<Span, BadAnswer> {
        self.expect(b'"', "expected a string")?;
        self.string_opened()
    }

    /// Skips what is left of a string behind its opening quote.
    #[inline(always)]
    fn string_opened(&mut self) -> Result<Span, BadAnswer> {
        let start = self.at;
        loop {
            (self.at, _) = block::stop(self.bytes, self.at);
            match self.byte() {
                Some(b'"') => {
                    let end = self.at;
                    self.step();
                    return Ok(Span { start, end });
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fail("control character in a string"),
                None => return self.fail("string without end"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), BadAnswer> {
        self.step();
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.step(),
            Some(b'u') => {
                let end = self.at.wrapping_add(5);
                let digits = self.bytes.get(self.at.wrapping_add(1)..end);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return self.fail("bad escape");
                }
                self.at = end;
            }
            _ => return self.fail("bad escape"),
        }
        Ok(())
    }

    /// Skips a number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<(), BadAnswer> {
        let rest = self.rest();
        let length = match rest.first() {
            Some(b't') if rest.starts_with(b"true") => 4,
            Some(b'f') if rest.starts_with(b"false") => 5,
            Some(b'n') if rest.starts_with(b"null") => 4,
            Some(b'-' | b'0'..=b'9') => number_length(rest),
            _ => 0,
        };
        if length == 0 {
            return self.fail("expected a value");
        }
        self.at = self.at.wrapping_add(length);
        Ok(())
    }

    /// Moves over a whole number of a few digits that a comma or a brace follows at once, as nearly all do.
    #[inline]
    pub fn short_whole(&mut self) -> Option<u64> {
        let (mut at, mut number) = (self.at, 0u64);
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(at) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit & 0xf));
            at = at.wrapping_add(1);
        }
        let length = at.wrapping_sub(self.at);
        let ends = matches!(self.bytes.get(at), Some(b',' | b'}'));
        let leads_with_zero = length > 1 && self.byte() == Some(b'0');
        if !ends || !(1..=9).contains(&length) || leads_with_zero {
            return None;
        }
        self.at = at;
        Some(number)
    }

    /// Skips a value and returns where it lies.
    #[inline]
    pub fn value(&mut self) -> Result<Span, BadAnswer> {
        if !matches!(self.byte(), Some(b'"')) {
            self.space();
        }
        let start = self.at;
        match self.byte() {
            Some(b'"') => {
                self.step();
                self.string_opened()?;
            }
            Some(b'{' | b'[') => self.container()?,
            _ => self.scalar()?,
        }
        Ok(Span { start, end: self.at })
    }

    /// Skips an object or array without recursion: one bit a level says which of the two it is.
    fn container(&mut self) -> Result<(), BadAnswer> {
        let mut objects = 0u128;
        let mut depth = 0u32;
        loop {
            // A value comes next.
            self.space();
            let opened = match self.byte() {
                Some(b'"') => {
                    self.string()?;
                    false
                }
                Some(byte @ (b'{' | b'[')) => {
                    self.step();
                    depth = depth.saturating_add(1);
                    if depth > DEEPEST {
                        return self.fail("nested too deep");
                    }
                    objects = (objects << 1) | u128::from(byte == b'{');
                    true
                }
                _ => {
                    self.scalar()?;
                    false
                }
            };
            let mut first = opened;
            // Close what ends here.
            loop {
                let in_object = objects & 1 == 1;
                if self.goes_on(&mut first, if in_object { b'}' } else { b']' })? {
                    if in_object {
                        self.space();
                        self.string()?;
                        self.expect(b':', "expected a colon")?;
                    }
                    break;
                }
                objects >>= 1;
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(());
                }
                first = false;
            }
        }
    }

    /// The bytes of a span.
    pub fn slice(&self, span: Span) -> &'a [u8] {
        self.bytes.get(span.start..span.end).unwrap_or_default()
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
