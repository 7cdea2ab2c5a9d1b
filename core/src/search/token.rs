//! Numbers and texts: how far a number goes, what a short one is, and what a text says.

use super::BadAnswer;
use super::scan::{Scanner, bad};

/// Length of the number at the start of `rest`, 0 where there is none (grammar of RFC 8259).
pub(super) fn number_length(rest: &[u8]) -> usize {
    // Positions within `rest` cannot wrap.
    let digits = |mut at: usize| {
        while let Some(b'0'..=b'9') = rest.get(at) {
            at = at.wrapping_add(1);
        }
        at
    };
    let start = usize::from(rest.first() == Some(&b'-'));
    let mut end = digits(start);
    if end == start || (rest.get(start) == Some(&b'0') && end != start.wrapping_add(1)) {
        return 0;
    }
    if rest.get(end) == Some(&b'.') {
        let point = end.wrapping_add(1);
        end = digits(point);
        if end == point {
            return 0;
        }
    }
    if let Some(b'e' | b'E') = rest.get(end) {
        let sign = end.wrapping_add(1);
        let exponent = if let Some(b'+' | b'-') = rest.get(sign) { sign.wrapping_add(1) } else { sign };
        end = digits(exponent);
        if end == exponent {
            return 0;
        }
    }
    end
}

/// Reads a whole number, which may be written as a text: the engine takes both for one document.
pub(super) fn whole_number(raw: &[u8]) -> Option<i64> {
    let digits = raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")).unwrap_or(raw);
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads a number of few digits without sign and exponent, such as most scores are. Numerator and power of ten are
/// exact, so their quotient is the nearest double, as a full parser would find it.
pub(super) fn short_number(raw: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    if raw.is_empty() || raw.len() > 16 {
        return None;
    }
    let (mut digits, mut decimals, mut point) = (0u64, 0usize, false);
    for byte in raw {
        match byte {
            b'0'..=b'9' => {
                digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte & 0xf));
                decimals = decimals.wrapping_add(usize::from(point));
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    // At most 15 digits where there is a point: below 2^53.
    if !point && raw.len() > 15 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    Some(digits as f64 / POWERS.get(decimals)?)
}

impl Scanner<'_> {
    /// Reads a number.
    pub fn number(&mut self) -> Result<f64, BadAnswer> {
        let span = self.value()?;
        let raw = self.slice(span);
        if let Some(number) = short_number(raw) {
            return Ok(number);
        }
        let text = std::str::from_utf8(raw).unwrap_or_default();
        text.parse().map_err(|_| bad("expected a number", span.start))
    }

    /// Reads a whole number that is not negative.
    #[inline]
    pub fn whole(&mut self) -> Result<u64, BadAnswer> {
        match self.short_whole() {
            Some(number) => Ok(number),
            None => self.any_whole(),
        }
    }

    fn any_whole(&mut self) -> Result<u64, BadAnswer> {
        let span = self.value()?;
        let raw = self.slice(span);
        if let [digit @ b'0'..=b'9'] = raw {
            return Ok(u64::from(digit & 0xf));
        }
        let text = std::str::from_utf8(raw).unwrap_or_default();
        text.parse().map_err(|_| bad("expected a whole number", span.start))
    }
}

/// Resolves what stands between the quotes of a JSON string; none where it is no UTF-8.
pub(super) fn text_of(inner: &[u8]) -> Option<String> {
    let inner = std::str::from_utf8(inner).ok()?;
    if !inner.contains('\\') {
        return Some(inner.to_owned());
    }
    serde_json::from_str(&format!("\"{inner}\"")).ok()
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_end_where_their_grammar_ends() {
        for (text, length) in
            [("0", 1), ("01", 0), ("-1.5e+3,", 7), ("1.", 0), ("1e", 0), ("-", 0), ("12]", 2), ("0.25}", 4)]
        {
            assert_eq!(number_length(text.as_bytes()), length, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_read_alike_whatever_their_length() {
        let whole = |text: &str| {
            let mut scanner = Scanner::new(text.as_bytes());
            scanner.whole().ok().map(|number| (number, scanner.at()))
        };
        for (text, read) in [
            ("0,", Some((0, 1))),
            ("907}", Some((907, 3))),
            ("12 ,", Some((12, 2))),
            ("18446744073709551615,", Some((u64::MAX, 20))),
            ("18446744073709551616,", None),
            ("1234567890,", Some((1_234_567_890, 10))),
            ("012,", None),
            ("-1,", None),
            ("1.5,", None),
            ("1e2,", None),
            (",", None),
            ("", None),
        ] {
            assert_eq!(whole(text), read, "{text}");
        }
    }

    proptest! {
        #[test]
        fn short_numbers_are_exact(whole in 0u64..1_000_000, decimals in "[0-9]{1,9}") {
            let text = format!("{whole}.{decimals}");
            prop_assert_eq!(short_number(text.as_bytes()), text.parse::<f64>().ok());
            let text = whole.to_string();
            prop_assert_eq!(short_number(text.as_bytes()), text.parse::<f64>().ok());
        }
    }
}
