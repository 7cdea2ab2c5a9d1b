//! Building for WebAssembly: with rustup's target where it is or can be added, else with Debian's Rust, which builds
//! the standard library from its sources.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use super::debian;
use crate::shell::{cargo, on_path, root, say, step, succeeds};

/// Target of the filter.
const FILTER_TARGET: &str = "wasm32-wasip1";
/// The flags that .cargo/config.toml sets for both targets.
const WASM_FEATURES: &str = "-C target-feature=+simd128,+bulk-memory";
/// Target of the tests under node.
pub const TEST_TARGET: &str = "wasm32-unknown-unknown";

/// How to build for wasm32 on this machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// The ordinary one: rustup has the targets.
    Rustup,
    /// Debian's packages rustc-web, cargo-web, rust-web-src, lld-19, wasi-libc.
    Debian,
}

/// Finds or installs a toolchain.
///
/// # Errors
/// When neither way works.
pub fn toolchain() -> anyhow::Result<Toolchain> {
    if on_path("rustup").is_some() {
        // Where downloads are blocked this may hang instead of failing.
        let add = |target| succeeds(Command::new("timeout").args(["60", "rustup", "target", "add", target]));
        if add(FILTER_TARGET) && add(TEST_TARGET) {
            say("wasm32: rustup's targets");
            return Ok(Toolchain::Rustup);
        }
        say("wasm32: rustup cannot add the target here; taking Debian's Rust for it");
    }
    debian::ensure(
        &["rustc-web", "cargo-web", "rust-web-src", "lld-19", "wasi-libc"],
        "the wasm32 standard library, built from source",
    )?;
    Ok(Toolchain::Debian)
}

impl Toolchain {
    /// A cargo command for `target`, with `extra_std` (such as `,test`) among the crates of the standard library that
    /// are built from source.
    pub fn cargo(self, verb: &str, target: &str, extra_std: &str) -> Command {
        let mut command = match self {
            Toolchain::Rustup => cargo(),
            Toolchain::Debian => debian_cargo(),
        };
        command.args([verb, "--locked", "--target", target]);
        command.env("CARGO_TARGET_DIR", root().join("target/wasm-build"));
        if self == Toolchain::Debian {
            command.arg(format!("-Zbuild-std=std,panic_abort{extra_std}"));
            command.args(["--config", &format!("target.{target}.linker=\"wasm-ld-19\"")]);
            // In place of the flags in .cargo/config.toml, so that those are said again.
            let libraries = if target == FILTER_TARGET { "-L native=/usr/lib/wasm32-wasi " } else { "" };
            command.env("RUSTFLAGS", format!("{libraries}{WASM_FEATURES}"));
        }
        command
    }
}

/// Debian's own cargo and rustc, not rustup's shims of the same name; their standard library needs the nightly switch.
fn debian_cargo() -> Command {
    let mut command = Command::new("/usr/bin/cargo");
    command.current_dir(root()).env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "RUSTDOC", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

/// Builds the filter; the module's path.
///
/// # Errors
/// When the toolchain cannot be had or the build fails.
pub fn build_filter() -> anyhow::Result<PathBuf> {
    let mut build = toolchain()?.cargo("build", FILTER_TARGET, "");
    build.args(["--profile", "wasm", "--package", "miroir-filter"]);
    step("building the filter for wasm32", &mut build)?;
    let built = root().join("target/wasm-build").join(FILTER_TARGET).join("wasm/miroir_filter.wasm");
    let module = root().join("target/wasm/miroir_filter.wasm");
    std::fs::create_dir_all(root().join("target/wasm"))?;
    std::fs::copy(&built, &module).with_context(|| format!("no module at {}", built.display()))?;
    say(format!("filter: {} ({} KiB)", module.display(), std::fs::metadata(&module)?.len() / 1024));
    Ok(module)
}

/// Builds the filter that does nothing but call three nodes; the module's path.
///
/// # Errors
/// When the toolchain cannot be had or the build fails.
pub fn build_bare_fan_out() -> anyhow::Result<PathBuf> {
    let mut build = toolchain()?.cargo("build", FILTER_TARGET, "");
    build.args(["--profile", "wasm", "--package", "miroir-filter", "--example", "bare_fan_out"]);
    step("building a bare filter to compare with", &mut build)?;
    Ok(root().join("target/wasm-build").join(FILTER_TARGET).join("wasm/examples/bare_fan_out.wasm"))
}

/// Builds the speed test of splitting as a WASI program, with the filter's own profile; its path.
///
/// # Errors
/// When the toolchain cannot be had or the build fails.
pub fn build_split_speed() -> anyhow::Result<PathBuf> {
    let mut build = toolchain()?.cargo("build", FILTER_TARGET, "");
    build.args(["--profile", "wasm", "--package", "miroir-core", "--example", "split_speed"]);
    step("building the splitter's speed test for wasm32", &mut build)?;
    Ok(root().join("target/wasm-build").join(FILTER_TARGET).join("wasm/examples/split_speed.wasm"))
}
