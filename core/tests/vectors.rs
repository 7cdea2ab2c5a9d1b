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

#[test]
fn payloads_are_judged_as_the_engine_judged_them() {
    checks::splitting::as_the_engine_answers();
}

#[test]
fn parts_have_the_bytes_that_were_written_down() {
    checks::splitting::parts_have_these_bytes();
}

#[test]
fn answers_of_parts_merge_into_the_page_of_the_whole() {
    checks::merging::pages_are_the_engines();
}
