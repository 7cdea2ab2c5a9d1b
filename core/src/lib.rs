//! What both sides of Miroir compute alike. Plain Rust without I/O, clock, threads or panics; it builds for
//! native targets and for wasm32, so that the filter inside Envoy and the control service never disagree.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unreachable
    )
)]

mod block;
pub mod call;
pub mod error;
pub mod hash;
pub mod health;
pub mod invariants;
pub mod key;
mod marks;
pub mod media;
pub mod placement;
pub mod read;
pub mod route;
pub mod search;
pub mod shardmap;
pub mod split;
pub mod tag;
pub mod wire;
pub mod write;
