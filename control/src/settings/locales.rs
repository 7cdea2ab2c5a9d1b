//! Locales of `localizedAttributes`: the two-letter names, then the three-letter ones (ISO 639-1 and 639-3).

/// Every name that the engine takes, in the order in which it lists them.
pub(super) const NAMES: &[&str] = &[
    "af", "ak", "am", "ar", "az", "be", "bn", "bg", "ca", "cs", "da", "de", "el", "en", "eo", "et", "fi", "fr", "gu",
    "he", "hi", "hr", "hu", "hy", "id", "it", "jv", "ja", "kn", "ka", "km", "ko", "la", "lv", "lt", "ml", "mr", "mk",
    "my", "ne", "nl", "nb", "or", "pa", "fa", "pl", "pt", "ro", "ru", "si", "sk", "sl", "sn", "es", "sr", "sv", "ta",
    "te", "tl", "th", "tk", "tr", "uk", "ur", "uz", "vi", "yi", "zh", "zu", "afr", "aka", "amh", "ara", "aze", "bel",
    "ben", "bul", "cat", "ces", "dan", "deu", "ell", "eng", "epo", "est", "fin", "fra", "guj", "heb", "hin", "hrv",
    "hun", "hye", "ind", "ita", "jav", "jpn", "kan", "kat", "khm", "kor", "lat", "lav", "lit", "mal", "mar", "mkd",
    "mya", "nep", "nld", "nob", "ori", "pan", "pes", "pol", "por", "ron", "rus", "sin", "slk", "slv", "sna", "spa",
    "srp", "swe", "tam", "tel", "tgl", "tha", "tuk", "tur", "ukr", "urd", "uzb", "vie", "yid", "zho", "zul", "cmn",
];

/// How many languages have both names: the name at position `n` and that at `n + PAIRS` are one language.
const PAIRS: usize = 69;

/// The three-letter name of a locale, by which the engine shows it.
pub(super) fn canonical(name: &str) -> &str {
    match NAMES.iter().position(|known| *known == name) {
        Some(at) if at < PAIRS => NAMES[at + PAIRS],
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_are_shown_by_three_letters() {
        assert_eq!(NAMES.len(), 2 * PAIRS + 1);
        for (given, shown) in
            [("en", "eng"), ("fra", "fra"), ("zu", "zul"), ("af", "afr"), ("cmn", "cmn"), ("fa", "pes")]
        {
            assert_eq!(canonical(given), shown);
        }
    }
}
