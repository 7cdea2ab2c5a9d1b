//! A real browser, and the packages of the page that it shows: those that `tests/browser` pins.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::{debian, npm};
use crate::shell::{on_path, say};

/// The version of `@meilisearch/instant-meilisearch` that the lock file names.
const VERSION: &str = "0.31.3";

/// Chromium: `MIROIR_CHROMIUM`, else the first of its usual names on PATH, else Debian's package.
///
/// # Errors
/// When there is none and it cannot be installed; says what else can be done.
pub fn chromium() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("MIROIR_CHROMIUM").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        if !named.is_file() {
            bail!("MIROIR_CHROMIUM names {}, and there is no such file", named.display());
        }
        return Ok(named);
    }
    let found =
        || ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"].into_iter().find_map(on_path);
    if let Some(browser) = found() {
        say(format!("browser: {}", browser.display()));
        return Ok(browser);
    }
    debian::ensure(&["chromium"], "a real browser for InstantSearch").context(
        "no Chromium or Chrome: install one, name one with MIROIR_CHROMIUM, or leave its test out with `cargo xtask test --no-browser`",
    )?;
    found().context("Debian's chromium is installed, but not on PATH: name it with MIROIR_CHROMIUM")
}

/// Folder in which the page's packages and the browser's driver are installed.
///
/// # Errors
/// When a package cannot be had.
pub fn modules() -> anyhow::Result<PathBuf> {
    let what = format!("@meilisearch/instant-meilisearch {VERSION}, instantsearch.js, playwright-core (npm, 62 MB)");
    npm::locked("browser", &format!("browser-{VERSION}"), "playwright-core/package.json", &what)
}

/// What the test in the browser needs, by the names under which it looks for it.
///
/// # Errors
/// When a part cannot be had.
pub fn parts() -> anyhow::Result<[(&'static str, PathBuf); 2]> {
    Ok([("MIROIR_CHROMIUM", chromium()?), ("MIROIR_BROWSER_MODULES", modules()?)])
}
