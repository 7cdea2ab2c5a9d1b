//! The HTTP filter that Envoy loads as WebAssembly: a thin shell around the request machines of `miroir-core`.
//!
//! - [`host`] is all that the filter asks of Envoy; only its wasm half names hostcalls.
//! - [`vm`] is one worker's state and what it does on each of Envoy's callbacks; the tests drive it natively.
//! - `exports` (wasm only) are the entry points that Envoy calls.
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

pub mod cors;
#[cfg(target_arch = "wasm32")]
mod exports;
pub mod host;
pub mod metrics;
pub mod vm;
