//! One node alone, as something to compare clusters with.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::client::Client;
use super::cluster::{Options, await_url, node, text};
use super::engine::Engine;
use super::ports;
use super::process::Process;

/// A node that runs by itself. Dropping it kills it.
#[derive(Debug)]
pub struct Single {
    /// The process.
    pub process: Process,
    key: Option<String>,
    data: TempDir,
}

impl Single {
    /// Starts a node and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(engine: &Engine, master_key: Option<&str>) -> anyhow::Result<Self> {
        Self::start_with(engine, master_key, &[]).await
    }

    /// Starts a node with what a dump holds.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_from(engine: &Engine, master_key: Option<&str>, dump: &Path) -> anyhow::Result<Self> {
        Self::start_with(engine, master_key, &["--import-dump".to_owned(), text(dump)]).await
    }

    async fn start_with(engine: &Engine, master_key: Option<&str>, flags: &[String]) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let port = ports::free(1)?.into_iter().next().unwrap_or_default();
        let options = Options { master_key: master_key.map(str::to_owned), ..Options::default() };
        let mut part = node(data.path(), 0, port, engine, &options)?;
        part.command.extend_from_slice(flags);
        let mut process = Process::start(part)?;
        let url = format!("{}/health", process.part.url);
        await_url(&mut process, &url).await?;
        Ok(Self { process, key: options.master_key, data })
    }

    /// Where it puts a dump.
    #[must_use]
    pub fn dump(&self, uid: &str) -> PathBuf {
        self.data.path().join("node-0").join("dumps").join(format!("{uid}.dump"))
    }

    /// A client with the master key.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.process.part.url, self.key.as_deref())
    }
}
