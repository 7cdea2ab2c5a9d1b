//! Files that are written by a program, and must not be edited by hand.

use anyhow::bail;

use crate::shell::{root, say};

/// Every generated file with what it must hold.
fn files() -> Vec<(&'static str, String)> {
    vec![("docs/compatibility.md", miroir_core::route::compatibility())]
}

/// Writes all generated files, or with `check` compares them.
///
/// # Errors
/// When a file cannot be written, or with `check` when one is stale.
pub fn all(check: bool) -> anyhow::Result<()> {
    for (path, text) in files() {
        let file = root().join(path);
        if std::fs::read_to_string(&file).is_ok_and(|found| found == text) {
            continue;
        }
        if check {
            bail!("{path} is stale: run `cargo xtask generate` and commit it");
        }
        std::fs::write(&file, text)?;
        say(format!("wrote {path}"));
    }
    Ok(())
}
