//! Schemas of Istio's resources: the npm package that `tests/istio-schemas` pins.

use std::path::PathBuf;

use super::npm;
use crate::shell::say;

/// The version that the lock file names.
const VERSION: &str = "3.0.1";

/// Folder in which they are installed.
///
/// # Errors
/// When the package cannot be had.
pub fn schemas() -> anyhow::Result<PathBuf> {
    let what = format!("@kubernetes-models/istio {VERSION} (npm, 5 MB)");
    let marker = "@kubernetes-models/istio/package.json";
    let home = npm::locked("istio-schemas", &format!("istio-schemas-{VERSION}"), marker, &what)?;
    say(format!("Istio's schemas: @kubernetes-models/istio {VERSION}, in {}", home.display()));
    Ok(home)
}
