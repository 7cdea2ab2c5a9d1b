//! The comparison of all replicas in the background.

use std::path::PathBuf;

use miroir_sequencer::ScrubPace;
use serde::Deserialize;

use super::ConfigError;

/// `[scrub]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScrubSection {
    /// Milliseconds over which a comparison of all replicas is spread; 0: none.
    pub interval_ms: Option<u64>,
    /// Documents compared a second, at most.
    pub documents_per_second: Option<u64>,
    /// The findings file.
    pub findings: Option<PathBuf>,
}

impl ScrubSection {
    /// Fills in defaults and checks.
    pub(super) fn pace(&self) -> Result<ScrubPace, ConfigError> {
        let usual = ScrubPace::default();
        let pace = ScrubPace {
            interval: self.interval_ms.unwrap_or(usual.interval),
            documents_per_s: self.documents_per_second.unwrap_or(usual.documents_per_s),
        };
        if pace.documents_per_s == 0 {
            let fault = "must be positive; `scrub.interval_ms = 0` switches the comparison off";
            return Err(ConfigError::value("scrub.documents_per_second", fault));
        }
        Ok(pace)
    }
}
