//! A findings file that cannot be written, and then can.

use std::time::Duration;

use super::cluster::Cluster;
use super::wait::until;

const PLACE: &str = "/proc/no-such-place/findings.jsonl";

/// Setting of control with which nothing can be written down.
pub const UNWRITABLE: &str = "findings = \"/proc/no-such-place/findings.jsonl\"";

impl Cluster {
    /// Waits until control says that something is not repaired since it cannot be written down ([`UNWRITABLE`]).
    ///
    /// # Errors
    /// When it does not.
    pub async fn findings_blocked(&self, limit: Duration) -> anyhow::Result<()> {
        until("the alert", limit, || async {
            let status = self.operator_client().get("/_miroir/status").await.ok()?.json();
            status["scrub"]["blocked"].as_str().filter(|why| why.contains(PLACE)).map(|_| ())
        })
        .await
    }

    /// Starts control again with the findings file among the cluster's other files.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn unblock_findings(&mut self) -> anyhow::Result<()> {
        let file = self.dir.join("control.toml");
        let written = self.dir.join("miroir-findings.jsonl").display().to_string();
        std::fs::write(&file, std::fs::read_to_string(&file)?.replace(PLACE, &written))?;
        self.control.kill();
        self.control.restart()?;
        self.control_up().await
    }
}
