//! The HTTP filter that Envoy loads as WebAssembly: a thin shell around the request machines of `miroir-core`.
//!
//! - [`host`] is all that the filter asks of Envoy; only its wasm half names hostcalls.
//! - [`vm`] is one worker's state and what it does on each of Envoy's callbacks; the tests drive it natively.
//! - `contexts` (wasm only) hands the callbacks of the proxy-wasm SDK on to it.
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

#[cfg(target_arch = "wasm32")]
mod contexts;
pub mod cors;
pub mod host;
pub mod metrics;
pub mod vm;
