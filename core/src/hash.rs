//! Hashing of document keys and digests. Where a document lives follows from [`key_hash`], so its algorithm, its seed
//! and the bytes that go in are fixed for ever; the vectors in `core/tests/vectors` come from an independent
//! implementation.

use twox_hash::{XxHash3_64, XxHash3_128};

/// Seed of [`key_hash`]. Changing it would move every document of every cluster.
pub const KEY_SEED: u64 = 0x4D69_726F_6972_0001;

/// XXH3-64 of a key's canonical bytes (as [`crate::key`] makes them) with [`KEY_SEED`].
#[must_use]
pub fn key_hash(canonical: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(KEY_SEED, canonical)
}

/// Shard of a hash in a cluster of `shard_count` shards; 0 where the count is 0 (no valid map has that).
#[must_use]
pub fn shard_of_hash(hash: u64, shard_count: u32) -> u32 {
    let shard = hash.checked_rem(u64::from(shard_count)).unwrap_or_default();
    u32::try_from(shard).unwrap_or_default()
}

/// Shard of a document by its key's canonical bytes.
#[must_use]
pub fn shard_of(canonical: &[u8], shard_count: u32) -> u32 {
    shard_of_hash(key_hash(canonical), shard_count)
}

/// XXH3-128 (seed 0) of several parts in 32 lower-case hex digits. Each part goes in behind its length as 64-bit
/// little endian, so that no two lists of parts hash the same bytes. It tells requests apart (idempotency); it is no
/// defence against somebody who makes collisions on purpose.
#[must_use]
pub fn digest128(parts: &[&[u8]]) -> String {
    let mut hasher = XxHash3_128::new();
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hasher.write(&length.to_le_bytes());
        hasher.write(part);
    }
    format!("{:032x}", hasher.finish_128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_below_the_count() {
        for key in 0u32..1000 {
            assert!(shard_of(key.to_string().as_bytes(), 7) < 7);
        }
        assert_eq!(shard_of(b"1", 0), 0);
        assert_eq!(shard_of(b"1", 1), 0);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(digest128(&[b"ab", b"c"]), digest128(&[b"a", b"bc"]));
        assert_ne!(digest128(&[b"ab"]), digest128(&[b"ab", b""]));
        assert_eq!(digest128(&[b"ab"]).len(), 32);
    }
}
