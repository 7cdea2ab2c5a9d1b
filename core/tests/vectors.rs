//! The committed vectors, natively.
#![cfg(not(target_arch = "wasm32"))]

mod checks;

#[test]
fn keys_hash_and_fall_into_shards_as_the_reference_says() {
    checks::hashing::keys_and_shards();
}

#[test]
fn digests_are_the_references() {
    checks::hashing::digests();
}
