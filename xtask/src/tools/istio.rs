//! Schemas of Istio's resources: the npm package that `tests/istio-schemas` pins.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::shell::{quiet_step, root, say, tools_dir};

/// The version that the lock file names.
const VERSION: &str = "3.0.1";

/// Folder in which they are installed.
///
/// # Errors
/// When the package cannot be had.
pub fn schemas() -> anyhow::Result<PathBuf> {
    let home = tools_dir().join(format!("istio-schemas-{VERSION}"));
    let installed = home.join("node_modules/@kubernetes-models/istio/package.json");
    if !installed.is_file() {
        std::fs::create_dir_all(&home)?;
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(root().join("tests/istio-schemas").join(file), home.join(file))?;
        }
        let mut install = Command::new("npm");
        install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home);
        let name = format!("fetching @kubernetes-models/istio {VERSION} (npm, 5 MB)");
        quiet_step(&name, &mut install).context("npm is needed for the schemas of Istio's resources")?;
    }
    say(format!("Istio's schemas: @kubernetes-models/istio {VERSION}, in {}", home.display()));
    Ok(home)
}
