//! Secrets, by value or by file.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// A file's text.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// A secret by value or by file; `name` is the key of the value, the file's is `{name}_file`.
pub(super) fn secret(
    name: &str,
    value: &Option<String>,
    file: &Option<PathBuf>,
) -> Result<Option<String>, ConfigError> {
    let secret = match (value, file) {
        (Some(_), Some(_)) => return Err(ConfigError::value(name, format!("given twice: here and as {name}_file"))),
        (Some(value), None) => value.clone(),
        (None, Some(path)) => read(path)?.trim_end_matches(['\r', '\n']).to_owned(),
        (None, None) => return Ok(None),
    };
    if secret.len() < 16 {
        return Err(ConfigError::value(name, "must have at least 16 bytes"));
    }
    Ok(Some(secret))
}
