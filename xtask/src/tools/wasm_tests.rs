//! The runner of wasm-bindgen-test under node, in the version that Cargo.lock names.

use std::path::PathBuf;

use anyhow::Context;

use crate::shell::{cargo, quiet_step, root, step, tools_dir};
use crate::tools::wasm::{TEST_TARGET, toolchain};

/// Version of a crate in Cargo.lock.
fn locked_version(name: &str) -> anyhow::Result<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let needle = format!("name = \"{name}\"\nversion = \"");
    let rest = lock.split(&needle).nth(1).with_context(|| format!("Cargo.lock names no {name}"))?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// Path of the runner; installs it on first use.
///
/// # Errors
/// When it cannot be built.
pub fn runner() -> anyhow::Result<PathBuf> {
    let version = locked_version("wasm-bindgen")?;
    let home = tools_dir().join(format!("wasm-bindgen-{version}"));
    let runner = home.join("bin/wasm-bindgen-test-runner");
    if !runner.is_file() {
        let mut install = cargo();
        // Without --locked: its own lock file may name releases that have been withdrawn since.
        install.args(["install", "wasm-bindgen-cli", "--version", &version, "--root"]).arg(&home);
        install.env("CARGO_TARGET_DIR", tools_dir().join("build"));
        quiet_step(&format!("building wasm-bindgen-cli {version} (a few minutes, once)"), &mut install)?;
    }
    Ok(runner)
}

/// Runs core's tests on wasm32 under node.
///
/// # Errors
/// When a test fails or the tools cannot be had.
pub fn run() -> anyhow::Result<()> {
    let runner = runner()?;
    let mut test = toolchain()?.cargo("test", TEST_TARGET, ",test");
    test.args(["--package", "miroir-core", "--test", "wasm"]);
    test.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner);
    step("tests of core on wasm32 under node", &mut test)
}
