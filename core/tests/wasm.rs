//! The committed vectors on wasm32 under node, the same as natively (`vectors.rs`).
#![cfg(target_arch = "wasm32")]

/// A part of the library that has two forms; its checks come with it.
#[path = "../src/block.rs"]
mod block;
mod checks;
/// The same holds for this one.
#[path = "../src/marks.rs"]
mod marks;

use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn keys_hash_and_fall_into_shards_as_the_reference_says() {
    checks::hashing::keys_and_shards();
}

#[wasm_bindgen_test]
fn the_vector_form_of_the_scanners_finds_what_the_form_of_words_does() {
    assert!(cfg!(target_feature = "simd128"), "built without vector instructions, unlike the filter");
    block::checks::forms_agree();
}

#[wasm_bindgen_test]
fn the_vector_form_of_the_marks_finds_what_a_loop_finds() {
    marks::checks::forms_agree();
}

#[wasm_bindgen_test]
fn digests_are_the_references() {
    checks::hashing::digests();
}

#[wasm_bindgen_test]
fn payloads_are_judged_as_the_engine_judged_them() {
    checks::splitting::as_the_engine_answers();
}

#[wasm_bindgen_test]
fn parts_have_the_bytes_that_were_written_down() {
    checks::splitting::parts_have_these_bytes();
}

#[wasm_bindgen_test]
fn answers_of_parts_merge_into_the_page_of_the_whole() {
    checks::merging::pages_are_the_engines();
}
