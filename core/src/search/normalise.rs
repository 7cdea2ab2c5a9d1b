//! The form in which the engine compares facet values: trimmed, compatibility-decomposed, lower case, cut.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// Longest value that the engine tells apart, in bytes.
const LONGEST: usize = 468;

/// Two facet values are one where their normalised forms are equal.
pub(super) fn normalise(value: &str) -> Cow<'_, str> {
    let value = value.trim();
    if value.is_ascii() {
        let lower = value.bytes().all(|byte| !byte.is_ascii_uppercase());
        let value = if lower { Cow::Borrowed(value) } else { Cow::Owned(value.to_ascii_lowercase()) };
        return cut(value);
    }
    cut(Cow::Owned(value.nfkd().collect::<String>().to_lowercase()))
}

fn cut(value: Cow<'_, str>) -> Cow<'_, str> {
    if value.len() <= LONGEST {
        return value;
    }
    let end = (0..=LONGEST).rev().find(|end| value.is_char_boundary(*end)).unwrap_or_default();
    Cow::Owned(value.get(..end).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_blanks_and_compatibility_forms_do_not_count() {
        assert_eq!(normalise(" Sci-Fi\t"), "sci-fi");
        assert_eq!(normalise("\u{c9}TUDE"), "e\u{301}tude");
        assert_eq!(normalise("\u{fb01}lm"), "film");
        assert_eq!(normalise("plain"), "plain");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(normalise(&"x".repeat(600)).len(), 468);
        assert_eq!(normalise(&"\u{4e00}".repeat(300)).len(), 468);
        assert_eq!(normalise(&format!("a{}", "\u{4e00}".repeat(300))).len(), 466);
    }
}
