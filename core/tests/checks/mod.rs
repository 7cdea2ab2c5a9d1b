//! Checks that run natively (`vectors.rs`) and on wasm32 (`wasm.rs`) over the same vectors.

pub mod hashing;
pub mod merging;
pub mod splitting;
