//! Sizes as numbers or as words.

use serde_json::Value;

/// A size in the form that the client asked for.
pub(super) fn shown(bytes: u64, human: bool) -> Value {
    if human { words(bytes).into() } else { bytes.into() }
}

/// "3.99 KiB": the largest binary unit of which there is at least one, two digits, no trailing zeros.
fn words(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    let number = format!("{:.2}", bytes as f64 / (1u64 << (10 * unit)) as f64);
    let number = number.trim_end_matches('0').trim_end_matches('.');
    format!("{number} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_worded_as_by_the_engine() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (4088, "3.99 KiB"),
            (4096, "4 KiB"),
            (618_496, "604 KiB"),
            (3 << 29, "1.5 GiB"),
        ] {
            assert_eq!(words(bytes), text);
        }
    }
}
