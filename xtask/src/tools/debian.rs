//! Debian packages, where the machine is a Debian and we may install.

use std::process::Command;

use anyhow::bail;

use crate::shell::{on_path, quiet_step, succeeds};

/// Makes sure that these packages are installed.
///
/// # Errors
/// When they are missing and cannot be installed; says which command would do it.
pub fn ensure(packages: &[&str], purpose: &str) -> anyhow::Result<()> {
    let installed = |package: &&&str| succeeds(Command::new("dpkg").args(["--status", package]));
    let missing: Vec<&str> = packages.iter().filter(|package| !installed(package)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    if on_path("apt-get").is_none() {
        bail!("{purpose}: needs {missing:?}; this is no Debian, so please install their like yourself");
    }
    let list = missing.join(" ");
    let mut refresh = Command::new("apt-get");
    refresh.args(["update", "-qq"]);
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    let installed = quiet_step("refreshing Debian's package lists", &mut refresh)
        .and_then(|()| quiet_step(&format!("installing Debian packages {list} ({purpose})"), &mut install));
    if installed.is_err() {
        bail!("{purpose}: cannot install {list}; run as root: apt-get install {list}");
    }
    Ok(())
}
