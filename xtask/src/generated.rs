//! Files that are written by a program, and must not be edited by hand.

use anyhow::bail;

use crate::shell::{cargo, root, say};

/// Every generated file with what it must hold.
fn files() -> anyhow::Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("docs/compatibility.md", miroir_core::route::compatibility()),
        ("docs/openapi.json", printed("miroir-control", &["openapi"])?),
        ("docs/miroirctl.md", printed("miroirctl", &["reference"])?),
    ])
}

/// What one of our programs prints; it is built first.
fn printed(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    say(format!("{program} {}", arguments.join(" ")));
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--package", program, "--bin", program, "--"]).args(arguments);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{program} {}: ended with {}", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Writes all generated files, or with `check` compares them.
///
/// # Errors
/// When a file cannot be made or written, or with `check` when one is stale.
pub fn all(check: bool) -> anyhow::Result<()> {
    for (path, text) in files()? {
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
