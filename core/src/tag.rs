//! The shard tag: the reserved field by which a node can be asked for exactly the shards that it serves. Its value is
//! a string of separator characters only (U+2E00 to U+2E0F, one a hex digit, fixed width): such a string yields no
//! searchable word, while equality and `IN` filters tell all values apart (measured on Meilisearch 1.50).

use crate::error::ErrorBody;

/// Name of the reserved field.
pub const TAG_FIELD: &str = "_miroir_shard";

/// Most shards that the fixed width of a tag allows.
pub const MAX_SHARDS: u32 = 1 << 16;

/// Hex digits of a tag in a cluster of `shard_count` shards: at least two, so that up to 256 shards look alike.
fn width(shard_count: u32) -> u32 {
    let bits = u32::BITS.saturating_sub(shard_count.saturating_sub(1).leading_zeros());
    bits.div_ceil(4).max(2)
}

/// Whether a character is a digit of tags, and so Miroir's own.
#[must_use]
pub fn is_digit(character: char) -> bool {
    ('\u{2E00}'..='\u{2E0F}').contains(&character)
}

/// The tag's value for a shard.
#[must_use]
pub fn encode(shard: u32, shard_count: u32) -> String {
    (0..width(shard_count))
        .rev()
        .filter_map(|digit| {
            let nibble = shard.checked_shr(digit.saturating_mul(4)).unwrap_or_default() & 0xf;
            char::from_u32(0x2E00 | nibble)
        })
        .collect()
}

/// The shard of a tag's value; none for anything that [`encode`] does not make.
#[must_use]
pub fn decode(value: &str, shard_count: u32) -> Option<u32> {
    let mut shard = 0u32;
    for character in value.chars() {
        let digit = u32::from(character).checked_sub(0x2E00).filter(|digit| *digit < 16)?;
        shard = shard.checked_mul(16)?.checked_add(digit)?;
    }
    (value.chars().count() == usize::try_from(width(shard_count)).ok()? && shard < shard_count).then_some(shard)
}

/// The filter that selects exactly these shards: `_miroir_shard IN ["…","…"]`.
#[must_use]
pub fn filter_clause(shards: &[u32], shard_count: u32) -> String {
    let mut clause = format!("{TAG_FIELD} IN [");
    for (position, shard) in shards.iter().enumerate() {
        if position > 0 {
            clause.push(',');
        }
        clause.push('"');
        clause.push_str(&encode(*shard, shard_count));
        clause.push('"');
    }
    clause.push(']');
    clause
}

/// A filter that no document meets.
#[must_use]
pub fn nothing() -> String {
    format!("{TAG_FIELD} = \"none\"")
}

/// The filter that selects everything but these shards, also what has no tag, or none that is one.
#[must_use]
pub fn filter_others(shards: &[u32], shard_count: u32) -> String {
    let clause = if shards.is_empty() { nothing() } else { filter_clause(shards, shard_count) };
    format!("NOT {clause}")
}

/// Whether a node refuses the shard clause itself (Meilisearch 1.50): it has the index, and not its settings yet. A
/// client's own mention of the field never gets to a node under its name.
#[must_use]
pub fn lacks_rule(error: &ErrorBody) -> bool {
    error.message.contains(&format!("Attribute `{TAG_FIELD}` is not filterable"))
}

/// The clause of [`filter_clause`] as a JSON string, as requests to nodes hold it.
#[must_use]
pub fn quoted_clause(shards: &[u32], shard_count: u32) -> String {
    serde_json::Value::from(filter_clause(shards, shard_count)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_its_own_tag_and_comes_back() {
        for count in [1, 2, 16, 17, 128, 256, 257, 4096, 4097, MAX_SHARDS] {
            for shard in 0..count {
                assert_eq!(decode(&encode(shard, count), count), Some(shard));
            }
        }
    }

    #[test]
    fn a_tag_is_made_of_separators_in_fixed_width() {
        assert_eq!(encode(0x18, 128), "\u{2E01}\u{2E08}");
        assert_eq!(filter_clause(&[0, 24], 128), "_miroir_shard IN [\"\u{2E00}\u{2E00}\",\"\u{2E01}\u{2E08}\"]");
        assert_eq!(filter_others(&[24], 128), "NOT _miroir_shard IN [\"\u{2E01}\u{2E08}\"]");
        assert_eq!(filter_others(&[], 128), "NOT _miroir_shard = \"none\"");
        assert_eq!(decode("\u{2E01}", 128), None);
        assert_eq!(decode("17", 128), None);
        assert_eq!(decode(&encode(17, 17), 17), None);
    }
}
