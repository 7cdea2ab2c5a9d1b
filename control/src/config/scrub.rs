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
    /// Share of the time in which nodes are asked for documents, at most.
    pub busy_percent: Option<u64>,
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
            busy_percent: self.busy_percent.unwrap_or(usual.busy_percent),
        };
        if pace.documents_per_s == 0 {
            let fault = "must be positive; `scrub.interval_ms = 0` switches the comparison off";
            return Err(ConfigError::value("scrub.documents_per_second", fault));
        }
        if !(1..=100).contains(&pace.busy_percent) {
            return Err(ConfigError::value("scrub.busy_percent", "must be 1 to 100"));
        }
        Ok(pace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_that_cannot_be_is_refused_by_its_key() {
        let told = |section: ScrubSection| section.pace().unwrap_err().to_string();
        let section = ScrubSection { documents_per_second: Some(0), ..ScrubSection::default() };
        assert!(told(section).starts_with("scrub.documents_per_second"));
        for percent in [0, 101] {
            let section = ScrubSection { busy_percent: Some(percent), ..ScrubSection::default() };
            assert!(told(section).starts_with("scrub.busy_percent"));
        }
        assert_eq!(ScrubSection::default().pace().unwrap(), ScrubPace::default());
    }
}
