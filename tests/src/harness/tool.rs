//! The operator's tool, run as operators run it.

use std::process::{Output, Stdio};

use serde_json::Value;

use super::cluster::{ADMIN_KEY, Cluster};
use super::parts;

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ran {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `miroirctl` with these arguments and this key.
///
/// # Errors
/// When it cannot be started.
pub async fn run(url: &str, key: &str, arguments: &[&str]) -> anyhow::Result<Ran> {
    let output = tokio::process::Command::new(parts::tool()?)
        .args(arguments)
        .env("MIROIR_ADMIN_URL", url)
        .env("MIROIR_ADMIN_KEY", key)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    Ok(output.into())
}

impl Cluster {
    /// Runs `miroirctl` against this cluster.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn tool(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        run(&self.internal, ADMIN_KEY, arguments).await
    }
}
