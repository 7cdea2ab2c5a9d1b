//! Running programs, with progress on the terminal.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// The repository's root.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Where fetched tools are kept.
pub fn tools_dir() -> PathBuf {
    root().join("target/tools")
}

/// Says something on standard error, so that standard output stays for results.
pub fn say(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "==> {}", text.as_ref());
}

/// A step with a name: runs it with its output shown, and says how long it took.
///
/// # Errors
/// When the program cannot be started or fails.
pub fn step(name: &str, command: &mut Command) -> anyhow::Result<()> {
    say(name);
    let began = Instant::now();
    let status = command.status().with_context(|| format!("{name}: cannot start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{name}: {:?} ended with {status}", command.get_program());
    }
    say(format!("{name}: done in {:.1} s", began.elapsed().as_secs_f32()));
    Ok(())
}

/// Runs a program that prints much and means little: shows that it lives, and its output only when it fails.
///
/// # Errors
/// When the program cannot be started or fails; its output is printed then.
pub fn quiet_step(name: &str, command: &mut Command) -> anyhow::Result<()> {
    let log_path = root().join("target/tools/last-step.log");
    std::fs::create_dir_all(tools_dir())?;
    let log = std::fs::File::create(&log_path)?;
    command.stdout(log.try_clone()?).stderr(log).stdin(std::process::Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{name}: cannot start {:?}", command.get_program()))?;
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = indicatif::ProgressBar::new_spinner().with_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    });
    if bar.is_none() {
        say(format!("{name} ..."));
    }
    let status = child.wait()?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if !status.success() {
        let _ = std::io::stderr().write_all(&std::fs::read(&log_path)?);
        bail!("{name}: {:?} ended with {status}", command.get_program());
    }
    say(format!("{name}: done in {:.1} s", began.elapsed().as_secs_f32()));
    Ok(())
}

/// The first file of this name on PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// True when the program runs and succeeds; nothing is shown.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Cargo of the toolchain that runs this.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}
