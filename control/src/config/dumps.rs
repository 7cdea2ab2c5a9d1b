//! Dumps, from the file, the environment and flags.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use crate::store::Location;

/// `[dumps]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DumpsSection {
    /// Where dumps are written.
    pub directory: Option<PathBuf>,
    /// A dump to be imported at the start, into an empty cluster.
    pub import: Option<PathBuf>,
    /// Start without it where the cluster is not empty.
    pub ignore_if_not_empty: Option<bool>,
}

/// What is done with dumps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dumps {
    /// Where they are written; none: they are refused.
    pub directory: Option<PathBuf>,
    /// The one to be imported at the start.
    pub import: Option<PathBuf>,
    /// Start without it where the cluster is not empty.
    pub ignore_if_not_empty: bool,
}

/// Dumps are on the store's disk by default. Of several controls any may make them, so that only an operator can say where
/// they are to be.
pub(super) fn dumps(section: &DumpsSection, store: &Location) -> Result<Dumps, ConfigError> {
    let beside = match store {
        Location::File(path) => Some(path.parent().map(Path::to_owned).unwrap_or_default().join("miroir-dumps")),
        Location::Redis(_) => None,
    };
    if let Some(file) = section.import.as_ref().filter(|file| !file.is_file()) {
        return Err(ConfigError::value("dumps.import", format!("there is no file {}", file.display())));
    }
    Ok(Dumps {
        directory: section.directory.clone().or(beside),
        import: section.import.clone(),
        ignore_if_not_empty: section.ignore_if_not_empty.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_are_beside_the_store_unless_somebody_says_otherwise() {
        let file = Location::File("a/b.sqlite".into());
        let directory = |text: &str| dumps(&toml::from_str(text).unwrap(), &file).unwrap().directory;
        assert_eq!(directory(""), Some("a/miroir-dumps".into()));
        assert_eq!(directory("directory = '/d'"), Some("/d".into()));
        let fault = dumps(&toml::from_str("import = '/nowhere/a.dump'").unwrap(), &file).unwrap_err();
        assert_eq!(fault.to_string(), "dumps.import: there is no file /nowhere/a.dump");
    }
}
