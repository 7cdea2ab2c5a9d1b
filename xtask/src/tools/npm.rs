//! npm packages that a folder of the tests pins by a lock file.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::shell::{quiet_step, root, tools_dir};

/// Installs what `tests/<folder>/package-lock.json` names into `target/tools/<home>`, unless `marker` is there already.
///
/// # Errors
/// When npm is missing or a package cannot be had.
pub fn locked(folder: &str, home: &str, marker: &str, what: &str) -> anyhow::Result<PathBuf> {
    let home = tools_dir().join(home);
    if home.join("node_modules").join(marker).is_file() {
        return Ok(home);
    }
    std::fs::create_dir_all(&home)?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(root().join("tests").join(folder).join(file), home.join(file))?;
    }
    let mut install = Command::new("npm");
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home);
    quiet_step(&format!("fetching {what}"), &mut install).with_context(|| format!("npm is needed for {what}"))?;
    Ok(home)
}
